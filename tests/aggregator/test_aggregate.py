"""The pure core as a whole."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.core.aggregate import CameraState, Snapshot, apply, replay
from services.aggregator.core.config import Camera, Config, Ground
from services.aggregator.core.grid import Layer
from services.contracts.messages import Box, Track
from tests.aggregator.build import HOUR_MS, NOON_MS, track

GROUND = Ground(matrix=(0.5, 0, 0, 0, 0.5, 0, 0, 0.0005, 1), version="abc", width=200, height=100, cell=10)
CONFIG = Config(default=Camera(ground=GROUND))
IMAGE = Layer("image", "1280x720-k40", 40)


def image_cells(*tracks: Track, config: Config | None = None, hour: int = NOON_MS) -> dict[tuple[int, int], list[int]]:
    return replay(tracks, config or Config()).cells.get((1, "site/gate", IMAGE, hour), {})


def test_a_cell_counts_sightings_vehicles_and_dwell() -> None:
    boxes: list[Box] = [*[(0.0, 0.0, 20.0, 20.0)] * 3, *[(100.0, 40.0, 20.0, 20.0)] * 2]

    cells = image_cells(track([NOON_MS + t for t in (0, 100, 300, 5000, 5100)], boxes=boxes))

    assert cells == {(0, 0): [2, 1, 100 + 200 + 1000], (2, 1): [1, 1, 100]}


def test_cells_are_true_squares_from_the_top_left_and_the_edge_takes_what_is_beyond() -> None:
    boxes: list[Box] = [(39.9, 39.9, 0, 0), (40, 39.9, 0, 0), (1279, 719, 30, 30), (-30, -30, 10, 10)]

    cells = image_cells(track([NOON_MS + 1000 * t for t in range(4)], boxes=boxes))

    assert {cell: count for cell, (count, _, _) in cells.items()} == {(0, 0): 2, (1, 0): 1, (31, 17): 1}


def test_a_passage_that_continues_another_is_no_further_vehicle() -> None:
    same: list[Box] = [(0, 0, 20, 20)]

    cells = image_cells(
        track([NOON_MS], boxes=same), track([NOON_MS + 1000], boxes=same, recording="two", start_ms=NOON_MS, run=1)
    )

    assert cells == {(0, 0): [2, 1, 0]}


def test_a_vehicle_in_a_cell_over_two_hours_counts_in_the_first() -> None:
    last = NOON_MS + HOUR_MS - 1
    message = track([last, last + 300], boxes=[(0, 0, 20, 20)] * 2)

    assert image_cells(message) == {(0, 0): [1, 1, 300]}
    assert image_cells(message, hour=NOON_MS + HOUR_MS) == {(0, 0): [1, 0, 0]}


def test_the_plane_on_the_ground_counts_what_is_on_the_plan_and_says_what_is_not() -> None:
    boxes: list[Box] = [(100, 100, 20, 20), (1000, 100, 20, 20)]

    outcome = replay([track([NOON_MS, NOON_MS + 1000], boxes=boxes)], CONFIG)

    on, off = outcome.plates
    assert on.ground is not None and on.ground.version == "abc" and not on.off_plan
    assert off.ground is None and off.off_plan
    assert outcome.off_plan == 1
    assert outcome.cells[1, "site/gate", Layer("ground", "abc-k10", 10), NOON_MS] == {(5, 5): [1, 1, 1000]}


def test_tracks_of_another_run_of_a_recording_are_dropped_and_counted() -> None:
    outcome = replay([track([NOON_MS], run=7), track([NOON_MS + 900], run=8), track([NOON_MS + 900], run=7)], Config())

    assert [plate.time_ms - NOON_MS for plate in outcome.plates] == [0, 900]
    assert outcome.dropped == 1


def test_a_track_in_parts_waits_for_all_of_them_and_is_one_passage() -> None:
    state = CameraState()
    parts = [track([NOON_MS + 1000 * i], part=i, of=3, start_ms=NOON_MS) for i in range(3)]

    results = [apply(state, part, Camera(), Config().options) for part in (parts[0], parts[2], parts[1])]

    assert [len(result.passages) for result in results] == [0, 0, 1]
    assert results[2].passages[0].observations == 3
    assert [plate.time_ms - NOON_MS for plate in results[2].plates] == [0, 1000, 2000]


def test_another_results_version_is_another_world() -> None:
    outcome = replay([track([NOON_MS]), track([NOON_MS], results=2)], Config())

    assert [plate.results for plate in outcome.plates] == [1, 2]
    assert [passage.continues for passage in outcome.passages] == [None, None]


def test_too_many_incomplete_tracks_give_way_and_are_named() -> None:
    state = CameraState()
    results = [apply(state, track([NOON_MS], number=i, of=2), Camera(), Config().options) for i in range(65)]

    given_up = [result.given_up.track for result in results if result.given_up]
    assert given_up == [0]
    assert len(state.waiting) == 64


plates = st.sampled_from(["A123BC77", "A12#BC77", "B456EK77", "########"])
cameras = st.sampled_from(["site/gate", "site/exit"])
starts = st.sampled_from([0, 100, 950, 20_000, 700_000, HOUR_MS - 500])


@st.composite
def logs(draw: st.DrawFn) -> list[Track]:
    """Recordings of two cameras in any order, some announced twice, some of whose tracks come in parts."""
    log: list[Track] = []
    for index in range(draw(st.integers(1, 10))):
        camera, start = draw(cameras), NOON_MS + draw(starts)
        for number in range(draw(st.integers(1, 2))):
            times = sorted(start + draw(st.integers(0, 1500)) for _ in range(draw(st.integers(1, 6))))
            x, y = draw(st.integers(-20, 1270)), draw(st.integers(-20, 710))
            of = draw(st.sampled_from([1, 1, 1, 2]))
            for part in range(of):
                log.append(
                    track(
                        times[part::of] or [start],
                        draw(plates) if of == 1 else "A123BC77",
                        recording=f"rec-{draw(st.integers(0, index))}-{camera}-{start}",
                        number=number,
                        camera=camera,
                        start_ms=start,
                        boxes=[(x + 9.0 * i, float(y), 90.0, 22.0) for i in range(len(times[part::of] or [start]))],
                        run=draw(st.sampled_from([1, 1, 1, 2])),
                        part=part,
                        of=of,
                    )
                )
    return log


@given(logs())
def test_image_counts_are_the_sightings_and_ground_counts_are_those_on_the_plan(log: list[Track]) -> None:
    outcome = replay(log, CONFIG)

    def total(plane: str) -> int:
        return sum(
            count
            for (_, _, layer, _), cells in outcome.cells.items()
            if layer.plane == plane
            for count, _, _ in cells.values()
        )

    assert total("image") == len(outcome.plates) == total("ground") + outcome.off_plan


@given(logs(), st.integers(0, 20))
def test_a_restored_state_goes_on_exactly(log: list[Track], cut: int) -> None:
    straight, restored = CameraState(), CameraState()
    for index, message in enumerate(m for m in log if m.camera == "site/gate"):
        if index == cut:
            data = msgspec.json.encode(restored.snapshot())
            restored = CameraState(msgspec.json.decode(data, type=Snapshot))
        camera, options = CONFIG.default, CONFIG.options

        assert apply(straight, message, camera, options) == apply(restored, message, camera, options)
    assert straight.snapshot() == restored.snapshot()
