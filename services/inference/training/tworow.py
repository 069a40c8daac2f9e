"""Plates of two rows: squares and motorcycle plates of any country.

In come a painter and a text with "/" between the rows, out comes paint. A text without "/" is cut in the middle.
"""

from __future__ import annotations

from dataclasses import replace

from services.inference.training.marks import badge_letters, band, emblem, in_blanks, screws, scribble
from services.inference.training.painter import PALE, Painter


def rows_of(text: str) -> tuple[str, str]:
    """The two rows of a text."""
    if "/" in text:
        first, second = text.split("/")
        return first, second
    middle = (len(text) + 1) // 2
    return text[:middle], text[middle:]


def square(paint: Painter, text: str) -> None:
    """Two rows of about the same height, a band or an emblem at the left of the first now and then."""
    first, second = rows_of(text)
    wide, high = paint.size
    if paint.chance(0.15):
        paint.scenery(paint.between(0.05, 0.3))
    if paint.chance(0.7):
        paint.frame(paint.between(0, 0.02) * high, paint.between(0.01, 0.035) * high)
    left, low = wide * 0.04, wide * 0.04
    if paint.chance(0.4):
        left = wide * paint.between(0.14, 0.2)
        whole = paint.chance(0.4)
        low = left if whole else low
        band(paint, 0, left, high if whole else high * 0.5, badge_letters(paint))
        left, low = left + wide * 0.02, low + (wide * 0.02 if whole else 0)
    elif paint.chance(0.2):
        scribble(paint, left, wide * 0.2, high * 0.1, high * 0.45)
        left = wide * 0.22
    upper = paint.between(0.25, 0.4) * high
    lower = min(paint.between(0.32, 0.46) * high, high * 0.82 - upper)
    squeeze, gap = paint.between(0.7, 1.15), paint.between(0.02, 0.07) * upper
    how = paint.lettering(upper, gap, squeeze)
    how = replace(how, bar_one=paint.chance(0.08))
    top = paint.between(0.05, 0.1) * high + upper
    blanks = paint.row(first, left, wide * 0.96, top, how)
    in_blanks(paint, blanks, top, upper, 0.4 * paint.chance(0.5))
    if not blanks and paint.chance(0.2):
        emblem(paint, wide * paint.between(0.8, 0.92), top - upper / 2, upper * 0.5)
    base = high * paint.between(0.9, 0.955)
    paint.row(second, low, wide * 0.96, base, replace(how, height=lower, gap=gap * lower / upper))
    screws(paint)


def russian_square(paint: Painter, text: str) -> None:
    """GOST R 50577, kind 1A: number above, letters and region below."""
    first, second = rows_of(text)
    paint.frame(3, 3)
    _line_up(paint, first, 14, 276, paint.about(86, 1.5), 76, 58)
    _line_up(paint, second[:2], 14, 130, paint.about(157, 1.5), 76, 58)
    paint.box(138, 86, 141, 167, paint.ink)
    paint.row(second[2:], 146, 282, paint.about(140, 1.5), paint.lettering(paint.about(50, 2), 4))
    paint.row("RUS", 152, 230, paint.about(164, 1), paint.in_small(paint.lettering(17, 2.5)))
    screws(paint)


def _line_up(paint: Painter, text: str, x0: float, x1: float, base: float, digit: float, letter: float) -> None:
    """Characters spread evenly, letters lower than digits."""
    pitch = (x1 - x0) / len(text)
    for index, char in enumerate(text):
        how = paint.lettering(digit if char.isdigit() else letter)
        paint.character(char, paint.about(x0 + (index + 0.5) * pitch, 0.8), base, pitch * 0.92, how)


def motorcycle(paint: Painter, text: str) -> None:
    """Country or town in a strip above, then two rows; as in South America, India and Asia."""
    first, second = rows_of(text)
    wide, high = paint.size
    top = high * paint.between(0.03, 0.2)
    if top > high * 0.1:
        colour = PALE
        if paint.chance(0.5):
            paint.box(0, 0, wide, top, (int(paint.rng.integers(90, 190)), 50, int(paint.rng.integers(0, 60))))
        else:
            colour = paint.ink
        paint.small_print(wide * 0.2, wide * 0.8, top * 0.85, top * 0.6, colour)
    if paint.chance(0.6):
        paint.frame(1, high * 0.02)
    room = high - top
    how = paint.lettering(room * paint.between(0.33, 0.41), high * paint.between(0.01, 0.04), paint.between(0.75, 1.1))
    paint.row(first, wide * 0.06, wide * 0.94, top + room * 0.46, how)
    paint.row(second, wide * 0.05, wide * 0.95, top + room * 0.93, how)
    if paint.chance(0.15):
        emblem(paint, wide * 0.1, top + room * 0.3, room * 0.2)
    screws(paint)
