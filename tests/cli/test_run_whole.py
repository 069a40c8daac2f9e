"""`plateflow run` in processes of its own: other objects, Ctrl+C, a kill in the middle, going on, a window.

The detector is a tiny YOLO that the test builds (`tests.support.yolo`): a red person, a blue car.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.cli.street import ended, lines, sightings, started, street, wait
from tests.support.video import write_clip
from tests.support.yolo import write_yolo


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yolo(tmp_path_factory.mktemp("yolo") / "yolo.onnx")


def test_persons_and_cars_get_tracks_positions_and_a_heatmap_each(yolo: Path, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "street.mp4", [(k * 250, street(k * 3)) for k in range(12)])
    options = ("--detector", yolo, "--classes", "person,car", "--positions", tmp_path / "cords.csv")

    out, _ = ended(started(video, *options, "--annotate", tmp_path / "drawn", "--out", tmp_path / "out"))
    assert "person" in out and "car" in out
    pictures = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert pictures == {"heatmap-street-car.png", "heatmap-street-person.png"}
    assert {label for label, _ in sightings(tmp_path / "out")} == {"person", "car"}
    assert {line.split(",")[0] for line in (tmp_path / "cords.csv").read_text().splitlines()} == {"0", "1"}
    assert (tmp_path / "drawn" / "street.mp4").stat().st_size > 1000

    _, err = ended(started(video, "--detector", yolo, "--classes", "bicycle", "--out", tmp_path / "out"), 2)
    assert "no class bicycle; it has: car, person" in err


def frames_of(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ctrl_c_in_mid_video_keeps_all_and_append_goes_on_there(yolo: Path, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "street.mp4", [(k * 40, street(k)) for k in range(900)])
    options: tuple[str | Path, ...] = (video, "--detector", yolo, "--fps", "0", "--positions", tmp_path / "cords.csv")
    process = started(*options, "--out", tmp_path / "out", "--annotate", tmp_path / "drawn")
    wait(lambda: lines(tmp_path / "cords.csv") > 60, process)
    process.send_signal(signal.SIGINT)
    _, err = ended(process, 130)

    assert "stopped: what was read before is kept" in err
    first = [json.loads(line) for line in (tmp_path / "out" / "recordings.jsonl").read_text().splitlines()]
    assert len(first) == 1 and 30 <= first[0]["frames"] < 900
    assert sightings(tmp_path / "out")
    assert frames_of(tmp_path / "drawn" / "street.mp4") == first[0]["frames"], "all that was seen is drawn"
    ended(started(*options, "--out", tmp_path / "out", "--append"))
    both = [json.loads(line) for line in (tmp_path / "out" / "recordings.jsonl").read_text().splitlines()]
    assert sum(one["frames"] for one in both) == 900, "none is looked at twice, none left out"
    _, err = ended(started(*options, "--out", tmp_path / "out", "--append"))
    assert "read by an earlier run" in err


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_kill_loses_the_recording_at_hand_at_most_and_append_makes_it_whole(yolo: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_clip(tmp_path / "in" / f"{name}.mp4", [(k * 40, street(k)) for k in range(200)])
    options: tuple[str | Path, ...] = (tmp_path / "in", "--detector", yolo, "--fps", "0")
    ended(started(*options, "--out", tmp_path / "whole"))
    process = started(*options, "--out", tmp_path / "out", "--quads", tmp_path / "quads")
    wait(lambda: lines(tmp_path / "quads" / "b.txt") > 50, process)
    process.kill()
    process.communicate()

    assert lines(tmp_path / "out" / "recordings.jsonl") >= 1
    assert all(len(line.split()) == 8 for line in (tmp_path / "quads" / "b.txt").read_text().splitlines()[1:])
    _, err = ended(started(*options, "--out", tmp_path / "out", "--append"))
    assert "a.mp4: read by an earlier run" in err
    assert sightings(tmp_path / "out") == sightings(tmp_path / "whole")
    for name in ("passages.jsonl", "plates.jsonl", "passages.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_without_a_display_the_window_is_off_with_a_sentence(yolo: Path, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "street.mp4", [(k * 250, street(k)) for k in range(4)])

    _, err = ended(started(video, "--detector", yolo, "--show", environment={"DISPLAY": ""}))
    assert err.count("--show is off:") == 1, "it is said once, not by a log as well"


@pytest.fixture
def display() -> Iterator[str]:
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("needs Xvfb: apt-get install xvfb")
    pytest.importorskip("tkinter", reason="this Python has no Tk")
    reading, writing = os.pipe()
    command = [xvfb, "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as told:
        number = told.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


def test_a_window_shows_the_frames_on_a_display_until_ctrl_c(yolo: Path, display: str, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "street.mp4", [(k * 250, street(k)) for k in range(8)])
    process = started(video, "--detector", yolo, "--show", environment={"DISPLAY": display})
    told = ""
    assert process.stderr is not None
    while "press q" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    process.send_signal(signal.SIGINT)
    ended(process)
    assert "--show is off" not in told
