"""The most significant area: the smallest rectangle of cells that holds a share of what a grid counts.

In: counts per cell. Out: the rectangle, in cells, pixels and relative to the frame. Exact: every pair of rows is tried,
and for it the narrowest stretch of columns from each left end, so no smaller rectangle exists. Of several smallest
ones, the one that holds most; of those, the uppermost, then the leftmost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SHARE = 0.8
SLACK = 1e-9
"""Part of the total that adding up in another order may cost."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of whole cells, y downwards."""

    left: float
    """Pixels, or plan units."""
    top: float
    right: float
    bottom: float
    held: float
    """Part of the total that it holds, at least the share asked for."""
    frame: tuple[float, float]
    """Width and height of all."""

    @property
    def relative(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom in parts of the frame's width and height."""
        width, height = self.frame
        return (self.left / width, self.top / height, self.right / width, self.bottom / height)

    @property
    def part(self) -> float:
        """The part of the frame that it covers."""
        return (self.right - self.left) * (self.bottom - self.top) / (self.frame[0] * self.frame[1])


def most_significant(counts: Floats, x: Floats, y: Floats, share: float = SHARE) -> Area:
    """The smallest rectangle that holds ``share`` (above 0, at most 1) of ``counts`` (rows, columns), first row on top.

    ``x`` (columns + 1,) and ``y`` (rows + 1,) are the edges of the cells. ValueError where nothing is counted.
    """
    total = float(counts.sum())
    if not 0 < share <= 1:
        raise ValueError("the share must be above 0 and at most 1")
    if total <= 0:
        raise ValueError("the grid counts nothing")
    target = total * (share - SLACK)
    sums = np.zeros((counts.shape[0] + 1, counts.shape[1]))
    np.cumsum(counts, axis=0, out=sums[1:])
    best = (np.inf, 0.0, 0, 0, 0, 0)
    for top in range(len(y) - 1):
        for bottom in range(top + 1, len(y)):
            high = float(y[bottom] - y[top])
            found = _narrowest(sums[bottom] - sums[top], x, target, best[0] / high)
            if found is not None:
                width, held, left, right = found
                best = min(best, (width * high, -held, top, left, bottom, right))
    _, held, top, left, bottom, right = best
    return Area(
        float(x[left]), float(y[top]), float(x[right]), float(y[bottom]), -held / total, (float(x[-1]), float(y[-1]))
    )


def _narrowest(columns: Floats, x: Floats, target: float, limit: float) -> tuple[float, float, int, int] | None:
    """Width, sum, first and end of the narrowest stretch of columns with ``target``, if not wider than ``limit``."""
    before = np.concatenate(([0.0], np.cumsum(columns)))
    if before[-1] < target:
        return None
    end = np.searchsorted(before, before + target, side="left")
    start = np.flatnonzero(end < len(before))
    if not len(start):
        # Adding up in another order may miss the target by a hair where all columns together hold just it.
        start, end = np.array([0]), np.array([len(columns)])
    else:
        end = end[start]
    width, held = x[end] - x[start], before[end] - before[start]
    chosen = int(np.lexsort((start, -held, width))[0])
    if width[chosen] > limit:
        return None
    return float(width[chosen]), float(held[chosen]), int(start[chosen]), int(end[chosen])
