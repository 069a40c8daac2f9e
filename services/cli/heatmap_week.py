"""When and where: a table of weekdays and hours, and below it a small map for each weekday and four hours.

Counts are means: a weekday that the time holds twice counts half. Days run from the first sighting to the last, in the
time zone that was named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from services.aggregator import chart, picture
from services.aggregator.chart import Grid, Look, Picture
from services.aggregator.picture import Measure, NothingToDraw
from services.aggregator.style import NATURAL, SMALL, Page, heading, save
from services.cli.heatmap_files import Files
from services.cli.heatmap_load import Question, check_cell, chosen
from services.cli.redraw import DWELL_CAP_MS, counted, newest_of, sightings_of

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
BLOCK = 4
"""Hours of a map."""
BLOCKS = 24 // BLOCK
UNITS: dict[Measure, str] = {
    "count": "sightings per hour",
    "passages": "vehicles per hour",
    "dwell_ms": "seconds of presence per hour",
}
TALLEST = 1.6
"""Inches of a map's height."""
EDGE, LEFT, RIGHT, GAP, ROW = 0.2, 0.55, 1.0, 0.06, 0.24
"""Inches."""


@dataclass(frozen=True, slots=True)
class Week:
    """When things were seen. Arrays (7, 24): weekday from Monday, hour."""

    values: npt.NDArray[np.float64]
    """Mean of the days."""
    days: npt.NDArray[np.int64]
    """(7,): how often the time holds each weekday."""
    slots: npt.NDArray[np.int64]
    """(n, 2): weekday and hour of each sighting, in order of time."""


def week_of(sightings: pa.Table, measure: Measure, zone: tzinfo) -> Week:
    """Of sightings in order of time, at least one. A vehicle counts once in each hour in which it was seen."""
    seen = sightings.select(["time_ms", "passage_id", "track_id"]).to_pandas()
    local = pd.to_datetime(seen["time_ms"], unit="ms", utc=True).dt.tz_convert(zone)
    seen["day"], seen["hour"], seen["date"] = local.dt.day_of_week, local.dt.hour, local.dt.date
    if measure == "passages":
        weights = (~seen.duplicated(["passage_id", "date", "hour"])).astype(float)
    elif measure == "dwell_ms":
        until_next = -seen.groupby("track_id")["time_ms"].diff(-1)
        weights = until_next.clip(upper=DWELL_CAP_MS).fillna(0) / 1000
    else:
        weights = pd.Series(1.0, index=seen.index)
    totals = np.zeros((7, 24))
    np.add.at(totals, (seen["day"].to_numpy(), seen["hour"].to_numpy()), weights.to_numpy())
    first, last = seen["date"].iloc[0], seen["date"].iloc[-1]
    days = np.zeros(7, np.int64)
    for offset in range((last - first).days + 1):
        days[(first + timedelta(offset)).weekday()] += 1
    return Week(totals / np.maximum(days, 1)[:, None], days, seen[["day", "hour"]].to_numpy(np.int64))


def draw_week(files: Files, asked: Question, out: Path, look: Look, background: Picture | None) -> str:
    """Writes the picture. Raises NothingToDraw, BadFile, BadParameter."""
    camera, label = chosen(files, asked)
    paths = files.sightings_of(camera, asked.times)
    sightings = sightings_of(paths, asked.times, label)
    if not sightings.num_rows:
        raise NothingToDraw(f"no sighting of {camera} in that time")
    week = week_of(sightings, asked.measure, look.zone)
    newest = newest_of(paths)
    whole = counted(camera, sightings, newest, asked.plane, asked.cell, label)
    check_cell(whole, asked)
    grids: dict[tuple[int, int], Grid] = {}
    for day in range(7):
        for block in range(BLOCKS):
            within = (week.slots[:, 0] == day) & (week.slots[:, 1] // BLOCK == block)
            part = sightings.filter(pa.array(within))
            try:
                found = counted(camera, part, newest, asked.plane, whole.k, label) if part.num_rows else None
            except NothingToDraw:
                found = None
            if found is not None and (found.width, found.height) == (whole.width, whole.height):
                grid = picture.chart_grid(found, asked.measure)
                unit = f"{grid.unit} in {BLOCK} hours"
                grids[day, block] = replace(grid, values=grid.values / week.days[day], unit=unit, whole=False)
    title, facts = picture.titles(whole, look.zone)
    count = int(week.days.sum())
    facts.append("of one day" if count == 1 else f"means of {count} days")
    _draw(week, grids, (title, facts), UNITS[asked.measure], out, look, background)
    return f"{sightings.num_rows:,} sightings of {camera} drawn by weekday and hour: {out}"


def _draw(
    week: Week,
    grids: dict[tuple[int, int], Grid],
    titles: tuple[str, list[str]],
    unit: str,
    out: Path,
    look: Look,
    background: Picture | None,
) -> None:
    style, page = look.style, Page(look.width or NATURAL)
    wide = page.inches - LEFT - RIGHT - EDGE
    small = (wide - GAP * (BLOCKS - 1)) / BLOCKS
    any_grid = next(iter(grids.values()))
    aspect = float(any_grid.y[-1] / any_grid.x[-1])
    tall = min(small * aspect, TALLEST)
    slim = tall / aspect
    held = [day for day in range(7) if week.days[day]]
    high = len(held) * (tall + GAP) - GAP
    facts = titles[1] if chart.unit_fits(any_grid.unit, high) else [*titles[1], f"maps: {any_grid.unit}"]
    head = heading(page, titles[0], facts, page.inches - 2 * EDGE)
    below = EDGE + head.height + 0.15
    between = 0.8
    height = below + 7 * ROW + between + high + 0.35

    def place(x: float, y: float, width: float, length: float) -> tuple[float, float, float, float]:
        """Inches from the upper left corner, as matplotlib wants it."""
        return x / page.inches, 1 - (y + length) / height, width / page.inches, length / height

    with style.applied(9):
        figure = page.figure(height, style)
        head.draw(figure, EDGE, EDGE, style)
        axes: Any = figure.add_axes(place(LEFT + EDGE, below, wide, 7 * ROW))
        whole = bool((week.values == week.values.round()).all())
        table = Grid(week.values, np.arange(25.0), np.arange(8.0), unit, whole=whole)
        mesh = chart.paint(axes, table, style)
        axes.set_yticks(np.arange(7) + 0.5, DAYS)
        every = BLOCK if page.inches > 4.5 else 2 * BLOCK
        axes.set_xticks(np.arange(0, 25, every), [f"{hour}:00" for hour in range(0, 25, every)])
        side = figure.add_axes(place(LEFT + EDGE + wide + 0.1, below, 0.14, 7 * ROW))
        chart.bar(figure, side, mesh, table, style, 7 * ROW)
        scale = chart.norm([grid.values for grid in grids.values()])
        top = below + 7 * ROW + between
        maps: Any = None
        for row, day in enumerate(held):
            for block in range(BLOCKS):
                grid = grids.get((day, block), replace(any_grid, values=np.zeros_like(any_grid.values)))
                x, y = LEFT + EDGE + block * (small + GAP), top + row * (tall + GAP)
                axes = figure.add_axes(place(x + (small - slim) / 2, y, slim, tall))
                drawn = chart.paint(axes, replace(grid, metres_per_unit=None), style, background, scale, lines=False)
                maps = drawn if maps is None else maps
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
                if block == 0:
                    axes.set_ylabel(DAYS[day], rotation=0, ha="right", va="center", color=style.ink)
                if row == 0:
                    axes.set_title(f"{block * BLOCK}–{(block + 1) * BLOCK} h", fontsize=SMALL, color=style.ink)
        side = figure.add_axes(place(LEFT + EDGE + wide + 0.1, top, 0.14, high))
        chart.bar(figure, side, maps, any_grid, style, high)
        save(figure, out)
