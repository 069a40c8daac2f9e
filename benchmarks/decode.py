"""Frames a second of decoding: our child process, PyAV and OpenCV in this one, torchcodec and ffmpeg where they are.

Every variant goes through all frames of the same clips on all cores. Ours, PyAV, OpenCV and torchcodec hand each frame
over as BGR or RGB; where it says "sampled", only 5 of 25. ffmpeg throws them away (`-f null`), so it is the limit of
decoding alone. "Without non-reference frames" tells libav to leave out what no other frame needs: figures count the
frames of the clip, and `frames_left` says how many of them came out. Cameras send no B frames, so there is one clip
with them. No variant decodes at a reduced size: libav's decoders of H.264 and H.265 know none (`max_lowres` is 0).
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
from benchmarks.workload import FPS, Clip, clip
from services.inference.core.sampling import Sampler
from services.inference.decode import Decoder

ALL = 0.0  # frames a second to sample: every frame
SAMPLED = 5.0


def _rate(work: Callable[[], object], frames: int) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        work()
        return frames / (time.perf_counter() - began)

    return once


def _pyav(path: Path, threads: int = 0, skip: str = "DEFAULT", fps: float = ALL) -> int:
    """Frames that came out of the decoder; those sampled become BGR."""
    sampler, out = Sampler(fps), 0
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
        stream.codec_context.skip_frame = skip
        for frame in container.decode(stream):
            out += 1
            if sampler.takes(round(frame.time * 1000)):
                frame.to_ndarray(format="bgr24")
    return out


def _opencv(path: Path) -> None:
    capture = cv2.VideoCapture(str(path))
    while capture.read()[0]:
        pass


def _torchcodec(path: Path) -> int:
    from torchcodec.decoders import VideoDecoder

    return sum(1 for _ in VideoDecoder(str(path), num_ffmpeg_threads=0))


def _ffmpeg(path: Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"], check=True)


def _variants(path: Path, decoder: Decoder) -> tuple[dict[str, Callable[[], object]], list[str]]:
    variants: dict[str, Callable[[], object]] = {
        "plateflow": lambda: sum(1 for _ in decoder.open(path, ALL)),
        "plateflow, sampled": lambda: sum(1 for _ in decoder.open(path, SAMPLED)),
        "PyAV": lambda: _pyav(path),
        "PyAV, one thread": lambda: _pyav(path, threads=1),
        "PyAV, sampled": lambda: _pyav(path, fps=SAMPLED),
        "PyAV, sampled, without non-reference frames": lambda: _pyav(path, skip="NONREF", fps=SAMPLED),
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
        variants["ffmpeg -f null"] = lambda: _ffmpeg(path)
    return variants, skipped


def run(quick: bool) -> str:
    """A table for each clip, and the JSON line."""
    clips = [Clip(h, c, 1) for h in (1080, 720) for c in ("h264", "hevc")] + [Clip(1080, "h264", 1, b_frames=True)]
    if quick:
        clips = [Clip(720, "h264", 1, 0.4)]
    tables, skipped = [], list[str]()
    fields: dict[str, dict[str, float]] = {}
    left: dict[str, float] = {}
    with Decoder() as decoder:
        for wanted in clips:
            path = clip(wanted)
            variants, skipped = _variants(path, decoder)
            figures = alternate({name: _rate(one, wanted.frames) for name, one in variants.items()}, 1 if quick else 3)
            tables.append(table(wanted.name, "frames/s", figures))
            kind = f"{wanted.height}p_{wanted.codec}{'_b_frames' if wanted.b_frames else ''}"
            fields[kind] = {name: round(value, 1) for name, value in medians(figures).items()}
            left[kind] = round(_pyav(path, skip="NONREF") / wanted.frames, 3)
    more = {"skipped": "; ".join(skipped)} if skipped else {}
    found = {"frames_per_second": fields, "frames_left": left, "clip_fps": FPS}
    return "\n".join([*tables, last_line("decode", found | more)])
