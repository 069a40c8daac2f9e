"""The smallest shape that holds a share of what a grid counts: the densest cells, and their outline as polygons.

In: counts per cell. Out: a list of polygons without holes that do not overlap, such as zones of a camera are
configured. No set of equal cells with that share is smaller; cells that the frame cuts off count by what they hold per
area.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.aggregator.core.area import SHARE, SLACK

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Corner = tuple[float, float]
Polygon = tuple[Corner, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    polygons: tuple[Polygon, ...]
    """Corners x, y in pixels or plan units, clockwise as seen (y downwards), the uppermost polygon first."""
    held: float
    """Part of the total that it holds, at least the share asked for."""
    part: float
    """Part of the frame that it covers."""
    frame: tuple[float, float]

    @property
    def relative(self) -> tuple[Polygon, ...]:
        """Corners in parts of the frame's width and height."""
        width, height = self.frame
        return tuple(tuple((x / width, y / height) for x, y in polygon) for polygon in self.polygons)


def smallest_shape(counts: Floats, x: Floats, y: Floats, share: float = SHARE) -> Shape:
    """``counts`` (rows, columns), first row on top; ``x`` (columns + 1,), ``y`` (rows + 1,): edges of the cells.

    ValueError where nothing is counted, or ``share`` is not above 0 and at most 1.
    """
    total = float(counts.sum())
    if not 0 < share <= 1:
        raise ValueError("the share must be above 0 and at most 1")
    if total <= 0:
        raise ValueError("the grid counts nothing")
    sizes = np.diff(y)[:, None] * np.diff(x)[None, :]
    order = np.argsort(-(counts / sizes), axis=None, kind="stable")
    held = np.cumsum(counts.ravel()[order])
    needed = int(np.searchsorted(held, total * (share - SLACK))) + 1
    flat = np.zeros(counts.size, dtype=bool)
    flat[order[:needed]] = True
    chosen = flat.reshape(counts.shape)
    polygons = tuple(
        tuple((float(x[column]), float(y[row])) for column, row in outline) for outline in outlines(chosen)
    )
    frame = (float(x[-1]), float(y[-1]))
    part = float(sizes[chosen].sum()) / (frame[0] * frame[1])
    return Shape(polygons, float(counts[chosen].sum()) / total, part, frame)


def outlines(cells: Bools) -> list[list[tuple[int, int]]]:
    """Corners (column, row) around each group of cells that share edges; a group with a hole is cut through it."""
    return [_outline(group) for group in _groups(cells)]


def _groups(cells: Bools) -> Iterator[Bools]:
    """Groups without holes, the uppermost first."""
    left = cells.copy()
    while left.any():
        row, column = (int(index) for index in np.argwhere(left)[0])
        group = _reached(left, row, column)
        left &= ~group
        hole = _hole(group)
        if hole is None:
            yield group
        else:
            beside = np.zeros_like(group)
            beside[:, : hole + 1] = True
            yield from _groups(group & beside)
            yield from _groups(group & ~beside)


def _reached(cells: Bools, row: int, column: int) -> Bools:
    """The cells that can be come to from one over shared edges."""
    found = np.zeros_like(cells)
    found[row, column] = True
    while True:
        wider = found.copy()
        wider[1:] |= found[:-1]
        wider[:-1] |= found[1:]
        wider[:, 1:] |= found[:, :-1]
        wider[:, :-1] |= found[:, 1:]
        wider &= cells
        if np.array_equal(wider, found):
            return found
        found = wider


def _hole(group: Bools) -> int | None:
    """The column of a cell that the group encloses, if any. Cells that meet at a corner alone enclose as well."""
    empty = np.pad(~group, 1, constant_values=True)
    enclosed = (empty & ~_reached(empty, 0, 0))[1:-1, 1:-1]
    return int(np.argwhere(enclosed.any(axis=0))[0][0]) if enclosed.any() else None


def _outline(group: Bools) -> list[tuple[int, int]]:
    """Clockwise along the edges between inside and outside, corners alone."""
    there = np.pad(group, 1)
    after: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, column in np.argwhere(there).tolist():
        corners = [(column - 1, row - 1), (column, row - 1), (column, row), (column - 1, row)]
        sides = [(row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1)]
        for side, (r, c) in enumerate(sides):
            if not there[r, c]:
                after.setdefault(corners[side], []).append(corners[(side + 1) % 4])
    start = min(after, key=lambda corner: (corner[1], corner[0]))
    path, heading = [start], (1, 0)
    while True:
        here = path[-1]
        # Where two cells meet at a corner alone, turn right first: around the cell at hand.
        right, straight, left = (-heading[1], heading[0]), heading, (heading[1], -heading[0])
        ways = {(following[0] - here[0], following[1] - here[1]): following for following in after[here]}
        heading = next(way for way in (right, straight, left) if way in ways)
        after[here].remove(ways[heading])
        if ways[heading] == start and not after[start]:
            break
        path.append(ways[heading])
    return [
        corner
        for index, corner in enumerate(path)
        if not _straight(path[index - 1], corner, path[(index + 1) % len(path)])
    ]


def _straight(before: tuple[int, int], corner: tuple[int, int], after: tuple[int, int]) -> bool:
    return (before[0] == corner[0] == after[0]) or (before[1] == corner[1] == after[1])
