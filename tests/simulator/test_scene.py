"""Made-up scenes: what they show is what their truth says, and a seed always gives the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.cameras import parse
from services.aggregator.core.config import Options
from services.contracts.kerberos import Generation, parse_key
from services.simulator import clips
from services.simulator.backdrop import DAY, Place
from services.simulator.frames import backdrop, frames
from services.simulator.geometry import Pinhole, apply
from services.simulator.scene import PLAN_SIZE_M, Camera, Recording, Vehicle, passages, see
from services.simulator.traffic import CAMERAS, timetable

SMALL = Camera("small_gate", Pinhole(320, 180, 480, 3.2, 9.6, 1.5), Place(), DAY, 10.0, Generation.AGENT_MS)
CAR = Vehicle("A123BC77", "sedan", (40, 60, 120), -1.8, 14.0, 6.0, approaching=True, at_ms=50_000, seed=3)


def recording(
    camera: Camera = SMALL, cars: tuple[Vehicle, ...] = (CAR,), count: int = 6, start_ms: int = 50_000
) -> Recording:
    times = tuple(round(i * 1000 / camera.fps) for i in range(count))
    return Recording(camera, start_ms, times, round(count * 1000 / camera.fps), cars, seed=5)


@given(st.floats(-3, 3), st.floats(6, 40), st.floats(2, 8), st.floats(4, 20), st.floats(-10, 10), st.floats(0, 1.5))
def test_a_point_seen_by_the_camera_leads_back_to_where_it_is(
    x: float, y: float, height: float, tilt: float, pan: float, z: float
) -> None:
    camera = Pinhole(1280, 720, 1900, height, tilt, pan)

    pixels, depths = camera.project(np.array([[x, y, z]]))

    assert depths[0] > 0
    np.testing.assert_allclose(apply(camera.homography(z), pixels)[0], (x, y), atol=1e-6)


@pytest.mark.parametrize("one", timetable(1), ids=clips.file_name)
def test_the_centre_of_every_true_box_projects_to_the_true_ground_position(one: Recording) -> None:
    seen = [seen for passage in passages(one) for seen in passage.seen]

    for plate in seen:
        x, y, width, height = plate.box
        found = one.camera.ground(np.array([[x + width / 2, y + height / 2]]))[0]
        assert np.hypot(*(found - plate.ground)) < 0.12


def test_the_camera_file_gives_the_aggregator_the_very_same_plan() -> None:
    config = parse(yaml.safe_load(clips.camera_file(CAMERAS)), Options())

    assert set(config.cameras) == {clips.camera_id(camera) for camera in CAMERAS if camera.calibrated}
    for camera in CAMERAS:
        if camera.calibrated:
            ground = config.cameras[clips.camera_id(camera)].ground
            assert ground is not None and ground.inliers == 8
            pixel = np.array([[700.0, 420.0]])
            matrix = np.array(ground.matrix).reshape(3, 3)
            np.testing.assert_allclose(apply(matrix, pixel), camera.ground(pixel), atol=0.02)
            assert (ground.width, ground.height) == PLAN_SIZE_M


def test_the_same_seed_gives_the_same_recordings_and_another_seed_other_plates() -> None:
    first, again, other = timetable(7), timetable(7), timetable(8)

    assert first == again
    assert {v.plate for r in first for v in r.vehicles}.isdisjoint(v.plate for r in other for v in r.vehicles)


def test_the_same_recording_gives_the_same_pixels() -> None:
    first, again = (list(frames(recording())) for _ in range(2))

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_plate_is_painted_where_the_truth_says() -> None:
    one = recording(count=1)
    with_car, without = next(frames(one)), next(frames(replace(one, vehicles=())))

    x, y, width, height = (round(value) for value in see(one, CAR)[0].box)
    plate = with_car[y : y + height, x : x + width]

    assert plate.mean() > 120  # a white plate on a dark blue car
    assert not np.array_equal(plate, without[y : y + height, x : x + width])


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3), st.floats(3, 60), st.booleans(), st.sampled_from(["sedan", "hatchback", "suv", "van"]))
def test_a_vehicle_anywhere_on_the_road_can_be_painted(x: float, y: float, approaching: bool, body: str) -> None:
    car = replace(CAR, x_m=x, y_m=y, approaching=approaching, body=body)

    picture = next(frames(recording(cars=(car,), count=1)))

    assert picture.shape == (180, 320, 3)


def test_a_vehicle_that_crosses_a_boundary_continues_in_the_next_recording() -> None:
    recordings = timetable(1)
    found = [
        (before, after, passage)
        for before, after in pairwise(recordings)
        for passage in passages(after, before)
        if passage.continues
    ]

    assert len(found) == 1
    before, after, passage = found[0]
    assert before.start_ms + before.duration_ms == after.start_ms
    assert passage.plate in {one.plate for one in passages(before)}


def test_the_demo_shows_what_installations_show() -> None:
    recordings = timetable(1)

    assert any(not one.vehicles for one in recordings)
    assert any(not camera.calibrated for camera in CAMERAS)
    assert {camera.naming for camera in CAMERAS} == {Generation.AGENT_MS, Generation.AGENT, Generation.MACHINERY}
    assert {camera.codec for camera in CAMERAS} == {"h264", "hevc"}
    assert any(camera.light.lamps for camera in CAMERAS) and any(camera.fps == 4 for camera in CAMERAS)
    widest = [max(seen.box[2] for seen in passage.seen) for one in recordings for passage in passages(one)]
    assert min(widest) > 65 and max(widest) < 220


@pytest.mark.parametrize("one", timetable(1), ids=clips.file_name)
def test_a_file_name_says_camera_and_start_as_its_generation_does(one: Recording) -> None:
    key = parse_key(clips.key_of(one))

    assert key.generation is one.camera.naming
    assert (key.directory, key.camera_part, key.start_ms) == ("demo", one.camera.name, one.start_ms)
    assert key.duration_ms == (one.duration_ms if one.camera.naming is Generation.AGENT_MS else None)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("fragmented", [False, True])
def test_an_encoded_clip_has_the_frames_times_and_boxes_it_was_given(
    tmp_path: Path, codec: str, fragmented: bool
) -> None:
    one = recording(replace(SMALL, codec=codec, fragmented=fragmented))
    one = replace(one, frame_ms=(0, 107, 201, 300, 411, 500))
    path = tmp_path / "clip.mp4"

    clips.encode(one, path, backdrop(one.camera))

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [round(1000 * (frame.time or 0)) for frame in container.decode(stream)]
        assert stream.codec_context.name == codec
    assert [time - times[0] for time in times] == list(one.frame_ms)
    assert (b"moof" in path.read_bytes()) is fragmented


def test_rendering_writes_clips_truth_and_cameras_and_tells_of_each(tmp_path: Path) -> None:
    cars = (replace(CAR, y_m=9.0),)
    recordings = [recording(cars=cars), recording(cars=(), start_ms=60_000)]
    told: list[str] = []

    truth = clips.render(recordings, tmp_path, seed=1, workers=1, done=told.append)

    assert clips.load_truth(tmp_path / "truth.json") == truth
    assert set(told) == {clips.key_of(one) for one in recordings}
    assert all((tmp_path / clip.key).stat().st_size > 1000 for clip in truth.recordings)
    assert "demo/small_gate" in (tmp_path / "cameras.yaml").read_text()
