"""Paints on a plate: in come millimetres, characters and colours, out come pixels of one canvas.

Rules. Every measure is in millimetres of the real plate and is scaled once. All chance comes from the
painter's own generator, so the same strokes in the same order give the same pixels. Separators (blank, dash,
dot) are painted but stand for no character.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.training.fonts import Face, glyph

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]  # BGR

DIGITS = "0123456789"
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SEPARATORS = " -."
PALE: Colour = (240, 240, 240)


def letters(rng: np.random.Generator, alphabet: str, count: int) -> str:
    """`count` random characters of `alphabet`."""
    return "".join(alphabet[int(index)] for index in rng.integers(0, len(alphabet), count))


@dataclass(frozen=True, slots=True)
class Lettering:
    """How characters look: `height` of a capital in mm, `gap` between characters, face, colour, `cell`: the room every
    character takes if not its own, `squeeze`: the factor by which they are narrower than the face draws them,
    `bar_one`: whether a 1 is drawn as an I, as British plates do."""

    height: float
    face: Face
    colour: Colour
    gap: float = 0.0
    squeeze: float = 1.0
    cell: float = 0.0
    bar_one: bool = False

    def drawn(self, char: str) -> str:
        """The character whose glyph stands for `char`."""
        return "I" if self.bar_one and char == "1" else char

    def advance(self, char: str) -> float:
        """Room that one character or separator takes, in mm."""
        if char in SEPARATORS:
            return self.height * 0.3
        return self.cell or self.width(char)

    def room(self, text: str) -> float:
        """Room that a row of characters and separators takes, in mm."""
        return sum(map(self.advance, text)) + self.gap * max(len(text) - 1, 0)

    def width(self, char: str) -> float:
        """Width of one character's ink in mm."""
        return glyph(self.face, self.drawn(char)).width * self.height * self.squeeze


@dataclass(frozen=True, slots=True)
class Painter:
    """A plate being painted. Positions in mm from the top left; `wobble` scales every random displacement."""

    canvas: Image
    scale: float  # pixels per mm
    face: Face
    small: Face
    ink: Colour
    rng: np.random.Generator
    wobble: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm."""
        return self.canvas.shape[1] / self.scale, self.canvas.shape[0] / self.scale

    def about(self, value: float, spread: float) -> float:
        """`value`, randomly displaced by about `spread`."""
        return value + float(self.rng.normal(0, spread)) * self.wobble

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choice(self, one: float, other: float) -> float:
        return one if self.chance(0.5) else other

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def shade(self, low: int = 0, high: int = 256) -> Colour:
        """A random colour."""
        blue, green, red = (int(value) for value in self.rng.integers(low, high, 3))
        return blue, green, red

    def lettering(self, height: float, gap: float = 0.0, squeeze: float = 1.0) -> Lettering:
        """The plate's own face and ink."""
        return Lettering(height, self.face, self.ink, gap, squeeze)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        left, top, right, bottom = (max(round(value * self.scale), 0) for value in (x0, y0, x1, y1))
        self.canvas[top:bottom, left:right] = colour

    def frame(self, inset: float, thick: float) -> None:
        """An outline of `thick` mm, `inset` mm from the plate's edge."""
        wide, high = self.size
        line = max(thick, 1 / self.scale)
        right, bottom = wide - inset, high - inset
        self.box(inset, inset, right, inset + line, self.ink)
        self.box(inset, bottom - line, right, bottom, self.ink)
        self.box(inset, inset, inset + line, bottom, self.ink)
        self.box(right - line, inset, right, bottom, self.ink)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        centre = (round(x * self.scale), round(y * self.scale))
        cv2.circle(self.canvas, centre, max(round(radius * self.scale), 1), colour, -1, cv2.LINE_AA)

    def character(self, char: str, x: float, base: float, widest: float, how: Lettering) -> None:
        """One character centred on `x`, standing on `base`, at most `widest` mm wide."""
        shape = glyph(how.face, how.drawn(char))
        width = min(how.width(char), widest)
        wide = max(round(width * self.scale), 1)
        high = max(round(shape.height * how.height * self.scale), 1)
        left = round((x - width / 2) * self.scale)
        top = round((base + shape.drop * how.height) * self.scale) - high
        self._ink(left, top, cv2.resize(shape.mask, (wide, high), interpolation=cv2.INTER_AREA), how.colour)

    def _ink(self, left: int, top: int, mask: NDArray[np.generic], colour: Colour) -> None:
        y0, x0 = max(top, 0), max(left, 0)
        under = self.canvas[y0 : max(top + mask.shape[0], 0), x0 : max(left + mask.shape[1], 0)]
        seen = mask[y0 - top :, x0 - left :][: under.shape[0], : under.shape[1], None]
        alpha = seen.astype(np.float32) / 255
        under[:] = (under + (np.array(colour, np.float32) - under) * alpha + 0.5).astype(np.uint8)

    def row(self, text: str, x0: float, x1: float, base: float, how: Lettering) -> list[float]:
        """Paint `text` between x0 and x1, condensed if it would not fit. Returns where its blanks are."""
        widths = [how.advance(char) for char in text]
        total = how.room(text)
        fit = min((x1 - x0) / max(total, 1.0), 1.0)
        x, blanks = (x0 + x1 - total * fit) / 2, []
        for char, width in zip(text, widths, strict=True):
            middle = x + width * fit / 2
            if char == " ":
                blanks.append(middle)
            elif char in SEPARATORS:
                self._separator(char, middle, base, width * fit, how)
            else:
                self.character(char, middle, base, width * fit, how)
            x += (width + how.gap) * fit
        return blanks

    def _separator(self, char: str, x: float, base: float, width: float, how: Lettering) -> None:
        if char == "-":
            y, half = base - how.height / 2, how.height * 0.06
            self.box(x - width * 0.4, y - half, x + width * 0.4, y + half, how.colour)
        else:
            self.disc(x, base - how.height * float(self.rng.choice([0.08, 0.45])), how.height * 0.07, how.colour)

    def scenery(self, strength: float) -> None:
        """Soft colours all over the ground, as behind the numbers of American plates."""
        shape = (int(self.rng.integers(2, 6)), int(self.rng.integers(2, 8)), 3)
        coarse = self.rng.integers(0, 256, shape).astype(np.uint8)
        rows, columns = self.canvas.shape[:2]
        soft = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        self.canvas[:] = (self.canvas + (soft - self.canvas) * np.float32(strength)).astype(np.uint8)

    def small_print(self, x0: float, x1: float, base: float, height: float, colour: Colour) -> None:
        """A made-up word or more, as dealers and states print beside the number; no part of the text."""
        alphabet = LATIN + DIGITS if self.chance(0.3) else LATIN
        sizes = self.rng.integers(3, 10, int(self.rng.integers(1, 4)))
        words = " ".join(letters(self.rng, alphabet, int(size)) for size in sizes)
        self.row(words, x0, x1, base, Lettering(height, self.small, colour, gap=height * 0.15))

    def in_small(self, how: Lettering) -> Lettering:
        """The same lettering in the face of the small print."""
        return replace(how, face=self.small)
