"""`plateflow run` on everything that people have: each kind of video and photo, folders, patterns, odd names, rates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.cli.command import Plateflow
from tests.support.plates import BLUE, RED, scene
from tests.support.video import Image, write_clip

pytestmark = pytest.mark.usefixtures("colours")
CODECS = {"avi": "mpeg4", "ts": "libx264", "webm": "libvpx"}


def video(path: Path, colour: tuple[int, int, int] = BLUE, frames: int = 8, step_ms: int = 250) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [(k * step_ms, scene((colour, 40 + 30 * k % 240, 100))) for k in range(frames)]
    if path.suffix.lower() == ".avi":  # which has one rate and no other times
        return write_clip(path, pictures, "mjpeg", "yuvj420p")
    codec = CODECS.get(path.suffix.lower().lstrip("."), "libx264")
    if codec == "libvpx":
        return write_clip(path, pictures, codec, encoder={"deadline": "realtime", "b": "2M"})
    return write_clip(path, pictures, codec)


def photo(path: Path, picture: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(picture[:, :, ::-1]).save(path)
    return path


def photos(folder: Path, count: int = 6, suffix: str = "png") -> Path:
    for k in range(count):
        photo(folder / f"{k}.{suffix}", scene((BLUE, 40 + 30 * k, 100)))
    return folder


def seen(plateflow: Plateflow) -> list[tuple[str, str, int, int]]:
    return [(one["plate"], one["camera"], one["first_seen"], one["last_seen"]) for one in plateflow.answer["passages"]]


def test_each_of_seven_kinds_of_video_is_read(tmp_path: Path, plateflow: Plateflow) -> None:
    kinds = ["mp4", "MOV", "avi", "mkv", "m4v", "ts", "webm"]
    for kind in kinds:
        video(tmp_path / "in" / f"Въезд {kind}.{kind}")

    assert plateflow("run", tmp_path / "in", "--json") == 0, plateflow.err
    assert sorted(camera for _, camera, *_ in seen(plateflow)) == sorted(f"Въезд {kind}" for kind in kinds)
    assert {plate for plate, *_ in seen(plateflow)} == {"A123BC77"}
    assert {first for _, _, first, _ in seen(plateflow)} == {0}
    assert all(abs(last - 1750) <= 2 for *_, last in seen(plateflow))


def test_each_of_five_kinds_of_photo_is_read_alone_and_in_a_row(tmp_path: Path, plateflow: Plateflow) -> None:
    kinds = ["jpg", "JPEG", "png", "bmp", "webp"]
    for k, kind in enumerate(kinds):
        photo(tmp_path / "Мой гараж" / f"{k} {kind}.{kind}", scene((RED, 60 + 30 * k, 100)))

    assert plateflow("run", tmp_path / "Мой гараж", "--every", "0.5", "--json") == 0, plateflow.err
    assert seen(plateflow) == [("K777KK77", "Мой гараж", 0, 2000)]
    assert plateflow("run", tmp_path / "Мой гараж", "--separate", "--json") == 0
    assert [camera for _, camera, *_ in seen(plateflow)] == [f"{k} {kind}" for k, kind in enumerate(kinds)]


def test_a_folder_is_read_to_its_bottom_videos_and_photos_in_the_order_in_which_a_person_counts(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    video(tmp_path / "all" / "deep" / "b.mp4")
    for name, place in (("frame 2.png", 70), ("Frame 10.png", 130), ("frame 1.png", 40), ("frame 9.png", 100)):
        photo(tmp_path / "all" / "photos" / name, scene((RED, place, 100)))
    (tmp_path / "all" / "notes.txt").write_text("no picture")

    assert plateflow("run", tmp_path / "all", "--fps", "4", "--json", "--out", tmp_path / "out") == 0
    assert sorted(seen(plateflow)) == [("A123BC77", "b", 0, 1750), ("K777KK77", "photos", 0, 750)]
    tracks = [json.loads(line) for line in (tmp_path / "out" / "tracks.jsonl").read_text().splitlines()]
    (row,) = [track for track in tracks if track["camera"] == "photos"]
    places = [one["box"][0] for one in row["observations"]]
    assert places == sorted(places), "1, 2, 9, 10"


def test_a_pattern_of_photos_and_a_forced_kind(tmp_path: Path, plateflow: Plateflow) -> None:
    photos(tmp_path / "a")
    video(tmp_path / "a" / "clip.mp4")
    photo(tmp_path / "a" / "odd.png", scene((RED, 100, 100))).rename(tmp_path / "a" / "odd.data")

    assert plateflow("run", f"{tmp_path}/a/*.png", "--json") == 0
    assert [camera for _, camera, *_ in seen(plateflow)] == ["a"]
    assert plateflow("run", tmp_path / "a", "--type", "video", "--json") == 0
    assert [camera for _, camera, *_ in seen(plateflow)] == ["clip"]
    assert plateflow("run", tmp_path / "a" / "odd.data", "--type", "photos", "--json") == 0
    assert [plate for plate, *_ in seen(plateflow)] == ["K777KK77"]
    assert plateflow("run", tmp_path / "a", "--type", "stream") == 1
    assert "no address" in plateflow.err


def test_an_unreadable_photo_in_a_folder_is_named_and_the_others_keep_their_times(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    (photos(tmp_path / "row") / "2.png").write_bytes(b"no picture")

    assert plateflow("run", tmp_path / "row", "--fps", "2", "--json") == 0
    assert seen(plateflow) == [("A123BC77", "row", 0, 2500)]
    assert "left out: 2.png (no JPEG, PNG, BMP or WebP picture)" in plateflow.err


def test_photos_of_several_sizes_go_on_one_after_the_other(tmp_path: Path, plateflow: Plateflow) -> None:
    photos(tmp_path / "row", 3)
    for k in range(3, 6):
        photo(tmp_path / "row" / f"{k}.png", scene((RED, 40 + 30 * k, 100), width=400))

    assert plateflow("run", tmp_path / "row", "--fps", "2", "--json", "--out", tmp_path / "out") == 0
    assert seen(plateflow) == [("A123BC77", "row", 0, 1000), ("K777KK77", "row", 1500, 2500)]
    assert plateflow.answer["recordings"] == 2


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (["--every", "0"], 40),
        (["--every", "0.5"], 8),
        (["--fps", "5"], 20),
        (["--nth", "1"], 40),
        (["--nth", "3"], 14),
    ],
)
def test_frames_are_chosen_by_seconds_by_rate_or_by_number(
    options: list[str], frames: int, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("run", video(tmp_path / "a.mp4", frames=40, step_ms=100), *options, "--json") == 0
    assert plateflow.answer["frames"] == frames


@pytest.mark.parametrize(("options", "frames"), [([], 10), (["--nth", "8"], 5), (["--fps", "5"], 20)])
def test_a_choice_of_frames_on_the_command_line_goes_before_the_settings(
    options: list[str], frames: int, tmp_path: Path, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATEFLOW_SAMPLE_NTH", "4")
    monkeypatch.setenv("PLATEFLOW_SAMPLE_FPS", "1")

    assert plateflow("run", video(tmp_path / "a.mp4", frames=40, step_ms=100), *options, "--json") == 0
    assert plateflow.answer["frames"] == frames


def test_frames_are_made_narrower_on_request(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("run", video(tmp_path / "a.mp4"), "--max-width", "160", "--out", tmp_path / "out") == 0

    (done,) = (tmp_path / "out" / "recordings.jsonl").read_text().splitlines()
    assert json.loads(done)["frame_width"] == 160
    assert json.loads(done)["frame_height"] == 120


def test_a_variable_frame_rate_keeps_the_times_of_the_frames(tmp_path: Path, plateflow: Plateflow) -> None:
    times = [0, 40, 300, 310, 900, 2000, 2100]
    write_clip(tmp_path / "a.mp4", [(t, scene((BLUE, 40 + 20 * k, 100))) for k, t in enumerate(times)])

    assert plateflow("run", tmp_path / "a.mp4", "--fps", "0", "--out", tmp_path / "out") == 0
    (track,) = (tmp_path / "out" / "tracks.jsonl").read_text().splitlines()
    assert [one["time_ms"] for one in json.loads(track)["observations"]] == times


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["{tmp}/nothing.mp4"], 1, "no such file or folder"),
        (["{tmp}/text.mp4"], 1, "libav cannot open the clip"),
        (["{tmp}/text.jpg"], 1, "no JPEG, PNG, BMP or WebP picture"),
        (["{tmp}/text.mp4", "--every", "1", "--fps", "2"], 2, "either --every or --fps"),
        (["{tmp}/text.mp4", "--nth", "2", "--fps", "2"], 2, "either --every or --fps or --nth"),
        (["{tmp}/text.mp4", "--nth", "2", "--every", "0"], 2, "either --every or --fps or --nth"),
        (["{tmp}/text.mp4", "--nth", "0"], 2, "--nth"),
        (["{tmp}/text.mp4", "--every=-1"], 2, "--every"),
        (["{tmp}/text.mp4", "--max-width", "-5"], 2, "--max-width"),
        (["{tmp}/text.mp4", "--append"], 2, "name their folder with --out"),
        (["{tmp}/text.mp4", "--show=no"], 2, "does not take a value"),
        (["{tmp}/text.mp4", "--csv", "{tmp}/text.mp4"], 2, "is one of the inputs"),
        (["{tmp}/text.mp4", "--crops", "{tmp}/text.jpg"], 2, "is a file; name a folder"),
        (["{tmp}/text.mp4", "--csv", "{tmp}"], 2, "is a folder; name a file"),
        (["rtsp://a:b@x/1", "rtsp://a:b@x/2", "--give-up", "0"], 2, "--give-up"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    arguments: list[str], code: int, told: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    for name in ("text.mp4", "text.jpg"):
        (tmp_path / name).write_text("no picture at all")

    assert plateflow("run", *(one.format(tmp=tmp_path) for one in arguments)) == code
    assert told in plateflow.complaint.replace("  ", " ")
    assert "Traceback" not in plateflow.err


def test_every_output_of_nothing_is_nothing_and_no_crash(tmp_path: Path, plateflow: Plateflow) -> None:
    write_clip(tmp_path / "empty.mp4", [(k * 250, np.full((240, 320, 3), 96, np.uint8)) for k in range(4)])
    options: list[Any] = ["--csv", tmp_path / "e.csv", "--crops", tmp_path / "c", "--annotate", tmp_path / "a"]

    assert plateflow("run", tmp_path / "empty.mp4", *options, "--latency", "--events") == 0
    assert (tmp_path / "e.csv").read_text() == "time;plate_num\n"
    assert len(list((tmp_path / "a").iterdir())) == 1, "the video is there, without boxes"
    assert "(frames=4)" in plateflow.out
