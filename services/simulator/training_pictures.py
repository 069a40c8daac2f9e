"""Pictures of made-up cameras for training the plate detector: a seed in; JPEG files and YOLO labels out.

The cameras, places and vehicles are drawn at random and are none of the demo's. Run as a command, since the
simulator stands above inference and its training:

    python -m services.simulator.training_pictures --out build/detector/data --count 180
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from services.contracts.kerberos import Generation
from services.inference.training.plates import plate_text
from services.inference.training.scenes import Sample, cut, write_sample
from services.simulator.backdrop import DAY, DUSK, OVERCAST, Light, Place
from services.simulator.frames import frames
from services.simulator.geometry import Pinhole
from services.simulator.scene import Camera, Recording, Vehicle, see
from services.simulator.vehicles import BODIES

WIDTH, HEIGHT = 1280, 720
_PER_CAMERA = 6
_LEAST_PX = 16.0  # narrower plates are not labelled


def samples(count: int, seed: int) -> Iterator[Sample]:
    """`count` parts of pictures, 640 to 1280 pixels wide, most with vehicles."""
    rng = np.random.default_rng(seed)
    camera = some_camera(rng)
    for number in range(count):
        if number % _PER_CAMERA == 0:
            camera = some_camera(rng)
        whole = picture(camera, rng)
        wide = float(rng.uniform(640, WIDTH))
        tall = wide * HEIGHT / WIDTH
        yield cut(whole, float(rng.uniform(0, WIDTH - wide)), float(rng.uniform(0, HEIGHT - tall)), wide, tall)


def picture(camera: Camera, rng: np.random.Generator) -> Sample:
    """One frame of the camera and the boxes of all plates that are wide enough."""
    count = int(rng.choice(4, p=[0.12, 0.38, 0.35, 0.15]))
    cars = tuple(some_vehicle(rng, int(lane)) for lane in rng.permutation([-1, 0, 1])[:count])
    recording = Recording(camera, 0, (0,), 100, cars, int(rng.integers(2**31)))
    frame = next(iter(frames(recording)))
    boxes = [seen.box for car in cars for seen in see(recording, car) if seen.box[2] >= _LEAST_PX]
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return Sample(np.ascontiguousarray(frame[..., ::-1]), corners)


def some_camera(rng: np.random.Generator) -> Camera:
    view = Pinhole(
        WIDTH,
        HEIGHT,
        focal_px=float(rng.uniform(1100, 2400)),
        height_m=float(rng.uniform(2.2, 5.0)),
        tilt_deg=float(rng.uniform(6, 14)),
        pan_deg=float(rng.uniform(-8, 8)),
        x_m=float(rng.uniform(-2.5, 2.5)),
    )
    return Camera(f"training{rng.integers(10**9)}", view, some_place(rng), some_light(rng), 10.0, Generation.AGENT_MS)


def some_place(rng: np.random.Generator) -> Place:
    sides = rng.choice([-1, 1], int(rng.integers(0, 4)))
    return Place(
        half_road=float(rng.uniform(3.2, 4.5)),
        centre_line=bool(rng.random() < 0.6),
        pavement=float(rng.choice([0.0, 1.6])),
        slabs=bool(rng.random() < 0.25),
        houses=tuple(some_house(rng, int(side)) for side in sides),
        posts=tuple((float(5.5 * side), float(rng.uniform(20, 50))) for side in sides[:2]),
        fence_x=float(rng.choice([-5.6, 5.6])) if rng.random() < 0.4 else None,
    )


def some_house(rng: np.random.Generator, side: int) -> tuple[float, float, float, float, float]:
    wide, deep, tall = (float(v) for v in rng.uniform((7, 6, 4), (14, 14, 11)))
    near = float(rng.uniform(7, 16))
    return (near if side > 0 else -near - wide), float(rng.uniform(24, 70)), wide, deep, tall


def some_light(rng: np.random.Generator) -> Light:
    light = (DAY, OVERCAST, DUSK)[int(rng.integers(3))]
    return replace(light, noise=float(rng.uniform(1, 6)), shadow=float(rng.uniform(0.15, 0.55)))


def some_vehicle(rng: np.random.Generator, lane: int) -> Vehicle:
    red, green, blue = (int(value) for value in np.clip(rng.integers(20, 235) + rng.normal(0, 35, 3), 5, 240))
    return Vehicle(
        plate=plate_text("ru_private", rng).replace(" ", ""),
        body=str(rng.choice(list(BODIES))),
        colour=(red, green, blue),
        x_m=float(lane * 2.2 + rng.uniform(-0.4, 0.4)),
        y_m=float(np.exp(rng.uniform(np.log(8), np.log(36)))),
        speed_mps=5.0,
        approaching=bool(rng.random() < 0.5),
        at_ms=0,
        seed=int(rng.integers(2**31)),
    )


def make_pictures(out: Path, count: int, seed: int = 23) -> None:
    """Writes `out`/images/simulated and `out`/labels/simulated."""
    images, labels = out / "images" / "simulated", out / "labels" / "simulated"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number, sample in enumerate(samples(count, seed)):
        write_sample(sample, images, labels, f"simulated_{number:04}", int(rng.integers(45, 96)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw pictures of made-up cameras to train the plate detector on.")
    parser.add_argument("--out", type=Path, required=True, help="folder for images/simulated and labels/simulated")
    parser.add_argument("--count", type=int, default=180)
    args = parser.parse_args()
    make_pictures(args.out, args.count)


if __name__ == "__main__":
    main()
