"""`plateflow heatmap FILE.txt`: pictures of a file of heatmap-location-car-plates, as that program draws
them or right.

In: the file, k. Out: PNG pictures, and the bare grid of counts as CSV, the first line at the top of the picture.
What the command's exit codes are: `services.cli.heatmap`; a file without plates leads to no file at all.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import typer

from services.aggregator.chart import Grid, Look, Marks
from services.aggregator.core import quads
from services.aggregator.core.area import most_significant
from services.aggregator.core.outline import smallest_shape
from services.aggregator.picture import NothingToDraw
from services.cli import area_file, quad_pictures
from services.cli.background import NoPicture, read_background
from services.cli.quad_file import BadQuadFile, QuadFile, read_quads
from services.cli.sheet import Panel, draw_sheet

K = 40
"""Pixels, where none are named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for of one file."""

    out: Path
    """A folder; for our picture alone it may be the PNG itself."""
    k: int = K
    compatible: bool = False
    csv: Path | None = None
    area: float | None = None
    """Share of the plates that the most significant area holds."""
    background: Path | None = None
    sheet: tuple[float, ...] = ()
    """Cell sizes to compare in one picture, instead."""
    look: Look | None = None


def draw(source: Path, wanted: Wanted) -> str:
    """Writes what is wanted; says what was drawn. Raises NothingToDraw where there is no plate, BadParameter."""
    try:
        file = read_quads(source)
        for k in (wanted.k, *map(_whole, wanted.sheet)):
            quads.check_cell(file.width, file.height, k)
    except BadQuadFile as error:
        raise typer.BadParameter(str(error), param_hint="FILE") from error
    except quads.BadCell as error:
        raise typer.BadParameter(str(error), param_hint="--k") from error
    if not len(file.quads):
        raise NothingToDraw(f"there are no plates in {source}")
    return (_compatible if wanted.compatible else _exact)(source, file, wanted)


def _compatible(source: Path, file: QuadFile, wanted: Wanted) -> str:
    if wanted.area is not None or wanted.background is not None or wanted.sheet:
        raise typer.BadParameter(
            "heatmap-location-car-plates knows no --area, --background or --sheet", param_hint="--compatible"
        )
    _check_folder(wanted.out)
    counts = quads.by_points(file.quads, file.width, file.height, wanted.k)
    rows, columns = counts.shape
    name = file_name(file.name) or source.stem
    pictures = [wanted.out / f"{name}_15points.png", wanted.out / f"{name}({columns}, {rows}).png"]
    quad_pictures.draw_points(quads.points(file.quads, file.height), file.width, file.height, pictures[0])
    quad_pictures.draw_bins(counts, file.width, file.height, source.name, pictures[1])
    if wanted.csv is not None:
        write_grid(counts[::-1], wanted.csv)
    row, column = np.unravel_index(int(counts.argmax()), counts.shape)
    return (
        f"{len(file.quads)} plates, {counts.sum()} points in {columns}×{rows} bins, at most {counts.max()} in one "
        f"({column}, {row} from the bottom): {pictures[0]}, {pictures[1]}"
    )


def _exact(source: Path, file: QuadFile, wanted: Wanted) -> str:
    found = quads.by_area(file.quads, file.width, file.height, wanted.k)
    if not found.plates:
        raise NothingToDraw(f"there are no plates in {source}, but {_left_out(found)}")
    share = wanted.area
    marks = Marks()
    if share is not None:
        grid = found.counts, found.x, found.y
        marks = Marks(most_significant(*grid, share), smallest_shape(*grid, share))
    name = file.name or source.stem
    out = wanted.out
    if out.suffix.lower() != ".png":
        _check_folder(out)
        out = out / f"{file_name(name) or source.stem}_{'sheet' if wanted.sheet else f'k{wanted.k}'}.png"
    if wanted.sheet:
        return _sheet(file, name, out, wanted)
    over = _background(wanted.background)
    quad_pictures.draw_areas(found, wanted.k, name, out, marks=marks, background=over, look=wanted.look)
    if wanted.csv is not None:
        write_grid(np.round(found.counts, 6), wanted.csv)
    left_out = f", {_left_out(found)}" if found.thin or found.outside else ""
    return f"{_number(found.plates)} drawn{left_out}: {out}{area_file.write(marks, out)}"


def _sheet(file: QuadFile, name: str, out: Path, wanted: Wanted) -> str:
    found = [(k, quads.by_area(file.quads, file.width, file.height, k)) for k in map(_whole, wanted.sheet)]
    over = _background(wanted.background)
    panels = [
        Panel(f"cells {k} × {k} pixels", Grid(one.counts, one.x, one.y, "plates per cell", whole=False), None, over)
        for k, one in found
    ]
    plates = found[0][1].plates
    draw_sheet(panels, f"{name}: where number plates were seen", out, [_number(plates)], wanted.look)
    return f"{_number(plates)} drawn with {len(panels)} cell sizes: {out}"


def _number(plates: int) -> str:
    return f"{plates:,} plate{'' if plates == 1 else 's'}"


def _whole(cell: float) -> int:
    if not cell.is_integer():
        raise typer.BadParameter("must be whole pixels", param_hint="--sheet")
    return int(cell)


def file_name(name: str) -> str:
    """A video's name, or its address, as part of one file's name."""
    return re.sub(r"[\x00-\x1f/\\:*?\"<>|]+", "_", name).strip(" ._")[:100]


def _left_out(found: quads.AreaCounts) -> str:
    reasons = [
        f"{count} {reason}"
        for count, reason in (
            (found.thin, f"thinner than {quads.THIN:g} pixels"),
            (found.outside, "outside the frame"),
        )
        if count
    ]
    return " and ".join(reasons) + " left out"


def _background(path: Path | None) -> npt.NDArray[np.uint8] | None:
    try:
        return None if path is None else read_background(path)
    except NoPicture as error:
        raise typer.BadParameter(str(error), param_hint="--background") from error


def _check_folder(out: Path) -> None:
    if out.suffix.lower() == ".png" or (out.exists() and not out.is_dir()):
        raise typer.BadParameter(f"{out} is no folder: the pictures are named after the video", param_hint="--out")


def write_grid(counts: npt.NDArray[np.int64] | npt.NDArray[np.float64], out: Path) -> None:
    """The bare numbers, (rows, columns), a row of cells a line; whole numbers without a point."""
    whole = counts.astype(np.int64)
    if np.array_equal(whole, counts):
        counts = whole
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(counts.tolist())
