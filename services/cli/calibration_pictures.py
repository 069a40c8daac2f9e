"""What a calibration looks like: a metre grid over the frame, and the frame laid over the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from services.aggregator.core.calibration import Calibration
from services.aggregator.core.homography import Pair
from services.aggregator.picture import INK, PALE_INK, PAPER

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

GOOD, BAD, GRID = "#12a67a", "#e0303a", "#ffd23f"
LINES = 40
"""The grid has no more lines than this along its longer side."""
STEPS = 200
"""Points of a line; it ends at the horizon, and is as bent in the image as the lens bends it."""
WARPED = 1400
"""Pixels of the longer side of the warped frame."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn."""

    name: str
    pairs: Sequence[Pair]
    calibration: Calibration
    plan: tuple[float, float]
    metres_per_unit: float | None

    @property
    def step(self) -> float:
        """Between lines of the grid, in plan units: a metre, or 2, 5, 10 ... where those were too many."""
        metre = 1 / self.metres_per_unit if self.metres_per_unit else 1.0
        fits = max(self.plan) / metre / LINES
        if self.metres_per_unit and fits <= 1:
            return metre
        power = 10.0 ** math.floor(math.log10(fits))
        return metre * next(power * times for times in (1, 2, 5, 10) if power * times >= fits)

    @property
    def step_text(self) -> str:
        if self.metres_per_unit:
            return f"{self.step * self.metres_per_unit:g} m"
        return f"{self.step:g} plan units"


def draw_frame(scene: Scene, frame: Picture, out: Path) -> None:
    """The frame, RGB, with the plan's grid over it, and each pair: where it was measured, where the plan says it is."""
    height, width = frame.shape[:2]
    view = scene.calibration.used.view
    measured = np.array([pair[0] for pair in scene.pairs], dtype=np.float64)
    plan = np.array([pair[1] for pair in scene.pairs], dtype=np.float64)
    x, y = view.to_image(plan[:, 0], plan[:, 1])
    figure, axes = _axes(width, height)
    axes.imshow(frame, extent=(0, width, height, 0))
    for line in lines(scene):
        grid_x, grid_y = view.to_image(line[:, 0], line[:, 1])
        axes.plot(grid_x, grid_y, color=GRID, linewidth=1.0, alpha=0.8)
    _mark(axes, scene, measured, np.stack([x, y], axis=1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    _title(axes, scene, f"the plan's grid over the frame, a line every {scene.step_text}")
    _save(figure, out)


def draw_plan(scene: Scene, frame: Picture, drawing: Picture | None, out: Path) -> None:
    """The plan with the warped frame over it, and each pair: where it belongs, and where the frame leads it."""
    width, height = scene.plan
    measured = np.array([pair[0] for pair in scene.pairs], dtype=np.float64)
    plan = np.array([pair[1] for pair in scene.pairs], dtype=np.float64)
    x, y = scene.calibration.used.view.to_plan(measured[:, 0], measured[:, 1])
    figure, axes = _axes(width, height)
    if drawing is not None:
        axes.imshow(drawing, extent=(0, width, height, 0))
    axes.imshow(warped(scene, frame), extent=(0, width, height, 0), alpha=0.65 if drawing is not None else 1.0)
    for line in lines(scene) if drawing is None else []:
        axes.plot(line[:, 0], line[:, 1], color=GRID, linewidth=0.6, alpha=0.6)
    _mark(axes, scene, plan, np.stack([x, y], axis=1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    _title(axes, scene, "the frame, laid over the plan")
    _save(figure, out)


def warped(scene: Scene, frame: Picture) -> Picture:
    """The frame as the plan sees it, RGBA; clear where the frame shows nothing, or sky."""
    width, height = scene.plan
    scale = WARPED / max(width, height)
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    plan_x, plan_y = np.meshgrid((np.arange(columns) + 0.5) / scale, (np.arange(rows) + 0.5) / scale)
    x, y = scene.calibration.used.view.to_image(plan_x.ravel(), plan_y.ravel())
    maps = [np.nan_to_num(axis, nan=-1e4).reshape(rows, columns).astype(np.float32) for axis in (x, y)]
    clear = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    return np.asarray(cv2.remap(clear, maps[0], maps[1], cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0)), dtype=np.uint8)


def lines(scene: Scene) -> list[Floats]:
    """The grid's lines on the plan, each (STEPS, 2)."""
    width, height = scene.plan
    found: list[Floats] = []
    for at in np.arange(0, width + scene.step / 1e6, scene.step):
        found.append(np.stack([np.full(STEPS, at), np.linspace(0, height, STEPS)], axis=1))
    for at in np.arange(0, height + scene.step / 1e6, scene.step):
        found.append(np.stack([np.linspace(0, width, STEPS), np.full(STEPS, at)], axis=1))
    return found


def _mark(axes: Any, scene: Scene, given: Floats, led_to: Floats) -> None:
    """A circle where a pair was given, a cross where the fit leads its mate, a line between them, its number."""
    outline = [withStroke(linewidth=3, foreground=PAPER)]
    for index, (here, there) in enumerate(zip(given, led_to, strict=True)):
        colour = BAD if index in scene.calibration.bad else GOOD
        axes.plot(*zip(here, there, strict=True), color=colour, linewidth=1.6, zorder=4)
        axes.plot(*here, "o", color=colour, markersize=9, markerfacecolor="none", markeredgewidth=2, zorder=5)
        axes.plot(*there, "x", color=colour, markersize=6, markeredgewidth=2, zorder=5)
        axes.annotate(
            str(index + 1), here, (9, 7), textcoords="offset points", color=colour, fontsize=12, fontweight="bold",
            path_effects=outline, zorder=6, annotation_clip=True,
        )  # fmt: skip


def _title(axes: Any, scene: Scene, what: str) -> None:
    calibration = scene.calibration
    facts = [
        f"{sum(calibration.used.inliers)} of {len(scene.pairs)} pairs in use",
        f"mean error {calibration.mean:.3g} plan units, worst {calibration.worst:.3g}",
        "circle: measured, cross: as fitted",
    ]
    facts += ["red: left out"] if calibration.bad else []
    for text, up, style in (
        (f"{scene.name}: {what}", 28, {"fontsize": 14, "fontweight": "bold", "color": INK}),
        ("   ·   ".join(facts), 10, {"fontsize": 10, "color": PALE_INK}),
    ):
        axes.annotate(
            text, (0, 1), (0, up), xycoords="axes fraction", textcoords="offset points", parse_math=False, **style
        )


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    longer = max(width, height)
    with mpl.rc_context({"font.size": 11}):
        figure = Figure(figsize=(10 * width / longer + 1, 10 * height / longer + 1), facecolor=PAPER)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.06, 0.06, 0.9, 0.84))
    axes.set_aspect("equal")
    axes.tick_params(colors=PALE_INK, length=3)
    return figure, axes


def _save(figure: Figure, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130, facecolor=PAPER, bbox_inches="tight", pad_inches=0.2)
