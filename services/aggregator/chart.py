"""A grid of numbers as a picture: cells over a frame or plan, a colour bar with its unit, areas, a scale bar.

The colour scale is a square root, so that quiet cells can be told from empty ones beside busy ones; of a difference it
is even, with zero in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize, PowerNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Polygon as Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from services.aggregator.core.area import Area
from services.aggregator.core.outline import Shape
from services.aggregator.style import LIGHT, NATURAL, SMALL, Page, Style, heading, save

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]
LEFT, RIGHT, BELOW, ABOVE, GAP = 0.85, 1.08, 0.64, 0.2, 0.14
"""Inches: for the numbers left and below, for the colour bar, above the title, between the heading and the grid."""
TALLEST = 9.0
"""Inches of a grid's height, where nobody asks for a width."""
LEAST = 8.5
"""Points of a colour bar's unit."""
MANY = 100
"""More columns are drawn without lines between them."""
SLIM = 6.2
"""Inches that a picture is wide at least, for its title."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a person chooses of a picture."""

    style: Style = LIGHT
    width: int | None = None
    """Pixels; None: as what is drawn asks for."""
    zone: tzinfo = UTC
    """In which times are written."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What is drawn."""

    values: Floats
    """(rows, columns), first row at the top; 0 or nan where nothing is."""
    x: Floats
    """Edges of the columns."""
    y: Floats
    unit: str
    """Of the values, as ``sightings per cell``."""
    length: str = "pixels"
    """Unit of ``x`` and ``y``."""
    whole: bool = True
    """The values are whole numbers."""
    difference: bool = False
    """Above and below zero."""
    metres_per_unit: float | None = None

    @property
    def norm(self) -> Normalize:
        return norm([self.values], self.difference)


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked over the grid."""

    area: Area | None = None
    shape: Shape | None = None

    def lines(self, style: Style) -> list[tuple[str, str]]:
        """What is marked, and in which colour."""
        said = []
        if self.area is not None:
            said.append((f"smallest rectangle with {self.area.held:.0%}", style.area))
        if self.shape is not None:
            said.append((f"smallest shape with {self.shape.held:.0%}", style.shape))
        return said


@dataclass(frozen=True, slots=True)
class Chart:
    """A grid with all that is around it."""

    grid: Grid
    title: str
    facts: Sequence[str] = ()
    background: Picture | None = None
    """RGB, drawn below the whole grid."""
    marks: Marks = field(default_factory=Marks)


def draw(chart: Chart, out: Path, look: Look) -> Path:
    """Writes a PNG."""
    style, grid = look.style, chart.grid
    aspect = float(grid.y[-1] / grid.x[-1])
    page = Page(look.width or _natural(aspect))
    said = chart.marks.lines(style)
    tall = min((page.inches - LEFT - RIGHT) * aspect, max(TALLEST, page.inches))
    wide = tall / aspect
    facts = chart.facts if unit_fits(grid.unit, tall) else [*chart.facts, grid.unit]
    head = heading(page, chart.title, facts, page.inches - LEFT - 0.2)
    foot = BELOW + 0.24 * len(said)
    height = ABOVE + head.height + GAP + tall + foot
    with style.applied():
        figure = page.figure(height, style)
        axes = figure.add_axes((LEFT / page.inches, foot / height, wide / page.inches, tall / height))
        mesh = paint(axes, grid, style, chart.background)
        mark(axes, chart.marks, style, wide / len(grid.x))
        label_axes(axes, grid, style, wide)
        head.draw(figure, LEFT, ABOVE, style)
        bar_axes = figure.add_axes(
            ((LEFT + wide + 0.17) / page.inches, foot / height, 0.2 / page.inches, tall / height)
        )
        bar(figure, bar_axes, mesh, grid, style, tall)
        for index, (text, colour) in enumerate(reversed(said)):
            figure.text(
                LEFT / page.inches, (0.1 + 0.24 * index) / height, f"■ {text}", color=colour, fontsize=SMALL,
                fontweight="bold",
            )  # fmt: skip
        return save(figure, out)


def _natural(aspect: float) -> int:
    """Pixels across: less where the grid is so tall that it would not fill them."""
    inches = max(TALLEST / aspect + LEFT + RIGHT, SLIM)
    return min(NATURAL, round(inches * Page(NATURAL).dpi))


def norm(values: Sequence[Floats], difference: bool = False) -> Normalize:
    """One scale for several grids."""
    top = max((float(np.nanmax(np.abs(one), initial=0.0)) for one in values), default=0.0) or 1.0
    return TwoSlopeNorm(0.0, -top, top) if difference else PowerNorm(0.5, vmin=0, vmax=top)


def paint(
    axes: Any,
    grid: Grid,
    style: Style,
    background: Picture | None = None,
    scale: Normalize | None = None,
    lines: bool = True,
) -> Any:
    """Cells, over the background; returns the mesh, for the colour bar. ``lines``: between cells that are not many."""
    width, height = float(grid.x[-1]), float(grid.y[-1])
    axes.set_facecolor(style.field)
    if background is not None:
        axes.imshow(style.faded(background), extent=(0, width, height, 0), zorder=0, aspect="auto")
    mesh = axes.pcolormesh(
        grid.x,
        grid.y,
        np.where(grid.values == 0, np.nan, grid.values),
        cmap=style.difference if grid.difference else style.colours,
        norm=scale or grid.norm,
        alpha=1.0 if background is None else 0.78,
        edgecolors=style.field if lines and background is None and len(grid.x) <= MANY else "none",
        linewidth=0.5,
        zorder=1,
        rasterized=True,
    )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.tick_params(length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid.metres_per_unit:
        scale_bar(axes, width, grid.metres_per_unit, style)
    return mesh


def label_axes(axes: Any, grid: Grid, style: Style, inches: float) -> None:
    axes.set_xlabel(f"x, {grid.length}")
    axes.set_ylabel(f"y, {grid.length}")
    axes.xaxis.set_major_locator(MaxNLocator(max(2, min(8, int(inches / 0.8))), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(max(2, min(8, int(inches / 0.6))), integer=True))


def bar(figure: Figure, axes: Any, mesh: Any, grid: Grid, style: Style, inches: float) -> None:
    """The colour bar, with its unit where that fits. ``inches``: its height."""
    made: Any = figure.colorbar(mesh, cax=axes)
    if unit_fits(grid.unit, inches):
        size = min(float(mpl.rcParams["font.size"]), inches * 72 / (0.6 * len(grid.unit)))
        made.set_label(grid.unit, fontsize=size)
    made.outline.set_visible(False)
    made.ax.tick_params(length=3)
    made.locator = MaxNLocator(max(2, min(6, int(inches / 0.45))), integer=grid.whole, symmetric=grid.difference)
    made.update_ticks()


def unit_fits(unit: str, inches: float) -> bool:
    """Whether a colour bar of that height has room for its unit, in text that can be read."""
    return inches * 72 >= 0.6 * LEAST * len(unit)


def mark(axes: Any, marks: Marks, style: Style, cell: float) -> None:
    """Outlines of the areas, in the colours in which they are named; thin around thin cells (``cell``: inches)."""
    thick = min(max(cell * 72 / 7, 0.5), 1.8)
    corners: list[tuple[Sequence[tuple[float, float]], str, float]] = []
    if marks.shape is not None:
        corners += [(polygon, style.shape, thick) for polygon in marks.shape.polygons]
    if (area := marks.area) is not None:
        ring = [(area.left, area.top), (area.right, area.top), (area.right, area.bottom), (area.left, area.bottom)]
        corners.append((ring, style.area, 1.8))
    for polygon, colour, line in corners:
        for edge, width in (
            (style.paper, 2 * line),
            (colour, line),
        ):  # the page's colour below: to show on bright and dark
            axes.add_patch(
                Patch(polygon, closed=True, fill=False, edgecolor=edge, linewidth=width, zorder=3, joinstyle="miter")
            )


def scale_bar(axes: Any, width: float, metres_per_unit: float, style: Style = LIGHT) -> None:
    """A bar of 1, 2, 5, 10 ... metres near the lower left corner, about a fifth of the plan wide."""
    metres = width * metres_per_unit / 5
    power = 10.0 ** np.floor(np.log10(metres))
    length = max(power * step for step in (1, 2, 5) if power * step <= metres)
    part = length / metres_per_unit / width
    outline = [withStroke(linewidth=3, foreground=style.paper)]
    for colour, thick in ((style.paper, 6.0), (style.ink, 3.0)):
        axes.plot(
            (0.03, 0.03 + part), (0.035, 0.035), transform=axes.transAxes, color=colour, linewidth=thick, zorder=5,
            solid_capstyle="butt",
        )  # fmt: skip
    axes.text(
        0.03, 0.05, f"{length:g} m", transform=axes.transAxes, fontsize=11, fontweight="bold", zorder=6,
        path_effects=outline,
    )  # fmt: skip
