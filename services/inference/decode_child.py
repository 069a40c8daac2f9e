"""The child process that opens media: paths in over a socket, BGR frames out over a shared ring. Started by
`decode`.

Rules
- It holds no secret and no open file but the socket, the ring and the clip; its memory is limited.
- What a job names is one of three: a file (`decode_media`), a row of photos (`decode_photos`), an address on the
  network (`decode_live`); the services only ever name files.
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
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av

from services.inference import decode_live, decode_photos
from services.inference.core.sampling import Sampler
from services.inference.decode_media import (
    ClipRefused,
    Ring,
    Timeline,
    claimed_ms,
    frames_of,
    opened,
    upright_bgr,
    video_stream,
    why_nothing,
    within_limits,
)
from services.inference.decode_wire import (
    NO_MORE,
    Ended,
    FromChild,
    Open,
    Picture,
    Ready,
    Refused,
    Started,
    encode,
    to_child,
)

_MEMORY_FAULT = 77  # exit status: the memory limit was hit


def decode(job: Open, threads: int, ring: Ring, send: Callable[[FromChild], None]) -> None:
    """Decodes one clip and says so; a clip that cannot be decoded ends with `Refused`."""
    try:
        if job.photos:
            decode_photos.show(job, ring, send)
        elif job.address:
            decode_live.watch(job, threads, ring, send, _show)
        else:
            with opened(job.path) as container:
                _show(container, job, threads, ring, send)
    except ClipRefused as refusal:
        send(Refused(refusal.reason, refusal.detail))


def _show(container: Any, job: Open, threads: int, ring: Ring, send: Callable[[FromChild], None]) -> None:
    """A video from beginning to end."""
    sampler, timeline, index = Sampler(job.fps, job.nth), Timeline(), 0
    size: tuple[int, int] | None = None
    problems: list[str] = []
    stream = video_stream(container)
    stream.codec_context.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    claims_ms = claimed_ms(container, stream)
    for frame in frames_of(container, stream, problems):
        time_ms = timeline.add(frame, frame.time_base or stream.time_base)
        within_limits(frame, time_ms, timeline.decoded, job)
        if not sampler.takes(time_ms) or time_ms < job.from_ms:
            continue
        image = upright_bgr(frame, size, job.max_width)
        if size is None:
            size = image.shape[1], image.shape[0]
            send(Started(size[0], size[1], claims_ms, float(stream.average_rate or 0)))
        send(Picture(ring.put(image), index, time_ms))
        index += 1
    if index == 0 and job.from_ms and timeline.decoded:
        raise ClipRefused(NO_MORE, "nothing of the clip is left")
    if index == 0:
        raise ClipRefused("undecodable", why_nothing(problems))
    if claims_ms and timeline.duration_ms < 0.9 * claims_ms - 500:
        problems.append(f"ends after {timeline.duration_ms} of {claims_ms} ms")
    send(Ended(timeline.duration_ms, timeline.decoded, "; ".join(problems)))


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
