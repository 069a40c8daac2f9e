"""What the decoding child does with media: opening, demuxing, times, upright BGR frames. Runs in the child only.

Rules
- A file is opened in known containers alone and from this machine alone, so a playlist posing as a clip reaches
  neither network nor other files. Only an address that a person named is opened over the network.
- Whoever catches an error of libav lets MemoryError pass: it ends the child, which then is replaced.
"""

from __future__ import annotations

import mmap
import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from services.inference.core.sampling import relative_ms
from services.inference.decode_wire import Open

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi,flv,mpeg"
_LIVE_FORMATS = f"{FORMATS},rtsp,rtp,sdp,hls,mpjpeg,mjpeg,h264,hevc"
_LIVE_PROTOCOLS = "http,https,tls,tcp,udp,rtp,rtsp,rtsps,rtmp,rtmps,crypto,hls,httpproxy"
NETWORK_SECONDS = 10.0
"""So long may a camera say nothing."""
UNTIMED_MS = 40
"""What a frame lasts that does not say when it is shown: 25 a second."""


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
        follows_ms = self.last_ms + (self.last_duration_ms or UNTIMED_MS) if self.decoded else 0
        if self.first_pts is None and frame.pts is not None:
            self.first_pts = frame.pts - round(Fraction(follows_ms, 1000) / time_base)
        time_ms = follows_ms
        if frame.pts is not None and self.first_pts is not None:
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


def opened(path: str) -> Any:
    try:
        return av.open(path, options={"protocol_whitelist": "file", "format_whitelist": FORMATS})
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ClipRefused(
            "undecodable",
            f"libav cannot open the clip ({name_of(error)}): it is no video file, or it is cut off",
        ) from error


def connected(address: str) -> Any:
    """A stream or a video on the network. Raises av.FFmpegError, OSError: whoever asks may try again."""
    options = {
        "protocol_whitelist": _LIVE_PROTOCOLS,
        "format_whitelist": _LIVE_FORMATS,
        "rtsp_transport": "tcp",
        "fpsprobesize": "0",  # or it looks at a second of frames for a rate that nobody asks for
    }
    return av.open(address, options=options, timeout=(NETWORK_SECONDS, NETWORK_SECONDS))


def video_stream(container: Any) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise ClipRefused("undecodable", "libav has no decoder for the video in the clip")
            return stream
    raise ClipRefused("no-video", "the clip has no video stream")


def frames_of(container: Any, stream: Any, problems: list[str]) -> Iterator[Any]:
    """Frames in the order they are shown. Broken packets are skipped, a broken tail ends the clip."""
    broken = untimed = 0
    for packet in packets_of(container, stream, problems):
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except (av.FFmpegError, OSError, ValueError):
            broken += 1
            continue
        untimed += sum(frame.pts is None for frame in frames)
        yield from frames
    if broken:
        problems.append(f"{broken} broken packets")
    if untimed:
        problems.append(f"{untimed} frames without a time, taken to be {1000 // UNTIMED_MS} a second")


def packets_of(container: Any, stream: Any, problems: list[str]) -> Iterator[Any]:
    try:
        yield from container.demux(stream)
    except MemoryError:
        raise
    except (av.FFmpegError, OSError) as error:
        problems.append(f"cannot be read to its end ({name_of(error)})")


def within_limits(frame: Any, time_ms: int, decoded: int, job: Open) -> None:
    if frame.width * frame.height > job.max_pixels:
        raise ClipRefused(
            "too-large",
            f"frames of {frame.width} x {frame.height} exceed the limit of {job.max_pixels} pixels",
        )
    if time_ms > job.max_seconds * 1000 or decoded > job.max_frames:
        raise ClipRefused("too-long", f"the clip exceeds the limit of {job.max_seconds} s or {job.max_frames} frames")


def upright_bgr(frame: Any, size: tuple[int, int] | None, max_width: int) -> NDArray[np.uint8]:
    """The frame as the recorder wants it shown, (h, w, 3), not wider than ``max_width`` (0: as wide as it is). A size
    that changes within a clip is brought to the first."""
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    shown = (frame.width, frame.height) if turns % 2 == 0 else (frame.height, frame.width)
    size = size or narrowed(*shown, max_width)
    width, height = size if turns % 2 == 0 else size[::-1]
    frame = frame.reformat(width=width, height=height, format="bgr24")
    image: NDArray[np.uint8] = frame.to_ndarray(format="bgr24")
    return np.rot90(image, turns) if turns else image


def narrowed(width: int, height: int, max_width: int) -> tuple[int, int]:
    """The size of a picture that may be so wide at most; its shape stays."""
    if not max_width or width <= max_width:
        return width, height
    return max_width, max(1, round(height * max_width / width))


def claimed_ms(container: Any, stream: Any) -> int:
    """How long the container says it is, 0 where it does not."""
    length = Fraction(container.duration or 0, 1_000_000)
    if stream.duration and stream.time_base:
        length = stream.duration * stream.time_base
    return round(length * 1000)


def why_nothing(problems: list[str]) -> str:
    return f"no frame of the clip can be decoded: {'; '.join(problems) or 'its video stream is empty'}"


def name_of(error: BaseException) -> str:
    return type(error).__name__
