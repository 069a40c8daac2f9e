"""Reads truth files: CSV text in, the plates that each picture shows out.

Columns `file,x,y,w,h,text` in any order, one row per plate, pixels from the top left. An empty `text` is a
plate that nobody can read: it counts for detection only. A row with x, y, w and h empty names a picture; if
it is the only row of that picture, the picture shows no plate.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass

COLUMNS = ("file", "x", "y", "w", "h", "text")
Box = tuple[float, float, float, float]
"""Top left corner and size: x, y, w, h in pixels."""


class TruthError(ValueError):
    """The truth file is wrong; the text names file and line, for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class TruePlate:
    """A plate that is really there. `text` is empty where it cannot be read."""

    box: Box
    text: str


def parse_truth(lines: Iterable[str], name: str) -> dict[str, list[TruePlate]]:
    """The plates by picture, in the order of the file. `name` is the file's name for error texts."""
    reader = csv.DictReader(lines, strict=True)
    truth: dict[str, list[TruePlate]] = {}
    try:
        _check_columns(reader.fieldnames or (), name)
        for row in reader:
            try:
                file, plate = _parse_row(row)
            except ValueError as error:
                raise TruthError(f"{name}, line {reader.line_num}: {error}") from error
            truth.setdefault(file, []).extend([plate] if plate else [])
    except csv.Error as error:  # line_num is that of the last good row
        raise TruthError(f"{name}, line {reader.line_num + 1}: {error}") from error
    if not truth:
        raise TruthError(f"{name}: no pictures are named; add rows of {','.join(COLUMNS)}")
    return truth


def normalise(text: str) -> str:
    """The form in which texts are compared: capitals, without blanks, dashes and dots."""
    return "".join(char for char in text.upper() if not char.isspace() and char not in "-.·")


def _check_columns(found: Iterable[str], name: str) -> None:
    missing = [column for column in COLUMNS if column not in found]
    if missing:
        raise TruthError(f"{name}, line 1: column {', '.join(missing)} missing; write {','.join(COLUMNS)}")


def _parse_row(row: dict[str, str | None]) -> tuple[str, TruePlate | None]:
    if None in row or None in row.values():
        raise ValueError("the row has more or fewer fields than the header")
    values = {column: (row[column] or "").strip() for column in COLUMNS}
    if not values["file"]:
        raise ValueError("file is empty")
    numbers = [values[column] for column in ("x", "y", "w", "h")]
    if not any(numbers):
        if values["text"]:
            raise ValueError("a text without a box; fill in x, y, w and h")
        return values["file"], None
    return values["file"], TruePlate(_parse_box(numbers), normalise(values["text"]))


def _parse_box(numbers: list[str]) -> Box:
    try:
        x, y, w, h = (float(number) for number in numbers)
    except ValueError:
        raise ValueError(f"x,y,w,h must be four numbers, or all empty, not {','.join(numbers)}") from None
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        raise ValueError(f"x,y,w,h must be finite and w,h positive, not {','.join(numbers)}")
    return x, y, w, h
