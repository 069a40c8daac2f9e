"""Measures what was found and read against the truth: results per picture in, shares with 95 % intervals out.

Rules
- A detection is right if it overlaps a true plate at IoU 0.5; detections are matched greedily, best score
  first, each plate once.
- A text is right if all of it is; texts are compared as `truth.normalise` writes them. End to end, a plate
  that was not found counts as read empty.
- Shares carry Wilson intervals (E. B. Wilson, 1927). The character error rate, edits per true character,
  carries a percentile bootstrap over plates (B. Efron, 1979) with a fixed seed, so equal input gives equal
  output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from services.inference.core.boxes import overlaps
from services.inference.core.truth import Box, TruePlate, normalise

IOU = 0.5
_Z = 1.959963984540054  # the normal quantile of a two-sided 95 % interval
_RESAMPLES = 2000
_SEED = 7

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Found:
    """A detection and what was read in it."""

    box: Box
    score: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class PictureResult:
    """One picture: its plates, what was read in each true box, and what was found without knowing them."""

    plates: Sequence[TruePlate]
    read_on_truth: Sequence[str]
    found: Sequence[Found]


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


@dataclass(frozen=True, slots=True)
class TextReport:
    """Plates read wholly right, and edits per true character; None where no plate has a text."""

    exact: Share
    cer: float | None
    cer_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Report:
    images: int
    recall: Share
    precision: Share
    text: TextReport
    end_to_end: TextReport

    def as_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "detection": _flat("recall", self.recall) | _flat("precision", self.precision) | {"iou": IOU},
            "text": _text_json(self.text),
            "end_to_end": _text_json(self.end_to_end),
        }


def evaluate(results: Sequence[PictureResult]) -> Report:
    """Everything about a set of pictures."""
    matches = [match([plate.box for plate in result.plates], result.found) for result in results]
    right = sum(found is not None for matched in matches for found in matched)
    return Report(
        images=len(results),
        recall=Share(right, sum(len(result.plates) for result in results)),
        precision=Share(right, sum(len(result.found) for result in results)),
        text=read_report(_pairs_on_truth(results)),
        end_to_end=read_report(_pairs_end_to_end(results, matches)),
    )


def match(plates: Sequence[Box], found: Sequence[Found], iou: float = IOU) -> list[int | None]:
    """For each plate the index of the detection that found it: greedy, best score first."""
    matched: list[int | None] = [None] * len(plates)
    overlap = overlaps(_corners(plates), _corners([one.box for one in found]))
    for index in sorted(range(len(found)), key=lambda i: -found[i].score):
        free = [plate for plate in range(len(plates)) if matched[plate] is None and overlap[plate, index] >= iou]
        if free:
            matched[max(free, key=lambda plate: float(overlap[plate, index]))] = index
    return matched


def read_report(pairs: Sequence[tuple[str, str]]) -> TextReport:
    """`pairs` of (true, read) text; pairs whose true text is empty are left out."""
    normal = [(normalise(true), normalise(read)) for true, read in pairs if normalise(true)]
    edits = np.array([edit_distance(true, read) for true, read in normal], dtype=np.int64)
    lengths = np.array([len(true) for true, _ in normal], dtype=np.int64)
    exact = Share(int((edits == 0).sum()), len(normal))
    if not normal:
        return TextReport(exact, None, None)
    return TextReport(exact, float(edits.sum() / lengths.sum()), bootstrap_ratio(edits, lengths))


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


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions that turn `a` into `b` (V. I. Levenshtein, 1966)."""
    row = list(range(len(b) + 1))
    for i, char in enumerate(a, start=1):
        previous, row = row, [i]
        for j, (diagonal, above) in enumerate(pairwise(previous)):
            row.append(min(above + 1, row[j] + 1, diagonal + (char != b[j])))
    return row[-1]


def _pairs_on_truth(results: Sequence[PictureResult]) -> list[tuple[str, str]]:
    return [
        (plate.text, read)
        for result in results
        for plate, read in zip(result.plates, result.read_on_truth, strict=True)
    ]


def _pairs_end_to_end(
    results: Sequence[PictureResult], matches: Sequence[Sequence[int | None]]
) -> list[tuple[str, str]]:
    return [
        (plate.text, "" if index is None else result.found[index].text)
        for result, matched in zip(results, matches, strict=True)
        for plate, index in zip(result.plates, matched, strict=True)
    ]


def _corners(boxes: Sequence[Box]) -> np.ndarray[Any, np.dtype[np.float64]]:
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return corners


def _flat(name: str, share: Share) -> dict[str, Any]:
    counts = {f"{name}_counts": [share.part, share.whole]}
    return {name: _round(share.value), f"{name}_interval": _round_pair(share.interval)} | counts


def _text_json(report: TextReport) -> dict[str, Any]:
    rate = {"cer": _round(report.cer), "cer_interval": _round_pair(report.cer_interval)}
    return {"plates": report.exact.whole} | _flat("exact", report.exact) | rate


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _round_pair(pair: Interval | None) -> list[float | None] | None:
    return None if pair is None else [_round(value) for value in pair]
