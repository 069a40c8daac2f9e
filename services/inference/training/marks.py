"""What stands on plates beside the number: bands, stars, seals, emblems, stickers, screws, words in other scripts.

In come a painter and millimetres, out comes paint. None of it is part of the text: the reader must look past it.
"""

from __future__ import annotations

import cv2
import numpy as np

from services.inference.training.painter import DIGITS, LATIN, PALE, Colour, Lettering, Painter, letters


def screws(paint: Painter) -> None:
    """Two screws or more, anywhere along one height: also on and between characters."""
    if not paint.chance(0.4):
        return
    wide, high = paint.size
    y, inset = paint.between(0.05, 0.95) * high, paint.between(0.03, 0.35) * wide
    radius = paint.between(0.02, 0.055) * high
    rows = (y, high - y) if paint.chance(0.25) else (y,)
    for row in rows:
        for x in (inset, wide - inset):
            paint.disc(x, row, radius, paint.shade(0, 255))
            if paint.chance(0.4):
                paint.disc(x, row, radius * 0.5, paint.shade(0, 255))


def sticker(paint: Painter, x: float, y: float, size: float = 30.0) -> None:
    """Year or month, on a label of any colour."""
    wide, high = paint.between(0.75, 1.25) * size, paint.between(0.5, 0.9) * size
    paint.box(x, y, x + wide, y + high, paint.shade())
    how = Lettering(high * 0.6, paint.small, paint.shade())
    paint.row(
        letters(paint.rng, DIGITS + LATIN, int(paint.rng.integers(2, 4))), x + 2, x + wide - 2, y + high * 0.8, how
    )


def stars(paint: Painter, x: float, y: float, radius: float = 13.0) -> None:
    """The ring of twelve."""
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        paint.disc(x + radius * float(np.cos(angle)), y + radius * float(np.sin(angle)), radius / 8, (40, 210, 250))


def band(paint: Painter, x0: float, x1: float, height: float, badge: str) -> None:
    """The blue band of Europe, and its likes in other colours: stars or an emblem above, `badge` below."""
    wide = x1 - x0
    blue: Colour = tuple(int(v) for v in paint.rng.integers((100, 30, 0), (220, 140, 120)))  # type: ignore[assignment]
    paint.box(x0, 0, x1, height, blue if paint.chance(0.9) else paint.shade())
    middle = (x0 + x1) / 2
    if paint.chance(0.7):
        stars(paint, middle, height * 0.32, wide * 0.3)
    elif paint.chance(0.5):
        emblem(paint, middle, height * 0.3, wide * 0.5)
    if badge:
        how = Lettering(min(height * 0.2, wide * 0.5), paint.small, PALE, gap=2)
        paint.row(badge, x0 + 3, x1 - 3, height * 0.86, how)


def emblem(paint: Painter, x: float, y: float, size: float) -> None:
    """A seal, shield, star, crown or leaf: a few shapes in any colours, `size` mm across."""
    kind = int(paint.rng.integers(4))
    colour, second = paint.shade(0, 230), paint.shade()
    if kind == 0:
        paint.disc(x, y, size / 2, colour)
        paint.disc(x, y, size * paint.between(0.2, 0.42), second)
        if paint.chance(0.5):
            paint.disc(x, y, size * 0.15, colour)
        return
    points = int(paint.rng.integers(3, 8)) * (2 if kind == 1 else 1)
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False) + paint.between(0, 6.3)
    reach = np.where(np.arange(points) % 2, paint.between(0.2, 0.5), 0.5) if kind == 1 else np.full(points, 0.5)
    reach = reach * paint.rng.uniform(0.75, 1.1, points)
    corners = np.column_stack((x + size * reach * np.cos(angles), y + size * reach * np.sin(angles))) * paint.scale
    cv2.fillPoly(paint.canvas, [np.rint(corners).astype(np.int32)], colour, cv2.LINE_AA)
    if kind == 3:
        paint.disc(x, y, size * 0.2, second)


def in_blanks(paint: Painter, blanks: list[float], base: float, height: float, share: float) -> None:
    """Emblems in some of the gaps of a number whose characters are `height` high and stand on `base`."""
    for x in blanks:
        if not paint.chance(share):
            continue
        if paint.chance(0.4):
            for y in (base - height * 0.78, base - height * 0.22):
                paint.disc(x, y, paint.about(height * 0.11, height * 0.02), paint.shade(20, 240))
        else:
            emblem(paint, x, base - height * paint.between(0.3, 0.7), height * paint.between(0.25, 0.55))


def scribble(paint: Painter, x0: float, x1: float, y0: float, y1: float) -> None:
    """Writing in a script that is not read: joined strokes and dots, or square signs."""
    square = paint.chance(0.5)
    count = max(int((x1 - x0) / max(y1 - y0, 1.0) * (1.0 if square else 1.6)), 1)
    cell, thick = (x1 - x0) / count, max(round((y1 - y0) * paint.between(0.07, 0.13) * paint.scale), 1)
    for index in range(count):
        left = x0 + index * cell
        for _ in range(int(paint.rng.integers(2, 6 if square else 4))):
            at = paint.rng.uniform(0.06, 0.94, (2 if square else 3, 2))
            if square and paint.chance(0.8):
                axis = int(paint.rng.integers(2))
                at[1, axis] = at[0, axis]
            line = np.column_stack((left + at[:, 0] * cell, y0 + at[:, 1] * (y1 - y0))) * paint.scale
            cv2.polylines(paint.canvas, [np.rint(line).astype(np.int32)], False, paint.ink, thick, cv2.LINE_AA)


def badge_letters(paint: Painter) -> str:
    """A country's one to three letters."""
    return letters(paint.rng, LATIN, int(paint.rng.integers(1, 4)))
