"""Renders small clips: coloured plates on a grey road, at any times, in any container and codec that PyAV
writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
ROAD = 96


def road(width: int = 320, height: int = 240) -> Image:
    return np.full((height, width, 3), ROAD, np.uint8)


def write_clip(
    path: Path,
    frames: Iterable[tuple[int, Image]],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    first_pts: int = 0,
    encoder: Mapping[str, str] | None = None,
) -> Path:
    """Writes (time in ms, BGR picture) frames; ``options`` are the container's, ``first_pts`` shifts all
    times (ms)."""
    settings = {"x265-params": "log-level=none:crf=12"} if codec == "libx265" else {"crf": "12"}
    with av.open(str(path), "w", options=dict(options or {})) as container:
        stream = container.add_stream(codec, rate=1000, options=settings | dict(encoder or {}))
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt, stream.time_base = pixels, Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_ms, image in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = time_ms + first_pts, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """A clip with sound and nothing to see."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        for start in range(0, int(seconds * 48000), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


BITS = 8


def numbered(count: int, step_ms: float, width: int = 320, height: int = 240) -> list[tuple[int, Image]]:
    """Frames that show their number in binary, as eight upright stripes, black or white, most significant
    first."""
    return [(round(k * step_ms), striped(k, width, height)) for k in range(count)]


def number_of(image: Image) -> int:
    """Which frame of `numbered` this is."""
    stripes = np.array_split(image, BITS, axis=1)
    return sum((stripe.mean() > 128) << (BITS - 1 - i) for i, stripe in enumerate(stripes))


def striped(number: int, width: int = 320, height: int = 240) -> Image:
    """A picture that shows a number below 256; `number_of` tells it."""
    stripes = np.array_split(np.zeros((height, width, 3), np.uint8), BITS, axis=1)
    lit = [np.full_like(stripe, 255 * (number >> (BITS - 1 - i) & 1)) for i, stripe in enumerate(stripes)]
    return np.hstack(lit)
