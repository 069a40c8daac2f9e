"""Measures what was found and read against the truth: results per picture in, shares with 95 % intervals out.

Rules
- A detection is right if it overlaps a true plate at IoU 0.5; detections are matched greedily, best score
  first, each plate once.
- A text is right if all of it is; texts are compared as `truth.normalise` writes them. End to end, a plate
  that was not found counts as read empty.
- Every figure carries its interval (`shares`); the character error rate is edits per true character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from services.inference.core.boxes import overlaps
from services.inference.core.reliability import Reliability, reliability
from services.inference.core.shares import Interval, Share, as_flat, bootstrap_ratio, rounded, rounded_pair
from services.inference.core.truth import Box, TruePlate, normalise

IOU = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """A detection and what was read in it."""

    box: Box
    score: float
    text: str = ""
    published: bool = True
    """Whether it would become a passage, were it all that is seen of the plate."""


@dataclass(frozen=True, slots=True)
class PictureResult:
    """One picture: its plates, what was read in each true box, and what was found without knowing them."""

    plates: Sequence[TruePlate]
    read_on_truth: Sequence[str]
    found: Sequence[Found]
    confidences: Sequence[float] = ()
    """Of the readings in the true boxes, where they are known."""


@dataclass(frozen=True, slots=True)
class TextReport:
    """Plates read wholly right, and edits per true character; None where no plate has a text."""

    exact: Share
    cer: float | None
    cer_interval: Interval | None


@dataclass(frozen=True, slots=True)
class PlateFree:
    """What was found in pictures without any plate."""

    pictures: int
    found: int
    published: int

    def as_json(self) -> dict[str, Any]:
        rate = 1000 * self.published / self.pictures if self.pictures else None
        counts = {"pictures": self.pictures, "found": self.found, "published": self.published}
        return counts | {"published_per_1000": None if rate is None else round(rate, 1)}


@dataclass(frozen=True, slots=True)
class Report:
    images: int
    recall: Share
    precision: Share
    text: TextReport
    end_to_end: TextReport
    plate_free: PlateFree
    confidence: Reliability

    def as_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "detection": as_flat("recall", self.recall) | as_flat("precision", self.precision) | {"iou": IOU},
            "text": _text_json(self.text),
            "end_to_end": _text_json(self.end_to_end),
            "plate_free": self.plate_free.as_json(),
            "confidence": self.confidence.as_json(),
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
        plate_free=_plate_free([result for result in results if not result.plates]),
        confidence=reliability(_outcomes(results)),
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


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions that turn `a` into `b` (V. I. Levenshtein, 1966)."""
    row = list(range(len(b) + 1))
    for i, char in enumerate(a, start=1):
        previous, row = row, [i]
        for j, (diagonal, above) in enumerate(pairwise(previous)):
            row.append(min(above + 1, row[j] + 1, diagonal + (char != b[j])))
    return row[-1]


def _plate_free(results: Sequence[PictureResult]) -> PlateFree:
    found = [one for result in results for one in result.found]
    return PlateFree(len(results), len(found), sum(one.published for one in found))


def _outcomes(results: Sequence[PictureResult]) -> list[tuple[float, bool]]:
    """Confidence and rightness of every reading of a known text that says anything."""
    return [
        (confidence, normalise(plate.text) == normalise(read))
        for result in results
        if result.confidences
        for plate, read, confidence in zip(result.plates, result.read_on_truth, result.confidences, strict=True)
        if plate.text and read
    ]


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


def _text_json(report: TextReport) -> dict[str, Any]:
    rate = {"cer": rounded(report.cer), "cer_interval": rounded_pair(report.cer_interval)}
    return {"plates": report.exact.whole} | as_flat("exact", report.exact) | rate
