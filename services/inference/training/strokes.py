"""Letterforms drawn by our own code: in come a seed and a character, out comes its ink.

Plate dies have strokes of one width, round or square bowls and letterforms that no text font has: a 0 with a gap, a 1
that is a bare bar, an open 4, a 3 with a flat top. A `StrokeFace` is one such alphabet: its seed decides width, weight,
squareness, slant, waist and which form each character takes, so that there are as many alphabets as seeds.

Shapes are lines and arcs in a unit square, y down; they are drawn four times too large and shrunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]  # (points, 2): x, y in 0..1
_HEIGHT = 96  # pixels of a finished capital
_FINE = 4  # times larger while it is drawn
_WIDTHS = {"I": 0.6, "1": 0.5, "J": 0.75, "M": 1.25, "W": 1.35}  # of the others' width


@dataclass(frozen=True)
class StrokeFace:
    """One alphabet. Hashable: the same seed is the same alphabet."""

    seed: int

    @cached_property
    def traits(self) -> Traits:
        return _traits(self.seed)


@dataclass(frozen=True, slots=True)
class Traits:
    """What the characters of an alphabet share, and the `form` of each that has several."""

    width: float
    weight: float
    square: float
    slant: float
    waist: float
    round_caps: bool
    round_o: bool
    form: dict[str, str]


_FORMS: dict[str, dict[str, float]] = {
    "0": {"plain": 0.78, "slash": 0.1, "dot": 0.04, "gap": 0.08},
    "1": {"flag": 0.66, "bar": 0.14, "foot": 0.2},
    "3": {"round": 0.8, "flat": 0.2},
    "4": {"closed": 0.7, "open": 0.3},
    "6": {"curl": 0.6, "straight": 0.4},
    "7": {"plain": 0.85, "bar": 0.15},
    "I": {"bar": 0.6, "serif": 0.4},
    "J": {"plain": 0.75, "top": 0.25},
    "M": {"deep": 0.5, "half": 0.5},
    "W": {"high": 0.5, "half": 0.5},
    "G": {"bar": 0.6, "spur": 0.4},
    "Q": {"tail": 0.6, "inner": 0.4},
    "Z": {"plain": 0.9, "bar": 0.1},
    "A": {"point": 0.7, "flat": 0.3},
}


@lru_cache(maxsize=4096)
def _traits(seed: int) -> Traits:
    rng = np.random.default_rng((71, seed))
    forms = {char: str(rng.choice(list(kinds), p=list(kinds.values()))) for char, kinds in _FORMS.items()}
    return Traits(
        width=float(rng.uniform(0.4, 0.78)),
        weight=float(rng.uniform(0.085, 0.2)),
        square=float(rng.choice([2.0, 2.4, 3.0, 4.5, 8.0])),
        slant=float(rng.normal(0, 0.015)) if rng.random() < 0.9 else float(rng.uniform(0.05, 0.2)),
        waist=float(rng.uniform(0.44, 0.54)),
        round_caps=bool(rng.random() < 0.6),
        round_o=bool(rng.random() < 0.6),
        form=forms,
    )


@lru_cache(maxsize=16384)
def ink(face: StrokeFace, character: str) -> NDArray[np.uint8]:
    """The character as a mask (h, w) uint8 cut tightly, `_HEIGHT` high. Raises KeyError for one outside 0-9A-Z."""
    traits = face.traits
    lines = _SHAPES[character](traits)
    wide = traits.width * _relative_width(character, traits)
    thick = traits.weight * _HEIGHT * _FINE
    size, pad = _HEIGHT * _FINE, int(thick)
    across = max(wide * size - thick, 1.0)
    canvas = np.zeros((size + 2 * pad, int(wide * size + abs(traits.slant) * size) + 4 * pad), np.uint8)
    for line in lines:
        y = thick / 2 + pad + line[:, 1] * (size - thick)
        x = thick / 2 + 2 * pad + line[:, 0] * across + (1 - line[:, 1]) * traits.slant * size
        points = np.rint(np.column_stack((x, y)) * 16).astype(np.int32)
        cv2.polylines(canvas, [points[:, None]], False, 255, max(round(thick), 1), cv2.LINE_8, 4)
    if not traits.round_caps:
        corner = np.ones((max(int(thick * 0.55), 1),) * 2, np.uint8)
        canvas = np.asarray(cv2.morphologyEx(canvas, cv2.MORPH_CLOSE, corner), np.uint8)
    rows, columns = np.flatnonzero(canvas.any(1)), np.flatnonzero(canvas.any(0))
    tight = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shape = (max(tight.shape[1] // _FINE, 1), max(tight.shape[0] // _FINE, 1))
    return np.asarray(cv2.resize(tight, shape, interpolation=cv2.INTER_AREA), np.uint8)


def _relative_width(character: str, traits: Traits) -> float:
    if character in "OQ" and traits.round_o:
        return 1.18
    return _WIDTHS.get(character, 1.0)


def _line(*points: tuple[float, float]) -> Line:
    return np.array(points, np.float64)


def _arc(t: Traits, box: tuple[float, float, float, float], start: float, end: float) -> Line:
    """Part of the superellipse in `box` (x0, y0, x1, y1), from angle `start` to `end` in turns, clockwise from the
    right (0.25 is the bottom)."""
    x0, y0, x1, y1 = box
    angle = np.linspace(start, end, 40) * 2 * np.pi
    cos, sin, power = np.cos(angle), np.sin(angle), 2 / t.square
    x = np.sign(cos) * np.abs(cos) ** power
    y = np.sign(sin) * np.abs(sin) ** power
    return np.column_stack(((x0 + x1) / 2 + (x1 - x0) / 2 * x, (y0 + y1) / 2 + (y1 - y0) / 2 * y))


def _ellipse(start: float, end: float) -> Line:
    angle = np.linspace(start, end, 40) * 2 * np.pi
    return np.column_stack((0.5 + 0.5 * np.cos(angle), 0.5 + 0.5 * np.sin(angle)))


_ALL = (0.0, 0.0, 1.0, 1.0)


def _zero(t: Traits) -> list[Line]:
    form = t.form["0"]
    if form == "gap":
        return [_arc(t, _ALL, -0.17, 0.78)]
    extra = {"slash": [_line((0.75, 0.22), (0.25, 0.78))], "dot": [_line((0.5, 0.47), (0.5, 0.53))]}
    return [_arc(t, _ALL, 0, 1), *extra.get(form, [])]


def _one(t: Traits) -> list[Line]:
    if t.form["1"] == "bar":
        return [_line((0.5, 0), (0.5, 1))]
    stem = [_line((0.1, 0.24), (0.62, 0), (0.62, 1))]
    return [*stem, _line((0.1, 1), (1, 1))] if t.form["1"] == "foot" else stem


def _two(t: Traits) -> list[Line]:
    top = _arc(t, (0, 0, 1, 0.58), 0.52, 1.06)
    return [np.vstack((top, [(0.0, 1.0), (1.0, 1.0)]))]


def _three(t: Traits) -> list[Line]:
    m = t.waist
    low = _arc(t, (-0.05, m, 1, 1), 0.75, 1.44)
    if t.form["3"] == "flat":
        return [np.vstack(([(0.05, 0.0), (0.95, 0.0), (0.42, m)], low))]
    return [_arc(t, (0.02, 0, 0.94, m), 0.56, 1.25), low, _line((0.35, m), (0.5, m))]


def _four(t: Traits) -> list[Line]:
    if t.form["4"] == "open":
        return [_line((0.32, 0), (0.02, 0.68), (1, 0.68)), _line((0.72, 0.36), (0.72, 1))]
    return [_line((0.76, 1), (0.76, 0), (0.0, 0.7), (1, 0.7))]


def _five(t: Traits) -> list[Line]:
    m = 0.38
    return [_line((0.92, 0), (0.12, 0), (0.07, m + 0.06)), _arc(t, (-0.12, m, 1, 1), 0.68, 1.42)]


def _six(t: Traits) -> list[Line]:
    m = 0.4
    bowl = _arc(t, (0, m, 1, 1), 0, 1)
    if t.form["6"] == "straight":
        return [bowl, _line((0.68, 0), (0.03, 0.62))]
    return [bowl, _arc(t, (0, 0, 1, 1.1), 0.5, 0.88), _line((0, 0.5), (0, 0.72))]


def _turned(lines: list[Line]) -> list[Line]:
    return [1 - line for line in lines]


def _eight(t: Traits) -> list[Line]:
    m = t.waist
    return [_arc(t, (0.06, 0, 0.94, m), 0, 1), _arc(t, (0, m, 1, 1), 0, 1)]


def _seven(t: Traits) -> list[Line]:
    bar = [_line((0.3, 0.5), (0.85, 0.5))] if t.form["7"] == "bar" else []
    return [_line((0, 0), (1, 0), (0.36, 1)), *bar]


def _letter_a(t: Traits) -> list[Line]:
    if t.form["A"] == "flat":
        return [_line((0, 1), (0.34, 0), (0.66, 0), (1, 1)), _line((0.14, 0.68), (0.86, 0.68))]
    return [_line((0, 1), (0.5, 0), (1, 1)), _line((0.16, 0.69), (0.84, 0.69))]


def _bowl(t: Traits, y0: float, y1: float, right: float) -> list[Line]:
    """A half bowl on the stem at the left, with its straight beginnings."""
    arc = _arc(t, (right - 0.9, y0, right, y1), 0.75, 1.25)
    return [np.vstack(([(0.0, y0)], arc, [(0.0, y1)]))]


def _letter_b(t: Traits) -> list[Line]:
    m = t.waist
    return [_line((0, 0), (0, 1)), *_bowl(t, 0, m, 0.94), *_bowl(t, m, 1, 1.0)]


def _letter_g(t: Traits) -> list[Line]:
    tail = [_line((0.55, 0.54), (1, 0.54), (1, 0.8))]
    if t.form["G"] == "spur":
        tail = [_line((0.6, 0.56), (1, 0.56), (1, 1))]
    return [_arc(t, _ALL, 0.08, 0.9), *tail]


def _letter_j(t: Traits) -> list[Line]:
    top = [_line((0.35, 0), (1, 0))] if t.form["J"] == "top" else []
    return [np.vstack(([(1.0, 0.0), (1.0, 0.6)], _arc(t, (0, 0.4, 1, 1), 0.0, 0.46))), *top]


def _letter_m(t: Traits) -> list[Line]:
    deep = 1.0 if t.form["M"] == "deep" else 0.6
    return [_line((0, 1), (0, 0), (0.5, deep), (1, 0), (1, 1))]


def _letter_q(t: Traits) -> list[Line]:
    tail = _line((0.62, 0.72), (1, 1.02)) if t.form["Q"] == "tail" else _line((0.48, 0.62), (0.95, 0.98))
    return [*_letter_o(t), tail]


def _letter_o(t: Traits) -> list[Line]:
    """Rounder than the 0 in most alphabets, the same in the others."""
    return [_ellipse(0, 1)] if t.round_o else [_arc(t, _ALL, 0, 1)]


def _letter_s(t: Traits) -> list[Line]:
    m = t.waist
    return [
        np.vstack((_arc(t, (0, 0, 1, m), 0.94, 0.5), _arc(t, (0, 0, 1, m), 0.5, 0.25))),
        np.vstack((_arc(t, (0, m, 1, 1), 0.75, 1.0), _arc(t, (0, m, 1, 1), 0.0, 0.44))),
    ]


def _letter_u(t: Traits) -> list[Line]:
    return [np.vstack(([(1.0, 0.0)], _arc(t, (0, 0.4, 1, 1), 0, 0.5), [(0.0, 0.0)]))]


def _letter_w(t: Traits) -> list[Line]:
    high = 0.0 if t.form["W"] == "high" else 0.42
    return [_line((0, 0), (0.23, 1), (0.5, high), (0.77, 1), (1, 0))]


def _letter_z(t: Traits) -> list[Line]:
    bar = [_line((0.25, 0.5), (0.75, 0.5))] if t.form["Z"] == "bar" else []
    return [_line((0, 0), (1, 0), (0, 1), (1, 1)), *bar]


def _letter_i(t: Traits) -> list[Line]:
    serifs = [_line((0, 0), (1, 0)), _line((0, 1), (1, 1))] if t.form["I"] == "serif" else []
    return [_line((0.5, 0), (0.5, 1)), *serifs]


def _letter_d(t: Traits) -> list[Line]:
    return [_line((0, 0), (0, 1)), *_bowl(t, 0, 1, 1.0)]


def _letter_p(t: Traits) -> list[Line]:
    return [_line((0, 1), (0, 0)), *_bowl(t, 0, t.waist + 0.06, 1.0)]


def _letter_r(t: Traits) -> list[Line]:
    return [*_letter_p(t), _line((0.5, t.waist + 0.06), (1, 1))]


def _fixed(*lines: tuple[tuple[float, float], ...]) -> Callable[[Traits], list[Line]]:
    shapes = [_line(*points) for points in lines]
    return lambda _: shapes


_SHAPES: dict[str, Callable[[Traits], list[Line]]] = {
    "0": _zero,
    "1": _one,
    "2": _two,
    "3": _three,
    "4": _four,
    "5": _five,
    "6": _six,
    "7": _seven,
    "8": _eight,
    "9": lambda t: _turned(_six(t)),
    "A": _letter_a,
    "B": _letter_b,
    "C": lambda t: [_arc(t, _ALL, 0.1, 0.9)],
    "D": _letter_d,
    "E": _fixed(((1, 0), (0, 0), (0, 1), (1, 1)), ((0, 0.48), (0.85, 0.48))),
    "F": _fixed(((1, 0), (0, 0), (0, 1)), ((0, 0.48), (0.85, 0.48))),
    "G": _letter_g,
    "H": _fixed(((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0.48), (1, 0.48))),
    "I": _letter_i,
    "J": _letter_j,
    "K": _fixed(((0, 0), (0, 1)), ((1, 0), (0.05, 0.58)), ((0.3, 0.42), (1, 1))),
    "L": _fixed(((0, 0), (0, 1), (1, 1))),
    "M": _letter_m,
    "N": _fixed(((0, 1), (0, 0), (1, 1), (1, 0))),
    "O": _letter_o,
    "P": _letter_p,
    "Q": _letter_q,
    "R": _letter_r,
    "S": _letter_s,
    "T": _fixed(((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),
    "U": _letter_u,
    "V": _fixed(((0, 0), (0.5, 1), (1, 0))),
    "W": _letter_w,
    "X": _fixed(((0, 0), (1, 1)), ((1, 0), (0, 1))),
    "Y": _fixed(((0, 0), (0.5, 0.5), (1, 0)), ((0.5, 0.5), (0.5, 1))),
    "Z": _letter_z,
}
