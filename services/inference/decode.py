"""Decoding: the path of a clip in, frames by presentation time out. The parent's side; `decode_child` opens
the media.

Rules
- The child is spawned, never forked, serves one clip after another, and is replaced after a fault: when it
  dies, runs out of memory, or keeps its reader waiting too long. A clip gets two tries; then it is
  `Reject("undecodable")`.
- Frames come over a ring of shared memory that has no name, so nothing is left behind however either side
  ends. The ring is bounded: the child decodes at most that many frames ahead.
- The child gets no environment but what Python needs, so it knows no secret.
- A frame's time counts from the first video frame of the clip, in whole milliseconds.
"""

from __future__ import annotations

import math
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.inference.decode_wire import (
    Ended,
    FromChild,
    Limits,
    Lost,
    Open,
    Picture,
    Ready,
    Refused,
    Release,
    Started,
    ToChild,
    encode,
    from_child,
    slot_bytes,
)
from services.runtime import metrics
from services.runtime.errors import Reject, Stop

_TRIES = 2
_START_SECONDS = 60.0
_STOP_SECONDS = 0.2
"""How long it may take until somebody is heard who stops us."""
_LONGEST_POLL_S = 86_400.0
STOPPED = "stopped before its end"
"""`Ended.note` of a clip that somebody stopped."""
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "HOME", "TMPDIR")


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One sampled frame: its number from 0, its time from the first frame, and its picture, (h, w, 3) BGR."""

    index: int
    time_ms: int
    image: NDArray[np.uint8]


class ChildFault(Exception):
    """The child died, hung or talked nonsense. It is replaced. ``reason`` (ended, slow, nonsense) is a
    metric label."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Stopped(Exception):
    """Somebody wants no more frames of this clip; raised where there was none yet."""


class Decoder:
    """Decodes clips, also several at a time in several threads: each has a child of its own.

    ``threads`` is libav's number of threads for one clip, 0 for all cores. Close it at the end.
    """

    def __init__(self, limits: Limits | None = None, threads: int = 0, slots: int = 8) -> None:
        self._limits = limits or Limits()
        self._threads = threads
        self._slots = slots
        self._idle: list[Child] = []

    def open(self, path: Path, fps: float = 15.0, max_width: int = 0, from_ms: int = 0, nth: int = 0) -> ClipFrames:
        """The frames of a clip, sampled at ``fps`` (0: all), or every ``nth``. FileNotFoundError; its iteration raises
        Reject."""
        if not path.is_file():
            raise FileNotFoundError(f"no such clip: {path}")
        return self._frames(self._job(str(path.absolute()), fps, max_width=max_width, from_ms=from_ms, nth=nth))

    def open_photos(self, paths: Sequence[Path], photo_ms: float, max_width: int = 0) -> ClipFrames:
        """Photos as the frames of one clip, ``photo_ms`` apart, up to the first of another size (`Ended.rest`)."""
        photos = tuple(str(path.absolute()) for path in paths)
        return self._frames(self._job("", 0, max_width=max_width, photos=photos, photo_ms=photo_ms))

    def open_address(self, address: str, fps: float, give_up_s: float, max_width: int = 0, nth: int = 0) -> ClipFrames:
        """What comes from a camera's address, by the clock and without end; a video there, like a clip."""
        job = self._job("", fps, max_width=max_width, address=address, give_up_s=give_up_s, nth=nth)
        return ClipFrames(self, job, math.inf)

    def _job(self, path: str, fps: float, **more: Any) -> Open:
        limits = self._limits
        return Open(path, fps, limits.max_pixels, limits.max_seconds, limits.max_frames, **more)

    def _frames(self, job: Open) -> ClipFrames:
        return ClipFrames(self, job, self._limits.wait_seconds)

    def take(self) -> Child:
        """A child that nobody uses; started where there is none."""
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            child.close()
        return Child(self._slots, self._limits, self._threads)

    def give_back(self, child: Child) -> None:
        self._idle.append(child)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Frames(Protocol):
    """An iteration over the sampled frames of one clip, once. ``info`` is known from the first frame on,
    ``end`` after the last."""

    info: Started | None
    end: Ended | None

    def __iter__(self) -> Iterator[DecodedFrame]: ...


class ClipFrames:
    """`Frames` from a child. ``stopped``, where it is set, is asked all the time: once it says yes, the clip ends
    there, as if it were no longer. ``told`` hears why a stream broke off and in how many seconds it is tried again."""

    def __init__(self, decoder: Decoder, job: Open, wait_seconds: float) -> None:
        self._decoder, self._job, self._wait = decoder, job, wait_seconds
        self._next = self._last_ms = 0
        self.info: Started | None = None
        self.end: Ended | None = None
        self.stopped: Callable[[], bool] | None = None
        self.told: Callable[[Lost], None] | None = None

    def __iter__(self) -> Iterator[DecodedFrame]:
        for tries_left in reversed(range(_TRIES)):
            child = self._decoder.take()
            try:
                yield from self._attempt(child)
            except ChildFault as fault:
                child.close()
                metrics.DECODER_RESTARTS.labels(fault.reason).inc()
                if not tries_left:
                    raise Reject("undecodable", f"the decoder failed twice on this clip: {fault}") from fault
            except Reject:
                self._decoder.give_back(child)
                raise
            except Stopped:
                child.close()
                if self.info is None:
                    raise
                self.end = Ended(self._last_ms, self._next, STOPPED)
                return
            except BaseException:  # left early: it is still decoding ahead
                child.close()
                raise
            else:
                self._decoder.give_back(child)
                return

    def _attempt(self, child: Child) -> Iterator[DecodedFrame]:
        allowance = _Allowance(self._wait)
        child.send(self._job)
        while True:
            message = child.receive(allowance, self.stopped)
            if isinstance(message, Started):
                self.info = message
            elif isinstance(message, Lost):
                if self.told is not None:
                    self.told(message)
            elif isinstance(message, Picture):
                image = child.take(message, self.info)
                if message.index == self._next:  # a second try repeats what the first gave
                    self._next, self._last_ms = self._next + 1, message.time_ms
                    yield DecodedFrame(message.index, message.time_ms, image)
            elif isinstance(message, Refused):
                raise Reject(message.reason, message.detail)
            elif isinstance(message, Ended):
                self.end = message
                return


class _Allowance:
    """Seconds that may still be spent waiting."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds


class Child:
    """The process, its socket, and the ring."""

    def __init__(self, slots: int, limits: Limits, threads: int) -> None:
        self._slots, self._slot_bytes = slots, slot_bytes(limits.max_pixels)
        memory = _nameless_file(slots * self._slot_bytes)
        ours, theirs = socket.socketpair()
        arguments = (theirs.fileno(), memory, slots, self._slot_bytes, limits.memory_mb, threads)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.inference.decode_child", *map(str, arguments)],
                pass_fds=(theirs.fileno(), memory), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                env=_environment(), start_new_session=True,
            )  # fmt: skip
            self._ring = mmap.mmap(memory, slots * self._slot_bytes)
        finally:
            theirs.close()
            os.close(memory)
        self._connection = Connection(ours.detach())
        self._await_ready()

    def _await_ready(self) -> None:
        try:
            if isinstance(self.receive(_Allowance(_START_SECONDS)), Ready):
                return
            problem = "it talks nonsense"
        except ChildFault as fault:
            problem = str(fault)
        self.close()
        raise Stop(f"the decoding process cannot start: {problem}; its own words are in the log")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: ToChild) -> None:
        try:
            self._connection.send_bytes(encode(message))
        except OSError as error:
            raise ChildFault("ended", f"the decoding process ended ({self._status()})") from error

    def receive(self, allowance: _Allowance, stopped: Callable[[], bool] | None = None) -> FromChild:
        """Raises ChildFault; Stopped as soon as ``stopped`` says so."""
        started = time.monotonic()
        try:
            while not self._poll(started + allowance.left, stopped):
                if time.monotonic() >= started + allowance.left:
                    raise ChildFault("slow", "the decoding process took longer than the time limit")
            return from_child(self._connection.recv_bytes(1 << 16))
        except (EOFError, OSError) as error:
            raise ChildFault("ended", f"the decoding process ended ({self._status()})") from error
        except msgspec.MsgspecError as error:
            raise ChildFault("nonsense", "the decoding process sent nonsense") from error
        finally:
            allowance.left -= time.monotonic() - started

    def _poll(self, until_s: float, stopped: Callable[[], bool] | None) -> bool:
        """Whether there is a message; asked for a while only, where somebody may stop us."""
        if stopped is not None and stopped():
            raise Stopped
        left = max(until_s - time.monotonic(), 0.0)
        return self._connection.poll(min(left, _LONGEST_POLL_S if stopped is None else _STOP_SECONDS))

    def take(self, picture: Picture, info: Started | None) -> NDArray[np.uint8]:
        """Copies a picture out of the ring and frees its slot."""
        if info is None or not 0 <= picture.slot < self._slots:
            raise ChildFault("nonsense", "the decoding process sent a picture out of place")
        size = info.width * info.height * 3
        if not 0 < size <= self._slot_bytes:
            raise ChildFault("nonsense", "the decoding process sent a picture of a wrong size")
        start = picture.slot * self._slot_bytes
        image = np.frombuffer(self._ring, np.uint8, size, start).reshape(info.height, info.width, 3).copy()
        self.send(Release(picture.slot))
        return image

    def close(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._ring.close()

    def _status(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its socket"
        return f"signal {-code}" if code < 0 else f"exit status {code}"


def _nameless_file(size: int) -> int:
    """A descriptor of shared memory without a name: gone when the last process that holds it ends."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("plateflow-frames")
    else:  # not Linux
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    # One thread each: the child only copies arrays, and every idle pool would eat of its address space.
    return kept | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
