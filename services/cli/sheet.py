"""Several cell sizes in one picture, so that one can be chosen: the same counts, each with its own scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import typer
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from services.aggregator import picture

Floats = npt.NDArray[np.float64]
MOST = 12
"""Panels of a sheet."""
INCHES = 4.6
"""Width of a panel."""
BESIDE, BELOW, TITLE = 1.3, 0.8, 0.55
"""Inches for the numbers around a panel, and for the title above all."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One cell size."""

    title: str
    values: Floats
    """(rows, columns), first row at the top; 0 or nan where nothing is."""
    x: Floats
    """Edges of the columns."""
    y: Floats


def parse_cells(text: str) -> list[float]:
    """ "20,30,40" as cell sizes. BadParameter."""
    try:
        cells = [float(word) for word in text.split(",")]
    except ValueError:
        cells = []
    if not 1 <= len(cells) <= MOST or not all(0 < cell < np.inf for cell in cells):
        raise typer.BadParameter(f"{text!r} names no cell sizes, up to {MOST}, as 20,30,40,60", param_hint="--sheet")
    return cells


def draw_sheet(panels: Sequence[Panel], title: str, out: Path, background: npt.NDArray[np.uint8] | None = None) -> None:
    """Writes a PNG. ``background``: RGB, below each panel."""
    columns = min(len(panels), 3 if len(panels) > 4 else 2)
    rows = -(-len(panels) // columns)
    tall = INCHES * min(max(float(panels[0].y[-1] / panels[0].x[-1]), 0.3), 2.0)
    wide, high = columns * (INCHES + BESIDE), rows * (tall + BELOW) + TITLE
    with mpl.rc_context({"font.size": 9, "axes.edgecolor": picture.INK, "text.color": picture.INK}):
        figure = Figure(figsize=(wide, high), facecolor=picture.PAPER)
        FigureCanvasAgg(figure)
        figure.text(0.5 / wide, 1 - 0.35 / high, title, fontsize=14, fontweight="bold", parse_math=False)
        for index, panel in enumerate(panels):
            row, column = divmod(index, columns)
            left, top = column * (INCHES + BESIDE) + 0.5, TITLE + row * (tall + BELOW) + 0.3
            axes = figure.add_axes((left / wide, 1 - (top + tall) / high, INCHES / wide, tall / high))
            _paint(figure, axes, panel, background)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=130, facecolor=picture.PAPER)


def _paint(figure: Figure, axes: Axes, panel: Panel, background: npt.NDArray[np.uint8] | None) -> None:
    width, height = float(panel.x[-1]), float(panel.y[-1])
    values = np.where(panel.values > 0, panel.values, np.nan)
    axes.set_facecolor(picture.FIELD)
    if background is not None:
        axes.imshow(picture.faded(background), extent=(0, width, height, 0), zorder=0)
    mesh = axes.pcolormesh(
        panel.x,
        panel.y,
        values,
        cmap=picture.COLOURS,
        norm=PowerNorm(0.5, vmin=0, vmax=float(np.nanmax(values))),
        alpha=1.0 if background is None else 0.78,
    )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.set_title(panel.title, fontsize=10, loc="left", color=picture.PALE_INK)
    axes.tick_params(colors=picture.PALE_INK, length=3)
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.02, 0, 0.03, 1)))
    bar.outline.set_visible(False)
