"""Puts made-up plates into pictures: in come a picture, a place and a generator, out comes the plate's box.

A plate is seen from aside, lit as its surroundings, sometimes dirty, glaring, in a holder or with the holder's rim;
the same generator state gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.training.fonts import Face
from services.inference.training.plates import plate_text, render_plate
from services.inference.training.strokes import StrokeFace
from services.inference.training.styles import STYLES, USUAL

Image = NDArray[np.uint8]
Corners = NDArray[np.float64]
"""Boxes (n, 4): x1, y1, x2, y2 in pixels."""
_ALPHABETS = 4000  # seeds of drawn letterforms
_NAMES = USUAL
_SHARES = np.sqrt([STYLES[name].share for name in _NAMES])  # flatter than the reader's: rare kinds are to be found too


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))))


def made_up_plate(rng: np.random.Generator, fonts: Sequence[Path] = ()) -> Image:
    """A plate of any style, mostly in a holder, used as plates are."""
    style = str(rng.choice(_NAMES, p=_SHARES / _SHARES.sum()))
    face: Face | None = None
    if rng.random() < 0.5:
        face = StrokeFace(int(rng.integers(_ALPHABETS)))
    elif fonts:
        face = fonts[int(rng.integers(len(fonts)))]
    image = render_plate(plate_text(style, rng), style, rng, 96, face).image
    image = _used(image, rng)
    if rng.random() < 0.6:
        shade, edge = int(rng.integers(5, 90)), int(rng.integers(2, 12))
        below = int(rng.integers(0, 22))  # room for the dealer's name
        bordered = cv2.copyMakeBorder(image, edge, edge + below, edge, edge, cv2.BORDER_CONSTANT, value=(shade,) * 3)
        image = np.asarray(bordered, np.uint8)
    return image


def _used(plate: Image, rng: np.random.Generator) -> Image:
    """Dirt, shadow or glare; most plates have none of them."""
    rows, columns = plate.shape[:2]
    light: NDArray[Any] = plate.astype(np.float32)
    if rng.random() < 0.25:  # a shadow's edge or light from aside
        edge = cv2.resize(rng.uniform(0.35, 1.25, (2, 3)).astype(np.float32), (columns, rows))
        light *= edge[..., None]
    if rng.random() < 0.2:  # dirt, mostly at the bottom
        coarse = rng.random((6, 16)).astype(np.float32) * np.linspace(0.4, 1.3, 6, dtype=np.float32)[:, None]
        dirt = np.clip(cv2.resize(coarse, (columns, rows)) - 0.45, 0, 1)[..., None] * float(rng.uniform(0.4, 1.3))
        light = light * (1 - np.clip(dirt, 0, 0.9)) + float(rng.uniform(50, 120)) * np.clip(dirt, 0, 0.9)
    if rng.random() < 0.12:  # a lamp or the sun in the plate's coating
        light = np.maximum(light, light * 0.4 + float(rng.uniform(120, 200)))
    return np.asarray(np.clip(light, 0, 255), dtype=np.uint8)


def paste(image: Image, plate: Image, place: tuple[float, float], width: float, rng: np.random.Generator) -> Corners:
    """Warps the plate into the image, its middle at `place`, lit as its surroundings; gives its box."""
    height = width * plate.shape[0] / plate.shape[1]
    quad = seen_from_aside(width, height, rng) + np.array(place)
    box = np.hstack([quad.min(axis=0), quad.max(axis=0)])[None]
    rows, columns = image.shape[:2]
    shrunk = _shrunk(plate, width)
    source = np.array([[0, 0], [shrunk.shape[1], 0], shrunk.shape[1::-1], [0, shrunk.shape[0]]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(source, quad.astype(np.float32))
    picture = cv2.warpPerspective(_lit(shrunk, image, box[0], rng), matrix, (columns, rows))
    mask = cv2.warpPerspective(np.ones(shrunk.shape[:2], np.float32), matrix, (columns, rows))[..., None]
    image[:] = (image * (1 - mask) + picture * mask).astype(np.uint8)
    return np.asarray(np.clip(box, 0, [columns, rows, columns, rows]))


def seen_from_aside(width: float, height: float, rng: np.random.Generator) -> Corners:
    """Corners (4, 2) about the middle: turned, leaning, and one side a little farther away."""
    lean, turn = rng.normal(0, 0.05), float(np.cos(rng.normal(0, 0.35)))
    corners = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2 * turn, height / 2)
    corners[:, 1] *= 1 + np.sign(corners[:, 0]) * rng.normal(0, 0.06)
    corners[:, 1] += corners[:, 0] * rng.normal(0, 0.06)
    return np.asarray(corners @ np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]]))


def _shrunk(plate: Image, width: float) -> Image:
    """At most twice as wide as it will be seen, so that warping does not alias."""
    scale = min(1.0, 2 * width / plate.shape[1])
    size = max(4, round(plate.shape[1] * scale)), max(3, round(plate.shape[0] * scale))
    return np.asarray(cv2.resize(plate, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _lit(plate: Image, image: Image, box: NDArray[np.float64], rng: np.random.Generator) -> Image:
    x1, y1, x2, y2 = np.clip(box, 0, None).astype(int)
    around = image[max(0, y1 - 20) : y2 + 20, max(0, x1 - 20) : x2 + 20]
    level = float(around.mean()) if around.size else 110.0
    gain = float(np.clip(0.35 + level / 160 + rng.normal(0, 0.12), 0.3, 1.15))
    tint = 1 + rng.normal(0, 0.04, 3)
    return np.clip(plate * gain * tint, 0, 255).astype(np.uint8)


def free_place(
    image: Image, boxes: Corners, width: float, height: float, rng: np.random.Generator
) -> tuple[float, float] | None:
    rows, columns = image.shape[:2]
    for _ in range(20):
        x = float(rng.uniform(width / 2, max(columns - width / 2, width / 2 + 1)))
        y = float(rng.uniform(height / 2, max(rows - height / 2, height / 2 + 1)))
        middle, reach = np.array([x, y]), np.array([width, height]) * 0.75
        apart = (boxes[:, 2:] < middle - reach) | (boxes[:, :2] > middle + reach)
        if bool(apart.any(axis=1).all()):
            return x, y
    return None
