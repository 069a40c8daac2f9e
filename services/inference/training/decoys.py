"""What a detector may take for a plate and is none, drawn into pictures: in come a picture, fonts and a generator.

Boards of shops and streets, road signs, house numbers, names on tailgates, stickers on bumpers, slogans, grilles and
windows, and what a camera writes into its picture. No decoy is one row of four to nine capitals and digits on a plain
board, for that is what a plate is.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from services.inference.training.fonts import dejavu
from services.inference.training.pasting import Image, log_uniform, seen_from_aside
from services.inference.training.streets import some_colour

_UNSEEN = (1, 2, 3)  # a key colour that no decoy uses: it shows the picture below
Fonts = Sequence[Path]


def decoy(image: Image, rng: np.random.Generator, fonts: Fonts = ()) -> None:
    """Draws one decoy anywhere, 3 to 60 % of the picture's width, seen from aside."""
    draw = _DECOYS[int(rng.integers(len(_DECOYS)))]
    board = draw(rng, _font(rng, fonts))
    width = log_uniform(rng, 0.03, 0.6) * image.shape[1]
    stamp(image, board, width, rng)


def overlay(image: Image, rng: np.random.Generator, fonts: Fonts = ()) -> None:
    """What a camera writes into its picture: time and name, with or without a dark bar; flat and sharp."""
    digits = "".join(str(rng.integers(10)) for _ in range(14))
    dash, colon = str(rng.choice(list("-/."))), str(rng.choice(list(":.")))
    time = (
        f"{digits[:4]}{dash}{digits[4:6]}{dash}{digits[6:8]} {digits[8:10]}{colon}{digits[10:12]}{colon}{digits[12:]}"
    )
    name = f"{rng.choice(['CAM', 'Camera', 'CH', 'IPC', 'Gate', 'Entrance', 'Channel'])!s} {rng.integers(1, 40):02}"
    rows, columns = image.shape[:2]
    size = int(np.clip(rows * rng.uniform(0.02, 0.06), 8, 40))
    font = ImageFont.truetype(str(_font(rng, fonts)), size)
    picture = Pillow.fromarray(image)
    paint = ImageDraw.Draw(picture)
    shade = int(rng.choice([0, 255], p=[0.25, 0.75]))
    for text in (time, name)[: int(rng.integers(1, 3))]:
        left, _, right, bottom = paint.textbbox((0, 0), text, font=font)
        wide = right - left
        x = int(rng.choice([6, max(columns - wide - 8, 0), max((columns - wide) // 2, 0)]))
        y = int(rng.choice([4, max(rows - size - 8, 0)]))
        if rng.random() < 0.3:
            paint.rectangle((x - 4, y - 2, x + right + 4, y + bottom + 4), fill=(255 - shade,) * 3)
        rim = 1 if rng.random() < 0.4 else 0
        paint.text((x, y), text, font=font, fill=(shade,) * 3, stroke_width=rim, stroke_fill=(255 - shade,) * 3)
    image[:] = np.asarray(picture)


def stamp(image: Image, board: Image, width: float, rng: np.random.Generator) -> None:
    """Warps a board into a random place; the key colour stays clear."""
    rows, columns = image.shape[:2]
    scale = min(1.0, 1.5 * width / board.shape[1])
    size = max(4, round(board.shape[1] * scale)), max(4, round(board.shape[0] * scale))
    clear = (board == _UNSEEN).all(axis=2).astype(np.float32)
    board = np.asarray(cv2.resize(board, size, interpolation=cv2.INTER_AREA), np.uint8)
    seen = cv2.resize(1 - clear, size, interpolation=cv2.INTER_AREA)
    place = rng.uniform((0, 0), (columns, rows))
    quad = seen_from_aside(width, width * board.shape[0] / board.shape[1], rng) + place
    x1, y1 = np.floor(np.clip(quad.min(axis=0) - 1, 0, (columns - 1, rows - 1))).astype(int)
    x2, y2 = np.ceil(np.clip(quad.max(axis=0) + 1, 1, (columns, rows))).astype(int)
    source = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(source, (quad - (x1, y1)).astype(np.float32))
    area = image[y1:y2, x1:x2]
    light = float(np.clip(0.4 + area.mean() / 150, 0.4, 1.1)) if area.size else 1.0
    window = (int(x2 - x1), int(y2 - y1))
    flat = cv2.warpPerspective(np.clip(board * light, 0, 255).astype(np.uint8), matrix, window)
    mask = cv2.warpPerspective(seen, matrix, window)[..., None]
    area[:] = (area * (1 - mask) + flat * mask).astype(np.uint8)


def _font(rng: np.random.Generator, fonts: Fonts) -> Path:
    return fonts[int(rng.integers(len(fonts)))] if fonts else dejavu(mono=bool(rng.random() < 0.2))


def _shop(rng: np.random.Generator, font: Path) -> Image:
    """Two to five lines of words, prices and telephone numbers."""
    lines = [_phrase(rng) for _ in range(int(rng.integers(2, 6)))]
    return _board(rng, font, lines, some_colour(rng), 0.1)


def _street_name(rng: np.random.Generator, font: Path) -> Image:
    """One line of capitalised words on white, blue, green or brown, longer than a plate's number."""
    line = " ".join(_word(rng).capitalize() for _ in range(int(rng.integers(2, 4)))) + str(
        rng.choice(["", " Rd", " St."])
    )
    ground = ((240, 240, 240), (150, 70, 20), (70, 110, 20), (30, 60, 110))[int(rng.integers(4))]
    return _board(rng, font, [line.ljust(11)], ground, 0.2)


def _slogan(rng: np.random.Generator, font: Path) -> Image:
    """Large letters on the wall or the vehicle itself: no board."""
    line = _word(rng) if rng.random() < 0.6 else f"{_word(rng)} {_word(rng)}"
    return _board(rng, font, [line.lower() if rng.random() < 0.5 else line.capitalize()], _UNSEEN, 0.02)


def _badge(rng: np.random.Generator, font: Path) -> Image:
    """A maker's or model's name in chrome on the tailgate."""
    kinds = (_word(rng).capitalize(), f"{_word(rng)[:2].upper()} {rng.integers(1, 9)}.{rng.integers(10)}", "4x4", "TDI")
    return _board(rng, font, [str(rng.choice(kinds))], _UNSEEN, 0.02)


def _sticker(rng: np.random.Generator, font: Path) -> Image:
    """Small words on a board as wide as a plate: bumper stickers, dealers' names, telephone numbers, hazard plates."""
    lines = [
        [_phrase(rng).lower()],
        ["+" + "".join(str(rng.integers(10)) for _ in range(11))],
        [f"www.{_word(rng)}.com"],
    ]
    return _board(rng, font, lines[int(rng.integers(3))], some_colour(rng), 0.25)


def _house_number(rng: np.random.Generator, font: Path) -> Image:
    return _board(rng, font, [str(rng.integers(1, 400))], some_colour(rng), 0.3)


def _road_sign(rng: np.random.Generator, font: Path) -> Image:
    """A disc or a triangle with a red rim, a blue disc, or a red and white arrow board."""
    side, red, white = 120, (40, 40, 200), (240, 240, 240)
    board = np.full((side, side, 3), _UNSEEN, np.uint8)
    kind = rng.random()
    if kind < 0.5:
        cv2.circle(board, (60, 60), 58, red, -1)
        cv2.circle(board, (60, 60), int(rng.integers(42, 50)), white, -1)
        text = str(rng.choice([10, 20, 30, 40, 50, 60, 70, 80, 90, 110]))
        return _written(board, [text], font, 48, (10, 10, 10))
    if kind < 0.7:
        cv2.fillPoly(board, [np.array([[60, 6], [116, 110], [4, 110]])], red)
        cv2.fillPoly(board, [np.array([[60, 30], [98, 100], [22, 100]])], white)
        return board
    if kind < 0.85:
        cv2.circle(board, (60, 60), 58, (170, 80, 20), -1)
        cv2.arrowedLine(board, (60, 96), (60, 24), white, 12, tipLength=0.4)
        return board
    wide = np.full((60, int(rng.integers(120, 400)), 3), white, np.uint8)
    for x in range(-60, wide.shape[1], 60):
        cv2.fillPoly(wide, [np.array([[x, 0], [x + 30, 0], [x + 60, 30], [x + 30, 60], [x, 60], [x + 30, 30]])], red)
    return wide


def _grille(rng: np.random.Generator, _font: Path) -> Image:
    """Bars over a dark ground: radiators, vents, drains, fences, blinds."""
    rows, columns = int(rng.integers(30, 90)), int(rng.integers(80, 220))
    board = np.full((rows, columns, 3), some_colour(rng, 10, 90), np.uint8)
    step, bar = int(rng.integers(6, 20)), some_colour(rng, 60, 240)
    for at in range(0, max(rows, columns), step):
        if rng.random() < 0.9:
            ends = ((0, at), (columns, at)) if step % 2 else ((at, 0), (at, rows))
            cv2.line(board, *ends, bar, max(2, step // 3))
    return board


def _window(rng: np.random.Generator, _font: Path) -> Image:
    """Panes in a frame; lamps; a bare bright board."""
    rows, columns = int(rng.integers(40, 120)), int(rng.integers(60, 240))
    board = np.full((rows, columns, 3), some_colour(rng, 90, 250), np.uint8)
    panes, edge = int(rng.integers(1, 5)), int(rng.integers(3, 9))
    step = columns / panes
    pane = some_colour(rng, 10, 200)
    for number in range(panes):
        left, right = int(number * step) + edge, int((number + 1) * step) - edge
        cv2.rectangle(board, (left, edge), (right, rows - edge), pane, -1)
        if rng.random() < 0.4:
            cv2.rectangle(board, (left, edge), (right, rows // 2), tuple(min(255, v + 40) for v in pane), -1)
    return board


_DECOYS: tuple[Callable[[np.random.Generator, Path], Image], ...] = (
    _shop, _shop, _street_name, _street_name, _slogan, _badge, _badge, _sticker, _sticker, _house_number, _road_sign,
    _road_sign, _grille, _grille, _window, _window,
)  # fmt: skip


def _board(
    rng: np.random.Generator, font: Path, lines: list[str], ground: tuple[int, int, int], margin: float
) -> Image:
    """Lines on a ground with or without a rim; ink that stands out."""
    size = 40
    face = ImageFont.truetype(str(font), size)
    wide = max(int(face.getlength(line)) for line in lines)
    edge = int(size * (margin + rng.uniform(0, 0.4)))
    board = np.full((int(len(lines) * size * 1.25) + 2 * edge, wide + 2 * edge, 3), ground, np.uint8)
    light = 128.0 if ground == _UNSEEN else float(np.mean(ground))
    ink = some_colour(rng, 200, 250) if light < rng.uniform(100, 170) else some_colour(rng, 10, 70)
    if ground != _UNSEEN and rng.random() < 0.4:
        rim = int(rng.integers(2, 6))
        cv2.rectangle(board, (rim, rim), (board.shape[1] - 1 - rim, board.shape[0] - 1 - rim), ink, rim)
    return _written(board, lines, font, size, ink)


def _written(board: Image, lines: list[str], font: Path, size: int, ink: tuple[int, int, int]) -> Image:
    picture = Pillow.fromarray(board)
    middle = board.shape[1] / 2, board.shape[0] / 2
    ImageDraw.Draw(picture).multiline_text(
        middle, "\n".join(lines), font=ImageFont.truetype(str(font), size), fill=ink, anchor="mm", align="center"
    )
    return np.asarray(picture, dtype=np.uint8).copy()


def _phrase(rng: np.random.Generator) -> str:
    words = [_word(rng) for _ in range(int(rng.integers(2, 4)))]
    if rng.random() < 0.15:
        words.append(f"{rng.integers(1, 999)}.{rng.integers(10, 99)}")
    text = " ".join(words)
    return (text.upper(), text.title(), text)[int(rng.integers(3))]


def _word(rng: np.random.Generator) -> str:
    """Pronounceable: consonants and vowels by turns, as in most languages."""
    length, vowels = int(rng.integers(3, 10)), "aeiou"
    others = sorted(set(string.ascii_lowercase) - set(vowels))
    start = int(rng.integers(2))
    return "".join(str(rng.choice(list(vowels if (start + i) % 2 else others))) for i in range(length))
