"""What a detector may take for a plate and is none: in come a photograph, a font and a generator, out comes a crop.

Parts of photographs, badges on a tailgate, shop and road signs, stickers, a camera's clock. The reader must say that
there is no plate, and read nothing.
"""

from __future__ import annotations

import cv2
import numpy as np

from services.inference.training.camera import Image, resized, to_bytes
from services.inference.training.fonts import Face, dejavu, glyph
from services.inference.training.painter import DIGITS, LATIN, letters

_SMALL = LATIN.lower()


def made_up_backdrop(rng: np.random.Generator) -> Image:
    """Smooth random light with a few edges, (64, 192) grey."""
    coarse = rng.integers(0, 256, (int(rng.integers(1, 5)), int(rng.integers(1, 5)))).astype(np.uint8)
    picture = resized(coarse, 192, 64, cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 4))):
        x, y, x1, y1 = (int(v) for v in rng.integers(0, 192, 4))
        cv2.rectangle(picture, (x, y // 3), (x1, y1 // 3), int(rng.integers(0, 256)), -1)
    return picture


def clutter(photo: Image, face: Face, rng: np.random.Generator) -> Image:
    """A crop (h, w) without a plate. `photo`: any grey picture of at least 16 x 16 pixels."""
    wide = int(rng.integers(50, 260))
    high = max(int(wide / float(rng.uniform(1.3, 5))), 14)
    picture = _part(photo, wide, high, rng)
    kind = rng.random()
    if kind < 0.45:
        return picture
    if kind < 0.7:
        return _badge(picture, face, rng)
    if kind < 0.92:
        return _sign(picture, face, rng)
    return _clock(picture, rng)


def _part(photo: Image, width: int, height: int, rng: np.random.Generator) -> Image:
    """A part of the photograph of the crop's shape, not the least ones, where a plate far away would be enlarged."""
    rows, columns = photo.shape
    high = int(rng.uniform(0.2, 0.9) * rows)
    wide = min(int(high * width / height) + 1, columns)
    y, x = int(rng.integers(0, rows - high + 1)), int(rng.integers(0, columns - wide + 1))
    return resized(photo[y : y + high, x : x + wide], width, height)


def _badge(picture: Image, face: Face, rng: np.random.Generator) -> Image:
    """A maker's or model's name on bare metal: no ground of its own, no rim."""
    rows, columns = picture.shape
    base = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(4, 14)))
    word = _word(rng, int(rng.integers(2, 9)))
    level = float(base.mean())
    ink = int(np.clip(level + (1 if level < 128 else -1) * rng.integers(50, 200), 0, 255))
    height = int(rows * float(rng.uniform(0.25, 0.6)))
    x, y = int(columns * rng.uniform(0.02, 0.2)), int((rows - height) * rng.uniform(0.2, 0.8))
    metal = np.ascontiguousarray(base, np.uint8)
    if rng.random() < 0.5:
        print_words(metal, word, x + 2, y + 2, height, face, int(np.clip(level * 0.5, 0, 255)))
    print_words(metal, word, x, y, height, face, ink)
    return metal


def _word(rng: np.random.Generator, length: int) -> str:
    """Capitalised, small, or capitals with a number, as models are named; read by nobody."""
    kind = rng.random()
    if kind < 0.35:
        return letters(rng, LATIN, 1) + letters(rng, _SMALL, length)
    if kind < 0.5:
        return letters(rng, _SMALL, length)
    if kind < 0.75:
        return letters(rng, LATIN, length)
    return f"{letters(rng, LATIN, int(rng.integers(1, 3)))}{letters(rng, DIGITS, 1)}.{letters(rng, DIGITS, 1)}"


def _sign(picture: Image, face: Face, rng: np.random.Generator) -> Image:
    """A board with two to five lines of words or a telephone number: shops, road signs, stickers."""
    rows, columns = picture.shape
    ground = int(rng.integers(0, 256))
    ink = int(np.clip(ground + (1 if ground < 128 else -1) * rng.integers(90, 230), 0, 255))
    x0, y0 = int(columns * rng.uniform(0, 0.12)), int(rows * rng.uniform(0, 0.12))
    board = np.ascontiguousarray(picture)
    board[y0 : rows - y0, x0 : columns - x0] = ground
    lines = int(rng.integers(2, 6)) if rng.random() < 0.8 else 1
    height = max(int((rows - 2 * y0) / (lines + 0.6) * float(rng.uniform(0.6, 0.85))), 3)
    for index in range(lines):
        y = y0 + int((rows - 2 * y0) * (index + 0.25) / lines)
        words = " ".join(_word(rng, int(rng.integers(2, 8))) for _ in range(int(rng.integers(2, 5))))
        if rng.random() < 0.2:
            words = "+" + letters(rng, DIGITS, 11)
        print_words(board, words, x0 + int(rng.integers(2, 12)), y, height, face, ink)
    return board


def _clock(picture: Image, rng: np.random.Generator) -> Image:
    """The time that a camera writes into its picture."""
    rows, columns = picture.shape
    parts = [letters(rng, DIGITS, size) for size in (4, 2, 2, 2, 2, 2)]
    words = f"{parts[0]}-{parts[1]}-{parts[2]} {parts[3]}:{parts[4]}:{parts[5]}"
    height = max(int(columns / len(words) * float(rng.uniform(1.0, 1.6))), 5)
    stamped = np.ascontiguousarray(picture)
    y = int(max(rows - height, 1) * rng.uniform(0, 1))
    face = dejavu(mono=bool(rng.random() < 0.5))
    print_words(stamped, words, int(rng.integers(0, 10)), y, height, face, int(rng.choice([0, 255])))
    return stamped


def print_words(picture: Image, words: str, x: int, y: int, height: int, face: Face, ink: int) -> None:
    """Write into `picture` from (x, y) on, `height` pixels high; what reaches beyond it is cut off."""
    strip = _line_of_print(words, height, face)
    area = picture[max(y, 0) : y + height, max(x, 0) :]
    alpha = strip[: area.shape[0], : area.shape[1]].astype(np.float32) / 255
    under = area[: alpha.shape[0], : alpha.shape[1]]
    under[:] = to_bytes(under + (ink - under.astype(np.float32)) * alpha)


def _line_of_print(words: str, height: int, face: Face) -> Image:
    """Words as an ink mask (height, any width); letters without a capital's height stand on the line."""
    masks = [np.zeros((height, 1), np.uint8)]
    for char in words:
        if (not char.isalnum() and char not in "+:.-") or (char == " "):
            masks.append(np.zeros((height, max(height // 2, 1)), np.uint8))
            continue
        shape = glyph(face if char.isalnum() else dejavu(), char)
        tall = min(max(round(shape.height * height), 1), height)
        wide = max(round(shape.mask.shape[1] * tall / shape.mask.shape[0]), 1)
        cell = np.zeros((height, wide + max(height // 10, 1)), np.uint8)
        low = height if shape.drop > -0.05 else max(height - round(-shape.drop * height), tall)
        cell[low - tall : low, :wide] = resized(shape.mask, wide, tall)
        masks.append(cell)
    return np.hstack(masks)
