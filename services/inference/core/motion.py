"""The motion gate: which frames need the detector, and which part of them. Pure.

In: frames in order of time. Out: for each, where it has to be looked at, if at all. A frame that has not to be takes
the boxes of the frame before; of one that is looked at in part, the boxes elsewhere stay.

Rules
- A frame is compared with what was last looked at, cell by cell, never with what was not: slow changes add up until
  they are seen.
- Compared are means over cells of `CELL` pixels, so that a sensor's noise averages out while a vehicle, far larger than
  a cell, does not. One cell that differs by the threshold is enough.
- After `most_ms` the whole frame is looked at again, whatever it shows. So what the gate hides, it hides for no longer.
- A part is the smallest of those on offer that holds all that changed and some of what surrounds it. What it cuts is
  not believed: then the whole frame is looked at.
- The answers depend on the frames, and on the boxes found in them, alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.core.boxes import FILLS, insides, overlaps

CELL = 16
"""Pixels of a frame."""
Place = tuple[int, int, int, int]
"""Left, top, width and height of a part of a frame, in its pixels."""
_AROUND = 1 / 32  # of the frame's width, what surrounds a change and is looked at, too: 60 pixels of 1920
_EDGE = 2.0  # pixels; a box so close to the edge of a part may go on beyond it
_SAME = 0.5  # so much in common with another box of its label, and a box is the same


class Boxed(Protocol):
    """What a detector found: top left corner and size in pixels of the frame, and what it is called."""

    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...
    @property
    def w(self) -> float: ...
    @property
    def h(self) -> float: ...
    @property
    def label(self) -> str: ...


B = TypeVar("B", bound=Boxed)


@dataclass(frozen=True, slots=True)
class MotionOptions:
    threshold: float = 2.0
    """Levels of brightness (0..255) by which the mean of a cell must differ; 0: every frame is looked at."""
    most_ms: int = 1_000
    """So long after the last look at a whole frame the next one is taken, though nothing moved."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where to look at a frame: at ``place``, since something changed within ``changed``, which lies in it."""

    place: Place
    changed: Place


class MotionGate:
    """Of one clip."""

    def __init__(self, options: MotionOptions) -> None:
        self._options = options
        self._whole_ms = 0
        self._looked: NDArray[np.int16] | None = None

    def look(self, time_ms: int, image: NDArray[np.uint8], parts: Sequence[tuple[int, int]] = ()) -> Look | None:
        """Where the frame (h, w, 3) has to be looked at; None: nowhere. ``parts``: widths and heights of what may be
        looked at instead of the whole, the preferred ones first."""
        whole = 0, 0, image.shape[1], image.shape[0]
        if self._options.threshold <= 0:
            return Look(whole, whole)
        cells, known = _means(image), self._looked
        if known is not None and known.shape == cells.shape and time_ms - self._whole_ms < self._options.most_ms:
            differ: NDArray[np.bool_] = np.abs(cells - known) >= 4 * self._options.threshold
            if not differ.any():
                return None
            down, across = np.nonzero(differ)
            rows, columns = _span(down), _span(across)
            changed = _in_pixels(rows, columns, cells.shape, whole)
            place = _place(changed, parts, whole)
            if place is not None:
                known[rows, columns] = cells[rows, columns]
                return Look(place, changed)
        self._whole_ms, self._looked = time_ms, cells
        return Look(whole, whole)


def renewed(old: Sequence[B], new: Sequence[B], look: Look, size: tuple[int, int]) -> list[B] | None:
    """The boxes of a frame of ``size`` (width, height) of which part was looked at: the ``old`` ones in which nothing
    changed, and those of the ``new`` ones that are not among them. None: part of something lies beyond the place's
    edge, and the whole frame has to be looked at."""
    hold = [one for one in old if not _meet(one, look.changed)]
    gone = [one for one in old if _meet(one, look.changed)]
    join = [one for one in new if not _known(one, hold, _cut(one, look.place, size))]
    return None if any(_cut(one, look.place, size) for one in [*gone, *join]) else [*hold, *join]


def _known(box: Boxed, hold: Sequence[Boxed], cut: bool) -> bool:
    """Whether it is one of those that still hold, or what a part has cut off one of them."""
    same = [one for one in hold if one.label == box.label]
    if not same:
        return False
    seen, kept = np.array([_corners(box)]), np.array([_corners(one) for one in same])
    return bool(overlaps(seen, kept).max() > _SAME or (cut and insides(seen, kept).max() > _SAME))


def _span(numbers: NDArray[np.intp]) -> slice:
    """From the least to the greatest."""
    return slice(int(numbers.min()), int(numbers.max()) + 1)


def _in_pixels(rows: slice, columns: slice, cells: tuple[int, ...], whole: Place) -> Place:
    """The last cells reach to the frame's edges: what is less than a cell has none of its own."""
    _, _, width, height = whole
    right = width if columns.stop == cells[1] else columns.stop * CELL
    bottom = height if rows.stop == cells[0] else rows.stop * CELL
    left, top = columns.start * CELL, rows.start * CELL
    return left, top, right - left, bottom - top


def _place(changed: Place, parts: Sequence[tuple[int, int]], whole: Place) -> Place | None:
    """The first of the parts that holds the change and its surroundings, laid around its middle."""
    _, _, width, height = whole
    margin = int(width * _AROUND)
    x, y, w, h = changed
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(width, x + w + margin), min(height, y + h + margin)
    for wide, high in parts:
        if right - left <= wide and bottom - top <= high:
            at_x = min(max((left + right - wide) // 2, 0), width - wide)
            at_y = min(max((top + bottom - high) // 2, 0), height - high)
            return at_x, at_y, wide, high
    return None


def _corners(box: Boxed) -> tuple[float, float, float, float]:
    return box.x, box.y, box.x + box.w, box.y + box.h


def _edges(place: Place) -> tuple[int, int, int, int]:
    x, y, w, h = place
    return x, y, x + w, y + h


def _meet(box: Boxed, place: Place) -> bool:
    x1, y1, x2, y2 = _corners(box)
    left, top, right, bottom = _edges(place)
    return x1 < right and x2 > left and y1 < bottom and y2 > top


def _cut(box: Boxed, place: Place, size: tuple[int, int]) -> bool:
    """Whether the place shows too little of it: it reaches an edge that is not the frame's, or fills the place."""
    x1, y1, x2, y2 = _corners(box)
    left, top, right, bottom = _edges(place)
    sides = (
        left > 0 and x1 < left + _EDGE,
        top > 0 and y1 < top + _EDGE,
        right < size[0] and x2 > right - _EDGE,
        bottom < size[1] and y2 > bottom - _EDGE,
    )
    return any(sides) or (place[2] < size[0] and x2 - x1 > FILLS * place[2])


def _means(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Four times the mean of the green of each cell, which is most of its brightness; what is less than a cell at the
    right and at the bottom is left out."""
    rows, columns = max(1, image.shape[0] // CELL), max(1, image.shape[1] // CELL)
    green = cv2.extractChannel(image[: rows * CELL, : columns * CELL], 1)
    quarters = cv2.resize(green, (2 * columns, 2 * rows), interpolation=cv2.INTER_AREA)  # each in whole levels
    means: NDArray[np.int16] = quarters.reshape(rows, 2, columns, 2).sum(axis=(1, 3), dtype=np.int16)
    return means
