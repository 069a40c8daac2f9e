"""A camera's address: what of it may be shown, what its camera is called, and its stream cut into recordings.

Rules
- An address may hold a user, a password, a key in its query: none of it is ever shown, logged or written.
- A stream has no end, so it is taken as recordings of a minute, as Kerberos' agents store one: all that comes of a
  minute is written when it is over. A vehicle across the boundary is a chain of two passages, as there.
- The clock says when it begins; from then on its frames' times count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.inference.decode import ClipFrames, DecodedFrame
from services.inference.decode_wire import Ended, Started

SEGMENT_MS = 60_000
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a camera streams. Its text shows no secret."""

    address: str

    def __repr__(self) -> str:
        return f"Stream({self.shown})"

    @property
    def shown(self) -> str:
        return shown(self.address)


def is_address(name: str) -> bool:
    return _ADDRESS.match(name) is not None


def shown(address: str) -> str:
    """The address without user, password and query."""
    if not is_address(address):
        return address
    parts = urlsplit(address)
    port = f":{parts.port}" if _port(address) else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def camera_of(address: str) -> str:
    """``rtsp://u:p@10.0.0.5:554/live/gate?x=y`` is ``10.0.0.5/live-gate``."""
    parts = urlsplit(address)
    path = "-".join(re.sub(r"[^\w.-]+", "_", part) for part in parts.path.split("/") if part.strip(". "))
    return f"{parts.hostname or 'stream'}/{path or 'stream'}"


def _port(address: str) -> int | None:
    try:
        return urlsplit(address).port
    except ValueError:
        return None


class Segments:
    """The frames of a stream, minute by minute. `more` says whether another minute begins."""

    def __init__(self, frames: ClipFrames, length_ms: int = SEGMENT_MS) -> None:
        self.frames, self.length_ms = frames, length_ms
        self._source = iter(frames)
        self._first: DecodedFrame | None = None

    def more(self) -> bool:
        """Waits for the next frame. Raises Reject where the stream never showed one."""
        if self._first is None:
            self._first = next(self._source, None)
        return self._first is not None

    def next(self) -> Segment:
        assert self._first is not None, "ask `more` first"
        return Segment(self, self._first)

    def take(self) -> DecodedFrame | None:
        self._first = next(self._source, None)
        return self._first


class Segment:
    """`services.inference.decode.Frames` of one minute; times count from its first frame."""

    def __init__(self, stream: Segments, first: DecodedFrame) -> None:
        self._stream, self._first = stream, first
        self.begins_ms = first.time_ms
        """Since the stream began."""
        self.info: Started | None = stream.frames.info
        self.end: Ended | None = None

    def __iter__(self) -> Iterator[DecodedFrame]:
        frame: DecodedFrame | None = self._first
        index = last_ms = 0
        while frame is not None and frame.time_ms - self.begins_ms < self._stream.length_ms:
            last_ms = frame.time_ms - self.begins_ms
            yield DecodedFrame(index, last_ms, frame.image)
            index += 1
            frame = self._stream.take()
        ended = self._stream.frames.end
        duration_ms = last_ms if frame is None else frame.time_ms - self.begins_ms
        self.end = Ended(min(duration_ms, self._stream.length_ms), index, ended.note if ended is not None else "")
