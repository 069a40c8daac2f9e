"""Shares of counts with their 95 % intervals, and how they are written as JSON. Pure.

Shares carry Wilson intervals (E. B. Wilson, 1927); ratios of sums a percentile bootstrap over pairs (B. Efron, 1979)
with a fixed seed, so equal input gives equal output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_Z = 1.959963984540054  # the normal quantile of a two-sided 95 % interval
_RESAMPLES = 2000
_SEED = 7

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Share:
    """`part` of `whole`. `value` and `interval` are None where `whole` is 0."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> Interval | None:
        return wilson(self.part, self.whole) if self.whole else None


def wilson(part: int, whole: int) -> Interval:
    """The 95 % Wilson score interval of `part` successes in `whole` trials, `whole` > 0."""
    share, z2 = part / whole, _Z * _Z
    middle = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    reach = _Z / (1 + z2 / whole) * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole * whole))
    low = 0.0 if part == 0 else max(0.0, middle - reach)
    return low, 1.0 if part == whole else min(1.0, middle + reach)


def bootstrap_ratio(above: np.ndarray[Any, Any], below: np.ndarray[Any, Any]) -> Interval:
    """The 95 % percentile interval of sum(above) / sum(below) with the pairs drawn again with replacement."""
    drawn = np.random.default_rng(_SEED).integers(0, len(above), size=(_RESAMPLES, len(above)))
    low, high = np.percentile(above[drawn].sum(axis=1) / below[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def as_flat(name: str, share: Share) -> dict[str, Any]:
    """The share as JSON: value, interval and counts under ``name``."""
    counts = {f"{name}_counts": [share.part, share.whole]}
    return {name: rounded(share.value), f"{name}_interval": rounded_pair(share.interval)} | counts


def rounded(value: float | None) -> float | None:
    """To four digits, as all JSON says it."""
    return None if value is None else round(value, 4)


def rounded_pair(pair: Interval | None) -> list[float | None] | None:
    return None if pair is None else [rounded(value) for value in pair]
