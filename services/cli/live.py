"""What can be shown of a recording while it is read: boxes with what was read so far, traces, the rate of frames.

Readings here are for the eye alone: each plate is read when its picture is clearer than the one read before, and what
was read so far votes. The results come of the vote over the whole track.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from services.cli.outputs_drawn import TRACE_MS, label, stands
from services.cli.outputs_port import Done, Found, Output, Sheet, mm_ss
from services.cli.overlay import Image, Mark, draw
from services.contracts.messages import Point
from services.inference.core.vote import Read, vote, weigh
from services.inference.decode import DecodedFrame
from services.inference.follow import sharpness
from services.inference.models.detector import Detection, is_plate
from services.inference.models.recogniser import ALPHABET, MARGIN, Recogniser, crop_plate

RATE_OVER_S = 2.0


@dataclass(slots=True)
class _Track:
    text: str = ""
    reads: list[Read] = field(default_factory=list)
    clear: float = 0.0
    trace: list[tuple[int, Point]] = field(default_factory=list)


class Live(Output):
    """Draws each frame and hands it to ``show``."""

    def __init__(self, recogniser: Recogniser, show: Callable[[Image], None], margin: float = MARGIN) -> None:
        self._recogniser, self._show, self._margin = recogniser, show, margin
        self._tracks: dict[int, _Track] = {}
        self._shown_s: deque[float] = deque()

    def begin(self, sheet: Sheet) -> None:
        self._sheet, self._tracks = sheet, {}

    def frame(self, frame: DecodedFrame, found: Found) -> None:
        self._read(frame.image, found)
        marks = [self._mark(number, one, frame.time_ms) for number, one in found]
        when = mm_ss(self._sheet.offset_ms + frame.time_ms)
        self._show(draw(frame.image, marks, f"{when}  {self._rate():.1f} frames/s  {self._sheet.source.camera}"))

    def done(self, done: Done) -> None:
        self._tracks = {}

    def _read(self, image: Image, found: Found) -> None:
        crops: list[Image] = []
        whose: list[tuple[_Track, Detection]] = []
        for number, one in found:
            if number is None or not is_plate(one.label):
                continue
            track = self._tracks.setdefault(number, _Track())
            crop = crop_plate(image, (one.x, one.y, one.w, one.h), self._margin)
            clear = sharpness(crop) * one.w
            if clear > track.clear:
                track.clear = clear
                crops.append(crop)
                whose.append((track, one))
        for (track, one), reading in zip(whose, self._recogniser.read(crops) if crops else (), strict=True):
            weight = weigh(one.score, reading.confidences, 1.0, one.w)
            track.reads.append(Read(reading.text, reading.probabilities, weight))
            track.text = vote(track.reads, ALPHABET).text

    def _mark(self, number: int | None, one: Detection, time_ms: int) -> Mark:
        box = (one.x, one.y, one.w, one.h)
        if number is None:
            return Mark(box, f"{one.score:.2f}", None)
        track = self._tracks.setdefault(number, _Track())
        track.trace = [(at, point) for at, point in track.trace if time_ms - at <= TRACE_MS]
        track.trace.append((time_ms, stands(box, is_plate(one.label))))
        text = f"{label(one.label, track.text, self._sheet.first_id + number)}  {one.score:.2f}"
        return Mark(box, text, number, [point for _, point in track.trace], is_plate(one.label))

    def _rate(self) -> float:
        """Frames a second, by the clock, over the last seconds."""
        now = time.monotonic()
        self._shown_s.append(now)
        while now - self._shown_s[0] > RATE_OVER_S:
            self._shown_s.popleft()
        passed = now - self._shown_s[0]
        return (len(self._shown_s) - 1) / passed if passed else 0.0
