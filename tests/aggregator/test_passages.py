"""Passages: chains over clip boundaries, direction, heading and speed."""

from __future__ import annotations

import pytest

from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Camera, Config, Ground, Options
from services.aggregator.core.passages import Open, OpenPassages, direction, heading_deg, speed_mps
from services.contracts.messages import Box, Passage, Track
from tests.aggregator.build import NOON_MS, track


def passages(*tracks: Track, config: Config | None = None) -> list[Passage]:
    return replay(tracks, config or Config()).passages


def link(open_passages: OpenPassages, name: str, first_ms: int, last_ms: int, plate: str = "A123BC77") -> str | None:
    return open_passages.link(plate, Open(name, first_ms, last_ms), 10_000)


def test_a_passage_continues_the_one_of_the_recording_before() -> None:
    first, second = passages(
        track([NOON_MS, NOON_MS + 500], recording="one"),
        track([NOON_MS + 3000, NOON_MS + 3500], recording="two", run=1),
    )

    assert first.continues is None
    assert second.continues == first.id


def test_recordings_that_come_in_the_wrong_order_make_the_same_chain() -> None:
    later, earlier = passages(
        track([NOON_MS + 3000, NOON_MS + 3500], recording="two", run=1),
        track([NOON_MS, NOON_MS + 500], recording="one"),
    )

    assert later.continues is None
    assert earlier.continues == later.id


def test_a_passage_in_the_same_recording_continues_the_earlier_track() -> None:
    first, second = passages(track([NOON_MS]), track([NOON_MS + 900], number=1, start_ms=NOON_MS))

    assert second.continues == first.id


def test_the_nearest_in_time_is_continued() -> None:
    open_passages = OpenPassages()
    link(open_passages, "far", 0, 1000)
    link(open_passages, "near", 30_000, 31_000)

    assert link(open_passages, "x", 40_000, 41_000) == "near"
    assert link(open_passages, "y", 10_000, 11_000) == "far"


def test_beyond_the_gap_it_is_a_new_vehicle() -> None:
    open_passages = OpenPassages()
    link(open_passages, "one", 0, 1000)

    assert link(open_passages, "two", 11_001, 12_000) is None
    assert link(open_passages, "three", 11_000, 11_500) is not None


def test_an_undecided_reading_continues_the_plate_it_may_be_but_nothing_continues_an_unread_one() -> None:
    open_passages = OpenPassages()
    link(open_passages, "one", 0, 1000)
    link(open_passages, "unread", 0, 1000, plate="########")

    assert link(open_passages, "two", 2000, 3000, plate="A12#BC77") == "one"
    assert link(open_passages, "three", 2000, 3000, plate="########") is None
    assert link(open_passages, "four", 2000, 3000, plate="") is None
    assert link(open_passages, "five", 3000, 3000, plate="") is None


def test_another_camera_continues_nothing() -> None:
    _, other = passages(track([NOON_MS]), track([NOON_MS + 900], recording="two", camera="site/exit"))

    assert other.continues is None


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ((100, 100, 120, 30), "approaching"),
        ((100, 100, 60, 15), "receding"),
        ((102, 101, 90, 22), "standing"),
        ((100, 300, 90, 22), "approaching"),
        ((100, -100, 90, 22), "receding"),
        ((400, 110, 90, 22), None),
    ],
)
def test_direction_is_told_by_size_and_else_by_motion(last: Box, expected: str | None) -> None:
    assert direction([(100, 100, 90, 22), last]) == expected


def test_one_observation_has_no_direction() -> None:
    assert direction([(100, 100, 90, 22)]) is None


def test_heading_is_clockwise_from_up() -> None:
    assert heading_deg((0, 0), (0, -5)) == 0
    assert heading_deg((0, 0), (5, 0)) == 90
    assert heading_deg((0, 0), (0, 5)) == 180
    assert heading_deg((0, 0), (-5, 0)) == 270
    assert heading_deg((3, 3), (3, 3)) is None


def test_speed_needs_metres_and_time() -> None:
    assert speed_mps((0, 0), (30, 40), 1000, 0.2) == 10
    assert speed_mps((0, 0), (30, 40), 1000, None) is None
    assert speed_mps((0, 0), (30, 40), 100, 0.2) is None


def test_a_vehicle_on_a_plan_has_heading_and_speed() -> None:
    ground = Ground(
        matrix=(1, 0, 0, 0, 1, 0, 0, 0, 1), version="v", width=1280, height=720, cell=20, metres_per_unit=0.01
    )
    times = [NOON_MS + 100 * i for i in range(20)]
    boxes: list[Box] = [(100.0 + 50 * i, 300.0, 90.0, 22.0) for i in range(20)]

    (passage,) = passages(track(times, boxes=boxes), config=Config(default=Camera(ground=ground)))

    assert passage.heading_deg == 90
    assert passage.speed_mps == pytest.approx(5.0)
    assert passage.observations == 20
    assert passage.sightings == 10


def test_a_recording_far_behind_knows_only_itself() -> None:
    now, then = NOON_MS + 3_600_000, NOON_MS
    _, late, again, own = passages(
        track([now]),
        track([then], recording="late", run=1),
        track([then + 100], recording="other late", run=2),
        track([then + 100], recording="late", number=1, run=1, start_ms=then),
    )

    assert late.continues is None
    assert late.sightings == again.sightings == 1
    assert again.continues is None
    assert own.sightings == 0
    assert own.continues == late.id


def test_the_horizon_is_a_setting() -> None:
    tracks = [track([NOON_MS + 5000]), track([NOON_MS + 1000, NOON_MS + 4900], recording="two", start_ms=NOON_MS)]

    assert replay(tracks, Config()).passages[1].sightings == 1
    assert replay(tracks, Config(options=Options(horizon_ms=4000))).passages[1].sightings == 2
