"""Plates as quads on a grid: exactly by area, and as heatmap-location-car-plates counts them.

In: quads (n, 4, 2) in pixels, y downwards, corners in any order. Out: counts per cell.

Rules of `by_area`
- Cells are true k by k squares from the top left; those at the right and lower edge end with the frame.
- Every plate counts 1, shared among cells by the area of it that they hold, whatever the order of its corners.
- A quad thinner than `THIN` pixels, or wholly outside the frame, is no plate; it is left out and counted.
`points` and `by_points` do what that program does, defects included: 15 points a plate, whose places depend on the
order of the corners, in int(W / k) by int(H / k) bins, rows counted from the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

THIN = 3.0
"""Pixels; a plate whose area over its long side is less is no plate that anybody could have seen."""
POINTS = 15


class BadCell(ValueError):
    """No grid can be made with this k. Says which can."""


@dataclass(frozen=True, slots=True)
class AreaCounts:
    """What `by_area` found."""

    counts: Floats
    """Plates per cell, (rows, columns), first row at the top; adds up to ``plates``."""
    x: Floats
    """Edges of the columns, pixels, (columns + 1,)."""
    y: Floats
    """Edges of the rows, downwards."""
    plates: int
    thin: int
    outside: int


def canonical(quads: Floats) -> Floats:
    """The same quads, their corners clockwise from the left end of the upper long side.

    So no quad is crossed, and plates of any corner order look alike. Shape (n, 4, 2) in and out.
    """
    around = quads - quads.mean(axis=1, keepdims=True)
    clockwise = np.argsort(np.arctan2(around[..., 1], around[..., 0]), axis=1, kind="stable")  # y is downwards
    ring = np.take_along_axis(quads, clockwise[..., None], axis=1)
    sides = np.roll(ring, -1, axis=1) - ring  # (n, 4, 2)
    lengths = np.hypot(sides[..., 0], sides[..., 1])
    long = lengths + np.roll(lengths, -2, axis=1) >= lengths.sum(axis=1, keepdims=True) / 2
    first = np.argmax(np.where(long, sides[..., 0], -np.inf), axis=1)  # the long side that leads right
    order = (first[:, None] + np.arange(4)) % 4
    return np.take_along_axis(ring, order[..., None], axis=1)


def thickness(quads: Floats) -> Floats:
    """Area over the longest side, pixels, of canonical quads; (n,)."""
    x, y = quads[..., 0], quads[..., 1]
    nx, ny = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    area = np.abs((x * ny - nx * y).sum(axis=1)) / 2
    longest = np.hypot(nx - x, ny - y).max(axis=1, initial=0.0)
    thick: Floats = np.divide(area, longest, out=np.zeros_like(area), where=longest > 0)
    return thick


def by_area(quads: Floats, width: int, height: int, k: int) -> AreaCounts:
    """Plates per k by k cell, exactly. Raises BadCell."""
    check_cell(width, height, k)
    x, y = _edges(width, k), _edges(height, k)
    ordered = canonical(quads)
    whole = ordered[thickness(ordered) >= THIN]
    total = np.zeros((len(y) - 1, len(x) - 1))
    plates = 0
    for quad in whole:
        held = coverage(quad, x, y)
        area = held.sum()
        if area > 0:
            total += held / area
            plates += 1
    return AreaCounts(total, x, y, plates, len(quads) - len(whole), len(whole) - plates)


def coverage(polygon: Floats, x: Floats, y: Floats) -> Floats:
    """The area of a clockwise polygon (m, 2) in each cell between edges x and y: (rows, columns), exactly.

    Each edge, cut at the lines of the grid, adds the area between it and the right side of its cell, and its whole
    height to the cells further right: Green's theorem, as scan-line rasterisers use it. What lies outside the grid
    is moved to its border, where it encloses nothing.
    """
    columns, rows = len(x) - 1, len(y) - 1
    area, full = np.zeros((rows, columns)), np.zeros((rows, columns + 1))
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        path = _cut(start, end, x, y)
        middle, dy = (path[1:, 0] + path[:-1, 0]) / 2, np.diff(path[:, 1])
        row = _index((path[1:, 1] + path[:-1, 1]) / 2, y)
        column = _index(middle, x)
        np.add.at(area, (row, column), dy * (x[column + 1] - middle))
        np.add.at(full, (row, column + 1), dy)
    inside = area + np.cumsum(full, axis=1)[:, :-1] * np.diff(x)
    # With y downwards, a clockwise polygon's left side goes up: what lies right of it has been taken away, not added.
    clipped: Floats = np.clip(-inside, 0.0, None)
    clipped[clipped < 1e-9] = 0.0  # what rounding leaves in cells that the polygon does not touch
    return clipped


def points(quads: Floats, height: int) -> Floats:
    """The older program's 15 points of each plate, (15 n, 2), y upwards; the corners in the order of the file."""
    flipped = np.stack([quads[..., 0], height - quads[..., 1]], axis=-1)
    p1, p2, p3, p4 = flipped.transpose(1, 0, 2)
    center = (p1 + p2 + p3 + p4) / 4
    p5, p6, p7, p8 = (p1 + p4) / 2, (p1 + p2) / 2, (p2 + p3) / 2, (p3 + p4) / 2
    between = [(p1 + p6) / 2, (p6 + p2) / 2, (center + p7) / 2, (p3 + p8) / 2, (p8 + p4) / 2, (center + p5) / 2]
    return np.concatenate([center, p1, p2, p3, p4, p5, p6, p7, p8, *between])


def by_points(quads: Floats, width: int, height: int, k: int) -> npt.NDArray[np.int64]:
    """The older program's histogram: points per bin, (rows, columns), first row at the bottom. Raises BadCell."""
    check_cell(width, height, k)
    placed = points(quads, height)
    bins = (int(width / k), int(height / k))
    counts, _, _ = np.histogram2d(placed[:, 0], placed[:, 1], bins=bins, range=[[0, width], [0, height]])
    return counts.T.astype(np.int64)


def check_cell(width: int, height: int, k: int) -> None:
    """Raises BadCell where k is below 1 or larger than the frame."""
    if not 1 <= k <= min(width, height):
        raise BadCell(f"k must lie between 1 and {min(width, height)}, the shorter side of the {width}×{height} frame")


def _edges(length: int, k: int) -> Floats:
    return np.append(np.arange(0, length, k, dtype=np.float64), float(length))


def _cut(start: Floats, end: Floats, x: Floats, y: Floats) -> Floats:
    """The points of an edge where it crosses lines of the grid, with both ends; those outside moved to its border."""
    step = end - start
    cuts: list[Any] = [np.array([0.0, 1.0])]
    for axis, lines in enumerate((x, y)):
        low, high = sorted((start[axis], end[axis]))
        crossed = lines[(lines > low) & (lines < high)]
        cuts.append((crossed - start[axis]) / step[axis] if len(crossed) else crossed)
    t = np.unique(np.concatenate(cuts))
    path = start + t[:, None] * step
    path[-1] = end
    return np.clip(path, (x[0], y[0]), (x[-1], y[-1]))


def _index(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
