"""How good a camera's point pairs are: the error of each, which to drop, and which cannot be used at all.

In: pairs (pixel, plan unit), the plan's size, how far a pair may miss. Out: the fit that the aggregator will use,
beside that of all pairs. The fit itself, and what it refuses, is `services.aggregator.core.homography`; here is
refused, too,
- what mirrors the image: no camera sees the ground mirrored, so pairs are crossed, or the plan's y leads upwards;
- pairs of which only four agree: any four do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.aggregator.core import homography
from services.aggregator.core.config import Matrix
from services.aggregator.core.homography import MIN_PAIRS, BadPairs, Fit, Pair
from services.aggregator.core.lens import Optics

GOOD = 0.01
"""A mean error up to this part of the plan's diagonal is good."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Pairs are counted from 0; errors in plan units."""

    everything: Fit
    """Least squares over all pairs."""
    used: Fit
    """Over those that agree; errors of all."""
    diagonal: float

    @property
    def bad(self) -> tuple[int, ...]:
        """The pairs to drop or to measure again."""
        return tuple(index for index, used in enumerate(self.used.inliers) if not used)

    @property
    def mean(self) -> float:
        """Mean error of the pairs in use."""
        return float(np.mean(self._errors))

    @property
    def worst(self) -> float:
        return max(self._errors)

    @property
    def exact(self) -> bool:
        """Four pairs fit any way: their error says nothing."""
        return len(self._errors) == MIN_PAIRS

    @property
    def good(self) -> bool:
        return self.mean <= GOOD * self.diagonal

    @property
    def _errors(self) -> list[float]:
        return [error for error, used in zip(self.used.errors, self.used.inliers, strict=True) if used]


def calibrate(
    pairs: Sequence[Pair], plan: tuple[float, float], tolerance: float, optics: Optics | None = None
) -> Calibration:
    """``plan``: width and height; ``tolerance``: plan units by which a pair may miss, 0 uses all; ``optics``: the lens,
    None where it is straight. Raises BadPairs."""
    used = homography.fit(pairs, tolerance, optics)
    if sum(used.inliers) == MIN_PAIRS < len(pairs):
        raise BadPairs(
            f"only four of the {len(pairs)} pairs agree within {tolerance:.3g} plan units, and any four do: "
            "measure them again, or raise the tolerance"
        )
    if mirrors(used.matrix):
        raise BadPairs(
            "the pairs mirror the image: some are crossed (the plan points of two exchanged), or y of the plan leads "
            "upwards, where it must lead down"
        )
    return Calibration(_everything(pairs, used), used, math.hypot(*plan))


def mirrors(matrix: Matrix) -> bool:
    """Does it turn left-handed what was right-handed? In front of the horizon, the determinant tells."""
    return bool(np.linalg.det(np.array(matrix).reshape(3, 3)) < 0)


def _everything(pairs: Sequence[Pair], used: Fit) -> Fit:
    """A wrong pair may bend the fit of all so far that there is none; then that of the good ones has to do."""
    try:
        return homography.fit(pairs, optics=used.view.optics)
    except BadPairs:
        return used
