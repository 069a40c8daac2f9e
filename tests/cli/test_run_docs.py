"""Each command of docs/run.md, and those of README.md that read files, runs as written, with the shipped networks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import pytest

from tests.cli.command import Plateflow
from tests.cli.street import street
from tests.support.cache import REPOSITORY
from tests.support.video import write_clip
from tests.support.yolo import write_yolo


def commands(page: str) -> list[str]:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.removeprefix(".venv/bin/").startswith("plateflow run")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages take for granted: videos, photos, weights of somebody else's."""
    monkeypatch.chdir(tmp_path)
    for name in ("holiday.mp4", "street.mp4", "recordings/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_clip(tmp_path / name, [(k * 250, street(k * 3)) for k in range(6)])
    (tmp_path / "photos").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / "photos" / f"{k}.jpg"), street(k))
    write_yolo(tmp_path / "yolo.onnx")
    return tmp_path


def test_the_pages_have_commands() -> None:
    assert len(commands("docs/run.md")) >= 3 and commands("README.md")


@pytest.mark.parametrize("command", [*commands("docs/run.md"), *commands("README.md")])
def test_a_command_runs_as_written_and_leaves_what_it_names(
    command: str, workplace: Path, plateflow: Plateflow
) -> None:
    words = shlex.split(command)

    assert plateflow(*words[1:]) == 0, plateflow.err
    for option in ("--out", "--csv", "--annotate", "--positions"):
        if option in words:
            assert (workplace / words[words.index(option) + 1]).exists(), option
