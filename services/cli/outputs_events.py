"""Lines about each plate as it comes, and how long frames took: what scrolls by on the console.

| word | meaning |
|---|---|
| EMIT | a plate has left the picture and is read |
| UPDATE | its reading changed, because two tracks turned out to be one vehicle |
| SKIP | no passage after all: too little of it could be read, or it was part of another one |
| OK | the recording is done |
"""

from __future__ import annotations

from collections.abc import Callable

from services.cli.outputs_port import Done, Output, Sheet, mm_ss
from services.inference.follow import Followed
from services.inference.models.detector import is_plate


class EventLines(Output):
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def begin(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._told: list[tuple[int, int, str]] = []
        """Of each track that was told: first and last event time, text."""

    def read(self, track: Followed) -> None:
        first, last = track.observations[0].time_ms, track.observations[-1].time_ms
        name = track.reading.text if is_plate(track.label) else track.label
        if name:
            self._told.append((first, last, name))
            self._say(f"EMIT    {self._span(first, last)}  {name}  conf={track.reading.confidence:.2f}")

    def done(self, done: Done) -> None:
        left = list(self._told)
        for passage, _ in done.passages:
            name = passage.plate or passage.label
            inside = [t for t in left if passage.first_seen_ms <= t[0] and t[1] <= passage.last_seen_ms]
            same = [t for t in inside if t[2] == name] or inside[:1]
            span = self._span(passage.first_seen_ms, passage.last_seen_ms)
            if not same or (passage.first_seen_ms, passage.last_seen_ms, name) not in same:
                self._say(f"UPDATE  {span}  {name}  conf={passage.confidence:.2f}")
            for one in same:
                left.remove(one)
        for first, last, name in left:
            self._say(f"SKIP    {self._span(first, last)}  {name}")
        self._say(f"OK      {done.sheet.source.name} ({len(done.passages)} rows)")

    def _span(self, first_ms: int, last_ms: int) -> str:
        return f"{mm_ss(first_ms - self._sheet.origin_ms)} -> {mm_ss(last_ms - self._sheet.origin_ms)}"


class Latency(Output):
    """How long a frame takes: finding, following, reading, without waiting for it."""

    def __init__(self) -> None:
        self._frames = 0
        self._seconds = self._slowest = 0.0

    def done(self, done: Done) -> None:
        seconds = done.result.seconds
        self._frames += done.result.frames
        self._seconds += sum(seconds.get(stage, 0.0) for stage in ("detect", "track", "read"))
        self._slowest = max(self._slowest, done.result.slowest_frame_s)

    def close(self) -> str:
        if not self._frames:
            return "latency_ms: no frames"
        return (
            f"latency_ms avg={1000 * self._seconds / self._frames:.1f} max={1000 * self._slowest:.1f} "
            f"(frames={self._frames})"
        )
