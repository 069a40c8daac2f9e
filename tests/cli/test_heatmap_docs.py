"""Every command of docs/heatmaps.md runs as written."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from services.aggregator.core.config import Camera, Config
from services.aggregator.local import LocalAggregator
from services.cli import heatmap_follow
from services.contracts.messages import Box
from tests.aggregator.build import track
from tests.aggregator.test_aggregate import GROUND
from tests.cli.command import Plateflow
from tests.cli.test_heatmap_sources import clip
from tests.support.cache import REPOSITORY
from tests.support.plates import ColourDetector

TEXT = (REPOSITORY / "docs" / "heatmaps.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if "--page" not in line  # waits for a person: tests/cli/test_calibrate_page.py
]
START_MS = 1_781_593_200_000
"""2026-06-16T07:00:00Z."""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page takes for granted: data of a camera, a text file of quads, point pairs, a frame and a plan."""
    monkeypatch.chdir(tmp_path)
    aggregator = LocalAggregator(tmp_path / "plateflow-data", Config(default=Camera(ground=GROUND)))
    boxes: list[Box] = [(20.0 * i, 100.0, 60.0, 20.0) for i in range(9)]
    aggregator.add(track([START_MS + 250 * i for i in range(9)], boxes=boxes))
    aggregator.add(track([START_MS + 250 * i for i in range(9)], boxes=boxes, recording="yard", camera="site/yard"))
    aggregator.close()
    file = next(path for path in (tmp_path / "plateflow-data" / "sightings").rglob("*.parquet") if "gate" in str(path))
    shutil.copy(file, tmp_path / "sightings.parquet")
    clip(tmp_path / "street.mp4")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "cameras.yaml").write_text(block)
    (tmp_path / "plates.txt").write_text("640 480 gate 25\n100 200 200 100 50 50 80 80\n")
    (tmp_path / "pairs.csv").write_text("0,0,0,0\n640,0,320,0\n640,480,320,240\n0,480,0,240\n320,240,160,120\n")
    cv2.imwrite(str(tmp_path / "frame.png"), np.full((480, 640, 3), 120, np.uint8))
    cv2.imwrite(str(tmp_path / "plan.png"), np.full((240, 320, 3), 250, np.uint8))
    return tmp_path


def test_the_page_has_commands_of_both_kinds() -> None:
    assert {command.split()[1] for command in COMMANDS} == {"heatmap", "run", "calibrate", "tracks"}


def stop_once(drawn: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl+C, instead of looking again, once there is a picture."""

    def sleep(_: float) -> None:
        if drawn():
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(heatmap_follow, "time", SimpleNamespace(sleep=sleep))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_as_written_and_leaves_what_it_names(
    command: str, workplace: Path, plateflow: Plateflow, colours: ColourDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command)
    if words[1] == "run":
        (workplace / "gate.zones.json").write_text("[[[0, 0], [1, 0], [1, 1], [0, 1]]]")

    if "--follow" in words:
        stop_once((workplace / "gate.png").exists, monkeypatch)

    assert plateflow(*words[1:]) == (130 if "--follow" in words else 0), plateflow.err
    for option, name in pairwise(words):
        if option in ("--out", "--csv", "--export"):
            assert (workplace / name).exists()
    written = {path.name for path in workplace.glob("*.json") if words[1] == "heatmap"}
    assert ("--area" in words) == any(name.endswith(".area.json") for name in written)
    assert ("--area" in words) == any(name.endswith(".zones.json") for name in written)
