"""The detection file of heatmap-location-car-plates, read.

First line `W H name fps`, the name with blanks or without; then a line per plate, `x1 x2 x3 x4 y1 y2 y3 y4` in pixels,
y downwards. Empty lines mean nothing. A line that is otherwise is named by its number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

NAMED = 5
"""As many faults are told of one file."""


class BadQuadFile(ValueError):
    """The file is not what it should be. Names the lines."""


@dataclass(frozen=True, slots=True)
class QuadFile:
    width: int
    height: int
    name: str
    """Of the video, or its address."""
    fps: float
    """0 where it was not known."""
    quads: npt.NDArray[np.float64]
    """(n, 4, 2): x, y of the corners in the order of the file."""


def read_quads(path: Path) -> QuadFile:
    """Raises BadQuadFile."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise BadQuadFile(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadQuadFile(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from error
    width, height, name, fps = _header(path, lines[0] if lines else "")
    quads: list[list[float]] = []
    faults: list[str] = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            try:
                quads.append(_numbers(line))
            except ValueError as error:
                faults.append(f"line {number}: {error}")
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise BadQuadFile(f"{path}: {'; '.join(faults[:NAMED])}{more}")
    return QuadFile(width, height, name, fps, np.array(quads).reshape(-1, 2, 4).transpose(0, 2, 1))


def _header(path: Path, line: str) -> tuple[int, int, str, float]:
    words = line.split()
    try:
        width, height, fps = int(words[0]), int(words[1]), float(words[-1])
        good = len(words) >= 4 and min(width, height) >= 1 and math.isfinite(fps)
    except (ValueError, IndexError):
        good = False
    if not good:
        raise BadQuadFile(f"{path}: line 1: {line[:60]!r} is not `W H name fps`, as in `1280 960 gate 30`")
    return width, height, line.split(maxsplit=2)[2].rsplit(maxsplit=1)[0], fps


def _numbers(line: str) -> list[float]:
    words = line.split()
    if len(words) != 8:
        raise ValueError(f"{len(words)} numbers where x1 x2 x3 x4 y1 y2 y3 y4 belong")
    return [_number(word) for word in words]


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{word[:20]!r} is no number")
    return number
