"""Two heatmaps side by side, and what differs between them: two times of a camera, or two cameras.

Where the two times are of different length, both are counted per hour. A difference needs cells that lie on each
other: of frames (or plans) of different size there is none.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo
from pathlib import Path

import numpy as np

from services.aggregator import chart, picture
from services.aggregator.chart import Grid, Look
from services.aggregator.core.grid import HOUR_MS
from services.aggregator.picture import Heatmap
from services.cli.background import Picture
from services.cli.heatmap_files import Files
from services.cli.heatmap_load import Question, load, total
from services.cli.sheet import Panel, draw_sheet
from services.contracts.kerberos import MAX_TIME_MS


def compare(files: Files, first: Question, second: Question, out: Path, look: Look, background: Picture | None) -> str:
    """Draws both with one scale of colours, and first less second. Raises NothingToDraw, BadFile, BadParameter."""
    one = load(files, first)
    two = load(files, replace(second, cell=second.cell or one.k))
    if one.k != two.k:
        one = load(files, replace(first, cell=two.k))
    hours = _hours(first.times), _hours(second.times)
    rate = hours[0] != hours[1] and None not in hours
    grids = [_grid(each, first, length if rate else None) for each, length in zip((one, two), hours, strict=True)]
    scale = chart.norm([grid.values for grid in grids])
    same_place = one.camera == two.camera
    names = [_name(each, same_place, look.zone) for each in (one, two)]
    panels = [
        Panel(name, grid, scale, background if each.camera == one.camera else None)
        for name, grid, each in zip(names, grids, (one, two), strict=True)
    ]
    facts = [f"{total(one):,} and {total(two):,} sightings", f"cells {one.k:g} × {one.k:g} {picture.length_of(one)}"]
    if (one.width, one.height) == (two.width, two.height):
        less = replace(grids[0], values=grids[0].values - grids[1].values, difference=True)
        words = ("the first", "the second") if same_place else (one.camera, two.camera)
        panels.append(Panel(f"difference: red, more in {words[0]}; blue, more in {words[1]}", less))
    else:
        facts.append("no difference: they are of different size")
    title = f"{one.camera}: {picture.subject(one)}" if same_place else f"{one.camera} and {two.camera}"
    draw_sheet(panels, title, out, facts, look)
    return f"{total(one):,} and {total(two):,} sightings compared: {out}"


def _grid(found: Heatmap, asked: Question, hours: float | None) -> Grid:
    grid = picture.chart_grid(found, asked.measure)
    if hours is None:
        return grid
    return replace(grid, values=np.asarray(grid.values / hours), unit=f"{grid.unit} and hour", whole=False)


def _name(found: Heatmap, same_place: bool, zone: tzinfo) -> str:
    when = picture.span(found.first_ms, found.end_ms, zone)
    return when if same_place else f"{found.camera}: {when}"


def _hours(times: range) -> float | None:
    """None where the range has no beginning or no end."""
    if times.start == 0 or times.stop > MAX_TIME_MS:
        return None
    return len(times) / HOUR_MS
