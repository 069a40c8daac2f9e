"""One reading out of many: what the recogniser made of the pictures of one plate in, one consolidated
reading out. Pure.

Rules
- Readings of different lengths are aligned with the one that is most like all others (star alignment:
  Gusfield 1993, as ROVER does for speech, Fiscus 1997), so that a missed character does not shift the rest.
- Each character of each reading counts by its probabilities times the weight of the reading. A wrong first
  reading is out-voted as soon as more evidence stands against it.
- A character that no winner leads clearly is `#`; in particular equal evidence gives `#`.
- The order of the readings does not matter: they are sorted, and shares are rounded to four digits before
  any decision.
- National formats settle near-tied characters (`services.inference.core.rerank`); `raw` stays what leads without.
- The confidence of a reading is that of its least sure character: a plate is as wrong as its worst
  character, and so a threshold means the same for long and short plates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.contracts.formats import Format, names
from services.contracts.messages import Reading
from services.inference.core.alignment import UNDECIDED, align, distance
from services.inference.core.rerank import allowed

_DIGITS = 4
_SETTLED_SHARE = 0.2
"""Share of all evidence that is enough where a format leaves no rival."""


@dataclass(frozen=True, slots=True)
class Read:
    """What the recogniser made of one picture. ``probabilities``: (len(text), letters of the alphabet)."""

    text: str
    probabilities: NDArray[np.float32]
    weight: float


@dataclass(frozen=True, slots=True)
class VoteOptions:
    min_share: float = 0.4
    """The winner's least share of all evidence for a character ..."""
    min_lead: float = 0.1
    """... and its least lead over the second, else the character is undecided."""
    formats: tuple[Format, ...] = ()
    """National formats that may settle near-tied characters."""
    min_plate: float = 0.2
    """Probability of being a plate at all under which a picture has no vote: badges, signs and stickers."""


@dataclass(slots=True)
class _Column:
    """Evidence for one character: for each letter, and for there being none."""

    letters: NDArray[np.float64]
    filled: float = 0.0

    def add(self, probabilities: NDArray[np.float32], weight: float) -> None:
        self.letters += probabilities.astype(np.float64) * weight
        self.filled += weight


def weigh(
    detection: float, confidences: Sequence[float], sharpness: float, width: float, clear_width: float = 100
) -> float:
    """How much a reading counts: detection score x mean confidence x sharpness x size, in 0..1, rounded.

    ``sharpness`` is relative to the sharpest picture of the track (0..1), ``width`` that of the box in
    pixels; a plate as wide as ``clear_width`` gains nothing by more.
    """
    confidence = sum(confidences) / len(confidences) if confidences else 0.0
    size = min(1.0, width / clear_width)
    return round(detection * confidence * math.sqrt(max(sharpness, 0.0)) * size, 6)


def vote(reads: Sequence[Read], alphabet: str, options: VoteOptions | None = None) -> Reading:
    """The consolidated reading; an empty one where nothing legible was read."""
    options = options or VoteOptions()
    counted = sorted((one for one in reads if one.text and one.weight > 0), key=_canonical)
    if not counted:
        return Reading("", "", 0.0)
    total = sum(one.weight for one in counted)
    columns = _columns(counted, _centre(counted), len(alphabet))
    kept = [one for one in columns if _there(one, total)]
    letters = [np.round(one.letters / total, _DIGITS) for one in kept]
    places = allowed(np.array(letters), alphabet, options.formats) if options.formats and kept else None
    characters = [
        _decide(row, round(1 - one.filled / total, _DIGITS), alphabet, options, places[i] if places else None)
        for i, (row, one) in enumerate(zip(letters, kept, strict=True))
    ]
    shares = tuple(share for _, _, share in characters)
    text = "".join(decided for decided, _, _ in characters)
    return Reading(
        text=text,
        raw="".join(letter for _, letter, _ in characters),
        confidence=min(shares, default=0.0),
        confidences=shares,
        formats=names(text, options.formats),
    )


def _canonical(read: Read) -> tuple[str, float, bytes]:
    return read.text, read.weight, read.probabilities.tobytes()


def _centre(reads: Sequence[Read]) -> str:
    """The text with the least weighted distance to all readings; of several, the first in order of
    letters."""
    weights: dict[str, float] = {}
    for one in reads:
        weights[one.text] = weights.get(one.text, 0.0) + one.weight

    def cost(text: str) -> tuple[float, str]:
        return round(sum(weight * distance(text, other) for other, weight in weights.items()), _DIGITS), text

    return min(weights, key=cost)


def _columns(reads: Sequence[Read], centre: str, letters: int) -> list[_Column]:
    """Evidence in order of reading: for each character of ``centre`` and for those inserted between them."""
    table: dict[tuple[int, int], _Column] = {}
    for one in reads:
        before, inserted = -1, 0
        for i, j in align(centre, one.text):
            before, inserted = (before, inserted + 1) if i is None else (i, 0)
            if j is not None:
                column = table.setdefault((before, inserted), _Column(np.zeros(letters)))
                column.add(one.probabilities[j], one.weight)
    return [table[place] for place in sorted(table)]


def _there(column: _Column, total: float) -> bool:
    """Whether the plate has this character at all; equal evidence keeps it, as undecided."""
    return round(column.filled / total, _DIGITS) >= 0.5


def _decide(
    shares: NDArray[np.float64], absent: float, alphabet: str, options: VoteOptions, letters: frozenset[str] | None
) -> tuple[str, str, float]:
    """The character or `#`, the leading letter, and the character's share of all evidence. ``absent``: the share of
    there being none; ``letters``: those that a format allows here."""
    leader = alphabet[int(shares.argmax())]
    if letters is not None:
        shares = np.where([letter in letters for letter in alphabet], shares, 0.0)
    best = int(shares.argmax())
    share = min(1.0, float(shares[best]))
    rivals = [float(np.delete(shares, best).max()), absent]
    least = options.min_share if letters is None else min(options.min_share, _SETTLED_SHARE)
    clear = share >= least and round(share - max(rivals), _DIGITS) >= options.min_lead
    return alphabet[best] if clear else UNDECIDED, leader, share
