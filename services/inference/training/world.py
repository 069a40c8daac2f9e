"""Plates of one row of the world's countries: general traits only, so that no country's grammar is built into
the reader.

In come a painter and a text, out comes paint: European with a band at the left, British, American twice as wide as
high, South American, Mercosul, Indian, Chinese, Arabian, and `free`: anything that may pass for a plate.
"""

from __future__ import annotations

from dataclasses import replace

from services.inference.training.marks import badge_letters, band, emblem, in_blanks, screws, scribble, sticker
from services.inference.training.painter import DIGITS, PALE, Lettering, Painter, letters


def european(paint: Painter, text: str) -> None:
    """Blue band with a ring of stars and the country's letters at the left, sometimes a second one at the
    right."""
    left, right = 8.0, 512.0
    if paint.chance(0.8):
        left = paint.about(42, 3)
        band(paint, 0, left, 112, badge_letters(paint))
    if paint.chance(0.17):
        right -= paint.about(38, 3)
        band(paint, right, 520, 112, letters(paint.rng, DIGITS, 2))
    if paint.chance(0.6):
        paint.frame(0, paint.about(3.5, 0.8))
    _sealed_number(paint, text, left + 6, right - 6)
    if paint.chance(0.15):
        paint.small_print(left + 20, right - 20, paint.about(108, 1), 9, paint.ink)
    screws(paint)


def _sealed_number(paint: Painter, text: str, x0: float, x1: float) -> None:
    """The number; registration seals may stand in its gaps."""
    height, base = paint.about(76, 3), paint.about(94, 1.5)
    how = paint.lettering(height, paint.about(9, 2.5), paint.about(0.95, 0.12))
    if paint.chance(0.4):  # as in Germany: every character takes the same room
        how = replace(how, cell=how.height * paint.between(0.5, 0.68), gap=paint.between(2, 7))
    in_blanks(paint, paint.row(text, x0, x1, base, how), base, height, 0.4 * paint.chance(0.8))


def british(paint: Painter, text: str) -> None:
    """One gap, no frame, the maker's line below; a 1 is mostly a bar like the I."""
    left = 10.0
    if paint.chance(0.5):
        left = paint.about(46, 3)
        band(paint, 0, left, 112, "GB" if paint.chance(0.5) else badge_letters(paint))
    if paint.chance(0.25):
        paint.frame(paint.between(0, 3), paint.between(1.5, 4))
    how = paint.lettering(paint.about(79, 3), paint.about(10, 2.5), paint.about(0.95, 0.1))
    how = replace(how, bar_one=paint.chance(0.7))
    if paint.chance(0.5):
        how = replace(how, cell=how.height * paint.between(0.55, 0.66), gap=paint.between(3, 10))
    paint.row(text, left + 6, 510, paint.about(94, 3), how)
    if paint.chance(0.5):
        paint.small_print(120, 400, paint.about(107, 1.5), paint.about(8, 1), paint.ink)
    screws(paint)


def american(paint: Painter, text: str) -> None:
    """State above, number in the middle, motto below; scenery, stickers, an emblem in the gap, a dealer's frame."""
    _state(paint)
    if paint.chance(0.12):
        emblem(paint, paint.between(40, 265), 76, paint.between(40, 70))
    height, base = paint.about(70, 4), paint.about(116, 3)
    how = paint.lettering(height, paint.about(7, 2.5), paint.about(0.75, 0.12))
    if paint.chance(0.25):
        how = replace(how, cell=height * paint.between(0.42, 0.56), gap=paint.between(2, 6))
    in_blanks(paint, paint.row(text, 12, 293, base, how), base, height, 0.5 * paint.chance(0.7))
    for x in (60, 245):
        paint.disc(paint.about(x, 4), 11, 4, (40, 40, 40))
        if paint.chance(0.4):
            paint.disc(paint.about(x, 4), 141, 4, (40, 40, 40))
    if paint.chance(0.35):
        _dealers_frame(paint)


def _state(paint: Painter) -> None:
    """What is printed before the number is pressed."""
    if paint.chance(0.6):
        paint.scenery(paint.between(0.05, 0.45))
    if paint.chance(0.3):
        paint.box(0, 0, 305, paint.between(15, 42), paint.shade(60))
    if paint.chance(0.15):
        paint.box(0, paint.between(118, 138), 305, 152, paint.shade(60))
    head, colour = paint.between(14, 27), paint.ink if paint.chance(0.5) else paint.shade(0, 180)
    paint.small_print(60, 245, 36 - 0.1 * head, head, colour)
    for x in (8, 262):
        if paint.chance(0.3):
            sticker(paint, x, 8 if paint.chance(0.6) else 122)
    if paint.chance(0.75):
        paint.small_print(60, 245, paint.about(143, 2), paint.about(13, 3), colour)
    if paint.chance(0.5):
        paint.frame(1, paint.about(2.5, 0.6))


def _dealers_frame(paint: Painter) -> None:
    """Covers the rim, often the foot and the head of state and motto."""
    top, foot, side = paint.between(3, 20), paint.between(3, 26), paint.between(3, 10)
    colour, ink = paint.shade(0, 90) if paint.chance(0.7) else paint.shade(90), paint.shade(120)
    paint.box(0, 0, 305, top, colour)
    paint.box(0, 152 - foot, 305, 152, colour)
    paint.box(0, 0, side, 152, colour)
    paint.box(305 - side, 0, 305, 152, colour)
    if foot > 12:
        paint.small_print(20, 285, 152 - foot * 0.2, foot * 0.6, ink)
    if top > 12:
        paint.small_print(20, 285, top * 0.85, top * 0.6, ink)


def mercosul(paint: Painter, text: str) -> None:
    """Blue strip across the top with the country's name; number below."""
    paint.box(0, 0, 400, 30, (int(paint.rng.integers(90, 190)), 50, int(paint.rng.integers(0, 40))))
    paint.small_print(130, 270, 23, 16, PALE)
    if paint.chance(0.7):
        emblem(paint, paint.between(15, 40), 16, 20)
        emblem(paint, paint.between(360, 385), 16, 20)
    paint.frame(0, 3)
    left = 12.0
    if paint.chance(0.4):
        left = 45.0
        for _ in range(int(paint.rng.integers(1, 3))):
            sticker(paint, 10, paint.between(40, 95), 22)
    how = paint.lettering(paint.about(65, 3), paint.about(9, 2), paint.about(0.9, 0.1))
    paint.row(text, left, 388, paint.about(115, 2), how)
    screws(paint)


def south_american(paint: Painter, text: str) -> None:
    """Country or town in a small line above the number, on a strip of its own at times."""
    if paint.chance(0.3):
        paint.box(40, 6, 360, 36, paint.shade(120))
    paint.small_print(60, 340, paint.about(32, 2), paint.about(16, 3), paint.ink)
    if paint.chance(0.6):
        paint.frame(2, 3)
    height, base = paint.about(68, 4), paint.about(112, 3)
    how = paint.lettering(height, paint.about(9, 3), paint.about(0.9, 0.12))
    in_blanks(paint, paint.row(text, 12, 388, base, how), base, height, 0.5 * paint.chance(0.4))
    if paint.chance(0.15):
        paint.small_print(100, 300, 127, 10, paint.ink)
    screws(paint)


def indian(paint: Painter, text: str) -> None:
    """Small hologram with "IND" at the left, any lettering that its painter likes."""
    left = 8.0
    if paint.chance(0.6):
        left = paint.about(40, 8)
        how = Lettering(paint.about(14, 3), paint.small, (190, 90, 20), gap=1)
        paint.row("IND", 5, left, paint.between(60, 100), how)
        emblem(paint, left / 2, paint.between(22, 45), 24)
    if paint.chance(0.6):
        paint.frame(paint.between(1, 5), paint.about(3, 1))
    height = paint.between(48, 84)
    how = paint.lettering(height, paint.between(2, 11), paint.between(0.7, 1.2))
    how = replace(how, bar_one=paint.chance(0.2))
    paint.row(text, left + 4, 512, 56 + height / 2 + paint.about(0, 4), how)
    if height < 62 and paint.chance(0.4):
        paint.small_print(60, 460, paint.choice(14.0, 108.0), 10, paint.ink)
    screws(paint)


def chinese(paint: Painter, text: str) -> None:
    """A province's sign first, which is not read, then a letter, a dot and the number."""
    scribble(paint, 12, 56, 24, 114)
    if paint.chance(0.8):
        paint.frame(3, 3)
    how = paint.lettering(paint.about(90, 3), paint.about(9, 2), paint.about(0.9, 0.1))
    paint.row(text, 64, 428, paint.about(114, 2), how)
    screws(paint)


def arabian(paint: Painter, text: str) -> None:
    """The country's name in two scripts beside or below the number."""
    if paint.chance(0.5):
        paint.row(text, 20, 500, paint.about(72, 3), paint.lettering(paint.about(58, 4), paint.about(9, 3)))
        paint.row("DUBAI" if paint.chance(0.3) else badge_letters(paint), 40, 200, 102, paint.lettering(20, 4))
        scribble(paint, 280, 460, 82, 104)
    else:
        left = paint.between(90, 160)
        scribble(paint, 12, left - 8, 14, 52)
        paint.row(badge_letters(paint), 12, left - 8, 98, paint.in_small(paint.lettering(26, 3)))
        paint.row(text, left, 508, paint.about(94, 3), paint.lettering(paint.about(76, 4), paint.about(9, 3)))
    if paint.chance(0.7):
        paint.frame(2, 3)
    screws(paint)


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
    how = paint.lettering(size, paint.about(8, 3), paint.between(0.65, 1.2))
    if paint.chance(0.2):
        how = replace(how, cell=size * paint.between(0.5, 0.75))
    in_blanks(paint, paint.row(text, left, right, base, how), base, size, 0.4 * paint.chance(0.5))
    screws(paint)
