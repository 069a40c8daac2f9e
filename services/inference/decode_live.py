"""A stream from a camera: an address in, the newest frames out, by the clock. Runs in the decoding child only.

Rules
- Reading never waits for whoever looks at the frames: while `WAITING` of them are not fetched yet, newer ones are let
  go, so neither the camera's buffer nor ours lags.
- Which frame is taken goes by the clock, since a camera's own times may jump; ``time_ms`` counts from the first frame.
- What breaks off, or does not begin, is tried again after 1, 2, 4 ... 30 seconds, and ends after ``give_up_s`` without
  a picture. A video on the network, which has a length, is shown from beginning to end instead.
- An address may hold a password: it is in no text that leaves this file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import av

from services.inference.core.sampling import Sampler
from services.inference.decode_media import (
    NETWORK_SECONDS,
    ClipRefused,
    Ring,
    connected,
    name_of,
    upright_bgr,
    video_stream,
)
from services.inference.decode_wire import Ended, FromChild, Lost, Open, Picture, Started

WAITING = 2
"""Frames that wait to be fetched, at most."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0

HOPELESS = (
    av.HTTPUnauthorizedError,
    av.HTTPForbiddenError,
    av.HTTPNotFoundError,
    av.ProtocolNotFoundError,
)
"""Not tried again where there was no picture yet: the address is wrong."""

Show = Callable[[Any, Open, int, Ring, Callable[[FromChild], None]], None]


def watch(job: Open, threads: int, ring: Ring, send: Callable[[FromChild], None], show: Show) -> None:
    """Shows the stream until it is given up; ``show`` does it for a video with a length. Raises ClipRefused."""
    live = _Live(job, ring, send)
    wait_s = FIRST_WAIT_S
    while True:
        seen = live.index
        try:
            with connected(job.address) as container:
                if container.duration and not live.index:
                    show(container, job, threads, ring, send)
                    return
                live.follow(container, threads)
            why = "the stream ended"
        except MemoryError:
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            why = _reason(error)
            if isinstance(error, HOPELESS) and not live.index:
                raise ClipRefused("undecodable", why) from error
        if live.index > seen:
            wait_s = FIRST_WAIT_S
        if time.monotonic() - live.last_s + wait_s > job.give_up_s:
            live.give_up(why)
            return
        send(Lost(why, wait_s))
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _reason(error: Exception) -> str:
    if isinstance(error, av.ExitError):  # by our own time limit
        return f"nothing came for {NETWORK_SECONDS:g} s"
    return getattr(error, "strerror", None) or name_of(error)


class _Live:
    """One stream over all its connections."""

    def __init__(self, job: Open, ring: Ring, send: Callable[[FromChild], None]) -> None:
        self._job, self._ring, self._send = job, ring, send
        self._sampler = Sampler(job.fps, job.nth)
        self._slots = ring.free.qsize()
        self._size: tuple[int, int] | None = None
        self._first_s = 0.0
        self.last_s = time.monotonic()
        """When there was a frame last; at first, when we began to try."""
        self.index = 0

    def follow(self, container: Any, threads: int) -> None:
        stream = video_stream(container)
        stream.codec_context.thread_type = "SLICE"  # by frames, each would come some frames late
        stream.codec_context.thread_count = threads
        asked_s = time.monotonic()
        for packet in container.demux(stream):
            silence_s, asked_s = time.monotonic() - asked_s, time.monotonic()
            if not packet.size or silence_s >= NETWORK_SECONDS:
                continue  # the end: what libav still held back is from before the silence
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue  # until the next whole picture
            for frame in frames:
                self._take(frame)

    def give_up(self, why: str) -> None:
        if self._size is None:
            raise ClipRefused("undecodable", f"no picture within {self._job.give_up_s:g} s ({why})")
        self._send(Ended(self._elapsed_ms(self.last_s), self.index, f"given up: {why}"))

    def _take(self, frame: Any) -> None:
        self.last_s = time.monotonic()
        if frame.width * frame.height > self._job.max_pixels:
            raise ClipRefused("too-large", f"frames of {frame.width} x {frame.height} exceed the limit")
        if self._size is None:
            self._first_s = self.last_s
        time_ms = self._elapsed_ms(self.last_s)
        if self._slots - self._ring.free.qsize() >= WAITING or not self._sampler.takes(time_ms):
            return
        image = upright_bgr(frame, self._size, self._job.max_width)
        if self._size is None:
            self._size = image.shape[1], image.shape[0]
            self._send(Started(*self._size, 0))
        self._send(Picture(self._ring.put(image), self.index, time_ms))
        self.index += 1

    def _elapsed_ms(self, now_s: float) -> int:
        return round((now_s - self._first_s) * 1000)
