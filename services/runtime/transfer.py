"""Bytes of a recording from a stream to a file: size limit, gzip, time limit, SHA-256; never all in memory.

Rules
- What one way to a recording meets is an `Obstacle`; only the client that knows all ways turns obstacles into
  an instruction for the loop. Too large and empty are final at once: no other way gives other bytes.
- A stream that breaks off is an obstacle which may heal, never a short file.
- A disk that cannot be written to is nobody's fault who sent a message: Retry until an operator makes room.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

from services.runtime.errors import Reject, Retry

PIECE = 1 << 20
"""Bytes that decompression yields at most at a time, so that a small bomb stays small in memory."""
TIME_LIMIT_S = 600.0
"""A transfer that takes longer is given up: a peer that drips bytes must not hold a worker for ever."""


class Obstacle(IntEnum):
    """Why one way failed; the smallest of several decides, for it gives the most hope."""

    UNAVAILABLE = 0
    """May heal: no answer, 5xx, a broken stream."""
    REFUSED = 1
    """Not with these keys."""
    GONE = 2
    """No such recording."""
    NOT_ALLOWED = 3
    """A host that is not on the allow-list."""
    UNEXPECTED = 4
    """An answer that makes no sense to us."""


class WayFailed(Exception):
    """One way to the recording failed. ``status`` is the HTTP status, None where there was no answer."""

    def __init__(self, obstacle: Obstacle, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.obstacle, self.detail, self.status = obstacle, detail, status


@dataclass(frozen=True, slots=True)
class Saved:
    """What lies in the file now."""

    size: int
    sha256: str


def save(chunks: Iterable[bytes], into: Path, limit: int) -> Saved:
    """Writes a stream to ``into``. Reject ``too-large`` beyond ``limit`` bytes, ``empty`` for none."""
    digest, size = hashlib.sha256(), 0
    try:
        with into.open("wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    reject_too_large(limit)
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise disk_failed(error, into) from error
    if not size:
        raise Reject("empty", "the recording has 0 bytes: the camera or its upload failed")
    return Saved(size, digest.hexdigest())


def reject_too_large(limit: int) -> NoReturn:
    raise Reject("too-large", f"the recording is larger than the limit of {limit} bytes; raise the limit to admit it")


def disk_failed(error: OSError, path: Path) -> Retry:
    """The instruction for a disk that cannot be written to or read from."""
    why = error.strerror or type(error).__name__
    return Retry("disk-failed", f"cannot write {path.parent}: {why}; make room or repair the disk", lambda: False)


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompresses a gzip stream piece by piece. WayFailed where it is none or breaks off."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            while chunk:
                if inflater.eof:
                    inflater = zlib.decompressobj(wbits=31)
                yield inflater.decompress(chunk, PIECE)
                chunk = inflater.unconsumed_tail or inflater.unused_data
        yield inflater.flush()
    except zlib.error as error:
        raise WayFailed(Obstacle.UNAVAILABLE, "the answer is not the gzip stream that it claims to be") from error
    if not inflater.eof:
        raise WayFailed(Obstacle.UNAVAILABLE, "the gzip stream broke off")


def within(
    chunks: Iterable[bytes], limit_s: float = TIME_LIMIT_S, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """The same stream; WayFailed once it has taken longer than ``limit_s`` seconds."""
    until = clock() + limit_s
    for chunk in chunks:
        if clock() > until:
            raise WayFailed(Obstacle.UNAVAILABLE, f"the transfer took longer than {limit_s:.0f} s")
        yield chunk
