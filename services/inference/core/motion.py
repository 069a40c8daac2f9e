"""The motion gate: which frames need the detector, and which show what an earlier one showed. Pure.

In: frames in order of time. Out: for each, whether it has to be looked at. A frame that has not to be takes the boxes
of the last one that was.

Rules
- A frame is compared with the last one that was looked at, never with one that was not: slow changes add up until they
  are seen.
- Compared are means over cells of `CELL` pixels, so that a sensor's noise averages out while a vehicle, far larger than
  a cell, does not. One cell that differs by the threshold is enough.
- After `most_ms` every frame is looked at again, whatever it shows. So what the gate hides, it hides for no longer.
- The answer depends on the frames alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CELL = 16
"""Pixels of a frame."""


@dataclass(frozen=True, slots=True)
class MotionOptions:
    threshold: float = 2.0
    """Levels of brightness (0..255) by which the mean of a cell must differ; 0: every frame is looked at."""
    most_ms: int = 1_000
    """So long after the last frame looked at the next one is, though nothing moved."""


class MotionGate:
    """Of one clip."""

    def __init__(self, options: MotionOptions) -> None:
        self._options = options
        self._looked_ms = 0
        self._looked: NDArray[np.int16] | None = None

    def needs(self, time_ms: int, image: NDArray[np.uint8]) -> bool:
        """Whether the frame (h, w, 3) has to be looked at; if so, it is what later ones are compared with."""
        if self._options.threshold <= 0:
            return True
        cells = _means(image)
        known = self._looked
        recent = time_ms - self._looked_ms < self._options.most_ms
        if known is None or not recent or known.shape != cells.shape or self._differ(known, cells):
            self._looked_ms, self._looked = time_ms, cells
            return True
        return False

    def _differ(self, known: NDArray[np.int16], cells: NDArray[np.int16]) -> bool:
        return bool(np.abs(cells - known).max() >= 4 * self._options.threshold)


def _means(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Four times the mean of the green of each cell, which is most of its brightness; what is less than a cell at the
    right and at the bottom is left out."""
    rows, columns = max(1, image.shape[0] // CELL), max(1, image.shape[1] // CELL)
    green = cv2.extractChannel(image[: rows * CELL, : columns * CELL], 1)
    quarters = cv2.resize(green, (2 * columns, 2 * rows), interpolation=cv2.INTER_AREA)  # each in whole levels
    means: NDArray[np.int16] = quarters.reshape(rows, 2, columns, 2).sum(axis=(1, 3), dtype=np.int16)
    return means
