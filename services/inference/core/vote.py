"""One reading out of many: what the recogniser made of the pictures of one plate in, one consolidated
reading out. Pure.

Rules
- Each picture is evidence about the whole text. Of the texts that were read, the one that makes all readings most
  likely together is the centre; the others are aligned with it by their probabilities (`evidence`), so that a missed
  character does not shift the rest.
- At each place the readings' distributions are pooled (logarithmic opinion pool: Genest and Zidek 1986): for each
  letter, and for there being none, the logarithms of its probabilities are added, times the weight of the reading, and
  the sums become shares again. A wrong first reading is out-voted as soon as more evidence stands against it.
- Pictures of one plate by one camera err alike, so n equal readings count as the root of n; and among several
  readings each may be altogether wrong about a character, so none can rule a letter out.
- A character that no winner leads clearly is `#`; in particular equal evidence gives `#`.
- The order of the readings does not matter: they are sorted, and shares are rounded to four digits before
  any decision.
- National formats settle characters that are near-tied on average (`services.inference.core.rerank`): which letters a
  recogniser takes for each other it does in every picture. `raw` stays what leads without.
- The confidence of a reading is the probability that all of its characters are right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.contracts.formats import Format, country, names
from services.contracts.messages import Reading
from services.inference.core.alignment import UNDECIDED
from services.inference.core.evidence import Pairs, evidence
from services.inference.core.rerank import allowed

_DIGITS = 4
_OUTLIER = 0.2
"""Probability that one reading of very many is altogether wrong about a character ..."""
_ALONE = 0.001
"""... and that the only one is."""
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
    min_share: float = 0.5
    """The winner's least share of all evidence for a character: rather right than wrong ..."""
    min_lead: float = 0.1
    """... and its least lead over the second, else the character is undecided."""
    formats: tuple[Format, ...] = ()
    """National formats that may settle near-tied characters."""
    min_plate: float = 0.2
    """Probability of being a plate at all under which a picture has no vote: badges, signs and stickers."""


def weigh(
    detection: float, confidences: Sequence[float], sharpness: float, width: float, clear_width: float = 100
) -> float:
    """How much a reading counts: detection score x mean confidence to the fourth x sharpness x size, in 0..1, rounded.

    ``sharpness`` is relative to the sharpest picture of the track (0..1), ``width`` that of the box in
    pixels; a plate as wide as ``clear_width`` gains nothing by more. The fourth power: an unsure reading is wrong
    about more than it says.
    """
    confidence = sum(confidences) / len(confidences) if confidences else 0.0
    size = min(1.0, width / clear_width)
    return round(detection * confidence**4 * math.sqrt(max(sharpness, 0.0)) * size, 6)


def vote(reads: Sequence[Read], alphabet: str, options: VoteOptions | None = None) -> Reading:
    """The consolidated reading; an empty one where nothing legible was read."""
    options = options or VoteOptions()
    counted = sorted((one for one in reads if one.text and one.weight > 0), key=_canonical)
    if not counted:
        return Reading("", "", 0.0)
    kept = [one for one in _columns(counted, alphabet) if one.there]
    means = np.array([one.mean for one in kept])
    places = allowed(means, alphabet, options.formats) if options.formats and kept else None
    characters = [_decide(one, alphabet, options, places[i] if places else None) for i, one in enumerate(kept)]
    shares = tuple(share for _, _, share in characters)
    text = "".join(decided for decided, _, _ in characters)
    found = names(text, options.formats)
    return Reading(
        text=text,
        raw="".join(letter for _, letter, _ in characters),
        confidence=round(math.prod(shares), _DIGITS) if shares else 0.0,
        confidences=shares,
        formats=found,
        country=country(found, options.formats),
    )


def joined(reads: Sequence[Read], alphabet: str) -> NDArray[np.float32]:
    """Several looks at the very same pixels as one: the distributions (characters, letters) of what is there by them
    all. They err alike, so they weigh together what one weighs, and make nothing surer than it is on average."""
    counted = sorted((one for one in reads if one.text and one.weight > 0), key=_canonical)
    kept = [one.pooled[:-1] for one in _columns(counted, alphabet, same=True) if one.there] if counted else []
    return np.array(kept, np.float32).reshape(-1, len(alphabet))


def _canonical(read: Read) -> tuple[str, float, bytes]:
    return read.text, read.weight, read.probabilities.tobytes()


@dataclass(frozen=True, slots=True)
class _Column:
    """Evidence for one character. ``pooled`` (letters + 1): shares of each letter and, last, of there being none;
    ``mean`` (letters): shares on average over the readings."""

    pooled: NDArray[np.float64]
    mean: NDArray[np.float64]

    @property
    def there(self) -> bool:
        """Whether the plate has this character at all; equal evidence keeps it, as undecided."""
        return bool(self.pooled[-1] <= 0.5)


def _columns(reads: Sequence[Read], alphabet: str, same: bool = False) -> list[_Column]:
    """In order of reading: one for each character of the centre, and for those that some see between them. ``same``:
    they are looks at the same pixels."""
    most = max(one.weight for one in reads)
    shares = [one.weight / most for one in reads]
    count = 1.0 if same else sum(shares)
    weights = [share / sum(shares) * math.sqrt(count) for share in shares]
    doubt = _OUTLIER * (1 - 1 / count) + _ALONE
    logs = [_logs(one.probabilities, doubt) for one in reads]
    gap = math.log(doubt / (len(alphabet) + 1))
    centre = _centre(reads, logs, weights, gap, alphabet)
    places = [_places(evidence(one, centre, gap)[1]) for one in logs]
    nothing = [_nothing(one, gap) for one in logs]
    columns = []
    for place in sorted({(i, 0) for i in range(len(centre))}.union(*places)):
        pooled, mean = np.zeros(len(alphabet) + 1), np.zeros(len(alphabet))
        for read, log, none, weight, at in zip(reads, logs, nothing, weights, places, strict=True):
            pooled += weight * (log[at[place]] if place in at else none)
            if place in at:
                mean += weight / sum(weights) * read.probabilities[at[place]]
        likely = np.exp(pooled - pooled.max())
        columns.append(_Column(np.round(likely / likely.sum(), _DIGITS), np.round(mean, _DIGITS)))
    return columns


def _logs(probabilities: NDArray[np.float32], doubt: float) -> NDArray[np.float64]:
    """Logarithms of (characters, letters + 1), the last for none, where with probability ``doubt`` it may be any."""
    letters = probabilities.astype(np.float64)
    whole = np.hstack([letters, np.maximum(1 - letters.sum(axis=1, keepdims=True), 0)])
    logarithms: NDArray[np.float64] = np.log((1 - doubt) * whole + doubt / whole.shape[1])
    return logarithms


def _nothing(logs: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """What a reading says where it has no character: that there is none, as surely as it sees those that it has."""
    sure = float(np.exp(logs[:, :-1].max(axis=1)).mean())
    return np.append(np.full(logs.shape[1] - 1, gap), math.log(sure))


def _centre(
    reads: Sequence[Read], logs: Sequence[NDArray[np.float64]], weights: Sequence[float], gap: float, alphabet: str
) -> list[int]:
    """The text that makes all readings most likely, as places in the alphabet; of several, the first in order of
    letters."""

    def likelihood(text: list[int]) -> float:
        return round(
            sum(weight * evidence(one, text, gap)[0] for one, weight in zip(logs, weights, strict=True)), _DIGITS
        )

    texts = [[alphabet.index(letter) for letter in text] for text in sorted({one.text for one in reads})]
    return max(texts, key=likelihood) if len(texts) > 1 else texts[0]


def _places(pairs: Pairs) -> dict[tuple[int, int], int]:
    """Where each character of a reading belongs: behind which character of the centre, and as which inserted one."""
    places: dict[tuple[int, int], int] = {}
    before, inserted = -1, 0
    for i, j in pairs:
        before, inserted = (before, inserted + 1) if i is None else (i, 0)
        if j is not None:
            places[before, inserted] = j
    return places


def _decide(
    column: _Column, alphabet: str, options: VoteOptions, letters: frozenset[str] | None
) -> tuple[str, str, float]:
    """The character or `#`, the leading letter, and the character's share of the evidence. ``letters``: those that a
    format allows here; where the leading one is not among them, the average decides."""
    shares, absent = column.pooled[:-1], float(column.pooled[-1])
    leader = alphabet[int(shares.argmax())]
    least = options.min_share
    if letters is not None:
        if leader not in letters:
            shares, absent = column.mean, round(1 - float(column.mean.sum()), _DIGITS)
        shares = np.where([letter in letters for letter in alphabet], shares, 0.0)
        least = min(least, _SETTLED_SHARE)
    best = int(shares.argmax())
    share = min(1.0, float(shares[best]))
    rivals = [float(np.delete(shares, best).max()), absent]
    clear = share >= least and round(share - max(rivals), _DIGITS) >= options.min_lead
    return alphabet[best] if clear else UNDECIDED, leader, share
