"""Frames a second of decoding: our child process, PyAV and OpenCV in this one, torchcodec and ffmpeg where they are.

Every variant decodes all frames of the same clips on all cores; ours, PyAV and torchcodec hand each over as BGR or RGB,
OpenCV too; ffmpeg throws them away (`-f null`), so it is the limit of decoding alone.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2

from benchmarks.harness import alternate, last_line, medians, table
from benchmarks.workload import Clip, clip
from services.inference.decode import Decoder

ALL = 0.0  # frames a second to sample: every frame


def _rate(count: Callable[[], int]) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        return count() / (time.perf_counter() - began)

    return once


def _pyav(path: Path) -> int:
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for frame in container.decode(stream) if frame.to_ndarray(format="bgr24") is not None)


def _opencv(path: Path) -> int:
    capture, frames = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        frames += 1
    return frames


def _torchcodec(path: Path) -> int:
    from torchcodec.decoders import VideoDecoder

    return sum(1 for _ in VideoDecoder(str(path), num_ffmpeg_threads=0))


def _ffmpeg(path: Path, frames: int) -> int:
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"], check=True)
    return frames


def _variants(path: Path, frames: int, decoder: Decoder) -> tuple[dict[str, Callable[[], int]], list[str]]:
    variants: dict[str, Callable[[], int]] = {
        "plateflow": lambda: sum(1 for _ in decoder.open(path, ALL)),
        "plateflow, 5 of 25 frames": lambda: sum(1 for _ in decoder.open(path, 5.0)) * 5,
        "PyAV": lambda: _pyav(path),
        "OpenCV": lambda: _opencv(path),
    }
    skipped = []
    if importlib.util.find_spec("torchcodec") is None:
        skipped.append("torchcodec: pip install 'plateflow[gpu]'")
    else:
        try:
            _torchcodec(path)
            variants["torchcodec"] = lambda: _torchcodec(path)
        except (ImportError, RuntimeError, OSError) as error:  # it needs FFmpeg's libraries of its own kind
            skipped.append(f"torchcodec: {str(error).strip().splitlines()[0]}")
    if shutil.which("ffmpeg") is None:
        skipped.append("ffmpeg: not installed")
    else:
        variants["ffmpeg -f null"] = lambda: _ffmpeg(path, frames)
    return variants, skipped


def run(quick: bool) -> str:
    """A table for each clip, and the JSON line."""
    clips = (
        [Clip(720, "h264", 1, 0.4)] if quick else [Clip(h, c, 1, 2.0) for h in (1080, 720) for c in ("h264", "hevc")]
    )
    tables, fields, skipped = [], {}, []
    with Decoder() as decoder:
        for wanted in clips:
            variants, skipped = _variants(clip(wanted), wanted.frames, decoder)
            figures = alternate({name: _rate(one) for name, one in variants.items()}, 1 if quick else 5)
            middle = medians(figures)
            tables.append(table(wanted.name, "frames/s", figures))
            fields[f"{wanted.height}p_{wanted.codec}"] = {name: round(value, 1) for name, value in middle.items()}
    more = {"skipped": "; ".join(skipped)} if skipped else {}
    return "\n".join([*tables, last_line("decode", {"frames_per_second": fields} | more)])
