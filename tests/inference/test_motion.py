"""The motion gate: what moved is looked at, where it moved, what stands still is not, and nothing hides for longer than
promised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference.core.motion import Look, MotionGate, MotionOptions, renewed
from services.inference.core.tracker import TrackBox
from services.inference.decode import Decoder
from services.inference.pipeline import Pipeline, PipelineOptions
from services.inference.result import RecordingResult
from tests.support.plates import BLUE, RED, ColourDetector, ColourReader, scene
from tests.support.video import Image, road, write_clip

START = 1_700_000_000_000
GATE = MotionOptions(threshold=2.0, most_ms=1000)
WHOLE = (0, 0, 1280, 720)
HALF, WIDE = (640, 360), (1280, 360)
Sizes = Sequence[tuple[int, int]]


def street(seed: int = 0, noise: float = 3.0) -> NDArray[np.uint8]:
    """A textured street, with a sensor's noise of its own for each seed."""
    ground = np.random.default_rng(99).integers(60, 180, (45, 80, 3)).repeat(16, 0).repeat(16, 1)
    grain = np.random.default_rng(seed).normal(0, noise, ground.shape)
    return np.asarray(np.clip(ground + grain, 0, 255), np.uint8)


def with_car(frame: NDArray[np.uint8], x: int, width: int = 60) -> NDArray[np.uint8]:
    frame = frame.copy()
    frame[300:340, x : x + width] = (200, 40, 40)
    return frame


def looks(
    frames: list[NDArray[np.uint8]], options: MotionOptions = GATE, step_ms: int = 66, parts: Sizes = ()
) -> list[Look | None]:
    gate = MotionGate(options)
    return [gate.look(k * step_ms, frame, parts) for k, frame in enumerate(frames)]


def asked(frames: list[NDArray[np.uint8]], options: MotionOptions = GATE, step_ms: int = 66) -> list[bool]:
    return [look is not None for look in looks(frames, options, step_ms)]


def test_a_still_scene_is_looked_at_once_and_then_once_a_second_whatever_the_sensors_noise() -> None:
    answers = asked([street(seed) for seed in range(31)], step_ms=100)

    assert [k for k, needed in enumerate(answers) if needed] == [0, 10, 20, 30]


def test_a_small_car_that_moves_by_a_few_pixels_is_looked_at_in_every_frame() -> None:
    assert asked([with_car(street(k), 200 + 5 * k) for k in range(10)]) == [True] * 10


def test_what_moves_too_slowly_for_one_frame_adds_up() -> None:
    """A tenth of a pixel a frame, painted as a camera would blur it."""

    def at(k: int) -> NDArray[np.uint8]:
        whole, part = divmod(k, 10)
        near, far = (with_car(street(0, noise=0), 200 + whole + one).astype(float) for one in (0, 1))
        return np.asarray(near + (far - near) * part / 10, np.uint8)

    answers = asked([at(k) for k in range(14)], MotionOptions(threshold=2.0, most_ms=60_000))

    assert answers[0] and not answers[1]
    assert any(answers[2:14])


def test_another_size_of_frame_is_looked_at_and_zero_switches_the_gate_off() -> None:
    assert asked([street(), street()[:320], street()[:320]]) == [True, True, False]
    assert asked([street()] * 3, MotionOptions(threshold=0)) == [True] * 3


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(10, 400))
def test_no_frame_is_further_from_one_that_was_looked_at_than_promised(changes: list[bool], step_ms: int) -> None:
    pictures = [np.full((32, 48, 3), 60 * (sum(changes[:k]) % 3), np.uint8) for k in range(1, len(changes) + 1)]
    answers = asked(pictures, step_ms=step_ms)

    looked = 0
    assert answers[0]
    for k, needed in enumerate(answers):
        if needed:
            looked = k
        assert (k - looked) * step_ms < GATE.most_ms
        assert np.array_equal(pictures[k], pictures[looked]), "what is not looked at shows what was"


# ---- parts of a frame ------------------------------------------------------------


def test_of_a_street_in_which_one_car_moves_a_small_part_around_it_is_looked_at() -> None:
    frames = [with_car(street(k), 200 + 5 * k) for k in range(4)]

    first, *later = looks(frames, parts=[HALF, WIDE])

    assert first == Look(WHOLE, WHOLE)
    for k, look in enumerate(later, start=1):
        assert look is not None and look.place[2:] == HALF
        x, y, w, h = look.changed
        assert x <= 200 + 5 * (k - 1) + 16 and x + w >= 260 + 5 * k - 16
        assert y >= 288 and y + h <= 352


def test_the_part_is_as_wide_as_what_moved_and_the_whole_where_no_part_holds_it() -> None:
    def after(*cars: int) -> Look | None:
        frame = street()
        for x in cars:
            frame = with_car(frame, x)
        return looks([street(), frame], parts=[HALF, WIDE])[1]

    near, far = after(100, 300), after(100, 1100)
    assert near is not None and near.place[2:] == HALF
    assert far is not None and far.place == (0, 140, 1280, 360)
    everything = looks([street(), 255 - street()], parts=[HALF, WIDE])[1]
    assert everything == Look(WHOLE, WHOLE)


def test_the_whole_frame_is_looked_at_once_a_second_though_a_part_was_in_between() -> None:
    frames = [with_car(street(k), 200 + 5 * k) for k in range(25)]

    whole = [k for k, look in enumerate(looks(frames, step_ms=100, parts=[HALF])) if look and look.place == WHOLE]

    assert whole == [0, 10, 20]


@given(
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(0, 2)), max_size=12),
    st.lists(st.tuples(st.integers(60, 640), st.integers(60, 480)), max_size=3),
)
def test_what_lies_outside_the_part_is_as_it_was_last_seen(
    changes: list[tuple[int, int, int]], parts: list[tuple[int, int]]
) -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    gate = MotionGate(GATE)
    gate.look(0, frame, parts)
    seen = frame.copy()
    for k, (column, row, level) in enumerate(changes, start=1):
        frame = frame.copy()
        frame[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 60 * level
        look = gate.look(k, frame, parts)
        assert (look is None) == np.array_equal(frame, seen)
        if look is not None:
            x, y, w, h = look.place
            assert x >= 0 and y >= 0 and x + w <= 640 and y + h <= 480
            assert (w, h) in [*parts, (640, 480)]
            seen[y : y + h, x : x + w] = frame[y : y + h, x : x + w]
        assert np.array_equal(frame, seen)


LOOK = Look(place=(100, 100, 400, 300), changed=(200, 200, 100, 100))
SIZE = (1280, 720)


def at(x: float, y: float, w: float = 60, h: float = 20, label: str = "plate") -> TrackBox:
    return TrackBox(x, y, w, h, 0.9, label)


def test_boxes_in_which_nothing_changed_stay_and_those_in_which_it_did_are_seen_anew() -> None:
    parked, within, moving, gone = at(800, 300), at(400, 300), at(210, 210), at(240, 260)
    again, moved = at(401, 300), at(215, 210)

    assert renewed([parked, within, moving, gone], [again, moved], LOOK, SIZE) == [parked, within, moved]
    assert renewed([], [moved], LOOK, SIZE) == [moved]
    assert renewed([parked], [], LOOK, SIZE) == [parked]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([], [at(101, 200)]),
        ([], [at(300, 385, h=15)]),
        ([], [at(200, 200, 260, 80)]),
        ([at(80, 210, 180, 40)], []),
    ],
    ids=["at the left edge", "at the lower edge", "fills the part", "was larger before"],
)
def test_what_a_part_cuts_or_hardly_holds_is_not_believed(old: list[TrackBox], new: list[TrackBox]) -> None:
    assert renewed(old, new, LOOK, SIZE) is None


def test_a_box_that_stands_still_across_the_parts_edge_stays_and_what_is_seen_of_it_does_not_count() -> None:
    across, seen_of_it = at(60, 110, 80, 24), at(100, 110, 40, 24)

    assert renewed([across], [seen_of_it], LOOK, SIZE) == [across]


def test_a_car_that_something_passes_by_is_seen_anew_around_its_plate_that_stands_still() -> None:
    plate, car, again = at(320, 310), at(180, 150, 220, 200, "car"), at(182, 150, 220, 200, "car")

    assert renewed([plate, car], [again, at(321, 310)], LOOK, SIZE) == [plate, again]


def test_at_the_edge_of_the_frame_a_part_cuts_nothing() -> None:
    look = Look(place=(0, 360, 640, 360), changed=(0, 600, 100, 100))

    assert renewed([], [at(0, 650)], look, SIZE) == [at(0, 650)]


# ---- in the pipeline -------------------------------------------------------------


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


def look(decoder: Decoder, folder: Path, frames: list[Image], threshold: float) -> RecordingResult:
    clip = write_clip(folder / "clip.mp4", [(k * 100, frame) for k, frame in enumerate(frames)])
    options = PipelineOptions(fps=0, motion=MotionOptions(threshold))
    return Pipeline(ColourDetector(), ColourReader(), decoder, options).process(clip, START)


def test_a_vehicle_that_stops_is_seen_in_every_frame_though_few_are_looked_at(decoder: Decoder, tmp_path: Path) -> None:
    comes = [scene((BLUE, 60 + 8 * k, 100)) for k in range(10)]
    stands = [scene((BLUE, 140, 100))] * 15
    frames = [road()] * 5 + comes + stands + [road()] * 5

    every, gated = (look(decoder, tmp_path, frames, threshold) for threshold in (0, 2))

    assert every.looked == 35 and gated.looked < 20
    assert [track.reading for track in gated.tracks] == [track.reading for track in every.tracks]
    (one,), (other,) = gated.tracks, every.tracks
    assert [seen.time_ms for seen in one.observations] == [seen.time_ms for seen in other.observations]
    for seen, true in zip(one.observations, other.observations, strict=True):
        assert seen.box == pytest.approx(true.box, abs=2)


def test_beside_a_parked_car_another_one_passes_and_both_are_as_if_all_was_looked_at(
    decoder: Decoder, tmp_path: Path
) -> None:
    frames = [scene((RED, 250, 200), (BLUE, 40 + 4 * k, 60)) for k in range(20)]
    clip = write_clip(tmp_path / "clip.mp4", [(k * 100, frame) for k, frame in enumerate(frames)])

    def result(threshold: float) -> tuple[RecordingResult, int]:
        detector = ColourDetector()
        options = PipelineOptions(fps=0, motion=MotionOptions(threshold))
        return Pipeline(detector, ColourReader(), decoder, options).process(clip, START), detector.pixels

    (every, all_pixels), (gated, pixels) = result(0), result(2)

    assert gated.looked == every.looked == 20
    assert pixels < 0.7 * all_pixels
    assert [track.reading for track in gated.tracks] == [track.reading for track in every.tracks]
    for one, other in zip(gated.tracks, every.tracks, strict=True):
        assert [seen.time_ms for seen in one.observations] == [seen.time_ms for seen in other.observations]
        for seen, true in zip(one.observations, other.observations, strict=True):
            assert seen.box == pytest.approx(true.box, abs=2)


def test_batches_do_not_change_what_is_looked_at(decoder: Decoder, tmp_path: Path) -> None:
    frames = [scene((BLUE, 60 + (k // 4) * 20, 100), (RED, 260, 60 + 6 * k)) for k in range(16)]
    clip = write_clip(tmp_path / "clip.mp4", [(k * 100, frame) for k, frame in enumerate(frames)])
    results = [
        Pipeline(ColourDetector(), ColourReader(), decoder, PipelineOptions(fps=0, detect_batch=size)).process(
            clip, START
        )
        for size in (1, 5, 16)
    ]

    assert len({(one.looked, one.tracks) for one in results}) == 1
