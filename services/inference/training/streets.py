"""Draws streets and vehicles for the plate detector: a generator in, pixels and boxes out. Nothing here is a plate but
what `pasting.py` puts on the vehicles.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from services.inference.training.pasting import Corners, Image, made_up_plate, paste


def street(rng: np.random.Generator) -> Image:
    """Sky or wall over a road with lane marks, each with a gradient and grain of its own."""
    width, height = 640, int(rng.choice([360, 400, 480]))
    horizon = int(height * rng.uniform(0.15, 0.5))
    image = np.empty((height, width, 3), np.float32)
    for rows, low, high in ((slice(0, horizon), 40, 240), (slice(horizon, height), 30, 150)):
        count = rows.stop - rows.start
        first, last = (np.array(some_colour(rng, low, high), np.float32) for _ in range(2))
        slope = np.linspace(0, 1, count, dtype=np.float32)[:, None, None]
        image[rows] = first * (1 - slope) + last * slope
    coarse = rng.normal(0, 14, (height // 16, width // 16, 1)).astype(np.float32)
    image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    street: Image = np.clip(image, 0, 255).astype(np.uint8)
    for x in rng.uniform(0, width, int(rng.integers(0, 5))):
        end = int(width / 2 + (x - width / 2) * 3), height
        cv2.line(street, (int(x), horizon), end, (225, 225, 225), int(rng.integers(2, 7)))
    for _ in range(int(rng.integers(0, 6))):
        x, wide = rng.uniform(0, width), rng.uniform(20, 160)
        box(street, x, horizon - rng.uniform(20, 150), x + wide, horizon, some_colour(rng), 0)
    return street


def vehicle(
    image: Image, left: float, ground: float, size: float, rng: np.random.Generator, fonts: Sequence[Path] = ()
) -> tuple[Corners, Corners]:
    """Draws the front of a vehicle, `size` pixels wide, on `ground`; gives its and its plate's box."""
    tall = size * float(rng.uniform(0.6, 1.1))
    colour, dark = some_colour(rng), some_colour(rng, 10, 60)
    top, right = ground - tall, left + size
    _wheels(image, left, ground, size, dark)
    box(image, left, top + tall * 0.4, right, ground - size * 0.08, colour, size * 0.06)
    box(image, left + size * 0.12, top, right - size * 0.12, top + tall * 0.5, colour, size * 0.08)
    window = some_colour(rng, 30, 130)
    box(
        image,
        left + size * 0.17,
        top + tall * 0.06,
        right - size * 0.17,
        top + tall * 0.36,
        window,
        size * 0.04,
    )
    lamp = some_colour(rng, 120, 255)
    for x in (left + size * 0.05, right - size * 0.22):
        box(image, x, top + tall * 0.5, x + size * 0.17, top + tall * 0.6, lamp, size * 0.03)
    box(image, left + size * 0.3, top + tall * 0.48, right - size * 0.3, top + tall * 0.6, dark, 0)
    width = size * float(rng.uniform(0.2, 0.42))
    middle = left + size * float(rng.uniform(0.42, 0.58)), ground - tall * float(rng.uniform(0.14, 0.34))
    return np.array([[left, top, right, ground]]), paste(image, made_up_plate(rng, fonts), middle, width, rng)


def _wheels(image: Image, left: float, ground: float, size: float, colour: tuple[int, int, int]) -> None:
    for x in (left + size * 0.06, left + size * 0.8):
        box(image, x, ground - size * 0.2, x + size * 0.14, ground, colour, size * 0.03)


def box(image: Image, x1: float, y1: float, x2: float, y2: float, colour: tuple[int, int, int], radius: float) -> None:
    picture = Pillow.fromarray(image)
    ImageDraw.Draw(picture).rounded_rectangle((x1, y1, max(x1, x2), max(y1, y2)), radius=radius, fill=colour)
    image[:] = np.asarray(picture)


def some_colour(rng: np.random.Generator, low: int = 20, high: int = 250) -> tuple[int, int, int]:
    base, spread = rng.integers(low, high), rng.normal(0, 25, 3)
    blue, green, red = (int(v) for v in np.clip(base + spread, 0, 255))
    return blue, green, red
