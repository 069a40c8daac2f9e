"""A busy road: one long rendered recording; vehicles with made-up plates come one after the other in two lanes.

As a command it writes one: ``python -m tests.support.busy OUT [VEHICLES] [SECONDS]`` (video, plates, cameras.yaml).
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import msgspec
import numpy as np

from services.inference.training.plates import plate_text
from services.simulator.clips import ClipTruth, camera_file, encode, key_of, truth_of
from services.simulator.scene import Recording, Vehicle
from services.simulator.traffic import CAMERAS, COLOURS, MORNING_MS

BODIES = ("sedan", "suv", "hatchback", "van")
FAR_M, NEAR_M = 30.0, 5.0
"""Where a vehicle comes into view, and where it is gone."""


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
    encode(recording, path)
    (folder / "cameras.yaml").write_text(camera_file([recording.camera]))
    return path, truth_of([recording], recording.seed).recordings[0]


if __name__ == "__main__":
    out = Path(sys.argv[1])
    video, truth = write(out, busy(*map(int, sys.argv[2:])))
    (out / "truth.json").write_bytes(msgspec.json.encode(truth))
    print(video, len(truth.passages), "vehicles")
