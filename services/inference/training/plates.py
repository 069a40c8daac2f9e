"""Draws clean number plates: in come a text, a style and a seed, out comes a picture; same input, same
pixels.

Styles (`styles.py`) say how a plate is painted (`russian.py`, `world.py`, `tworow.py`) and which texts it bears. A text
may hold separators (blank, dash, dot): they are painted but are no part of the plate's text; "/" begins a second row.
Nothing here needs torch, so the simulator paints its plates with this module too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.inference.training.fonts import Face, dejavu
from services.inference.training.painter import DIGITS, LATIN, SEPARATORS, Colour, Image, Painter
from services.inference.training.styles import STYLES, Style, Tint

NEW_ROW = "/"
_NO_SEPARATORS = str.maketrans("", "", SEPARATORS)
_TALL = 150.0  # mm; a plate of any width that is higher has two rows
_FREE_SHAPES = ((2.2, 5.2), (1.1, 1.9))  # width by height, of one row and of two


@dataclass(frozen=True, slots=True)
class PlateImage:
    """A painted plate: `image` (h, w, 3) BGR uint8, nothing around it; `rows`: one or two texts as they should be
    read, from above."""

    image: Image
    rows: tuple[str, ...]

    @property
    def text(self) -> str:
        """All rows in one."""
        return "".join(self.rows)


def plate_text(style: str, rng: np.random.Generator) -> str:
    """A made-up text, separators included, as plates of `style` bear it."""
    return STYLES[style].text(rng)


def render_plate(
    text: str,
    style: str = "ru_private",
    seed: int | np.random.Generator = 0,
    height: int = 112,
    face: Face | None = None,
    small: Face | None = None,
    wobble: float = 1.0,
) -> PlateImage:
    """Paint one plate, `height` pixels high. `text` may hold separators; `PlateImage.rows` leaves them out.

    `face` draws the number (default DejaVu Sans Bold), `small` the small print; `wobble` 0 gives a regular
    plate. Raises ValueError for a style that STYLES does not name or a character outside 0-9A-Z and
    separators.
    """
    if style not in STYLES:
        raise ValueError(f"no plate style {style!r}: choose one of {', '.join(STYLES)}")
    if unknown := set(text) - set(DIGITS + LATIN + SEPARATORS + NEW_ROW):
        raise ValueError(f"a plate bears 0-9, A-Z, blank, dash and dot only, not {''.join(sorted(unknown))!r}")
    rng = np.random.default_rng(seed)
    kind = STYLES[style]
    ground, ink = _tint(kind, rng, 8 * wobble)
    wide, high = kind.size
    wide = wide or high * float(rng.uniform(*_FREE_SHAPES[high > _TALL]))
    canvas = np.full((height, round(height * wide / high), 3), ground, np.uint8)
    face = face or dejavu()
    kind.draw(Painter(canvas, height / high, face, small or face, ink, rng, wobble), text)
    rows = text.translate(_NO_SEPARATORS).split(NEW_ROW)
    return PlateImage(canvas, tuple(rows))


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
