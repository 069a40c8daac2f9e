"""What `plateflow heatmap` writes from Parquet: the picture, and the files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import typer

from services.aggregator import picture
from services.aggregator.chart import Look, Marks
from services.aggregator.core.config import Ground
from services.aggregator.picture import Heatmap, Measure
from services.cli import area_file, heatmap_export, heatmap_quads
from services.cli.background import Picture
from services.cli.heatmap_compare import compare
from services.cli.heatmap_files import Files
from services.cli.heatmap_load import Question, load, total
from services.cli.heatmap_week import draw_week
from services.cli.sheet import Panel, draw_sheet

Weight = Literal["sightings", "passages", "seconds"]
MEASURES: dict[Weight, Measure] = {"sightings": "count", "passages": "passages", "seconds": "dwell_ms"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be drawn, and where to."""

    question: Question
    out: Path
    cells: tuple[float, ...] = ()
    """Several cell sizes in one picture, where there are any."""
    share: float | None = None
    """Of the most significant area."""
    csv: Path | None = None
    exports: tuple[Path, ...] = ()
    grounds: Mapping[str, Ground] = field(default_factory=dict)
    """Of a camera file, which overrule where the plans lie that the Parquet was written with."""
    look: Look = field(default_factory=Look)
    second: Question | None = None
    """To be compared with."""
    week: bool = False
    """By weekday and time of day."""


def draw(files: Files, asked: Asked, background: Picture | None) -> str:
    """Writes what is asked for; says what was drawn. Raises NothingToDraw, BadFile, BadParameter."""
    if asked.second is not None:
        return compare(files, asked.question, asked.second, asked.out, asked.look, background)
    if asked.week:
        return draw_week(files, asked.question, asked.out, asked.look, background)
    if asked.cells:
        return _draw_sheet(files, asked, background)
    return _draw_one(files, asked, background)


def _draw_one(files: Files, asked: Asked, background: Picture | None) -> str:
    measure = asked.question.measure
    drawn = _placed(load(files, asked.question), asked.grounds)
    heatmap_export.check_place(asked.exports, drawn)
    marks = Marks()
    if asked.share is not None:
        marks = Marks(picture.area_of(drawn, measure, asked.share), picture.shape_of(drawn, measure, asked.share))
    picture.draw_heatmap(drawn, asked.out, measure=measure, background=background, marks=marks, look=asked.look)
    if asked.csv is not None:
        heatmap_quads.write_grid(picture.grid_of(drawn, measure)[0], asked.csv)
    exported = [heatmap_export.write(path, drawn, measure, marks, asked.look) for path in asked.exports]
    return _said(drawn, asked.out) + area_file.write(marks, asked.out, drawn.plane == "image") + "".join(exported)


def _placed(drawn: Heatmap, grounds: Mapping[str, Ground]) -> Heatmap:
    """BadParameter where the camera file tells of another plan."""
    ground = grounds.get(drawn.camera)
    if ground is None or drawn.plane == "image":
        return drawn
    if (ground.width, ground.height) != (drawn.width, drawn.height):
        raise typer.BadParameter(
            f"its plan of {drawn.camera} is {ground.width:g}×{ground.height:g}, this heatmap's "
            f"{drawn.width:g}×{drawn.height:g}",
            param_hint="--cameras",
        )
    return replace(drawn, geo=ground.geo, metres_per_unit=ground.metres_per_unit)


def _draw_sheet(files: Files, asked: Asked, background: Picture | None) -> str:
    measure = asked.question.measure
    found = [load(files, replace(asked.question, cell=cell)) for cell in asked.cells]
    panels = [
        Panel(
            f"cells {one.k:g} × {one.k:g} {picture.length_of(one)}", picture.chart_grid(one, measure), None, background
        )
        for one in found
    ]
    title, facts = picture.titles(found[0], asked.look.zone)
    draw_sheet(panels, title, asked.out, [fact for fact in facts if not fact.startswith("cells")], asked.look)
    return f"{_said(found[0], asked.out)}, {len(panels)} cell sizes"


def _said(drawn: Heatmap, out: Path) -> str:
    count = total(drawn)
    off = f", {drawn.off_plan:,} more lie off the plan" if drawn.off_plan else ""
    return f"{count:,} sighting{'' if count == 1 else 's'} of {drawn.camera} drawn{off}: {out}"
