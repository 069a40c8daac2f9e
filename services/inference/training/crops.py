"""Makes training crops: in come fonts, photographs and a seed, out come grey crops with corners and text.

Rules. A crop is the axis-aligned box around a plate seen at an angle, with a jittered margin and something
behind it, at the few pixels a camera has for it; only then it is spoilt (`camera.py`) and goes through the
recogniser's own `preprocess`. Some crops show no plate (`clutter.py`): the reader must say so and read nothing. The
same generator state gives the same crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from services.inference.models.recogniser import preprocess
from services.inference.training.camera import Image, Points, lit, low_light, resized, spoil, to_bytes, view
from services.inference.training.clutter import clutter, made_up_backdrop, print_words
from services.inference.training.fonts import Face
from services.inference.training.painter import LATIN, letters
from services.inference.training.plates import plate_text, render_plate
from services.inference.training.strokes import StrokeFace
from services.inference.training.styles import STACKED, STYLES, TWO_ROWS, USUAL

HEIGHT = 72  # pixels of a clean plate; the network looks at no more than 64
_WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_TINY = 34.0  # pixels of the smallest crop's width
_DARK_WIDTH = (_TINY, 130.0)  # of a picture in low light
_ROAD_SHARE = 0.5  # of the Russian plates that get a given plate font
_NO_PLATE_SHARE = 0.12
_STROKES_SHARE = 0.55  # of the plates that are drawn in alphabets of our own
_ALPHABETS = (0, 4000)  # seeds of these
UNSEEN_ALPHABETS = (100_000, 100_200)  # of those that training never sees


@dataclass(frozen=True, slots=True)
class Clean:
    """A plate, perhaps in a dealer's frame: grey `levels`, each half the size of the one before, the four
    plate `corners` (4, 2) in pixels of the first level, clockwise from top left, and the texts of its rows."""

    levels: tuple[Image, ...]
    corners: Points
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Crop:
    """One training example: grey uint8 of INPUT_SIZE, corners (4, 2) in units of the crop (0..1), the texts of the
    plate's rows; none where there is no plate."""

    image: Image
    corners: Points
    rows: tuple[str, ...]

    @property
    def text(self) -> str:
        """All rows in one."""
        return "".join(self.rows)


@dataclass(slots=True)
class Studio:
    """Draws endless crops. `faces` for everything, `road` (given fonts of a plate standard) for some of the Russian
    plates, `backdrops` grey photographs to stand behind, `alphabets` the seeds of our own letterforms, `styles` the
    kinds of plates (the usual ones). Each clean plate is photographed `takes` times on average. `two_rows`: share of
    plates of two rows (None: as the styles say); `dark`: share of pictures that are narrow and in low light;
    `stacked`: share of plates that begin in two rows, beside `styles`."""

    rng: np.random.Generator
    faces: Sequence[Path]
    road: Sequence[Path] = ()
    backdrops: Sequence[Image] = ()
    hardness: float = 1.0
    takes: int = 3
    pool: int = 48
    alphabets: tuple[int, int] = _ALPHABETS
    styles: Sequence[str] = USUAL
    no_plate: float = _NO_PLATE_SHARE
    two_rows: float | None = None
    dark: float = 0.0
    stacked: float = 0.0
    _plates: list[Clean] = field(default_factory=list)
    _left: int = 0

    def crop(self) -> Crop:
        """The next crop."""
        if self.rng.random() < self.no_plate:
            picture = clutter(self._backdrop(), self._any_face(), self.rng)
            picture = spoil(lit(picture, self.rng, self.hardness), self.rng, self.hardness)
            return Crop(preprocess(picture), np.array(_WHOLE, np.float32), ())
        if self._left <= 0:
            self._plates = [self._clean() for _ in range(self.pool)]
            self._left = self.pool * self.takes
        self._left -= 1
        plate = self._plates[int(self.rng.integers(len(self._plates)))]
        if self.dark and self.rng.random() < self.dark:
            wide, hardness = float(self.rng.uniform(*_DARK_WIDTH)), self.hardness * float(self.rng.uniform(0.3, 1))
            return photograph(plate, self._backdrop(), self.rng, hardness, wide, low_light)
        return photograph(plate, self._backdrop(), self.rng, self.hardness)

    def track(self, shots: int, width: tuple[float, float]) -> list[Crop]:
        """Several pictures of one plate in low light, each between `width` pixels wide."""
        plate = self._clean()
        return [
            photograph(plate, self._backdrop(), self.rng, self.hardness, float(self.rng.uniform(*width)), low_light)
            for _ in range(shots)
        ]

    def _clean(self) -> Clean:
        style = self._style()
        small = self._font()
        plate = render_plate(plate_text(style, self.rng), style, self.rng, HEIGHT, self._face(style), small)
        return clean(plate.image, plate.rows, small, self.rng)

    def _style(self) -> str:
        if self.stacked and self.rng.random() < self.stacked:
            return STACKED[int(self.rng.integers(len(STACKED)))]
        shares = np.array([STYLES[name].share for name in self.styles], float)
        shares /= shares.sum()
        square = np.isin(self.styles, TWO_ROWS)
        if self.two_rows is not None:
            for kind, share in ((square, self.two_rows), (~square, 1 - self.two_rows)):
                shares[kind] *= share / shares[kind].sum()
        return str(self.rng.choice(self.styles, p=shares))

    def _face(self, style: str) -> Face:
        if self.road and style.startswith("ru_") and self.rng.random() < _ROAD_SHARE:
            return self.road[int(self.rng.integers(len(self.road)))]
        return self._any_face()

    def _any_face(self) -> Face:
        if self.rng.random() < _STROKES_SHARE:
            return StrokeFace(int(self.rng.integers(*self.alphabets)))
        return self._font()

    def _font(self) -> Path:
        return self.faces[int(self.rng.integers(len(self.faces)))]

    def _backdrop(self) -> Image:
        if self.backdrops and self.rng.random() < 0.7:
            return self.backdrops[int(self.rng.integers(len(self.backdrops)))]
        return made_up_backdrop(self.rng)


def cutting(backdrop: Image, width: int, height: int, rng: np.random.Generator) -> Image:
    """A random part of `backdrop`, resized."""
    rows, columns = backdrop.shape
    high = int(rng.integers(min(8, rows - 1), rows))
    wide = min(int(high * float(rng.uniform(1, 4))) + 1, columns)
    y, x = int(rng.integers(0, rows - high + 1)), int(rng.integers(0, columns - wide + 1))
    return resized(backdrop[y : y + high, x : x + wide], width, height)


def clean(picture: Image, rows: tuple[str, ...], small: Path, rng: np.random.Generator) -> Clean:
    """A painted plate (h, w, 3) in grey, by a random mix of its channels, in a frame half of the time."""
    mix = rng.dirichlet((1, 2.5, 1.5)).astype(np.float32)
    high, wide = picture.shape[:2]
    grey, left, top = _framed(to_bytes(picture.astype(np.float32) @ mix), small, rng)
    corners = np.array(_WHOLE, np.float32) * (wide, high) + (left, top)
    levels = [_embossed(_stained(grey, rng), rng)]
    for _ in range(2):
        high, wide = levels[-1].shape
        levels.append(resized(levels[-1], wide // 2, high // 2))
    return Clean(tuple(levels), corners.astype(np.float32), rows)


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
    height = round(bottom * 0.75)
    y = framed.shape[0] - bottom + round(bottom * 0.12)
    print_words(framed[:, 5:-5], words, int(rng.integers(0, max(framed.shape[1] // 3, 1))), y, height, small, ink)


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


def photograph(
    plate: Clean,
    backdrop: Image,
    rng: np.random.Generator,
    hardness: float,
    wide: float | None = None,
    light: Callable[[Image, np.random.Generator], Image] = lambda picture, rng: picture,
) -> Crop:
    """Look at `plate` from somewhere, cut the detector's box out (`wide` pixels, else as it comes), spoil it, and let
    `light` have the last word."""
    quad = view(plate.corners, rng, hardness)
    low, high = _detected(quad, rng, hardness)
    shape = high - low
    width, height = _pixels(shape, rng, hardness) if wide is None else (round(wide), round(wide * shape[1] / shape[0]))
    target = ((quad - low) / (high - low) * (width, height)).astype(np.float32)
    picture = _composed(plate, target, cutting(backdrop, width, height, rng))
    picture = light(spoil(lit(picture, rng, hardness), rng, hardness), rng)
    return Crop(preprocess(picture), (target / (width, height)).astype(np.float32), plate.rows)


def _detected(quad: Points, rng: np.random.Generator, hardness: float) -> tuple[Points, Points]:
    """Upper left and lower right corner of the detector's box around `quad`, off by a jittered margin."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    loose = 0.06 + (0.10 if rng.random() < 0.85 else 0.4 * hardness) * float(rng.random())
    margin = rng.uniform(-0.02, loose, 4) + rng.normal(0, 0.012 * hardness, 4)
    outer = (low - margin[:2] * (high - low), high + margin[2:] * (high - low))
    return outer[0].astype(np.float32), outer[1].astype(np.float32)


def _pixels(extent: Points, rng: np.random.Generator, hardness: float) -> tuple[int, int]:
    """How many pixels (width, height) a camera has for a box of this shape."""
    smallest = 110 - (110 - _TINY) * hardness * float(rng.random() ** 2)
    wide = float(np.exp(rng.uniform(np.log(smallest), np.log(300))))
    shape = float(extent[1] / extent[0])
    wide /= max(shape / 0.35, 1.0) ** 0.5  # two rows of fewer characters: narrower, yet as high as they need
    tall = wide * shape * float(rng.uniform(0.9, 1.1))
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
    """Photographs as grey pictures of `height` pixels, to stand behind plates; the plates that YOLO labels beside them
    name are blotted out, unreadable pictures are left out."""
    pictures = []
    for path in photos:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is not None and min(picture.shape) > 32:
            grey = np.asarray(picture, np.uint8)
            grey = resized(grey, round(grey.shape[1] * height / grey.shape[0]), height)
            _blot(grey, path.parents[2] / "labels" / path.parent.name / f"{path.stem}.txt")
            pictures.append(grey)
    return pictures


def _blot(picture: Image, labels: Path) -> None:
    if not labels.is_file():
        return
    rows, columns = picture.shape
    for line in labels.read_text().splitlines():
        x, y, wide, high = (float(word) for word in line.split()[1:5])
        x0, x1 = max(int((x - wide * 0.55) * columns), 0), int((x + wide * 0.55) * columns) + 1
        y0, y1 = max(int((y - high * 0.6) * rows), 0), int((y + high * 0.6) * rows) + 1
        part = picture[y0:y1, x0:x1]
        if part.size:
            small = cv2.resize(part, (2, 2), interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(small, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
