"""Makes training crops: in come fonts, photographs and a seed, out come grey crops with corners and text.

Rules. A crop is the axis-aligned box around a plate seen at an angle, with a jittered margin and something
behind it, at the few pixels a camera has for it; only then it is spoilt (`camera.py`) and goes through the
recogniser's own `preprocess`. The same generator state gives the same crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from services.inference.models.recogniser import preprocess
from services.inference.training.camera import Image, Points, lit, resized, spoil, to_bytes, view
from services.inference.training.fonts import glyph
from services.inference.training.painter import LATIN, letters
from services.inference.training.plates import STYLES, plate_text, render_plate

HEIGHT = 72  # pixels of a clean plate; the network looks at no more than 64
_WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_TINY = 48.0  # pixels of the smallest crop's width
_ROAD_SHARE = 0.6  # of the Russian plates that get a given plate font


@dataclass(frozen=True, slots=True)
class Clean:
    """A plate, perhaps in a dealer's frame: grey `levels`, each half the size of the one before, the four
    plate `corners` (4, 2) in pixels of the first level, clockwise from top left, and its text."""

    levels: tuple[Image, ...]
    corners: Points
    text: str


@dataclass(frozen=True, slots=True)
class Crop:
    """One training example: grey uint8 of INPUT_SIZE, corners (4, 2) in units of the crop (0..1), text."""

    image: Image
    corners: Points
    text: str


@dataclass(slots=True)
class Studio:
    """Draws endless crops. `faces` for everything, `road` (given fonts of a plate standard) mostly for
    Russian plates, `backdrops` grey photographs to stand behind. Each clean plate is photographed `takes`
    times on average."""

    rng: np.random.Generator
    faces: Sequence[Path]
    road: Sequence[Path] = ()
    backdrops: Sequence[Image] = ()
    hardness: float = 1.0
    takes: int = 3
    pool: int = 48
    _plates: list[Clean] = field(default_factory=list)
    _left: int = 0

    def crop(self) -> Crop:
        """The next crop; one in a hundred shows no plate, and the reader must learn to say nothing."""
        if self.rng.random() < 0.01:
            return Crop(preprocess(cutting(self._backdrop(), 120, 40, self.rng)), np.array(_WHOLE, np.float32), "")
        if self._left <= 0:
            self._plates = [self._clean() for _ in range(self.pool)]
            self._left = self.pool * self.takes
        self._left -= 1
        plate = self._plates[int(self.rng.integers(len(self._plates)))]
        return photograph(plate, self._backdrop(), self.rng, self.hardness)

    def _clean(self) -> Clean:
        shares = np.array([style.share for style in STYLES.values()])
        style = str(self.rng.choice(list(STYLES), p=shares / shares.sum()))
        face, small = self._face(style), self.faces[int(self.rng.integers(len(self.faces)))]
        plate = render_plate(plate_text(style, self.rng), style, self.rng, HEIGHT, face, small)
        return clean(plate.image, plate.text, small, self.rng)

    def _face(self, style: str) -> Path:
        given = self.road and style.startswith("ru_") and self.rng.random() < _ROAD_SHARE
        faces = self.road if given else self.faces
        return faces[int(self.rng.integers(len(faces)))]

    def _backdrop(self) -> Image:
        if self.backdrops and self.rng.random() < 0.7:
            return self.backdrops[int(self.rng.integers(len(self.backdrops)))]
        return made_up_backdrop(self.rng)


def made_up_backdrop(rng: np.random.Generator) -> Image:
    """Smooth random light with a few edges, (64, 192) grey."""
    coarse = rng.integers(0, 256, (int(rng.integers(1, 5)), int(rng.integers(1, 5)))).astype(np.uint8)
    picture = resized(coarse, 192, 64, cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 4))):
        x, y, x1, y1 = (int(v) for v in rng.integers(0, 192, 4))
        cv2.rectangle(picture, (x, y // 3), (x1, y1 // 3), int(rng.integers(0, 256)), -1)
    return picture


def cutting(backdrop: Image, width: int, height: int, rng: np.random.Generator) -> Image:
    """A random part of `backdrop`, resized."""
    rows, columns = backdrop.shape
    high = int(rng.integers(min(8, rows - 1), rows))
    wide = min(int(high * float(rng.uniform(1, 4))) + 1, columns)
    y, x = int(rng.integers(0, rows - high + 1)), int(rng.integers(0, columns - wide + 1))
    return resized(backdrop[y : y + high, x : x + wide], width, height)


def clean(picture: Image, text: str, small: Path, rng: np.random.Generator) -> Clean:
    """A painted plate (h, w, 3) in grey, by a random mix of its channels, in a frame half of the time."""
    mix = rng.dirichlet((1, 2.5, 1.5)).astype(np.float32)
    rows, columns = picture.shape[:2]
    grey, left, top = _framed(to_bytes(picture.astype(np.float32) @ mix), small, rng)
    corners = np.array(_WHOLE, np.float32) * (columns, rows) + (left, top)
    levels = [_embossed(_stained(grey, rng), rng)]
    for _ in range(2):
        rows, columns = levels[-1].shape
        levels.append(resized(levels[-1], columns // 2, rows // 2))
    return Clean(tuple(levels), corners.astype(np.float32), text)


def _framed(grey: Image, small: Path, rng: np.random.Generator) -> tuple[Image, int, int]:
    """A dealer's frame, often with a line of small print below: to be looked at, but not to be read."""
    if rng.random() < 0.45:
        return grey, 0, 0
    side, top, bottom = (int(v) for v in rng.integers((2, 2, 2), (8, 7, 20)))
    colour = int(rng.integers(0, 70) if rng.random() < 0.8 else rng.integers(70, 256))
    border = cv2.copyMakeBorder(grey, top, bottom, side, side, cv2.BORDER_CONSTANT, value=(colour,))
    framed = np.asarray(border, np.uint8)
    if bottom > 8 and rng.random() < 0.8:
        ink = int(np.clip(colour + rng.choice([-1, 1]) * rng.integers(90, 220), 0, 255))
        _print_below(framed, bottom, ink, small, rng)
    return framed, side, top


def _print_below(framed: Image, bottom: int, ink: int, small: Path, rng: np.random.Generator) -> None:
    words = " ".join(letters(rng, LATIN, int(size)) for size in rng.integers(3, 10, int(rng.integers(1, 5))))
    strip = line_of_print(words, round(bottom * 0.75), small)
    x = int(rng.integers(5, max(framed.shape[1] - strip.shape[1] - 4, 6)))
    y = framed.shape[0] - bottom + round(bottom * 0.12)
    area = framed[y : y + strip.shape[0], x : framed.shape[1] - 5]
    alpha = strip[: area.shape[0], : area.shape[1]].astype(np.float32) / 255
    under = area[:, : alpha.shape[1]]
    under[:] = to_bytes(under + (ink - under.astype(np.float32)) * alpha)


def line_of_print(words: str, height: int, face: Path) -> Image:
    """Words as an ink mask (height, any width)."""
    masks = []
    for char in words:
        if char == " ":
            masks.append(np.zeros((height, height // 2), np.uint8))
            continue
        mask = glyph(face, char).mask
        masks.append(resized(mask, max(round(mask.shape[1] * height / mask.shape[0]), 1), height))
        masks.append(np.zeros((height, 1), np.uint8))
    return np.hstack(masks)


def _embossed(grey: Image, rng: np.random.Generator) -> Image:
    """Pressed letters: one side of every edge a little lighter, the other darker."""
    if rng.random() < 0.6:
        return grey
    dx, dy = (int(v) for v in rng.integers(-1, 2, 2))
    moved = np.roll(grey, (dy, dx), (0, 1))
    return to_bytes(grey + (grey.astype(np.float32) - moved) * np.float32(rng.uniform(0.1, 0.6)))


def _stained(grey: Image, rng: np.random.Generator) -> Image:
    """Dirt, rust and worn paint: soft spots and splashes towards one grey."""
    if rng.random() < 0.6:
        return grey
    shape = (int(rng.integers(3, 12)), int(rng.integers(8, 40)))
    spots = np.clip(rng.random(shape) * 1.6 - float(rng.uniform(0.6, 1.3)), 0, 1).astype(np.float32)
    soft = cv2.resize(spots, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_CUBIC)
    cover = np.clip(soft * float(rng.uniform(0.2, 0.9)), 0, 0.85)
    return to_bytes(grey + (int(rng.integers(20, 240)) - grey.astype(np.float32)) * cover)


def photograph(plate: Clean, backdrop: Image, rng: np.random.Generator, hardness: float) -> Crop:
    """Look at `plate` from somewhere, cut the detector's box out, spoil it."""
    quad = view(plate.corners, rng, hardness)
    low, high = _detected(quad, rng, hardness)
    width, height = _pixels(high - low, rng, hardness)
    target = ((quad - low) / (high - low) * (width, height)).astype(np.float32)
    picture = _composed(plate, target, cutting(backdrop, width, height, rng))
    picture = spoil(lit(picture, rng, hardness), rng, hardness)
    return Crop(preprocess(picture), (target / (width, height)).astype(np.float32), plate.text)


def _detected(quad: Points, rng: np.random.Generator, hardness: float) -> tuple[Points, Points]:
    """Upper left and lower right corner of the detector's box around `quad`, off by a jittered margin."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    loose = 0.06 + 0.10 * float(rng.random())
    margin = rng.uniform(-0.02, loose, 4) + rng.normal(0, 0.012 * hardness, 4)
    outer = (low - margin[:2] * (high - low), high + margin[2:] * (high - low))
    return outer[0].astype(np.float32), outer[1].astype(np.float32)


def _pixels(extent: Points, rng: np.random.Generator, hardness: float) -> tuple[int, int]:
    """How many pixels (width, height) a camera has for a box of this shape."""
    smallest = 110 - (110 - _TINY) * hardness * float(rng.random() ** 2)
    wide = float(np.exp(rng.uniform(np.log(smallest), np.log(330))))
    tall = wide * float(extent[1] / extent[0]) * float(rng.uniform(0.9, 1.1))
    shrink = min(1.0, 110 / tall)
    return max(round(wide * shrink), 16), max(round(tall * shrink), 10)


def _composed(plate: Clean, target: Points, picture: Image) -> Image:
    """Warp the plate, frame and all, into `picture` so that its corners come to `target`."""
    high = float(np.linalg.norm(target[3] - target[0]))
    index = int(np.clip(np.log2(HEIGHT / max(high, 1.0)) + 0.3, 0, len(plate.levels) - 1))
    level = plate.levels[index]
    matrix = cv2.getPerspectiveTransform(plate.corners / np.float32(2**index), target)
    size = (picture.shape[1], picture.shape[0])
    warped = cv2.warpPerspective(level, matrix, size, flags=cv2.INTER_LINEAR)
    inside = cv2.warpPerspective(np.full(level.shape, 255, np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    mask = inside.astype(np.float32) / 255
    return to_bytes(picture * (1 - mask) + warped * mask)


def backdrops(photos: Sequence[Path], height: int = 256) -> list[Image]:
    """Photographs as grey pictures of `height` pixels, to stand behind plates; unreadable ones are left out."""
    pictures = []
    for path in photos:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is not None and min(picture.shape) > 32:
            grey = np.asarray(picture, np.uint8)
            pictures.append(resized(grey, round(grey.shape[1] * height / grey.shape[0]), height))
    return pictures
