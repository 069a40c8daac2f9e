"""Several grids in one picture, side by side: cell sizes to choose from, or two times with what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from services.aggregator import chart
from services.aggregator.chart import Grid, Look, Picture
from services.aggregator.style import NATURAL, SMALL, Page, heading, save

MOST = 12
"""Panels of a sheet."""
NARROW = 3.6
"""Inches that a panel must have, with all around it."""
LEFT, BAR, BELOW, ABOVE = 0.62, 0.95, 0.5, 0.34
"""Inches beside a panel, and for the line above it."""
EDGE = 0.2


@dataclass(frozen=True, slots=True)
class Panel:
    """One grid."""

    title: str
    grid: Grid
    scale: Normalize | None = None
    """None: its own."""
    background: Picture | None = None


def parse_cells(text: str) -> list[float]:
    """ "20,30,40" as cell sizes. BadParameter."""
    try:
        cells = [float(word) for word in text.split(",")]
    except ValueError:
        cells = []
    if not 1 <= len(cells) <= MOST or not all(0 < cell < np.inf for cell in cells):
        raise typer.BadParameter(f"{text!r} names no cell sizes, up to {MOST}, as 20,30,40,60", param_hint="--sheet")
    return cells


def draw_sheet(
    panels: Sequence[Panel], title: str, out: Path, facts: Sequence[str] = (), look: Look | None = None
) -> None:
    """Writes a PNG; as many panels beside each other as can be read. All panels have the shape of the first."""
    columns = min(len(panels), 3 if len(panels) > 4 or len(panels) == 3 else 2)
    look = look or Look()
    natural = NATURAL if columns < 3 else NATURAL * 7 // 5
    page = Page(look.width or natural, natural if (look.width or natural) >= NATURAL else NATURAL)
    style = look.style
    columns = max(1, min(columns, int((page.inches - EDGE) / NARROW)))
    rows = -(-len(panels) // columns)
    wide = (page.inches - EDGE) / columns - LEFT - BAR
    aspect = min(max(float(panels[0].grid.y[-1] / panels[0].grid.x[-1]), 0.1), 2.0)
    units = dict.fromkeys(panel.grid.unit for panel in panels if not chart.unit_fits(panel.grid.unit, wide * aspect))
    head = heading(page, title, [*facts, *units], page.inches - 2 * EDGE)
    named = [page.lines(panel.title, wide + BAR * 0.8, SMALL, bold=True) for panel in panels]
    above = ABOVE + 0.19 * (max(map(len, named)) - 1)
    tall = wide * aspect
    height = EDGE + head.height + rows * (above + tall + BELOW) + 0.1
    with style.applied(9):
        figure = page.figure(height, style)
        head.draw(figure, EDGE, EDGE, style)
        for index, panel in enumerate(panels):
            row, column = divmod(index, columns)
            left = EDGE + column * (LEFT + wide + BAR) + LEFT - EDGE / 2
            bottom = height - EDGE - head.height - row * (above + tall + BELOW) - above - tall
            place = (left / page.inches, bottom / height, wide / page.inches, tall / height)
            axes = figure.add_axes(place)
            mesh = chart.paint(axes, panel.grid, style, panel.background, panel.scale)
            axes.set_title("\n".join(named[index]), fontsize=SMALL, loc="left", color=style.ink, fontweight="bold")
            axes.xaxis.set_major_locator(MaxNLocator(max(2, min(8, int(wide / 0.7))), integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(max(2, min(8, int(tall / 0.5))), integer=True))
            side = figure.add_axes(((left + wide + 0.1) / page.inches, place[1], 0.14 / page.inches, place[3]))
            chart.bar(figure, side, mesh, panel.grid, style, tall)
        save(figure, out)
