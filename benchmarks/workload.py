"""The clips that benchmarks run on: painted by the simulator, fixed by seed, kept in `.cache/benchmarks`.

1080p and 720p, 10 s of 25 frames a second, H.264 and H.265, with 0, 1 and 5 plates in view all the time; as cameras
send it, without B frames, or with them. A clip that is there is taken as it is; its name says what it shows and which
version of this file painted it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from services.contracts.kerberos import Generation
from services.inference.training.plates import plate_text
from services.simulator.backdrop import DAY, Place
from services.simulator.frames import backdrop, frames
from services.simulator.geometry import Pinhole
from services.simulator.raster import Picture
from services.simulator.scene import Camera, Recording, Vehicle

CACHE = Path(os.environ.get("PLATEFLOW_BENCHMARK_CACHE", ".cache/benchmarks"))
FPS = 25
START_MS = 1_781_593_200_000
_VERSION = 2
_SIZES = {1080: Pinhole(1920, 1080, 2400, 5.2, 14.0, 0.0), 720: Pinhole(1280, 720, 1600, 5.2, 14.0, 0.0)}
_PLACES = ((-1.9, 14.0), (1.9, 14.6), (0.0, 15.2), (-3.8, 16.0), (3.8, 16.8))
"""Where the vehicles start: metres across and along the road."""
_CODECS = (("h264", False), ("hevc", False), ("h264", True))
_COLOURS = ((214, 216, 218), (158, 32, 34), (38, 66, 122), (92, 97, 103), (186, 172, 146))


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows."""

    height: int = 1080
    codec: str = "h264"
    plates: int = 1
    seconds: float = 10.0
    b_frames: bool = False
    """H.264 alone: two of three frames are needed by no other."""

    @property
    def name(self) -> str:
        kind = f"{self.height}p_{self.codec}{'b' if self.b_frames else ''}"
        return f"{kind}_{self.plates}plates_{self.seconds:g}s_v{_VERSION}.mp4"

    @property
    def frames(self) -> int:
        return round(self.seconds * FPS)


def clip(wanted: Clip) -> Path:
    """The file of a clip, painted and encoded now where it is not there yet, with its sisters of other codecs."""
    path = CACHE / wanted.name
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        sisters = [replace(wanted, codec=codec, b_frames=b) for codec, b in _CODECS]
        _encode(_pictures(wanted), [one for one in sisters if not (CACHE / one.name).is_file()])
    return path


def plates_of(wanted: Clip) -> list[str]:
    """The texts of the plates in a clip."""
    return [vehicle.plate for vehicle in _recording(wanted).vehicles]


def _recording(wanted: Clip) -> Recording:
    camera = Camera("bench", _SIZES[wanted.height], Place(posts=((6.0, 34.0),)), DAY, FPS, Generation.AGENT_MS)
    rng = np.random.default_rng(5)
    vehicles = tuple(
        Vehicle(plate_text("ru_private", rng).replace(" ", ""), "sedan", colour, x, y, 0.12, True, START_MS, seed)
        for seed, ((x, y), colour) in enumerate(zip(_PLACES[: wanted.plates], _COLOURS, strict=False))
    )
    times = tuple(round(i * 1000 / FPS) for i in range(wanted.frames))
    return Recording(camera, START_MS, times, round(wanted.seconds * 1000), vehicles, 1)


def _pictures(wanted: Clip) -> Iterator[Picture]:
    recording = _recording(wanted)
    yield from frames(recording, backdrop(recording.camera))


def _encode(pictures: Iterator[Picture], wanted: list[Clip]) -> None:
    """A key frame every two seconds."""
    parts = [(CACHE / one.name).with_suffix(f".{os.getpid()}.mp4") for one in wanted]
    containers = [av.open(str(part), "w", options={"movflags": "faststart"}) for part in parts]
    streams = []
    for container, one in zip(containers, wanted, strict=True):
        options = {"preset": "veryfast", "crf": "24", "bf": "2" if one.b_frames else "0", "g": str(2 * FPS)}
        if one.b_frames:
            options |= {"b-pyramid": "none", "b_strategy": "0"}
        if one.codec == "hevc":
            options |= {"preset": "superfast", "x265-params": "log-level=error:bframes=0"}
        streams.append(container.add_stream("libx265" if one.codec == "hevc" else "libx264", FPS, options))
    for number, picture in enumerate(pictures):
        for container, stream in zip(containers, streams, strict=True):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
    for container, stream, part, one in zip(containers, streams, parts, wanted, strict=True):
        container.mux(stream.encode(None))
        container.close()
        part.replace(CACHE / one.name)
