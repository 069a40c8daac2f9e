"""Pictures of plates in a detection file: the two that heatmap-location-car-plates draws, and ours.

Theirs: y upwards, dark, 15 points a plate. Ours: y downwards as in the frame, true cells, area shared exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from services.aggregator import picture
from services.aggregator.core.area import Area
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
    area: Area | None = None,
    background: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Our heatmap. ``background``: a frame of the video, RGB; ``area``: the most significant one, to be marked."""
    width, height = float(found.x[-1]), float(found.y[-1])
    ink = picture.INK
    with mpl.rc_context({"font.size": 11, "axes.edgecolor": ink, "text.color": ink, "axes.labelcolor": ink}):
        figure, axes = _figure(height / width, picture.PAPER)
        axes.set_facecolor(picture.FIELD)
        if background is not None:
            axes.imshow(picture.faded(background), extent=(0, width, height, 0), zorder=0)
        values = np.where(found.counts > 0, found.counts, np.nan)
        mesh = axes.pcolormesh(
            found.x,
            found.y,
            values,
            cmap=picture.COLOURS,
            norm=PowerNorm(0.5, vmin=0, vmax=float(found.counts.max())),
            alpha=1.0 if background is None else 0.78,
        )
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xlabel="x, pixels", ylabel="y, pixels")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.tick_params(colors=ink, length=3)
        if area is not None:
            picture.mark_area(axes, area)
        _titles(axes, found, k, name)
        _bar(figure, axes, mesh).set_label("plates per cell")
        _save(figure, out, picture.PAPER)


def _titles(axes: Any, found: AreaCounts, k: int, name: str) -> None:
    left_out = found.thin + found.outside
    facts = [f"{found.plates:,} plate{'' if found.plates == 1 else 's'}", f"cells {k} × {k} pixels"]
    facts += [f"{left_out:,} left out"] if left_out else []
    for text, up, style in (
        (f"{name}: where number plates were seen", 28, {"fontsize": 14, "fontweight": "bold"}),
        ("   ·   ".join(facts), 10, {"fontsize": 10, "color": picture.PALE_INK}),
    ):
        axes.annotate(
            text, (0, 1), (0, up), xycoords="axes fraction", textcoords="offset points", parse_math=False, **style
        )


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
