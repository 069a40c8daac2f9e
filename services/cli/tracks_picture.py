"""Ways of vehicles as a picture: lines with arrows, a ring where each begins, coloured by speed where that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from services.aggregator.chart import ABOVE, BELOW, GAP, LEFT, RIGHT, SLIM, TALLEST, scale_bar
from services.aggregator.core.trajectories import KMH, Trajectory
from services.aggregator.picture import Plane
from services.aggregator.style import NATURAL, SMALL, Page, Style, heading, save

Floats = npt.NDArray[np.float64]
HUES = ("#1668d6", "#d1495b", "#0f8a5f", "#b0741a", "#7b4fc9", "#128a9c")
"""Of tracks without a speed, in turn."""
ARROWS = (0.4, 0.75)
"""Arrows stand at these parts of a way, and at its end."""
NAMED = 30
"""With more tracks than this, nothing is written beside them."""


@dataclass(frozen=True, slots=True)
class TracksPicture:
    """All that is drawn."""

    camera: str
    plane: Plane
    found: Sequence[Trajectory]
    size: tuple[float, float]
    """Of the frame in pixels, or of the plan in its units."""
    period: str
    left_out: int
    metres_per_unit: float | None
    background: npt.NDArray[np.uint8] | None
    points: bool
    lines: bool
    plates: bool


def draw(scene: TracksPicture, out: Path, style: Style, across: int | None = None) -> Path:
    """Writes a PNG, ``across`` pixels wide; None: as wide as suits it."""
    width, height = scene.size
    natural = min(NATURAL, round(max(TALLEST / (height / width) + LEFT + RIGHT, SLIM) * Page(NATURAL).dpi))
    page = Page(across or natural)
    head = heading(page, f"{scene.camera}: {_what(scene)}", _facts(scene), page.inches - LEFT - 0.2)
    wide = page.inches - LEFT - RIGHT
    tall = min(wide * height / width, max(TALLEST, page.inches))
    wide = tall * width / height
    high = ABOVE + head.height + GAP + tall + BELOW
    with style.applied():
        figure = page.figure(high, style)
        axes = figure.add_axes((LEFT / page.inches, BELOW / high, wide / page.inches, tall / high))
        axes.set_facecolor(style.field)
        if scene.background is not None:
            axes.imshow(style.faded(scene.background), extent=(0, width, height, 0), zorder=0, aspect="auto")
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        unit = "pixels" if scene.plane == "image" else "plan units" if scene.metres_per_unit != 1 else "metres"
        axes.set_xlabel(f"x, {unit}")
        axes.set_ylabel(f"y, {unit}")
        axes.tick_params(length=3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        scale = _scale(scene.found)
        for index, one in enumerate(scene.found):
            _way(axes, one, _colour(one, index, scale, style), scene, style)
        if len(scene.found) <= NAMED:
            _name(axes, scene, (wide, tall), style)
        if scene.plane == "ground" and scene.metres_per_unit:
            scale_bar(axes, width, scene.metres_per_unit, style)
        head.draw(figure, LEFT, ABOVE, style)
        if scale is not None:
            where = ((LEFT + wide + 0.17) / page.inches, BELOW / high, 0.2 / page.inches, tall / high)
            bar = figure.colorbar(ScalarMappable(scale, style.colours), cax=figure.add_axes(where))
            bar.set_label("speed, km/h")
            bar.outline.set_visible(False)
            bar.ax.tick_params(length=3)
            bar.locator = MaxNLocator(6, integer=True)
            bar.update_ticks()
        return save(figure, out)


def _what(scene: TracksPicture) -> str:
    ways = "ways of vehicles" if scene.lines else "positions of vehicles"
    return f"{ways}{', on the plan' if scene.plane == 'ground' else ''}"


def _facts(scene: TracksPicture) -> list[str]:
    count, positions = len(scene.found), sum(len(one.points) for one in scene.found)
    facts = [scene.period, f"{count:,} track{'' if count == 1 else 's'}", f"{positions:,} positions"]
    speeds = [one.speed_mps for one in scene.found if one.speed_mps is not None]
    if speeds:
        middle = float(np.median(speeds))
        facts.append(f"median speed {middle:.1f} m/s = {middle * KMH:.0f} km/h")
    facts += [f"{scene.left_out:,} sightings left out"] if scene.left_out else []
    return [*facts, "ring: where a track begins"] if scene.lines else facts


def _scale(found: Sequence[Trajectory]) -> Normalize | None:
    """Of km/h; None where no speed is known."""
    speeds = [one.speed_mps * KMH for one in found if one.speed_mps is not None]
    return Normalize(0, max(5.0, float(np.ceil(max(speeds) / 5) * 5))) if speeds else None


def _colour(one: Trajectory, index: int, scale: Normalize | None, style: Style) -> Any:
    if scale is None:
        return HUES[index % len(HUES)]
    return style.pale_ink if one.speed_mps is None else style.colours(scale(one.speed_mps * KMH))


def _way(axes: Any, one: Trajectory, colour: Any, scene: TracksPicture, style: Style) -> None:
    outline = [withStroke(linewidth=3.6, foreground=style.paper, alpha=0.8)]
    x, y = one.points.T
    if scene.points:
        axes.plot(x, y, "o", color=colour, markersize=4.2, markeredgewidth=0.6, markeredgecolor=style.paper, zorder=4)
    if scene.lines:
        axes.plot(x, y, color=colour, linewidth=2, zorder=3, solid_joinstyle="round", path_effects=outline)
        axes.plot(x[0], y[0], "o", color=colour, markersize=8, markerfacecolor=style.paper, markeredgewidth=2, zorder=5)
        for begin, end in arrows(one.points, scene.size):
            axes.annotate(
                "", end, begin, zorder=6, annotation_clip=True,
                arrowprops={"arrowstyle": "-|>,head_length=0.55,head_width=0.3", "color": colour, "linewidth": 0,
                            "shrinkA": 0, "shrinkB": 0, "mutation_scale": 18},
            )  # fmt: skip


def _name(axes: Any, scene: TracksPicture, inches: tuple[float, float], style: Style) -> None:
    """Writes plate and speed at the end of each way, where there is room."""
    taken: list[tuple[float, float, float, float]] = []
    high = 1.4 * SMALL / 72
    for one in scene.found:
        words = [one.plate] if scene.plates and one.plate else []
        words += [f"{one.speed_mps * KMH:.0f} km/h"] if one.speed_mps is not None else []
        text = "  ".join(words)
        x, y = (float(one.points[-1, axis]) / scene.size[axis] * inches[axis] for axis in (0, 1))
        long = 0.68 * SMALL * len(text) / 72  # on the safe side
        free = [box for box in _boxes(x, y, long, high) if _is_free(box, taken, inches)]
        if text and free:
            taken.append(free[0])
            place = (free[0][0] / inches[0], 1 - (free[0][1] + high / 2) / inches[1])
            axes.text(
                *place, text, transform=axes.transAxes, va="center", fontsize=SMALL, fontweight="bold", zorder=7,
                path_effects=[withStroke(linewidth=3, foreground=style.paper)], parse_math=False,
            )  # fmt: skip


def _boxes(x: float, y: float, long: float, high: float) -> list[tuple[float, float, float, float]]:
    """Where a text may stand beside a point, best first: right or left of it, on its line or some lines off. Inches."""
    return [
        (left, y + (line - 0.5) * high, left + long, y + (line + 0.5) * high)
        for line in (0, -1, 1, -2, 2, -3, 3)
        for left in (x + 0.12, x - 0.12 - long)
    ]


def _is_free(
    box: tuple[float, float, float, float], taken: list[tuple[float, float, float, float]], inches: tuple[float, float]
) -> bool:
    left, top, right, bottom = box
    inside = left >= 0 and top >= 0 and right <= inches[0] and bottom <= inches[1]
    return inside and all(right < a or c < left or bottom <= b or d <= top for a, b, c, d in taken)


def arrows(points: Floats, size: tuple[float, float]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Short pieces of a way, (n, 2), in its direction: along it and at its end; none where it hardly moves."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    reach = 0.02 * max(size)
    if way[-1] < 2 * reach:
        return []
    ends = [part * way[-1] for part in ARROWS if way[-1] > 8 * reach] + [way[-1]]
    rising = np.concatenate([[True], steps > 0])

    def at(length: float) -> tuple[float, float]:
        x, y = (float(np.interp(length, way[rising], points[rising, axis])) for axis in (0, 1))
        return x, y

    return [(at(end - reach), at(end)) for end in ends]
