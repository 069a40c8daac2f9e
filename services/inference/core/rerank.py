"""What formats say about near-tied characters: the vote's shares and formats in, for each place the letters that count
out. Pure.

Rules
- A format counts where the leading letters are of it, or become so by at most `_CHANGES` near-tied ones: an
  alternative needs `_NEAR` of the leader's share, one that looks like the leader `_NEAR_ALIKE`.
- A letter with a share of `_SURE` or more is never changed, so an unknown format stays as it was read.
- Of several formats those count that cost least evidence, or hardly more: where they disagree about a place,
  the evidence alone decides there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.contracts.formats import Format, Places

_SURE = 0.9
_NEAR = 0.6
_NEAR_ALIKE = 0.3
_CHANGES = 2
_MARGIN = 0.25
"""Log ratio of evidence by which the best format must lead over others."""


def allowed(shares: NDArray[np.float64], alphabet: str, formats: Sequence[Format]) -> list[frozenset[str]] | None:
    """For each row of ``shares`` (places, letters) the letters that may stand there; None where no format fits."""
    found: list[tuple[float, Places]] = []
    for one in formats:
        if not one.general:
            costs = ((_cost(shares, alphabet, places, one), places) for places in one.places(len(shares)))
            found += [(cost, places) for cost, places in costs if cost is not None]
    if not found:
        return None
    limit = min(cost for cost, _ in found) + _MARGIN
    near = [places for cost, places in found if cost <= limit]
    return [frozenset().union(*(places[i] for places in near)) for i in range(len(shares))]


def _cost(shares: NDArray[np.float64], alphabet: str, places: Places, format_: Format) -> float | None:
    """Evidence lost where the leaders are made to fit; None where that is not to be had."""
    total, changes = 0.0, 0
    for row, letters in zip(shares, places, strict=True):
        best = int(row.argmax())
        if alphabet[best] in letters:
            continue
        other = max((i for i, letter in enumerate(alphabet) if letter in letters), key=lambda i: float(row[i]))
        alike = frozenset((alphabet[best], alphabet[other])) in format_.alike
        ratio = float(row[other] / row[best]) if row[best] > 0 else 0.0
        changes += 1
        if changes > _CHANGES or row[best] >= _SURE or ratio < (_NEAR_ALIKE if alike else _NEAR):
            return None
        total -= math.log(ratio)
    return round(total, 4)
