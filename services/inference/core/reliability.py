"""Whether stated confidences mean what they say. Pure.

In: pairs of a confidence in 0..1 and whether the reading was right. Out: the expected calibration error (Naeini et al.
2015, Guo et al. 2017: mean distance of stated and real share over ten bins of equal width, weighted by their size), and
the share that is right among the readings of a stated confidence of 0.95 or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.inference.core.shares import Share, as_flat, rounded

BINS = 10
STATED = 0.95
Outcome = tuple[float, bool]


@dataclass(frozen=True, slots=True)
class Reliability:
    """``stated``: of the readings whose confidence is at least STATED, those that are right."""

    ece: float | None
    stated: Share

    def as_json(self) -> dict[str, Any]:
        return {"ece": rounded(self.ece), "stated": STATED, **as_flat("right", self.stated)}


def reliability(outcomes: Sequence[Outcome]) -> Reliability:
    sure = [right for confidence, right in outcomes if confidence >= STATED]
    return Reliability(ece(outcomes), Share(sum(sure), len(sure)))


def ece(outcomes: Sequence[Outcome]) -> float | None:
    """None where there is nothing to measure."""
    if not outcomes:
        return None
    stated = np.array([confidence for confidence, _ in outcomes])
    right = np.array([right for _, right in outcomes], float)
    bins = np.minimum((stated * BINS).astype(int), BINS - 1)
    apart = [abs(stated[bins == b].sum() - right[bins == b].sum()) for b in range(BINS)]
    return float(sum(apart) / len(outcomes))
