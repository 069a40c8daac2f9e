"""The heatmap of one camera as a PNG, drawn from the aggregator's Parquet.

In: the data folder. Out: a picture of the image plane (y downwards, over a frame of the camera if one is given) or of
the plan. The colour scale is a square root, so that quiet cells can be told from empty ones beside busy ones.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import matplotlib as mpl
import msgspec
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from services.aggregator import tables
from services.aggregator.core import grid
from services.aggregator.core.area import SHARE, Area, most_significant
from services.aggregator.core.grid import HOUR_MS, Cells
from services.aggregator.partition import POINTER, Pointer

Plane = Literal["image", "ground"]
Measure = Literal["count", "passages", "dwell_ms"]
Floats = npt.NDArray[np.float64]

LABELS: dict[str, str] = {
    "count": "sightings per cell",
    "passages": "vehicles per cell",
    "dwell_ms": "seconds of presence per cell",
}
INK, PALE_INK, PAPER, FIELD = "#1b2333", "#5a6475", "#ffffff", "#eef1f6"
COLOURS = "inferno"
AREA = "#0f8a5f"
YEAR_MS = 365 * 86_400_000
"""Outline of the most significant area: green, which the scale of colours has not."""


class NothingToDraw(ValueError):
    """No cell for that camera, plane and time. Says what there is."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Cells of one camera and plane, added up over the hours asked for."""

    camera: str
    plane: Plane
    version: str
    k: float
    width: float
    """Of the frame in pixels, or of the plan in its units."""
    height: float
    cells: Cells
    first_ms: int
    """Start of the first hour with anything in it."""
    end_ms: int
    """End of the last."""
    off_plan: int = 0
    vehicles: int = 0
    """Distinct passages, where that is known."""
    metres_per_unit: float | None = None


def cameras(data: Path) -> list[str]:
    """Names of the cameras that have a heatmap."""
    names = {unquote(p.name.removeprefix("camera=")) for p in (data / "heatmap").glob("*/*/*/camera=*")}
    return sorted(names)


def load(
    data: Path,
    camera: str,
    *,
    plane: Plane = "image",
    results: int | None = None,
    hours: range | None = None,
    label: str = grid.PLATE,
) -> Heatmap:
    """A camera's heatmap. ``hours``: event time in ms, from start to stop; ``results``: the current ones; ``label``:
    the class of the detector that was counted.

    Where cells were made under several versions (frame size, cell size, homography), the one with the newest hour.
    Raises NothingToDraw.
    """
    results = current(data) if results is None else results
    where = f"results={results}/plane={plane}/version=*/camera={tables.encoded(camera)}/date=*/hour=*/*.parquet"
    files = [(hour_of(path), path) for path in sorted((data / "heatmap").glob(where))]
    files = [(hour, path) for hour, path in files if hours is None or hours.start - HOUR_MS < hour < hours.stop]
    files = [(hour, path) for hour, path in files if grid.label_of(version_of(path)) == label]
    if not files:
        raise NothingToDraw(f"no {plane}-plane heatmap of {camera}; there are: {', '.join(cameras(data)) or 'none'}")
    _, version = max((hour, version_of(path)) for hour, path in files)
    return add_up(camera, plane, version, [(hour, path) for hour, path in files if version_of(path) == version])


def add_up(camera: str, plane: Plane, version: str, files: list[tuple[int, Path]]) -> Heatmap:
    """The cells of one version, added up. ``files``: start of the hour in ms, and path. Raises NothingToDraw."""
    cells: Cells = {}
    off_plan = 0
    used: list[int] = []
    size = (0.0, 0.0)
    metres: float | None = None
    for hour, path in files:
        data = path.read_bytes()
        footer = tables.footer_of(data)
        found = tables.cells_of(data)
        grid.add(cells, found)
        off_plan += footer.off_plan
        used += [hour] if found else []
        ground = footer.camera.ground
        if plane == "ground" and ground is not None:
            size, metres = (ground.width, ground.height), ground.metres_per_unit
    if not used:
        raise NothingToDraw(f"the {plane}-plane heatmap of {camera} is empty")
    name, _, k = version.rpartition("-k")
    if plane == "image":
        width, _, height = name.rpartition("@")[2].partition("x")
        size = (float(width), float(height))
    return Heatmap(
        camera, plane, version, float(k), *size, cells, min(used), max(used) + HOUR_MS, off_plan, metres_per_unit=metres
    )


def current(data: Path) -> int:
    """The results version that the pointer names; 1 where there is no pointer."""
    try:
        return msgspec.json.decode((data / POINTER).read_bytes(), type=Pointer).results
    except FileNotFoundError:
        return 1


def hour_of(path: Path) -> int:
    """Start of the hour that a file's folders name, in ms."""
    date, hour = path.parts[-3].removeprefix("date="), path.parts[-2].removeprefix("hour=")
    at = datetime.datetime.fromisoformat(f"{date}T{hour}:00:00+00:00")
    return int(at.timestamp()) * 1000


def version_of(path: Path) -> str:
    return path.parts[-5].removeprefix("version=")


def matrix(heatmap: Heatmap, measure: Measure = "count") -> npt.NDArray[np.float64]:
    """Shape (rows, columns) over the whole frame or plan; nan where a cell holds nothing."""
    column = ("count", "passages", "dwell_ms").index(measure)
    shape = (int(np.ceil(heatmap.height / heatmap.k)), int(np.ceil(heatmap.width / heatmap.k)))
    values = np.full(shape, np.nan)
    for (gx, gy), tally in heatmap.cells.items():
        if tally[column] and gy < shape[0] and gx < shape[1]:
            values[gy, gx] = tally[column] / (1000 if measure == "dwell_ms" else 1)
    return values


def grid_of(heatmap: Heatmap, measure: Measure = "count") -> tuple[Floats, Floats, Floats]:
    """The measure per cell (rows, columns), and the edges of columns and rows, which end with the frame or plan."""
    values = np.nan_to_num(matrix(heatmap, measure))
    rows, columns = values.shape
    x = np.minimum(np.arange(columns + 1) * heatmap.k, heatmap.width)
    y = np.minimum(np.arange(rows + 1) * heatmap.k, heatmap.height)
    return values, x, y


def area_of(heatmap: Heatmap, measure: Measure = "count", share: float = SHARE) -> Area:
    """The smallest rectangle of cells that holds ``share`` of the measure. ValueError where nothing is counted."""
    return most_significant(*grid_of(heatmap, measure), share)


def draw_heatmap(
    heatmap: Heatmap,
    out: Path,
    *,
    measure: Measure = "count",
    background: npt.NDArray[np.uint8] | None = None,
    area: Area | None = None,
) -> Path:
    """Writes a PNG. ``background``: a frame of the camera, or the plan, RGB (height, width, 3); ``area``: marked."""
    aspect = heatmap.height / heatmap.width
    width = 10.4 if aspect < 1 else 7.4
    with mpl.rc_context({"font.size": 11, "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK}):
        figure = Figure(figsize=(width, min(max((width - 2.2) * aspect + 1.6, 4.0), 12.0)), facecolor=PAPER)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.085, 0.105, 0.765, 0.755))
        _paint(figure, axes, heatmap, measure, background)
        if area is not None:
            mark_area(axes, area)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=130, facecolor=PAPER, bbox_inches="tight", pad_inches=0.2)
    return out


def _paint(
    figure: Figure, axes: Any, heatmap: Heatmap, measure: Measure, background: npt.NDArray[np.uint8] | None
) -> None:
    values = matrix(heatmap, measure)
    rows, columns = values.shape
    k = heatmap.k
    axes.set_facecolor(FIELD)
    if background is not None:
        axes.imshow(faded(background), extent=(0, heatmap.width, heatmap.height, 0), zorder=0, aspect="auto")
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    mesh = axes.pcolormesh(
        np.arange(columns + 1) * k,
        np.arange(rows + 1) * k,
        values,
        cmap=COLOURS,
        norm=PowerNorm(0.5, vmin=0, vmax=top),
        alpha=0.78 if background is not None else 1.0,
        edgecolors="none" if background is not None else (1, 1, 1, 0.12),
        linewidth=0.4,
        zorder=1,
    )
    axes.set(xlim=(0, heatmap.width), ylim=(heatmap.height, 0), aspect="equal")
    unit = "pixels" if heatmap.plane == "image" else "plan units"
    axes.set_xlabel(f"x, {unit}")
    axes.set_ylabel(f"y, {unit}")
    axes.tick_params(colors=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _titles(axes, heatmap)
    if heatmap.metres_per_unit:
        scale_bar(axes, heatmap.width, heatmap.metres_per_unit)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.025, 0, 0.022 / min(1.0, columns / rows), 1)))
    bar.set_label(LABELS[measure])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=3, colors=INK)
    bar.locator = MaxNLocator(6, integer=measure != "dwell_ms")
    bar.update_ticks()


def _titles(axes: Any, heatmap: Heatmap) -> None:
    counts = np.array(list(heatmap.cells.values())).sum(axis=0)
    unit = "pixels" if heatmap.plane == "image" else "plan units"
    facts = [
        span(heatmap.first_ms, heatmap.end_ms),
        f"{counts[0]:,} sightings",
        *([f"{heatmap.vehicles:,} vehicle{'' if heatmap.vehicles == 1 else 's'}"] if heatmap.vehicles else []),
        f"cells {heatmap.k:g} × {heatmap.k:g} {unit}",
    ]
    if heatmap.off_plan:
        facts.append(f"{heatmap.off_plan:,} off the plan")
    label = grid.label_of(heatmap.version)
    where = "where number plates were seen" if heatmap.plane == "image" else "where vehicles were, on the plan"
    if label != grid.PLATE:
        where = f"where “{label}” was seen{'' if heatmap.plane == 'image' else ', on the plan'}"
    for text, up, style in (
        (f"{heatmap.camera}: {where}", 28, {"fontsize": 14, "fontweight": "bold"}),
        ("   ·   ".join(facts), 10, {"fontsize": 10, "color": PALE_INK}),
    ):
        axes.annotate(text, (0, 1), (0, up), xycoords="axes fraction", textcoords="offset points", **style)


def mark_area(axes: Any, area: Area) -> None:
    """Draws the most significant area over a picture, and writes below, where no cell is, what part it holds."""
    size = (area.right - area.left, area.bottom - area.top)
    for colour, width in ((PAPER, 4.0), (AREA, 2.0)):  # pale below, so that it shows on bright and dark
        axes.add_patch(Rectangle((area.left, area.top), *size, fill=False, edgecolor=colour, linewidth=width, zorder=3))
    axes.annotate(
        f"smallest rectangle with {area.held:.0%}",
        (1, 0),
        (0, -50),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        color=AREA,
        fontsize=10,
        fontweight="bold",
    )


def scale_bar(axes: Any, width: float, metres_per_unit: float) -> None:
    """A bar of 1, 2, 5, 10 ... metres near the lower left corner, about a fifth of the plan wide."""
    metres = width * metres_per_unit / 5
    power = 10.0 ** np.floor(np.log10(metres))
    length = max(power * step for step in (1, 2, 5) if power * step <= metres)
    part = length / metres_per_unit / width
    outline = [withStroke(linewidth=3, foreground=PAPER)]
    for colour, thick in ((PAPER, 6.0), (INK, 3.0)):
        axes.plot(
            (0.03, 0.03 + part), (0.035, 0.035), transform=axes.transAxes, color=colour, linewidth=thick, zorder=5,
            solid_capstyle="butt",
        )  # fmt: skip
    axes.text(
        0.03, 0.05, f"{length:g} m", transform=axes.transAxes, fontsize=11, fontweight="bold", zorder=6,
        path_effects=outline,
    )  # fmt: skip


def faded(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey and pale, so that only the heat has colour."""
    grey = frame.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    pale = np.clip(110 + grey * 0.55, 0, 255).astype(np.uint8)
    return np.repeat(pale[:, :, None], 3, axis=2)


def span(first_ms: int, end_ms: int) -> str:
    """ "2023-11-14 21:00 to 23:00 UTC"; with seconds where it does not begin and end with a minute. Of files whose date
    nobody knows, so that their time counts from 0, "0:00 to 1:00 from the beginning" in hours and minutes."""
    if end_ms < YEAR_MS:
        hours = [f"{ms // 3_600_000}:{ms // 60_000 % 60:02}" for ms in (first_ms, end_ms)]
        return f"{hours[0]} to {hours[1]} from the beginning"
    first = datetime.datetime.fromtimestamp(first_ms // 1000, datetime.UTC)
    end = datetime.datetime.fromtimestamp(end_ms // 1000, datetime.UTC)
    clock = "%H:%M:%S" if first.second or end.second else "%H:%M"
    until = end.strftime(clock if first.date() == end.date() else f"%Y-%m-%d {clock}")
    return f"{first:%Y-%m-%d} {first.strftime(clock)} to {until} UTC"
