"""Our one layout of pictures with known plates: a folder in, a `Dataset` out, and back.

    images/...      the pictures, in any folders below
    plates.csv      file,x,y,w,h,text,corners,label,group,split,source: one row per plate; also a truth file as it is
    sources.csv     source,licence,commercial,url,note: where the pictures are from, and what one may do with them

Rules
- `file` is a path below images/, with `/`. A picture without plates is one row whose x, y, w and h are empty.
- A crop of one plate is a picture whose plate fills it.
- `corners` are x y of top left, top right, bottom right, bottom left, eight numbers with blanks between, or empty.
- `group` is what must not be torn apart by a split: a vehicle, a recording. `group`, `split` and `source` belong to the
  picture: all its rows say the same.
- A broken line costs its picture, not the folder: it is a fault, named by file and line, and the rest is read.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TextIO

from services.inference.core.truth import Box, normalise

IMAGES, PLATES, SOURCES = "images", "plates.csv", "sources.csv"
COLUMNS = ("file", "x", "y", "w", "h", "text", "corners", "label", "group", "split", "source")
NEEDED = COLUMNS[:6]
SOURCE_COLUMNS = ("source", "licence", "commercial", "url", "note")
SPLITS = ("train", "val", "test")
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class DataError(ValueError):
    """The data are wrong as a whole; the text names file and line, for the person who made them."""


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate in a picture, in pixels. `text` is empty where it cannot be read."""

    box: Box
    text: str = ""
    corners: tuple[float, ...] = ()
    label: str = "plate"


@dataclass(frozen=True, slots=True)
class Picture:
    file: str
    plates: tuple[Plate, ...] = ()
    group: str = ""
    split: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where pictures are from. `commercial` is yes, no, or empty where the licence does not say."""

    name: str
    licence: str = ""
    commercial: str = ""
    url: str = ""
    note: str = ""


@dataclass(slots=True)
class Dataset:
    pictures: list[Picture] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """What could not be used, each a sentence with file and line."""


def load(folder: Path) -> Dataset:
    """A folder in our layout. DataError where it is none."""
    table = folder / PLATES
    if not table.is_file():
        raise DataError(f"{folder} holds no {PLATES}; make it with `plateflow data import`, or name another folder")
    with _opened(table) as lines:
        pictures, faults = parse_plates(lines, str(table))
    sources = folder / SOURCES
    if not sources.is_file():
        return Dataset(pictures, {}, faults)
    with _opened(sources) as lines:
        return Dataset(pictures, parse_sources(lines, str(sources)), faults)


def save(dataset: Dataset, folder: Path) -> None:
    """Both tables, each in one piece."""
    write_table(folder / PLATES, COLUMNS, plate_rows(dataset.pictures))
    rows = ((one.name, one.licence, one.commercial, one.url, one.note) for one in dataset.sources.values())
    write_table(folder / SOURCES, SOURCE_COLUMNS, rows)


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A CSV that is there as a whole, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    temporary.replace(path)


def parse_plates(lines: Iterable[str], name: str) -> tuple[list[Picture], list[str]]:
    """Pictures in the order of their first rows, and faults. DataError where columns are missing."""
    pictures: dict[str, Picture] = {}
    broken: set[str] = set()
    faults: list[str] = []
    for number, row in table_rows(lines, name, NEEDED, faults):
        file = (row["file"] or "").strip()
        try:
            added = _picture(row)
            pictures[file] = _joined(pictures[file], added) if file in pictures else added
        except ValueError as error:
            broken.add(file)
            faults.append(f"{name}, line {number}: {error}")
    return [picture for file, picture in pictures.items() if file not in broken], faults


def table_rows(
    lines: Iterable[str], name: str, needed: Iterable[str], faults: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their line numbers. DataError where columns are missing; a row of another length is a fault."""
    reader = csv.DictReader(lines, strict=True)
    try:
        missing = [column for column in needed if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{name}, line 1: column {', '.join(missing)} missing; write {','.join(needed)}")
        for row in reader:
            if None in row or None in row.values():
                faults.append(f"{name}, line {reader.line_num}: the row has more or fewer fields than the header")
            else:
                yield reader.line_num, row
    except csv.Error as error:  # line_num is that of the last good row
        raise DataError(f"{name}, line {reader.line_num + 1}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8") from error


def parse_sources(lines: Iterable[str], name: str) -> dict[str, Source]:
    faults: list[str] = []
    found: dict[str, Source] = {}
    for number, row in table_rows(lines, name, SOURCE_COLUMNS, faults):
        values = {column: row[column].strip() for column in SOURCE_COLUMNS}
        if values["commercial"] not in ("", "yes", "no"):
            raise DataError(f"{name}, line {number}: commercial is yes, no or empty, not {values['commercial']!r}")
        source = Source(*values.values())
        found[source.name] = source
    if faults:
        raise DataError(faults[0])
    return found


def plate_rows(pictures: Iterable[Picture]) -> Iterator[tuple[str, ...]]:
    for picture in pictures:
        about = (picture.group, picture.split, picture.source)
        for plate in picture.plates:
            corners = " ".join(number(value) for value in plate.corners)
            yield (picture.file, *map(number, plate.box), plate.text, corners, plate.label, *about)
        if not picture.plates:
            yield (picture.file, "", "", "", "", "", "", "", *about)


def number(value: float) -> str:
    """At most two digits after the point, no zeros at the end."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def boxed(x: float, y: float, w: float, h: float) -> Box:
    """ValueError unless it is a box."""
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        raise ValueError(f"x,y,w,h must be finite and w,h positive, not {x:g},{y:g},{w:g},{h:g}")
    return x, y, w, h


def inside(box: Box, width: int, height: int) -> Box:
    """What of a box lies in the picture. ValueError where nothing does."""
    x, y, w, h = box
    x1, y1 = max(x, 0.0), max(y, 0.0)
    x2, y2 = min(x + w, float(width)), min(y + h, float(height))
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"the box {x:g},{y:g},{w:g},{h:g} lies outside the picture of {width}x{height} pixels")
    return round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)


def safe_file(file: str) -> str:
    """A file's name as it may stand in the table. ValueError for one that leads out of the folder."""
    path = PurePosixPath(file.replace("\\", "/"))
    if not file or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in file:
        raise ValueError(f"{file!r} is no name of a file in the folder")
    return path.as_posix()


def bounding(corners: Iterable[float]) -> Box:
    """The box around points x, y, x, y, …"""
    values = list(corners)
    xs, ys = values[::2], values[1::2]
    return boxed(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def clockwise(points: Iterable[tuple[float, float]]) -> tuple[float, ...]:
    """Four points in any order as top left, top right, bottom right, bottom left (y downwards)."""
    known = list(points)
    middle_x, middle_y = sum(x for x, _ in known) / len(known), sum(y for _, y in known) / len(known)
    turned = sorted(known, key=lambda point: math.atan2(point[1] - middle_y, point[0] - middle_x))
    start = min(range(len(turned)), key=lambda index: sum(turned[index]))
    return tuple(value for point in turned[start:] + turned[:start] for value in point)


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _picture(row: Mapping[str, str]) -> Picture:
    values = {column: (row.get(column) or "").strip() for column in COLUMNS}
    picture = Picture(safe_file(values["file"]), (), values["group"], values["split"], values["source"])
    numbers = [values[column] for column in ("x", "y", "w", "h")]
    if not any(numbers):
        if values["text"]:
            raise ValueError("a text without a box; fill in x, y, w and h")
        return picture
    corners = tuple(_numbers(values["corners"].split(), 8)) if values["corners"] else ()
    box = boxed(*_numbers(numbers, 4))
    return replace(picture, plates=(Plate(box, normalise(values["text"]), corners, values["label"] or "plate"),))


def _numbers(words: list[str], count: int) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{count} numbers are needed, not {' '.join(words)!r}")
    return numbers


def _joined(first: Picture, second: Picture) -> Picture:
    if (first.group, first.split, first.source) != (second.group, second.split, second.source):
        raise ValueError(f"group, split and source of {first.file} are others than in its rows above")
    return replace(first, plates=first.plates + second.plates)
