"""Pictures of plates in a detection file: the two that heatmap-location-car-plates draws, and ours.

Theirs: y upwards, dark, 15 points a plate. Ours: y downwards as in the frame, true cells, area shared exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from services.aggregator.chart import Chart, Grid, Look, Marks, draw
from services.aggregator.core.quads import AreaCounts

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
INCHES = 9.0
"""Width of the plot itself."""


def draw_points(points: Floats, width: int, height: int, out: Path) -> None:
    """Their point picture. ``points``: (n, 2), y upwards."""
    with matplotlib.style.context("dark_background"):
        figure, axes = _figure(height / width)
        axes.scatter(points[:, 0], points[:, 1], s=1.5)
        axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        axes.set_title(f"15 points of plates\n[{width}x{height}]")
        _save(figure, out)


def draw_bins(counts: Counts, width: int, height: int, file: str, out: Path) -> None:
    """Their heatmap. ``counts``: (rows, columns), first row at the bottom; ``file``: as the title names it."""
    rows, columns = counts.shape
    with matplotlib.style.context("dark_background"):
        figure, axes = _figure(height / width)
        edges = np.linspace(0, width, columns + 1), np.linspace(0, height, rows + 1)
        mesh = axes.pcolormesh(*edges, counts, norm=PowerNorm(0.5))
        axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        axes.grid(color="black", linestyle="--", linewidth=0.5)
        axes.set_title(f"Heatmap for {file}\n({columns}, {rows})\n[{width}x{height}]", parse_math=False)
        _bar(figure, axes, mesh)
        _save(figure, out)


def draw_areas(
    found: AreaCounts,
    k: int,
    name: str,
    out: Path,
    *,
    marks: Marks | None = None,
    background: npt.NDArray[np.uint8] | None = None,
    look: Look | None = None,
) -> None:
    """Our heatmap. ``background``: a frame of the video, RGB."""
    left_out = found.thin + found.outside
    facts = [f"{found.plates:,} plate{'' if found.plates == 1 else 's'}", f"cells {k} × {k} pixels"]
    facts += [f"{left_out:,} left out"] if left_out else []
    grid = Grid(found.counts, found.x, found.y, "plates per cell", whole=False)
    title = f"{name}: where number plates were seen"
    draw(Chart(grid, title, facts, background, marks or Marks()), out, look or Look())


def _figure(aspect: float, paper: str | None = None) -> tuple[Figure, Any]:
    figure = Figure(figsize=(INCHES + 1, INCHES * min(max(aspect, 0.2), 2.0) + 1), facecolor=paper)
    FigureCanvasAgg(figure)
    return figure, figure.add_axes((0.08, 0.1, 0.84, 0.78))


def _bar(figure: Figure, axes: Any, mesh: Any) -> Any:
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.025, 0, 0.025, 1)))
    bar.outline.set_visible(False)
    return bar


def _save(figure: Figure, out: Path, paper: str = "auto") -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130, facecolor=paper, bbox_inches="tight", pad_inches=0.2)
