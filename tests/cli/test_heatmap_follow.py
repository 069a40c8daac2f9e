"""`plateflow heatmap --follow` beside a writer: the aggregator's own code adds vehicles while the command draws."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.aggregator.core.config import Camera, Config
from services.aggregator.local import LocalAggregator
from services.contracts.messages import Box
from tests.aggregator.build import NOON_MS, track
from tests.cli.command import Plateflow

BOXES: list[Box] = [(120.0 * i, 90.0, 60.0, 20.0) for i in range(10)]


class Following:
    """The command, in a process of its own."""

    def __init__(self, data: Path, out: Path) -> None:
        self.out = out
        command = [sys.executable, "-m", "services.cli", "heatmap", str(data), "--follow", "--out", str(out)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until_drawn(self, sightings: int) -> None:
        """Every picture seen meanwhile must be whole."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            image = cv2.imdecode(np.fromfile(self.out, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None and image.shape[1] == 1350
            found = re.match(r"(\d+) sighting", line)
            assert found is not None, line
            if int(found[1]) == sightings:
                return
        raise AssertionError(f"ended before {sightings} sightings were drawn: {self.stop()}")

    def stop(self) -> str:
        """What it said on stderr."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return said


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    (tmp_path / "data").mkdir()
    command = Following(tmp_path / "data", tmp_path / "pictures" / "heat.png")
    yield command
    if command.process.poll() is None:
        command.process.kill()
        command.process.communicate()


def test_the_picture_follows_a_writer_and_ctrl_c_leaves_the_last_one(following: Following, tmp_path: Path) -> None:
    assert following.process.stderr is not None
    assert following.process.stderr.readline().startswith("waiting: "), "nothing is there yet"
    aggregator = LocalAggregator(tmp_path / "data", Config(default=Camera()))
    pictures = []
    for number in range(3):
        times = [NOON_MS + 60_000 * number + 250 * i for i in range(10)]
        aggregator.add(track(times, f"A{number:03}BC77", recording=f"r{number}", run=number, boxes=BOXES))
        aggregator.flush()
        following.until_drawn(10 * (number + 1))
        pictures.append(following.out.read_bytes())
    aggregator.close()
    said = following.stop()

    assert following.process.returncode == 130
    assert said.endswith("stopped: the last picture stays\n") and "Traceback" not in said
    assert len(set(pictures)) == 3
    assert [path.name for path in following.out.parent.iterdir()] == ["heat.png"]


def test_what_does_not_grow_cannot_be_followed(tmp_path: Path, plateflow: Plateflow) -> None:
    for name in ("plates.txt", "street.mp4"):
        (tmp_path / name).write_text("640 480 gate 25\n")
        assert plateflow("heatmap", tmp_path / name, "--follow", "--out", tmp_path / "a.png") == 2
        assert "which grow" in plateflow.complaint
