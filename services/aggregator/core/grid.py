"""Heatmap cells (rule 8): what one track adds to each cell of a plane, per hour of event time.

A cell (gx, gy) covers gx * k <= x < (gx + 1) * k, likewise y: true k by k squares, from the origin top left.
Per cell:

- ``count``: sightings, each in the hour and cell where it was
- ``passages``: vehicles with an observation in the cell, each once, in the hour in which it came into the
  cell first; a passage that continues another adds nothing. So hours add up.
- ``dwell_ms``: from each observation to the next of its track, at most a second, in the hour and cell of the
  former, before deduplication
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

import numpy as np
import numpy.typing as npt

from services.contracts.messages import Track

HOUR_MS = 3_600_000

Cell = tuple[int, int]
Tally = list[int]
"""count, passages, dwell_ms"""
Cells = dict[Cell, Tally]


class Layer(NamedTuple):
    """One grid of one results version and camera, to be read and drawn by itself."""

    plane: str
    """``image`` or ``ground``."""
    version: str
    """Names what is counted (``person@...``; plates without), the frame size or homography, and the cell size: cells of
    one version can be added."""
    cell: float


PLATE = "plate"
"""The label whose layers are named without it."""


def image_layer(track: Track, cell: int) -> Layer:
    return Layer("image", image_version(track.frame_width, track.frame_height, cell, track.label), cell)


def image_version(width: int, height: int, cell: int, label: str = PLATE) -> str:
    return f"{_of(label)}{width}x{height}-k{cell}"


def ground_layer(version: str, cell: float, label: str = PLATE) -> Layer:
    return Layer("ground", f"{_of(label)}{version}-k{cell:g}", cell)


def label_of(version: str) -> str:
    """What the cells of a version count."""
    label, at, _ = version.rpartition("@")
    return unquote(label) if at else PLATE


def _of(label: str) -> str:
    return "" if label == PLATE else f"{quote(label, safe='')}@"


def image_cells(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], width: int, height: int, k: int) -> list[Cell]:
    """Cells of points (n,); one beyond the edge of the frame belongs to the edge, so every sighting has a cell."""
    inside_x = np.clip(x, 0, max(width - 1, 0))
    inside_y = np.clip(y, 0, max(height - 1, 0))
    return list(zip(_index(inside_x, k), _index(inside_y, k), strict=True))


def ground_cells(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], on_plan: npt.NDArray[np.bool_], k: float
) -> list[Cell | None]:
    """Cells of plan points (n,), None off the plan."""
    gx, gy = _index(np.where(on_plan, x, 0.0), k), _index(np.where(on_plan, y, 0.0), k)
    return [(a, b) if on else None for a, b, on in zip(gx, gy, on_plan.tolist(), strict=True)]


def tally(
    times: Sequence[int], cells: Sequence[Cell | None], published: Iterable[int], vehicle: bool, cap_ms: int
) -> dict[int, Cells]:
    """What a track adds, per hour (its start, ms). ``times`` ascend; ``published``: indices; ``vehicle``: new."""
    hours: dict[int, Cells] = {}
    came: set[Cell] = set()
    for index, cell in enumerate(cells):
        if cell is None:
            continue
        time_ms = times[index]
        entry = hours.setdefault(time_ms - time_ms % HOUR_MS, {}).setdefault(cell, [0, 0, 0])
        if index + 1 < len(times):
            entry[2] += min(times[index + 1] - time_ms, cap_ms)
        if vehicle and cell not in came:
            came.add(cell)
            entry[1] += 1
    for index in published:
        cell, time_ms = cells[index], times[index]
        if cell is not None:
            hours[time_ms - time_ms % HOUR_MS][cell][0] += 1
    return hours


def add(into: Cells, more: Cells) -> None:
    for cell, (count, passages, dwell_ms) in more.items():
        entry = into.setdefault(cell, [0, 0, 0])
        entry[0] += count
        entry[1] += passages
        entry[2] += dwell_ms


def _index(values: npt.NDArray[np.float64], k: float) -> list[int]:
    indices: list[int] = np.floor(values / k).astype(np.int64).tolist()
    return indices
