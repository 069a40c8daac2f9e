"""The child process that opens media: paths in over a socket, BGR frames out over a shared ring. Started by
`decode`.

Rules
- It holds no secret and no open file but the socket, the ring and the clip; its memory is limited.
- Only local files in known containers are opened, so a playlist posing as a clip reaches neither network nor
  other files.
- A thread listens to the parent all the time: where the socket closes, because the parent closed it or was
  killed, the child ends at once, even in the middle of a frame.
- A fault of libav beyond repair may take the child down; the parent then starts another one.
"""

from __future__ import annotations

import mmap
import os
import queue
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from services.inference.core.sampling import Sampler, relative_ms
from services.inference.decode_wire import Ended, FromChild, Open, Picture, Ready, Refused, Started, encode, to_child

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi,flv,mpeg"
_MEMORY_FAULT = 77  # exit status: the memory limit was hit


class ClipRefused(Exception):
    """The clip can never be decoded."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass
class Timeline:
    """Times of the frames of one clip, in whole milliseconds from the first."""

    first_pts: int | None = None
    decoded: int = 0
    last_ms: int = 0
    last_duration_ms: int = 0

    def add(self, frame: Any, time_base: Fraction) -> int:
        """Notes a decoded frame and gives its time."""
        if self.first_pts is None:
            self.first_pts = frame.pts
        time_ms = relative_ms(frame.pts, self.first_pts, time_base)
        self.decoded += 1
        self.last_ms = max(self.last_ms, time_ms)
        self.last_duration_ms = round((getattr(frame, "duration", 0) or 0) * time_base * 1000)
        return time_ms

    @property
    def duration_ms(self) -> int:
        """To the end of the last frame, which lasts as long as it says, else as long as the frames do on
        average."""
        average = round(self.last_ms / (self.decoded - 1)) if self.decoded > 1 else 0
        return self.last_ms + max(self.last_duration_ms, average)


@dataclass
class Ring:
    """The shared memory, from the child's side."""

    memory: mmap.mmap
    slot_bytes: int
    free: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def put(self, image: NDArray[np.uint8]) -> int:
        """Waits for a free slot and writes the picture there."""
        slot = self.free.get()
        target = np.frombuffer(self.memory, np.uint8, image.size, slot * self.slot_bytes)
        target.reshape(image.shape)[...] = image
        return slot


def decode(job: Open, threads: int, ring: Ring, send: Callable[[FromChild], None]) -> None:
    """Decodes one clip and says so; a clip that cannot be decoded ends with `Refused`."""
    try:
        _decode(job, threads, ring, send)
    except ClipRefused as refusal:
        send(Refused(refusal.reason, refusal.detail))


def _decode(job: Open, threads: int, ring: Ring, send: Callable[[FromChild], None]) -> None:
    sampler, timeline, index = Sampler(job.fps), Timeline(), 0
    size: tuple[int, int] | None = None
    problems: list[str] = []
    with _opened(job.path) as container:
        stream = _video_stream(container)
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        claimed_ms = _claimed_ms(container, stream)
        for frame in _frames(container, stream, problems):
            time_ms = timeline.add(frame, frame.time_base or stream.time_base)
            _within_limits(frame, time_ms, timeline.decoded, job)
            if not sampler.takes(time_ms):
                continue
            image = _upright_bgr(frame, size)
            if size is None:
                size = image.shape[1], image.shape[0]
                send(Started(size[0], size[1], claimed_ms))
            send(Picture(ring.put(image), index, time_ms))
            index += 1
    if index == 0:
        raise ClipRefused("undecodable", _why_nothing(problems))
    if claimed_ms and timeline.duration_ms < 0.9 * claimed_ms - 500:
        problems.append(f"ends after {timeline.duration_ms} of {claimed_ms} ms")
    send(Ended(timeline.duration_ms, timeline.decoded, "; ".join(problems)))


def _opened(path: str) -> Any:
    try:
        return av.open(path, options={"protocol_whitelist": "file", "format_whitelist": FORMATS})
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ClipRefused(
            "undecodable",
            f"libav cannot open the clip ({_name(error)}): it is no video file, or it is cut off",
        ) from error


def _video_stream(container: Any) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise ClipRefused("undecodable", "libav has no decoder for the video in the clip")
            return stream
    raise ClipRefused("no-video", "the clip has no video stream")


def _frames(container: Any, stream: Any, problems: list[str]) -> Iterator[Any]:
    """Frames with a time, in the order they are shown. Broken packets are skipped, a broken tail ends the
    clip."""
    broken = untimed = 0
    for packet in _packets(container, stream, problems):
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except (av.FFmpegError, OSError, ValueError):
            broken += 1
            continue
        untimed += sum(frame.pts is None for frame in frames)
        yield from (frame for frame in frames if frame.pts is not None)
    if broken:
        problems.append(f"{broken} broken packets")
    if untimed:
        problems.append(f"{untimed} frames without a time")


def _packets(container: Any, stream: Any, problems: list[str]) -> Iterator[Any]:
    try:
        yield from container.demux(stream)
    except MemoryError:
        raise
    except (av.FFmpegError, OSError) as error:
        problems.append(f"cannot be read to its end ({_name(error)})")


def _within_limits(frame: Any, time_ms: int, decoded: int, job: Open) -> None:
    if frame.width * frame.height > job.max_pixels:
        raise ClipRefused(
            "too-large",
            f"frames of {frame.width} x {frame.height} exceed the limit of {job.max_pixels} pixels",
        )
    if time_ms > job.max_seconds * 1000 or decoded > job.max_frames:
        raise ClipRefused("too-long", f"the clip exceeds the limit of {job.max_seconds} s or {job.max_frames} frames")


def _upright_bgr(frame: Any, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """The frame as the recorder wants it shown, (h, w, 3). A size that changes within a clip is brought to
    the first."""
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    if size is not None:
        width, height = size if turns % 2 == 0 else size[::-1]
        frame = frame.reformat(width=width, height=height, format="bgr24")
    image: NDArray[np.uint8] = frame.to_ndarray(format="bgr24")
    return np.rot90(image, turns) if turns else image


def _claimed_ms(container: Any, stream: Any) -> int:
    """How long the container says it is, 0 where it does not."""
    length = Fraction(container.duration or 0, 1_000_000)
    if stream.duration and stream.time_base:
        length = stream.duration * stream.time_base
    return round(length * 1000)


def _why_nothing(problems: list[str]) -> str:
    return f"no frame of the clip can be decoded: {'; '.join(problems) or 'its video stream is empty'}"


def _name(error: BaseException) -> str:
    return type(error).__name__


def _listen(connection: Connection, jobs: queue.SimpleQueue[Open], ring: Ring) -> None:
    try:
        while True:
            message = to_child(connection.recv_bytes())
            if isinstance(message, Open):
                jobs.put(message)
            else:
                ring.free.put(message.slot)
    except (EOFError, OSError):
        os._exit(0)


class ParentGone(Exception):
    """Nobody listens any more."""


def _sender(connection: Connection) -> Callable[[FromChild], None]:
    def send(message: FromChild) -> None:
        try:
            connection.send_bytes(encode(message))
        except OSError as error:
            raise ParentGone from error

    return send


def _limit_memory(memory_mb: int) -> None:
    """Limits the address space to what the process has now and ``memory_mb`` more."""
    statm = Path("/proc/self/statm")
    now = int(statm.read_text().split()[0]) * mmap.PAGESIZE if statm.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (now + (memory_mb << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(socket: int, memory: int, slots: int, slot_size: int, memory_mb: int, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's business
    av.logging.set_level(av.logging.PANIC)
    connection = Connection(socket)
    send = _sender(connection)
    ring = Ring(mmap.mmap(memory, slots * slot_size), slot_size)
    for slot in range(slots):
        ring.free.put(slot)
    jobs: queue.SimpleQueue[Open] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs, ring), daemon=True).start()
    _limit_memory(memory_mb)
    try:
        send(Ready())
        while True:
            decode(jobs.get(), threads, ring, send)
    except MemoryError:
        os._exit(_MEMORY_FAULT)
    except ParentGone:
        os._exit(0)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
