"""A busy road: one long rendered recording; vehicles with made-up plates come one after the other in two lanes.

As a command it writes one: ``python -m tests.support.busy OUT [VEHICLES] [SECONDS]`` (video, plates, cameras.yaml).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np

from services.inference.training.plates import plate_text
from services.simulator.clips import ClipTruth, camera_file, encode, key_of, truth_of
from services.simulator.frames import backdrop
from services.simulator.scene import Recording, Vehicle
from services.simulator.traffic import CAMERAS, COLOURS, MORNING_MS

BODIES = ("sedan", "suv", "hatchback", "van")
FAR_M = 30.0
"""Where a vehicle is at its time."""
PIECE_MS = 10_000


def busy(vehicles: int = 200, seconds: int = 600, fps: float = 4.0, seed: int = 7) -> Recording:
    """Vehicles at even distances, in the lanes by turns, each some three seconds in view."""
    rng = np.random.default_rng(seed)
    camera = dataclasses.replace(CAMERAS[0], fps=fps)
    every_ms = seconds * 1000 / vehicles
    colours = list(COLOURS.values())
    traffic = tuple(
        Vehicle(
            plate=plate_text("ru_private", rng).replace(" ", ""),
            body=BODIES[k % len(BODIES)],
            colour=colours[k % len(colours)],
            x_m=(-1.8 if k % 2 else 1.8) + float(rng.uniform(-0.2, 0.2)),
            y_m=FAR_M,
            speed_mps=float(rng.uniform(6.0, 7.5)),
            approaching=True,
            at_ms=MORNING_MS + round(k * every_ms),
            seed=int(rng.integers(2**31)),
        )
        for k in range(vehicles)
    )
    frame_ms = tuple(round(k * 1000 / fps) for k in range(round(seconds * fps)))
    return Recording(camera, MORNING_MS, frame_ms, seconds * 1000, traffic, seed)


def write(folder: Path, recording: Recording) -> tuple[Path, ClipTruth]:
    """The video, named as Kerberos does, with ``cameras.yaml`` beside; and what is true about it."""
    path = folder / key_of(recording)
    path.parent.mkdir(parents=True, exist_ok=True)
    still = backdrop(recording.camera)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as whole:
        stream: Any = None
        for k, piece in enumerate(_pieces(recording)):
            part = folder / f"piece{k}.mp4"
            encode(piece, part, still)
            with av.open(str(part)) as container:
                stream = stream or whole.add_stream_from_template(container.streams.video[0])
                unit = container.streams.video[0].time_base
                assert unit is not None, "a stream that was just written has a time base"
                after = round(Fraction(piece.start_ms - recording.start_ms, 1000) / unit)
                for packet in container.demux(video=0):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + after, packet.dts + after
                        packet.stream = stream
                        whole.mux(packet)
            part.unlink()
    (folder / "cameras.yaml").write_text(camera_file([recording.camera]))
    return path, truth_of([recording], recording.seed).recordings[0]


def _pieces(recording: Recording) -> Iterator[Recording]:
    """Ten seconds each, with the vehicles that are in view then: painting looks at all of them in every frame."""
    for begin in range(0, recording.duration_ms, PIECE_MS):
        end = min(begin + PIECE_MS, recording.duration_ms)
        near = tuple(
            one
            for one in recording.vehicles
            if one.plate_at(recording.start_ms + end)[1] < 95 and one.plate_at(recording.start_ms + begin)[1] > 0
        )
        times = tuple(at - begin for at in recording.frame_ms if begin <= at < end)
        start_ms = recording.start_ms + begin
        yield dataclasses.replace(
            recording, start_ms=start_ms, frame_ms=times, duration_ms=end - begin, vehicles=near, seed=begin
        )


if __name__ == "__main__":
    out = Path(sys.argv[1])
    video, truth = write(out, busy(*map(int, sys.argv[2:])))
    (out / "truth.json").write_bytes(msgspec.json.encode(truth))
    print(video, len(truth.passages), "vehicles")
