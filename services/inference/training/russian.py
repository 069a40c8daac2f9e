"""Russian plates of one row (GOST R 50577): the number left, the region box right, "RUS" and the flag below
its digits.

In come a painter and a text, out comes paint. Letters are lower than digits and all stand on one line; the
letters are the twelve that Cyrillic and Latin share. Measures vary a little, as real plates do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.inference.training.painter import DIGITS, Colour, Painter, letters

RUSSIAN = "ABCEHKMOPTXY"
_LONG_REGIONS = (*range(102, 200), *range(702, 800, 5), 250, 550, 716, 750, 763, 777, 790, 797, 799)
_RIGHT = 512.0  # mm, the inner edge of the frame
_TRICOLOUR: tuple[Colour, ...] = ((250, 250, 250), (180, 70, 30), (50, 40, 210))


def russian_text(pattern: str) -> Callable[[np.random.Generator], str]:
    """A maker of texts: `pattern` of L (letter) and D (digit), then a region of two or three digits."""

    def text(rng: np.random.Generator) -> str:
        number = "".join(letters(rng, RUSSIAN if mark == "L" else DIGITS, 1) for mark in pattern)
        return number + _region(rng)

    return text


def _region(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.5:
        return letters(rng, DIGITS, 2)
    return str(rng.choice(_LONG_REGIONS)) if kind < 0.85 else letters(rng, DIGITS, 3)


def russian(main: int) -> Callable[[Painter, str], None]:
    """How to paint a plate whose first `main` characters are the number and the rest the region."""

    def draw(paint: Painter, text: str) -> None:
        number, region = text[:main], text[main:]
        divider = paint.about(393 if len(region) > 2 else 404, 4)
        if paint.chance(0.92):
            paint.frame(3, paint.about(3, 0.5))
        paint.box(divider, 3, divider + paint.between(2, 4), 109, paint.ink)
        spare = 15 * max(6 - main, 0)
        _number(paint, number, paint.about(34, 3) + spare, divider - paint.about(30, 3) - spare)
        _region_box(paint, region, divider + 3)
        _bolts(paint)

    return draw


def _number(paint: Painter, text: str, left: float, right: float) -> None:
    """Letters 58 mm and digits 76 mm high on one base line, spread evenly with a little unevenness."""
    pitch = (right - left) / len(text)
    breathe, squeeze, base = paint.about(1, 0.03), paint.about(1, 0.06), paint.about(93, 1.2)
    digit = paint.lettering(paint.about(76, 1.5), squeeze=squeeze)
    letter = paint.lettering(paint.about(58, 2), squeeze=squeeze)
    middle = (left + right) / 2 + paint.about(0, 2.5)
    for index, char in enumerate(text):
        x = middle + (index - (len(text) - 1) / 2) * pitch * breathe
        paint.character(char, paint.about(x, 0.8), base, pitch * 0.92, digit if char.isdigit() else letter)


def _region_box(paint: Painter, region: str, left: float) -> None:
    base = paint.about(68, 1.5)
    how = paint.lettering(paint.about(57, 2))
    pitch = min((_RIGHT - left) / (len(region) + 0.25), paint.about(38, 1.5))
    middle = (left + _RIGHT) / 2 + paint.about(-2, 1.5)
    for index, char in enumerate(region):
        x = middle + (index - (len(region) - 1) / 2) * pitch
        paint.character(char, paint.about(x, 0.6), base, pitch * 0.93, how)
    _country(paint, left, middle)


def _country(paint: Painter, left: float, middle: float) -> None:
    """ "RUS", mostly with the flag right of it."""
    base, height, flag = paint.about(97, 1), paint.about(19, 1), paint.chance(0.75)
    end = middle + (paint.about(8, 2) if flag else 30)
    paint.row("RUS", left + 6, end, base, paint.in_small(paint.lettering(height, gap=2.5)))
    if not flag:
        return
    x0, x1, step = end + 4, end + paint.about(38, 2), height / 3
    paint.box(x0 - 0.8, base - height - 0.8, x1 + 0.8, base + 0.8, (120, 120, 120))
    for band, colour in enumerate(_TRICOLOUR):
        paint.box(x0, base - height + band * step, x1, base - height + (band + 1) * step, colour)


def _bolts(paint: Painter) -> None:
    """Screws or holes at the two ends, as on nearly every mounted plate."""
    if not paint.chance(0.85):
        return
    radius, grey = paint.between(2, 7) + paint.between(0, 7) * paint.chance(0.5), int(paint.rng.integers(15, 210))
    colour = (grey, grey, grey) if paint.chance(0.85) else (int(paint.rng.integers(0, 90)), 40, 190)
    for end in (15, 504):
        x, y = paint.about(end, 5), paint.about(56, 7)
        paint.disc(x, y, radius, colour)
        if radius > 5 and paint.chance(0.5):
            paint.disc(x, y, radius * 0.5, paint.shade())
