"""`plateflow run` on streams on loopback: RTSP and HTTP, served by ourselves and by ffmpeg, cut and restored."""

from __future__ import annotations

import json
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli.street import ended, lines, started, street, wait
from tests.support.ffmpeg import FfmpegCamera
from tests.support.rtsp import RtspCamera
from tests.support.stream import StreamingCamera
from tests.support.video import write_clip
from tests.support.yolo import write_yolo

Camera = StreamingCamera | RtspCamera | FfmpegCamera
FPS = 5


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yolo(tmp_path_factory.mktemp("yolo") / "yolo.onnx")


@pytest.fixture(params=["http", "rtsp", "ffmpeg"])
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Camera:
    if request.param == "ffmpeg":
        clip = [(k * 40, street(k)) for k in range(240)]
        return FfmpegCamera(write_clip(tmp_path / "clip.mp4", clip, encoder={"g": "5", "bf": "0"}))
    return RtspCamera(street) if request.param == "rtsp" else StreamingCamera(street)


def test_a_stream_is_read_until_it_is_told_to_end_through_a_cut(camera: Camera, yolo: Path, tmp_path: Path) -> None:
    """Cut off while it is read and restored once two tries have failed."""
    files = {name: tmp_path / name for name in ("cords.csv", "plates.txt", "drawn")}
    options: list[str | Path] = [
        "--detector",
        yolo,
        "--fps",
        str(FPS),
        "--out",
        tmp_path / "out",
        "--positions",
        files["cords.csv"],
    ]
    options += ["--quads", files["plates.txt"], "--annotate", files["drawn"]]
    with camera:
        process = started(camera.address, *options)
        assert process.stderr is not None
        wait(lambda: lines(files["cords.csv"]) > 10, process)
        camera.cut()
        told: list[str] = []
        while len(told) < 2:
            line = process.stderr.readline()
            assert line, told
            told += [line] if "trying again" in line else []
        before = lines(files["cords.csv"])
        camera.restore()
        wait(lambda: lines(files["cords.csv"]) > before + 10, process)
        process.send_signal(signal.SIGINT)
        out, err = ended(process, 130)

    assert [line.split("trying again in ")[1].strip() for line in told] == ["1 s", "2 s"], told
    assert "secret" not in out + err + "".join(told)
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    (done,) = [json.loads(line) for line in (tmp_path / "out" / "recordings.jsonl").read_text().splitlines()]
    assert done["camera"] == "127.0.0.1/live-gate"
    assert abs(done["start_ms"] / 1000 - time.time()) < 600, "the clock says when it was"
    assert [path.name for path in files["drawn"].iterdir()] == ["127.0.0.1_live-gate.mp4"]
    assert files["plates.txt"].read_text().startswith("320 240 127.0.0.1_live-gate ")
    times = times_of(tmp_path / "out")
    assert all(a < b for of_track in times for a, b in pairwise(of_track)), "nothing is double"
    assert done["frames"] <= FPS * done["duration_ms"] / 1000 + 1, "frames are taken by the clock"
    seen = sorted({time_ms for of_track in times for time_ms in of_track})
    assert max(b - a for a, b in pairwise(seen)) >= 1000, "the cut is a gap in time, not closed up"


def times_of(out: Path) -> list[list[int]]:
    """Of each track, when it was seen."""
    tracks = [json.loads(line) for line in (out / "tracks.jsonl").read_text().splitlines()]
    return [[one["time_ms"] for one in track["observations"]] for track in tracks]
