"""The motion gate: what moved is looked at, what stands still is not, and nothing hides for longer than promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference.core.motion import MotionGate, MotionOptions
from services.inference.decode import Decoder
from services.inference.pipeline import Pipeline, PipelineOptions
from services.inference.result import RecordingResult
from tests.support.plates import BLUE, ColourDetector, ColourReader, scene
from tests.support.video import Image, road, write_clip

START = 1_700_000_000_000
GATE = MotionOptions(threshold=2.0, most_ms=1000)


def street(seed: int = 0, noise: float = 3.0) -> NDArray[np.uint8]:
    """A textured street, with a sensor's noise of its own for each seed."""
    ground = np.random.default_rng(99).integers(60, 180, (45, 80, 3)).repeat(16, 0).repeat(16, 1)
    grain = np.random.default_rng(seed).normal(0, noise, ground.shape)
    return np.asarray(np.clip(ground + grain, 0, 255), np.uint8)


def with_car(frame: NDArray[np.uint8], x: int, width: int = 60) -> NDArray[np.uint8]:
    frame = frame.copy()
    frame[300:340, x : x + width] = (200, 40, 40)
    return frame


def asked(frames: list[NDArray[np.uint8]], options: MotionOptions = GATE, step_ms: int = 66) -> list[bool]:
    gate = MotionGate(options)
    return [gate.needs(k * step_ms, frame) for k, frame in enumerate(frames)]


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


def test_batches_do_not_change_what_is_looked_at(decoder: Decoder, tmp_path: Path) -> None:
    frames = [scene((BLUE, 60 + (k // 4) * 20, 100)) for k in range(16)]
    clip = write_clip(tmp_path / "clip.mp4", [(k * 100, frame) for k, frame in enumerate(frames)])
    results = [
        Pipeline(ColourDetector(), ColourReader(), decoder, PipelineOptions(fps=0, detect_batch=size)).process(
            clip, START
        )
        for size in (1, 5, 16)
    ]

    assert len({(one.looked, one.tracks) for one in results}) == 1
