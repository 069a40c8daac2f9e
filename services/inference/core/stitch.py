"""Puts tracks right by what was read: divides one that took over another vehicle, joins the pieces of one,
drops what is no plate. Pure.

Rules
- Two vehicles that stop at the same place one after the other, seen rarely, look like one track. It is
  divided where the readings before and after a moment agree among themselves, and differ from each other in
  half their characters.
- Two tracks that never overlap in time are one where their readings are equal or differ in `#` only, within
  `gap_ms`; with one character more, less or other only within the shorter `near_gap_ms`, since plates of one
  fleet differ by as much.
- Two tracks at the same time are one where their readings are equal or differ in `#` only: a plate found
  twice in a frame.
- The nearest in time are joined first.
- A track is dropped, and counted, where too few of its characters are decided, where these are too unsure
  together, or where it is a single box that the detector doubts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from services.contracts.messages import Reading
from services.inference.core.alignment import UNDECIDED, compatible, distance


@dataclass(frozen=True, slots=True)
class Piece:
    """What stitching needs to know of a track."""

    first_ms: int
    last_ms: int
    text: str
    label: str = "plate"


@dataclass(frozen=True, slots=True)
class StitchOptions:
    gap_ms: int = 10_000
    near_gap_ms: int = 3_000
    near_length: int = 6
    """Readings shorter than this are never joined with a different one."""


@dataclass(frozen=True, slots=True)
class KeepOptions:
    min_decided: int = 4
    """Decided characters that a reading needs."""
    min_confidence: float = 0.1
    """Probability that its decided characters are all right, which a reading needs."""
    single_score: float = 0.6
    """Detection score that a track of one box needs."""


_SEVERAL = 2  # readings that a part needs
_SELF_DISTANCE = 1.0  # edits that a part's readings may differ from their centre, on average
_OTHER_DISTANCE = 3  # edits between the centres, at least


def divide(texts: Sequence[str]) -> int | None:
    """Where, in readings in order of time, another vehicle begins: the index of its first reading; None for
    one vehicle.

    To be asked with sure readings only. A reading that is much like both sides does not hinder.
    """
    if len(set(texts)) < 2 or len(texts) < 2 * _SEVERAL:
        return None
    splits = (_split(texts, k) for k in range(_SEVERAL, len(texts) - _SEVERAL + 1))
    return min((one for one in splits if one is not None), default=(0.0, None))[1]


def _split(texts: Sequence[str], k: int) -> tuple[float, int] | None:
    """Cost of the division at ``k``, and ``k``; None where the parts are not two vehicles."""
    (first, cost), (second, other_cost) = _centre(texts[:k]), _centre(texts[k:])
    apart = max(_OTHER_DISTANCE, -(-max(len(first), len(second)) // 2))
    coherent = cost <= _SELF_DISTANCE * k and other_cost <= _SELF_DISTANCE * (len(texts) - k)
    return (cost + other_cost, k) if coherent and distance(first, second) >= apart else None


def _centre(texts: Sequence[str]) -> tuple[str, float]:
    """The text nearest to all others, and the sum of its distances to them."""
    costs = {text: sum(distance(text, other) for other in texts) for text in sorted(set(texts))}
    best = min(costs, key=lambda text: costs[text])
    return best, costs[best]


def stitch(pieces: Sequence[Piece], options: StitchOptions | None = None) -> list[list[int]]:
    """Groups of indices of ``pieces``, each group and the groups among each other in order of time."""
    options = options or StitchOptions()
    order = sorted(range(len(pieces)), key=lambda i: (pieces[i].first_ms, pieces[i].last_ms, pieces[i].text, i))
    joints = sorted(
        (gap, i, j)
        for place, i in enumerate(order)
        for j in order[place + 1 :]
        if (gap := _gap(pieces[i], pieces[j], options)) is not None
    )
    group_of = {i: [i] for i in order}
    for _, i, j in joints:
        joined = sorted(group_of[i] + group_of[j], key=order.index)
        if group_of[i] is not group_of[j] and _one_vehicle([pieces[k] for k in joined]):
            for member in joined:
                group_of[member] = joined
    return [group for i, group in group_of.items() if group[0] == i]


SINGLE, FEW, UNSURE = "single-box", "few-characters", "unsure"
TRACK_REASONS = (SINGLE, FEW, UNSURE)


def keep(reading: Reading, scores: Sequence[float], options: KeepOptions | None = None) -> bool:
    """Whether a track with this reading and these detection scores is a plate worth publishing."""
    return not rejection(reading, scores, options or KeepOptions())


def rejection(reading: Reading, scores: Sequence[float], options: KeepOptions) -> str:
    """Why such a track is not published; empty where it is."""
    if not seen_enough(scores, options):
        return SINGLE
    if sum(character != UNDECIDED for character in reading.text) < options.min_decided:
        return FEW
    return UNSURE if _decided_confidence(reading) < options.min_confidence else ""


def seen_enough(scores: Sequence[float], options: KeepOptions) -> bool:
    """Whether a track with these detection scores is there at all, whatever its reading."""
    return len(scores) > 1 or scores[0] >= options.single_score


def _decided_confidence(reading: Reading) -> float:
    """Probability that all decided characters are right; an undecided one says by itself that it is unsure."""
    pairs = zip(reading.text, reading.confidences, strict=True)
    decided = [confidence for character, confidence in pairs if character != UNDECIDED]
    return round(math.prod(decided), 4) if decided else 0.0


def _gap(first: Piece, second: Piece, options: StitchOptions) -> int | None:
    """Milliseconds between two pieces that may be one vehicle (0: at the same time), else None."""
    gap = max(0, second.first_ms - first.last_ms)
    if gap > options.gap_ms or first.label != second.label or not first.text or not second.text:
        return None
    if compatible(first.text, second.text):
        return gap
    shorter = min(len(first.text), len(second.text))
    near = 0 < gap <= options.near_gap_ms and shorter >= options.near_length
    return gap if near and distance(first.text, second.text) <= 1 else None


def _one_vehicle(pieces: Sequence[Piece]) -> bool:
    """Whether those of them that were seen at the same time have the same reading."""
    return all(
        one.last_ms < other.first_ms or compatible(one.text, other.text) for one, other in combinations(pieces, 2)
    )
