"""Reads single photos for `plateflow serve`: picture files in, what stands on their plates out, ready for JSON.

A photo goes the way of every clip: it is opened in the decoding child, and what is told of its plates is what
`plateflow run` would tell of that photo alone.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec

from services.contracts.messages import Box, Quad
from services.inference.build import Inference
from services.inference.result import TrackResult
from services.runtime.errors import Reject


class Plate(msgspec.Struct, frozen=True):
    """A plate on a photo; box and corners in pixels of the photo, turned upright as its camera noted."""

    plate: str
    """``#``: a character that nobody could decide."""
    raw: str
    """Before formats, rules and thresholds."""
    confidence: float
    """Probability that all characters are right."""
    confidences: tuple[float, ...]
    """Of each character."""
    detection: float
    """Score of the detector."""
    box: Box
    corners: Quad | None
    label: str
    country: str
    """Two letters; empty where the text is of no country's formats, or of several's."""


class Photo(msgspec.Struct, frozen=True):
    name: str
    width: int
    height: int
    plates: list[Plate]
    """From left to right."""
    left_out: dict[str, int]
    """Boxes that do not count, by reason."""
    seconds: float


class Unread(msgspec.Struct, frozen=True):
    """A photo that could not be read, and why."""

    name: str
    error: str


class PhotoReader:
    """One photo at a time, whoever asks: more at once would only take each other's processor."""

    def __init__(self, models: Inference, max_width: int = 0) -> None:
        self._models, self._max_width = models, max_width
        self._one = threading.Lock()

    def read(self, name: str, path: Path) -> Photo | Unread:
        """``name``: what the photo is called in the answer."""
        with self._one:
            began = time.monotonic()
            try:
                frames = self._models.decoder.open_photos((path,), 1000.0, self._max_width)
                found = self._models.pipeline.look(frames, 0)
            except Reject as error:
                return Unread(name, error.detail)
            seconds = round(time.monotonic() - began, 3)
        plates = sorted((_plate(one) for one in found.tracks), key=lambda one: one.box)
        return Photo(name, found.width, found.height, plates, dict(found.rejected), seconds)


def _plate(track: TrackResult) -> Plate:
    seen, read = track.observations[0], track.reading
    return Plate(
        read.text, read.raw, read.confidence, read.confidences, seen.detection, seen.box, seen.quad, track.label,
        read.country,
    )  # fmt: skip
