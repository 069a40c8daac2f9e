"""Many small pictures with what is wrong about each written below: for a person to look through. Pure but for `save`.

In: cells (a picture, lines of text). Out: one picture, a title above, the cells in rows under the heading of their
group; of a group at most `MOST` are shown, and the heading says how many there are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Picture = NDArray[np.uint8]
MOST = 60
WIDTH, CELL, PICTURE, GAP, LINE = 1180, (280, 164), (264, 88), 12, 19
INK, PALE, WRONG, GROUND, CARD = "#1b2333", "#5a6475", "#c4462d", "#f4f6f9", "#ffffff"


@dataclass(frozen=True, slots=True)
class Cell:
    """`picture`: BGR of any size. `read` is compared with `true` character by character where both are given."""

    picture: Picture
    name: str
    true: str = ""
    read: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    heading: str
    cells: Sequence[Cell]


def contact_sheet(title: str, groups: Sequence[Group]) -> Pillow.Image:
    """The sheet, RGB. Groups without cells are left out."""
    full = [group for group in groups if group.cells]
    columns = WIDTH // (CELL[0] + GAP)
    rows = [-(-min(len(group.cells), MOST) // columns) for group in full]
    height = 64 + sum(44 + count * (CELL[1] + GAP) for count in rows) + GAP
    sheet = Pillow.new("RGB", (WIDTH, height), GROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 18), title, INK, _font(22, bold=True))
    top = 64
    for group, count in zip(full, rows, strict=True):
        shown = group.cells[:MOST]
        more = f", the first {MOST} shown" if len(group.cells) > MOST else ""
        pen.text((GAP, top + 10), f"{group.heading}: {len(group.cells)}{more}", INK, _font(16, bold=True))
        for index, cell in enumerate(shown):
            row, column = divmod(index, columns)
            _draw_cell(sheet, pen, cell, GAP + column * (CELL[0] + GAP), top + 44 + row * (CELL[1] + GAP))
        top += 44 + count * (CELL[1] + GAP)
    return sheet


def save(sheet: Pillow.Image, out: Path) -> None:
    """Writes it in one piece, as what the name's ending says. OSError, ValueError where that cannot be."""
    temporary = out.with_name(f".{out.stem}.tmp{out.suffix}")
    sheet.save(temporary)
    temporary.replace(out)


def _draw_cell(sheet: Pillow.Image, pen: ImageDraw.ImageDraw, cell: Cell, left: int, top: int) -> None:
    pen.rounded_rectangle((left, top, left + CELL[0], top + CELL[1]), 6, CARD)
    picture = _fitted(cell.picture)
    place = left + (CELL[0] - picture.width) // 2, top + 8 + (PICTURE[1] - picture.height) // 2
    sheet.paste(picture, place)
    below = top + PICTURE[1] + 14
    if cell.true:
        pen.text((left + 10, below), "is", PALE, _font(11))
        pen.text((left + 44, below - 3), cell.true, INK, _font(14, mono=True))
        pen.text((left + 10, below + LINE), "read", PALE, _font(11))
        _compared(pen, cell, left + 44, below + LINE - 3)
    elif cell.read:
        pen.text((left + 10, below), "read", PALE, _font(11))
        pen.text((left + 44, below - 3), cell.read, WRONG, _font(14, mono=True))
    if cell.note:
        pen.text((left + CELL[0] - 10, below), cell.note, PALE, _font(11), anchor="ra")
    pen.text((left + 10, top + CELL[1] - 9), _cut(cell.name), PALE, _font(9), anchor="lb")


def _compared(pen: ImageDraw.ImageDraw, cell: Cell, left: int, top: int) -> None:
    if not cell.read:
        pen.text((left, top), "nothing", WRONG, _font(14))
        return
    font = _font(14, mono=True)
    for read, true in zip_longest(cell.read, cell.true[: len(cell.read)]):
        pen.text((left, top), read, INK if read == true else WRONG, font)
        left += round(font.getlength(read))


def _fitted(picture: Picture) -> Pillow.Image:
    scale = min(PICTURE[0] / picture.shape[1], PICTURE[1] / picture.shape[0])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    rgb = cv2.cvtColor(cv2.resize(picture, size, interpolation=how), cv2.COLOR_BGR2RGB)
    return Pillow.fromarray(np.asarray(rgb, np.uint8))


def _cut(name: str, most: int = 48) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


@functools.cache
def _font(size: int, bold: bool = False, mono: bool = False) -> ImageFont.FreeTypeFont:
    name = f"DejaVuSans{'Mono' if mono else ''}{'-Bold' if bold or mono else ''}.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", name)), size)
