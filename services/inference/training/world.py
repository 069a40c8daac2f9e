"""Plates of the rest of the world, in general traits only, so that no country's grammar is built into the
reader.

In come a painter and a text, out comes paint: European with a blue band, American twice as wide as high,
South American, and `free`: anything that may pass for a plate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from services.inference.training.painter import DIGITS, LATIN, PALE, SEPARATORS, Lettering, Painter, letters

_ALIKE = "BCDGIIIJLOQSTUVZ"  # letters easily lost or mistaken, drawn more often than chance would


def general_text(*patterns: str) -> Callable[[np.random.Generator], str]:
    """A maker of texts: one of the patterns, L a letter, D a digit, anything else standing for itself."""

    def text(rng: np.random.Generator) -> str:
        pattern = patterns[int(rng.integers(len(patterns)))]
        kinds = {"L": _ALIKE if rng.random() < 0.15 else LATIN, "D": DIGITS}
        return "".join(letters(rng, kinds.get(mark, mark), 1) for mark in pattern)

    return text


def random_text(rng: np.random.Generator) -> str:
    """2 to 10 characters in any mixture, now and then with separators."""
    alphabets = (LATIN + DIGITS, LATIN + DIGITS * 3, DIGITS, LATIN)
    text = letters(rng, alphabets[int(rng.integers(4))], int(rng.integers(2, 11)))
    for _ in range(int(rng.integers(0, 3))):
        at = int(rng.integers(1, len(text)))
        if text[at] not in SEPARATORS and text[at - 1] not in SEPARATORS:
            text = text[:at] + letters(rng, SEPARATORS, 1) + text[at:]
    return text


def european(paint: Painter, text: str) -> None:
    """Blue band with a ring of stars and the country's letters at the left, sometimes a second one at the
    right."""
    left, right = 8.0, 512.0
    blue = (
        int(paint.rng.integers(100, 220)),
        int(paint.rng.integers(30, 140)),
        int(paint.rng.integers(0, 120)),
    )
    badge = Lettering(22, paint.face, PALE, gap=2)
    if paint.chance(0.85):
        left = paint.about(42, 3)
        paint.box(0, 0, left, 112, blue)
        _stars(paint, left / 2, 36)
        paint.row(letters(paint.rng, LATIN, int(paint.rng.integers(1, 4))), 6, left - 4, 95, badge)
    if paint.chance(0.17):
        right -= paint.about(38, 3)
        paint.box(right, 0, 520, 112, blue)
        paint.row(letters(paint.rng, DIGITS, 2), right + 4, 514, 95, badge)
    if paint.chance(0.7):
        paint.frame(0, paint.about(3.5, 0.8))
    _sealed_number(paint, text, left + 6, right - 6)
    _screws(paint)


def _screws(paint: Painter) -> None:
    """Two screws, anywhere along one height: also on and between characters."""
    if not paint.chance(0.4):
        return
    wide, high = paint.size
    y, inset, radius = paint.between(0.05, 0.95) * high, paint.between(0.03, 0.35) * wide, paint.between(2, 6)
    for x in (inset, wide - inset):
        paint.disc(x, y, radius, paint.shade(0, 255))


def _sticker(paint: Painter, x: float, y: float) -> None:
    """Year or month, on a label of any colour."""
    wide, high = paint.between(22, 38), paint.between(16, 26)
    paint.box(x, y, x + wide, y + high, paint.shade())
    how = Lettering(high * 0.6, paint.small, paint.shade())
    paint.row(letters(paint.rng, DIGITS + LATIN, 3), x + 2, x + wide - 2, y + high * 0.8, how)


def _stars(paint: Painter, x: float, y: float) -> None:
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        paint.disc(x + 13 * float(np.cos(angle)), y + 13 * float(np.sin(angle)), 1.6, (40, 210, 250))


def _sealed_number(paint: Painter, text: str, x0: float, x1: float) -> None:
    """The number; registration seals may stand in its gaps."""
    how = paint.lettering(paint.about(76, 3), paint.about(9, 2.5), paint.about(0.95, 0.12))
    if paint.chance(0.4):  # as in Germany: every character takes the same room
        how = replace(how, cell=how.height * paint.between(0.5, 0.68), gap=paint.between(2, 7))
    blanks = paint.row(text, x0, x1, paint.about(94, 1.5), how)
    if not paint.chance(0.35):
        return
    for x in blanks:
        paint.disc(x, 36, paint.about(8, 1), paint.shade(40, 220))
        paint.disc(x, 76, paint.about(8, 1), paint.shade(40, 220))


def american(paint: Painter, text: str) -> None:
    """State above, number in the middle, motto below."""
    if paint.chance(0.6):
        paint.scenery(paint.between(0.05, 0.4))
    if paint.chance(0.3):
        paint.box(0, 0, 305, paint.between(15, 42), paint.shade(60))
    head, colour = paint.between(14, 27), paint.ink if paint.chance(0.5) else paint.shade(0, 180)
    paint.small_print(60, 245, 36 - 0.1 * head, head, colour)
    for x in (8, 262):
        if paint.chance(0.3):
            _sticker(paint, x, 8 if paint.chance(0.6) else 122)
    how = paint.lettering(paint.about(70, 4), paint.about(7, 2), paint.about(0.75, 0.12))
    paint.row(text, 14, 291, paint.about(116, 3), how)
    if paint.chance(0.8):
        paint.small_print(60, 245, paint.about(143, 2), paint.about(13, 3), colour)
    if paint.chance(0.5):
        paint.frame(1, paint.about(2.5, 0.6))
    for x in (60, 245):
        paint.disc(paint.about(x, 4), 11, 4, (40, 40, 40))


def mercosul(paint: Painter, text: str) -> None:
    """Blue strip across the top with the country's name; number below."""
    paint.box(0, 0, 400, 30, (int(paint.rng.integers(90, 190)), 50, int(paint.rng.integers(0, 40))))
    paint.small_print(130, 270, 23, 16, PALE)
    paint.frame(0, 3)
    how = paint.lettering(paint.about(65, 3), paint.about(9, 2), paint.about(0.9, 0.1))
    paint.row(text, 12, 388, paint.about(115, 2), how)


def south_american(paint: Painter, text: str) -> None:
    """Town in a small line above the number."""
    paint.small_print(100, 300, paint.about(32, 2), paint.about(15, 2), paint.ink)
    if paint.chance(0.6):
        paint.frame(2, 3)
    how = paint.lettering(paint.about(66, 3), paint.about(9, 2), paint.about(0.9, 0.1))
    paint.row(text, 12, 388, paint.about(112, 3), how)


def free(paint: Painter, text: str) -> None:
    """Number anywhere near the middle, with or without frame, strip and small print."""
    width, height = paint.size
    left, right = paint.between(4, 40), width - paint.between(4, 40)
    size = paint.between(0.38, 0.82) * height
    if paint.chance(0.2):
        paint.scenery(paint.between(0.05, 0.35))
    base = height / 2 + size / 2 + paint.about(0, 2.5)
    if paint.chance(0.5):
        paint.frame(2, paint.between(1.5, 5))
    if size < 0.62 * height and paint.chance(0.6):
        paint.small_print(width * 0.2, width * 0.8, height * 0.16, height * 0.11, paint.ink)
        base += height * 0.06
    if left > 28 and paint.chance(0.6):
        paint.box(0, 0, left - 5, height, paint.shade())
    how = paint.lettering(size, paint.about(8, 3), paint.between(0.7, 1.15))
    if paint.chance(0.2):
        how = replace(how, cell=size * paint.between(0.5, 0.75))
    paint.row(text, left, right, base, how)
    _screws(paint)
