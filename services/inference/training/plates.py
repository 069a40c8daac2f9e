"""Draws clean number plates: in come a text, a style and a seed, out comes a picture; same input, same
pixels.

A style is one function that paints (`russian.py`, `world.py`) and one that makes up texts, registered in
STYLES. A text may hold separators (blank, dash, dot): they are painted but are no part of the plate's text.
Nothing here needs torch, so the simulator paints its plates with this module too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.inference.training.fonts import dejavu
from services.inference.training.painter import DIGITS, LATIN, SEPARATORS, Colour, Image, Painter
from services.inference.training.russian import russian, russian_text
from services.inference.training.world import (
    american,
    european,
    free,
    general_text,
    mercosul,
    random_text,
    south_american,
)

Tint = tuple[Colour, Colour]  # ground and ink
_WHITE: Tint = ((238, 240, 240), (25, 22, 22))
_YELLOW: Tint = ((40, 195, 245), (20, 20, 20))
_BLUE: Tint = ((170, 80, 25), (240, 240, 240))
_BLACK: Tint = ((28, 26, 25), (235, 235, 235))
_GREY: Tint = ((165, 168, 168), (25, 22, 22))


@dataclass(frozen=True, slots=True)
class PlateImage:
    """A painted plate: `image` (h, w, 3) BGR uint8, nothing around it; `text` as it should be read."""

    image: Image
    text: str


@dataclass(frozen=True, slots=True)
class Style:
    """One kind of plate: width and height in mm (width 0: any), how it is painted, which texts it bears, its
    colours (one pair is drawn at random; none: any two that stand out), and its share of the training."""

    size: tuple[float, float]
    draw: Callable[[Painter, str], None]
    text: Callable[[np.random.Generator], str]
    tints: tuple[Tint, ...]
    share: float


_ONE_ROW = (520.0, 112.0)
_EUROPEAN_TEXTS = [
    "LL DDD LL",
    "L-LL DDDD",
    "LLL DDDD",
    "DDDD LLL",
    "LL DDDDD",
    "LLL-DDD",
    "DD-LL-DD",
    "LLDD LL",
    "LLDDD LL",
    "LL DD LLL",
    "DLL DDDD",
    "L DDDDDD",
    "LL-DDD-L",
    "LLL DDL",
    "L DD LLL",
    "LL DDDD LL",
    "DL DDDDD",
    "L DDD LL",
    "DD LLL D",
    "LDD LLL",
]
_AMERICAN_TEXTS = [
    "LLL DDDD",
    "DLLLDDD",
    "DDD LLL",
    "LLL-DDD",
    "LLLDDDD",
    "DDDDDD",
    "LLDDDDD",
    "LLL DDD",
    "DDD-DDD",
    "LDDLLL",
    "LLLLLLL",
    "LLLLL",
    "LL LLL",
    "LLLL",
    "LLL LD",
]

_INDIAN_TEXTS = ["LL DD LL DDDD", "LLDDLLDDDD", "LL-DD-L-DDDD", "LL DD L DDDD", "LLDDLDDDD", "LLD LLLDDDD"]

STYLES: dict[str, Style] = {
    "ru_private": Style(_ONE_ROW, russian(6), russian_text("LDDDLL"), (_WHITE,), 40),
    "ru_taxi": Style(_ONE_ROW, russian(5), russian_text("LLDDD"), (_YELLOW,), 4),
    "ru_trailer": Style(_ONE_ROW, russian(6), russian_text("LLDDDD"), (_WHITE,), 3),
    "ru_police": Style(_ONE_ROW, russian(5), russian_text("LDDDD"), (_BLUE,), 2),
    "ru_military": Style(_ONE_ROW, russian(6), russian_text("DDDDLL"), (_BLACK,), 2),
    "ru_transit": Style(_ONE_ROW, russian(6), russian_text("LLDDDL"), (_WHITE,), 2),
    "eu": Style(_ONE_ROW, european, general_text(*_EUROPEAN_TEXTS), (_WHITE, _WHITE, _WHITE, _YELLOW, _BLACK), 14),
    "uk": Style(_ONE_ROW, european, general_text("LLDD LLL", "LDDD LLL"), (_WHITE, _YELLOW), 3),
    "us": Style((305, 152), american, general_text(*_AMERICAN_TEXTS), (_WHITE, _WHITE, _YELLOW, _BLUE, _BLACK), 6),
    "mercosul": Style((400, 130), mercosul, general_text("LLLDLDD", "LL DDD LL"), (_WHITE,), 4),
    "south_american": Style((400, 130), south_american, general_text("LLL-DDDD", "LLL DDD"), (_GREY, _WHITE), 4),
    "free": Style((0, 112), free, random_text, (), 18),
    "indian": Style(_ONE_ROW, free, general_text(*_INDIAN_TEXTS), (_WHITE, _WHITE, _YELLOW, _BLACK), 7),
}


def plate_text(style: str, rng: np.random.Generator) -> str:
    """A made-up text, separators included, as plates of `style` bear it."""
    return STYLES[style].text(rng)


def render_plate(
    text: str,
    style: str = "ru_private",
    seed: int | np.random.Generator = 0,
    height: int = 112,
    face: Path | None = None,
    small: Path | None = None,
    wobble: float = 1.0,
) -> PlateImage:
    """Paint one plate, `height` pixels high. `text` may hold separators; `PlateImage.text` leaves them out.

    `face` draws the number (default DejaVu Sans Bold), `small` the small print; `wobble` 0 gives a regular
    plate. Raises ValueError for a style that STYLES does not name or a character outside 0-9A-Z and
    separators.
    """
    if style not in STYLES:
        raise ValueError(f"no plate style {style!r}: choose one of {', '.join(STYLES)}")
    if unknown := set(text) - set(DIGITS + LATIN + SEPARATORS):
        raise ValueError(f"a plate bears 0-9, A-Z, blank, dash and dot only, not {''.join(sorted(unknown))!r}")
    rng = np.random.default_rng(seed)
    kind = STYLES[style]
    ground, ink = _tint(kind, rng, 8 * wobble)
    wide, high = kind.size
    wide = wide or high * float(rng.uniform(2.2, 5.2))
    canvas = np.full((height, round(height * wide / high), 3), ground, np.uint8)
    face = face or dejavu()
    kind.draw(Painter(canvas, height / high, face, small or face, ink, rng, wobble), text)
    return PlateImage(canvas, "".join(char for char in text if char not in SEPARATORS))


def _tint(kind: Style, rng: np.random.Generator, wear: float) -> Tint:
    """Ground and ink of one plate, each a little off."""
    ground, ink = kind.tints[int(rng.integers(len(kind.tints)))] if kind.tints else _contrasting(rng)
    return _worn(ground, wear, rng), _worn(ink, wear, rng)


def _contrasting(rng: np.random.Generator) -> Tint:
    """Two random colours at least 90 levels of grey apart."""
    while True:
        ground, ink = rng.integers(0, 256, (2, 3))
        if abs(float((ground - ink) @ (0.114, 0.587, 0.299))) > 90:
            return _colour(ground), _colour(ink)


def _worn(colour: Colour, spread: float, rng: np.random.Generator) -> Colour:
    return _colour(np.clip(np.array(colour) + rng.normal(0, spread, 3) + rng.normal(0, spread), 0, 255))


def _colour(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Colour:
    blue, green, red = (int(value) for value in values)
    return blue, green, red
