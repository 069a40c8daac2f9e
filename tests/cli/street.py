"""Tests of `plateflow run` in processes of its own share this: a street of a person and a car, and the process.

The detector is a tiny YOLO (`tests.support.yolo`) that finds just these.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import duckdb

from tests.support.video import Image, road


def street(k: int) -> Image:
    """A person walks to the right, a car drives to the left."""
    image = road()
    x = 20 + 4 * k % 240
    cv2.rectangle(image, (x, 60), (x + 23, 119), (0, 0, 255), -1)
    cv2.rectangle(image, (220 - x * 3 // 4, 150), (299 - x * 3 // 4, 189), (255, 0, 0), -1)
    return image


def started(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "services.cli", "run", *map(str, arguments), "--device", "cpu"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ) | (environment or {})
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=100)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out, err


def wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def sightings(out: Path) -> list[tuple[str, int]]:
    question = f"SELECT label, time_ms FROM '{out}/sightings/**/*.parquet' ORDER BY ALL"
    return duckdb.connect().execute(question).fetchall()
