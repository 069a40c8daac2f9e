"""How much a lens bends lines, told by the point pairs themselves: straight lines of the ground must come out straight.

In: pairs, the size of the frame, the plan. Out: the lens of least error beside the calibration with and without it.

Rules
- A lens is found together with the homography behind it, by least squares over the pairs that agree. Which agree is
  asked for a row of lenses first, since pairs near the edge of the frame seem wrong while the lens is not undone.
- A number more fits anything better. So k1 counts only where an F test of the squared errors says so, and k2, of eight
  pairs or more, only where it does so once again; else the pairs tell no lens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from services.aggregator.core.calibration import Calibration, calibrate
from services.aggregator.core.config import Lens
from services.aggregator.core.homography import BadPairs, Floats, Pair, least_squares, missed_by, straightened
from services.aggregator.core.lens import BadLens, Optics, check

FOR_K1, FOR_K2 = 6, 8
"""Pairs that it takes: a homography alone takes four."""
CHANCE = 0.002
"""Of chance alone a lens would be found no more often."""
EXACT = 1e-4
"""Pairs that miss by no more than this part of the plan's diagonal, on average, leave nothing to explain."""
_TRIED = (-0.14, -0.1, -0.06, -0.03, 0.0, 0.03, 0.06, 0.1, 0.16, 0.24)
_DIGITS = 4
_ROUNDS = 3
"""A lens that is nearly undone lets more pairs agree; they have their say, too."""


class NoLens(ValueError):
    """The pairs tell of no lens. Says why, and what to change."""


@dataclass(frozen=True, slots=True)
class FoundLens:
    optics: Optics
    without: Calibration | None
    """Of a straight lens; None where the pairs lead to nothing then."""
    with_: Calibration
    pairs: int
    """Pairs that it was found from."""


def find_lens(
    pairs: Sequence[Pair], frame: tuple[float, float], plan: tuple[float, float], tolerance: float
) -> FoundLens:
    """``frame`` and ``plan``: width and height; ``tolerance``: plan units by which a pair may miss, 0 uses all.
    Raises NoLens; BadPairs where no lens whatever makes use of the pairs."""
    if len(pairs) < FOR_K1:
        raise NoLens(f"a lens takes at least {FOR_K1} pairs, here are {len(pairs)}: add some, near the frame's edges")
    straight = Optics(Lens(0.0, 0.0), *frame)
    best = _best_of_row(pairs, frame, plan, tolerance)
    for _ in range(_ROUNDS):
        agree = [pair for pair, used in zip(pairs, best.used.inliers, strict=True) if used]
        if len(agree) < FOR_K1:
            raise NoLens(f"only {len(agree)} pairs agree, and a lens takes {FOR_K1}: measure the others again")
        optics = Optics(_lens_of(agree, straight, math.hypot(*plan)), *frame)
        best = calibrate(pairs, plan, tolerance, optics)
        if sum(best.used.inliers) <= len(agree):
            break
    return FoundLens(optics, _straight(pairs, plan, tolerance), best, len(agree))


def _straight(pairs: Sequence[Pair], plan: tuple[float, float], tolerance: float) -> Calibration | None:
    try:
        return calibrate(pairs, plan, tolerance)
    except BadPairs:
        return None


def _best_of_row(
    pairs: Sequence[Pair], frame: tuple[float, float], plan: tuple[float, float], tolerance: float
) -> Calibration:
    """The calibration, of some lenses, with which most pairs agree, and best."""
    found: list[tuple[int, float, Calibration]] = []
    failed = BadPairs("no lens makes use of the pairs")
    for k1 in _TRIED:
        try:
            one = calibrate(pairs, plan, tolerance, Optics(Lens(k1, 0.0), *frame))
            found.append((-sum(one.used.inliers), one.mean, one))
        except BadPairs as error:
            failed = error
    if not found:
        raise failed
    return min(found, key=lambda one: one[:2])[2]


def _lens_of(pairs: Sequence[Pair], straight: Optics, diagonal: float) -> Lens:
    """Raises NoLens."""
    none = _squares(pairs, straight)
    if math.sqrt(none / len(pairs)) <= EXACT * diagonal:
        raise NoLens("the pairs fit without one: the lens is straight, as far as they tell")
    one, left = _refined(pairs, straight, (0.0,))
    freedom = 2 * len(pairs) - 8  # two numbers a pair, less those of a homography
    if len(pairs) >= FOR_K2:
        two, left_of_two = _refined(pairs, straight, (one.k1, 0.0))
        against_one = _chance(left, left_of_two, 1, freedom - 2)
        if against_one < CHANCE and _chance(none, left_of_two, 2, freedom - 2) < CHANCE:
            return two
    if _chance(none, left, 1, freedom - 1) >= CHANCE:
        raise NoLens(
            f"bending lines by k1 {one.k1:g} explains the errors no better than chance would: add pairs near the "
            "frame's edges, or take the lens as straight"
        )
    return one


def _chance(before: float, after: float, added: int, freedom: int) -> float:
    """The probability that ``added`` numbers lessen squared errors so far by chance (F test, Fisher 1922)."""
    gain = (before - after) / added
    return float(stats.f.sf(gain / max(after / freedom, 1e-300), added, freedom))


def _refined(pairs: Sequence[Pair], straight: Optics, begin: tuple[float, ...]) -> tuple[Lens, float]:
    """The lens of least squared errors, and these; with k2 where ``begin`` has one."""

    def lens(numbers: Floats) -> Lens:
        k1, k2 = (*(round(float(one), 6) for one in numbers), 0.0)[:2]
        return Lens(k1, k2)

    def squares(numbers: Any) -> float:
        try:
            check(lens(numbers))
            return _squares(pairs, Optics(lens(numbers), straight.width, straight.height))
        except (BadLens, BadPairs):
            return 1e300

    simplex = np.array([begin, *(np.array(begin) + row for row in np.eye(len(begin)) * 0.05)])
    options: Any = {"initial_simplex": simplex, "xatol": 1e-6, "fatol": 0.0, "maxiter": 400}
    numbers = optimize.minimize(squares, np.array(begin), method="Nelder-Mead", options=options).x
    rounded = np.round(numbers, _DIGITS)
    return lens(rounded), squares(rounded)


def _squares(pairs: Sequence[Pair], optics: Optics) -> float:
    """Squared misses of the pairs, summed, under the best homography behind a lens."""
    image, plan = straightened(pairs, optics)
    return float(np.square(missed_by(least_squares(image, plan), image, plan)).sum())
