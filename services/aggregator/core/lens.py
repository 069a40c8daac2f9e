"""A lens that bends straight lines: from the pixel of a frame to where a straight lens would show it, and back.

The model is the radial part of Brown's and Conrady's (A. E. Conrady 1919, Decentred Lens-Systems; D. C. Brown 1966,
Decentering Distortion of Lenses), a polynomial without a division. What a straight lens would show r away from the
centre of the frame, the lens shows

    r (1 + k1 r² + k2 r⁴)

away from it, in the same direction. The centre is that of the frame; r counts half diagonals of the frame, so that 1 is
a corner and the numbers hold for every size of the frame. k1 < 0 is a barrel, k1 > 0 a pincushion. OpenCV counts r in
focal lengths f: with half a diagonal of R pixels, k1 = k1' (R / f)² and k2 = k2' (R / f)⁴ of its k1', k2'.

Rules
- Each point by itself: what it leads to has the same bits alone or in company (rule 3). So a point that has arrived
  stays where it is while others still come nearer.
- A lens may fold: beyond some radius it would show things nearer to the centre again. What lies beyond leads nowhere
  (nan), as a point beyond the horizon does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.aggregator.core.config import Lens

Floats = npt.NDArray[np.float64]

CORNER = 1.0
"""Radius of the frame's corners."""
FURTHEST = 9 / 4
"""No lens of this kind shows a point, before it folds, more than so many times nearer than it is."""
NEAR = 1e-14
"""Parts of the radius; a millionth of what is rounded away afterwards."""
MOST = 80
"""Steps; five are usual, and the few points where a lens is about to fold take more."""


class BadLens(ValueError):
    """No lens of a camera. Says why."""


def check(lens: Lens) -> None:
    """Raises BadLens where some pixel of the frame would come from nowhere."""
    if not (math.isfinite(lens.k1) and math.isfinite(lens.k2)):
        raise BadLens("lens: k1 and k2 must be finite")
    widest = reach(lens)
    if widest < CORNER:
        raise BadLens(
            f"lens: k1 {lens.k1:g}, k2 {lens.k2:g} fold the image within the frame, at {widest:.0%} of the way to its "
            "corners; r counts half diagonals of the frame here, those of OpenCV must be converted"
        )


def reach(lens: Lens) -> float:
    """Up to which radius of the frame its pixels come from somewhere; inf: all do."""
    q = _fold(lens)
    return math.sqrt(q) * (1 + q * (lens.k1 + q * lens.k2)) if math.isfinite(q) else math.inf


def _fold(lens: Lens) -> float:
    """The square of the radius at which r (1 + k1 r² + k2 r⁴) stops to grow: 1 + 3 k1 q + 5 k2 q² = 0; or inf."""
    a, b = 5 * lens.k2, 3 * lens.k1
    inside = b * b - 4 * a
    if inside < 0:
        return math.inf
    # the smaller positive root, written so that k2 near 0 loses no digits
    below = math.sqrt(inside) - b
    return 2 / below if below > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Optics:
    """A lens before a frame of so many pixels. Points are (n,) x and y, in pixels of that frame."""

    lens: Lens
    width: float
    height: float

    def undistort(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Where a straight lens would show what is seen there; nan beyond the lens's reach."""
        dx, dy, square = self._from_centre(x, y)
        times = _undone(self.lens, square)
        return self.width * 0.5 + dx * times, self.height * 0.5 + dy * times

    def distort(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Where the lens shows what a straight one would show there; nan beyond its fold."""
        dx, dy, square = self._from_centre(x, y)
        times = 1.0 + square * (self.lens.k1 + square * self.lens.k2)
        times = np.where(square <= _fold(self.lens), times, np.nan)
        return self.width * 0.5 + dx * times, self.height * 0.5 + dy * times

    def _from_centre(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Away from the centre, in pixels; the square of the radius, in half diagonals."""
        dx, dy = x - self.width * 0.5, y - self.height * 0.5
        return dx, dy, (dx * dx + dy * dy) / ((self.width * self.width + self.height * self.height) * 0.25)


def _undone(lens: Lens, square: Floats) -> Floats:
    """How many times as far away as it is seen a point is: the t <= fold with t + k1 r² t³ + k2 r⁴ t⁵ = 1.

    Newton's method between bounds, halving them where it would leave them. ``square``: r² as seen, (n,).
    """
    a, b = lens.k1 * square, lens.k2 * square * square
    low = np.zeros_like(square)
    high = np.minimum(FURTHEST, np.sqrt(_fold(lens) / np.maximum(square, 1e-300)))
    there = square <= reach(lens) ** 2
    t = np.minimum(1.0, high)
    arrived = ~there
    for _ in range(MOST):
        if arrived.all():
            break
        s = t * t
        miss = t * (1.0 + s * (a + s * b)) - 1.0
        slope = 1.0 + s * (3.0 * a + 5.0 * s * b)
        low, high = np.where(miss < 0, t, low), np.where(miss < 0, high, t)
        newton = t - miss / np.where(slope > 0, slope, np.nan)
        step = np.where((low <= newton) & (newton <= high), newton, (low + high) * 0.5)
        near = np.abs(step - t) <= NEAR * t
        t = np.where(arrived, t, step)
        arrived |= near
    return np.where(there, t, np.nan)
