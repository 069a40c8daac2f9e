"""Draws on a frame what was found in it: boxes, labels, traces, a line about the whole. Pure: picture in, picture out.

Rules
- Everything grows with the frame, so that it can be read on a thumbnail and on 4K; no label leaves the frame, nor
  lies on another one where there is room beside it.
- A colour belongs to a track, so that an eye can follow it.
- Letters of any alphabet: DejaVu Sans, which comes with matplotlib.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from services.contracts.messages import Box, Point

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Place = tuple[int, int, int, int]
"""Left, top, right, bottom: whole pixels, the last ones not included."""
COLOURS: tuple[Colour, ...] = (  # BGR; told apart also by who sees few colours, bright on asphalt
    (0, 191, 255), (255, 191, 0), (120, 220, 60), (203, 120, 255), (0, 120, 255), (230, 230, 80), (170, 170, 255),
)  # fmt: skip
NO_TRACK: Colour = (200, 200, 200)
_DARK: Colour = (20, 20, 20)
_SMALLEST = 11
"""Height of letters in pixels, at least."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something to be drawn: its box, what is written beside it, where it was."""

    box: Box
    text: str
    track: int | None
    trace: Sequence[Point] = ()
    clear: bool = False
    """Nothing may be drawn over what is in the box: it is to be read."""


def draw(image: Image, marks: Sequence[Mark], caption: str = "") -> Image:
    """A copy of the frame (h, w, 3, BGR) with the marks on it."""
    drawn = image.copy()
    unit = max(1, round(min(image.shape[:2]) / 400))
    size = max(_SMALLEST, round(min(image.shape[:2]) / 28))
    for mark in marks:
        _trace(drawn, mark, unit)
    for mark in marks:
        if mark.clear:
            _restore(drawn, image, mark.box)
        _box(drawn, mark, unit)
    taken: list[Place] = []
    if caption:
        taken.append(_paste(drawn, _written(caption, size, (255, 255, 255), _DARK), 0, 0))
    for mark in marks:  # labels last: no box crosses a text
        if mark.text:
            taken.append(_label(drawn, mark, size, taken))
    return drawn


def colour_of(track: int | None) -> Colour:
    return NO_TRACK if track is None else COLOURS[track % len(COLOURS)]


def _trace(image: Image, mark: Mark, unit: int) -> None:
    if len(mark.trace) > 1:
        points = np.array(mark.trace, np.float64).round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [points], False, _DARK, 2 * unit + 2, cv2.LINE_AA)
        cv2.polylines(image, [points], False, colour_of(mark.track), 2 * unit, cv2.LINE_AA)
    if mark.trace and not mark.clear:
        x, y = mark.trace[-1]
        cv2.circle(image, (round(x), round(y)), 3 * unit, colour_of(mark.track), -1, cv2.LINE_AA)


def _restore(image: Image, original: Image, box: Box) -> None:
    x, y, w, h = box
    part = slice(max(0, int(y)), max(0, int(y + h) + 1)), slice(max(0, int(x)), max(0, int(x + w) + 1))
    image[part] = original[part]


def _box(image: Image, mark: Mark, unit: int) -> None:
    x, y, w, h = mark.box
    beside = unit + 2 if mark.clear else 0  # the line lies around what is to be read
    corners = (round(x) - beside, round(y) - beside), (round(x + w) + beside, round(y + h) + beside)
    cv2.rectangle(image, *corners, _DARK, 2 * unit + 2)
    cv2.rectangle(image, *corners, colour_of(mark.track), 2 * unit)


def _label(image: Image, mark: Mark, size: int, taken: Sequence[Place]) -> Place:
    """Above the box; else below, or further up, where nothing is written yet."""
    x, y, w, h = mark.box
    label = _text(mark.text, size, _DARK, colour_of(mark.track))
    gap, height = max(3, size // 4), label.shape[0]
    above, below, right = y - height - gap, y + h + gap, x + w - label.shape[1]
    tries = [(x, above), (right, above), (x, below), (right, below), *((x, above - k * height) for k in (1, 2, 3))]
    places = [_place(image, label, round(left), round(top)) for left, top in tries if top >= 0 or top == below]
    free = (one for one in places if not any(_meet(one, other) for other in taken))
    left, top, *_ = next(free, places[0])
    return _paste(image, label, left, top)


def _meet(a: Place, b: Place) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _place(image: Image, patch: Image, left: int, top: int) -> Place:
    """Where in the image the patch comes to lie: as near as it can."""
    height, width = min(patch.shape[0], image.shape[0]), min(patch.shape[1], image.shape[1])
    left = min(max(left, 0), image.shape[1] - width)
    top = min(max(top, 0), image.shape[0] - height)
    return left, top, left + width, top + height


def _paste(image: Image, patch: Image, left: int, top: int) -> Place:
    left, top, right, bottom = place = _place(image, patch, left, top)
    image[top:bottom, left:right] = patch[: bottom - top, : right - left]
    return place


@functools.lru_cache(maxsize=32)
def _text(text: str, size: int, ink: Colour, ground: Colour) -> Image:
    """`_written`, remembered for the next frame. Only a few: between the frames' memory each would hold much of it."""
    return _written(text, size, ink, ground)


def _written(text: str, size: int, ink: Colour, ground: Colour) -> Image:
    """A line of text on a coloured ground, BGR."""
    font = _font(size)
    left, top, right, bottom = font.getbbox(text)
    lowest, highest = font.getbbox("Ўj")[3], font.getbbox("Ўj")[1]
    edge = max(2, size // 4)
    shape = round(right - left) + 2 * edge, round(max(bottom, lowest) - min(top, highest)) + 2 * edge
    picture = Pillow.new("RGB", shape, ground[::-1])
    ImageDraw.Draw(picture).text((edge - left, edge - min(top, highest)), text, ink[::-1], font)
    return np.asarray(picture, np.uint8)[:, :, ::-1]


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"), size)
