"""The pipeline on rendered clips with stand-in networks, and on the real clip with the shipped ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest

from services.inference.build import inference
from services.inference.core.stitch import KeepOptions
from services.inference.decode import Decoder
from services.inference.pipeline import Pipeline, PipelineOptions, Progress
from services.inference.result import RecordingResult
from services.runtime.errors import Reject
from tests.support.plates import BLUE, GREEN, RED, ColourDetector, ColourReader, scene
from tests.support.video import Image, numbered, road, write_clip, write_sound

START = 1_700_000_000_000
Frames = list[tuple[int, Image]]


class Run(Protocol):
    def __call__(self, frames: Frames, options: PipelineOptions | None = None) -> RecordingResult: ...


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


@pytest.fixture
def run(decoder: Decoder, tmp_path: Path) -> Run:
    """Renders frames to a clip and processes it with the stand-ins."""

    def run(frames: Frames, options: PipelineOptions | None = None) -> RecordingResult:
        clip = write_clip(tmp_path / "clip.mp4", frames)
        return Pipeline(ColourDetector(), ColourReader(), decoder, options).process(clip, START)

    return run


def texts(result: RecordingResult) -> list[str]:
    return [track.reading.text for track in result.tracks]


def without_seconds(result: RecordingResult) -> RecordingResult:
    return dataclasses.replace(result, seconds={})


def test_one_plate_at_4_fps_is_one_track_with_an_observation_for_each_frame(run: Run) -> None:
    result = run([(k * 250, scene((BLUE, 40 + 30 * k, 100))) for k in range(8)])

    (track,) = result.tracks
    assert track.reading.text == track.reading.raw == "A123BC77"
    assert [one.time_ms for one in track.observations] == [START + k * 250 for k in range(8)]
    assert [one.frame for one in track.observations] == list(range(8))
    x, y, w, h = track.observations[2].box
    assert (x + w / 2, y + h / 2) == pytest.approx((100, 100), abs=3)
    assert (result.frames, result.decoded, result.width, result.height) == (8, 8, 320, 240)
    assert (result.observations, result.detections, result.dropped) == (8, 8, 0)


def test_two_plates_side_by_side_keep_their_texts(run: Run) -> None:
    result = run([(k * 250, scene((BLUE, 50 + 15 * k, 100), (RED, 170 + 15 * k, 100))) for k in range(8)])

    assert texts(result) == ["A123BC77", "K777KK77"]
    assert [len(track.observations) for track in result.tracks] == [8, 8]


def test_a_clip_without_plates_is_a_result_without_tracks(run: Run) -> None:
    result = run([(k * 250, road()) for k in range(4)])

    assert result.tracks == ()
    assert (result.frames, result.duration_ms) == (4, 1000)


def test_a_vehicle_hidden_for_some_seconds_is_still_one_track(run: Run) -> None:
    seen = [(k * 250, scene((BLUE, 100, 100))) for k in range(4)]
    hidden = [(1000 + k * 250, road()) for k in range(16)]
    again = [(5000 + k * 250, scene((BLUE, 200, 150))) for k in range(4)]

    result = run([*seen, *hidden, *again])

    assert texts(result) == ["A123BC77"]
    assert len(result.tracks[0].observations) == 8


def test_a_plate_found_twice_in_the_same_frames_is_one_track_with_one_box_a_frame(run: Run) -> None:
    result = run([(k * 250, scene((BLUE, 80 + 10 * k, 60), (BLUE, 80 + 10 * k, 180))) for k in range(6)])

    assert texts(result) == ["A123BC77"]
    assert [one.frame for one in result.tracks[0].observations] == list(range(6))


def test_two_vehicles_one_after_the_other_are_two_tracks_in_order_of_time(run: Run) -> None:
    first = [(k * 250, scene((RED, 60 + 30 * k, 60))) for k in range(5)]
    second = [(4000 + k * 250, scene((GREEN, 260 - 30 * k, 180))) for k in range(5)]

    result = run([*first, (2000, road()), (3000, road()), *second])

    assert texts(result) == ["K777KK77", "M555MM99"]
    assert [track.number for track in result.tracks] == [0, 1]


def test_two_vehicles_that_stop_at_the_same_place_one_after_the_other_are_two(run: Run) -> None:
    colours = [RED] * 6 + [BLUE] * 6

    result = run([(k * 250, scene((colour, 100, 100))) for k, colour in enumerate(colours)])

    assert texts(result) == ["K777KK77", "A123BC77"]
    assert [len(track.observations) for track in result.tracks] == [6, 6]
    for track in result.tracks:
        assert {one.text for one in track.observations} == {track.reading.text}
        assert track.best.time_ms in [one.time_ms for one in track.observations]


def test_a_wrong_first_reading_is_out_voted(run: Run) -> None:
    colours = [RED, BLUE, BLUE, BLUE, BLUE]

    result = run([(k * 250, scene((colour, 60 + 20 * k, 100))) for k, colour in enumerate(colours)])

    (track,) = result.tracks
    assert track.reading.text == "A123BC77"
    assert track.observations[0].text == "K777KK77"


def test_the_best_shot_is_cut_from_the_frame_whose_reading_it_shows(run: Run) -> None:
    colours = [RED, BLUE, BLUE, BLUE]
    (track,) = run([(k * 250, scene((c, 60 + 20 * k, 100))) for k, c in enumerate(colours)]).tracks

    picture = cv2.imdecode(np.frombuffer(track.best.jpeg, np.uint8), cv2.IMREAD_COLOR)
    (seen,) = [one for one in track.observations if one.time_ms == track.best.time_ms]
    assert picture is not None
    assert picture.shape[1] == pytest.approx(2 * track.best.box[2], abs=3)
    assert picture[picture.shape[0] // 2, picture.shape[1] // 2].argmax() == 0  # blue
    assert seen.box == track.best.box
    assert seen.text == track.reading.text


def test_at_most_the_chosen_number_of_pictures_is_read_spread_over_the_track(run: Run) -> None:
    frames = [(k * 100, scene((BLUE, 40 + 4 * k, 100))) for k in range(50)]

    (track,) = run(frames, PipelineOptions(reads_per_track=8)).tracks

    read = [one.frame for one in track.observations if one.text]
    assert 4 <= len(read) <= 8
    assert min(read) < 15
    assert max(read) > 35
    assert all(len(one.text) == len(one.confidences) for one in track.observations)


def test_the_result_is_the_same_again_and_whatever_the_batches(run: Run) -> None:
    frames = [(k * 100, scene((BLUE, 40 + 8 * k, 80), (RED, 270 - 8 * k, 160))) for k in range(20)]
    small, large = PipelineOptions(detect_batch=1, read_batch=1), PipelineOptions(detect_batch=16)

    assert without_seconds(run(frames, large)) == without_seconds(run(frames, large))
    assert without_seconds(run(frames, small)) == without_seconds(run(frames, large))


def test_frames_are_detected_and_plates_read_in_batches(decoder: Decoder, tmp_path: Path) -> None:
    frames = [(k * 100, scene((BLUE, 40 + 8 * k, 80), (RED, 270 - 8 * k, 160))) for k in range(10)]
    detector, reader = ColourDetector(), ColourReader()
    pipeline = Pipeline(detector, reader, decoder, PipelineOptions(detect_batch=4, reads_per_track=0))

    pipeline.process(write_clip(tmp_path / "c.mp4", frames), START)

    assert detector.batches == [4, 4, 2]
    assert reader.batches == [20]


def test_nothing_is_kept_from_one_clip_to_the_next(decoder: Decoder, tmp_path: Path) -> None:
    pipeline = Pipeline(ColourDetector(), ColourReader(), decoder)
    blue = write_clip(tmp_path / "blue.mp4", [(k * 250, scene((BLUE, 100, 100))) for k in range(4)])
    red = write_clip(tmp_path / "red.mp4", [(k * 250, scene((RED, 100, 100))) for k in range(4)])
    alone = without_seconds(pipeline.process(red, START))

    pipeline.process(blue, START)

    assert without_seconds(pipeline.process(red, START)) == alone


def test_plates_too_small_to_read_are_ignored(run: Run) -> None:
    frames = [(k * 250, scene((BLUE, 100, 100))) for k in range(4)]

    assert run(frames, PipelineOptions(min_width=80)).tracks == ()
    assert run(frames, PipelineOptions(min_height=30)).tracks == ()


def test_tracks_that_are_not_worth_publishing_are_counted(run: Run) -> None:
    frames = [(k * 250, scene((BLUE, 100, 100))) for k in range(4)]

    result = run(frames, PipelineOptions(keep=KeepOptions(min_decided=9)))

    assert (result.tracks, result.dropped) == ((), 1)


def test_progress_is_told_in_time_of_the_clip(decoder: Decoder, tmp_path: Path) -> None:
    told: list[Progress] = []
    clip = write_clip(tmp_path / "c.mkv", numbered(10, 100))

    Pipeline(ColourDetector(), ColourReader(), decoder).look(decoder.open(clip, 15), START, told.append)

    assert [one.frames for one in told] == [4, 8, 10]
    assert [one.done_ms for one in told] == [300, 700, 900]


def test_the_stages_add_up_to_no_more_than_the_whole(run: Run) -> None:
    seconds = run([(k * 250, scene((BLUE, 100, 100))) for k in range(4)]).seconds

    assert set(seconds) == {"decode", "detect", "track", "read", "total"}
    assert sum(seconds.values()) - seconds["total"] <= seconds["total"] + 0.001


def test_a_clip_that_cannot_be_decoded_is_rejected_and_the_next_one_works(decoder: Decoder, tmp_path: Path) -> None:
    pipeline = Pipeline(ColourDetector(), ColourReader(), decoder)
    good = write_clip(tmp_path / "good.mp4", [(k * 250, scene((BLUE, 100, 100))) for k in range(4)])

    with pytest.raises(Reject, match="no-video"):
        pipeline.process(write_sound(tmp_path / "sound.mp4"), START)
    assert texts(pipeline.process(good, START)) == ["A123BC77"]


@pytest.mark.slow
def test_the_real_clip_shows_one_vehicle_with_its_plate(shared_data: Path) -> None:
    clip = shared_data / "clips" / "checkpoint_b678xy178.mp4"
    if not clip.is_file():
        pytest.skip("the shared data holds no real clip")
    with inference() as ready:
        result = ready.pipeline.process(clip, START)

    assert texts(result) == ["B678XY178"]
    assert len(result.tracks[0].observations) == result.frames == 14
    assert result.duration_ms == 3500
