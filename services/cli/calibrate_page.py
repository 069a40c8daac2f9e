"""`plateflow calibrate --page`: point pairs clicked on the frame and on the plan, their errors told at once.

The page only shows and asks; the fit is that of the command and of the aggregator, so both tell the same errors.

Asked at `/state` (JSON), `/frame` and `/plan` (pictures); posted to `/fit` and `/save`: `{"pairs": [[[x, y],
[plan_x, plan_y]], ...], "lens": "straight" | "given" | "fit"}`. The answer has `errors`, `bad`, `grid` (lines over the
frame) and `lens` (`[k1, k2]` or null), or a `reason` why the pairs lead nowhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import msgspec
import numpy as np

from services.aggregator import cameras
from services.aggregator.core.calibration import Calibration, calibrate
from services.aggregator.core.homography import BadPairs, Pair
from services.aggregator.core.lens import Optics
from services.aggregator.core.lens_fit import NoLens, find_lens
from services.cli.background import Picture
from services.cli.calibration_pictures import Scene, lines
from services.cli.local_page import LOOPBACK, PageHandler, PageServer

Choice = Literal["straight", "given", "fit"]
"""Of lens: none, the one that was named, the one that the pairs tell."""
PAGE = Path(__file__).with_name("calibrate.html")
MOST = 500
"""Pairs; nobody clicks more."""
_EVERY = 4
"""Of the points of a grid line, the page draws each fourth."""


class NotSaved(ValueError):
    """The camera file was not changed. Says why."""


@dataclass(frozen=True, slots=True)
class Desk:
    """All that the page works on. ``save`` writes the pairs and says what it wrote; raises NotSaved."""

    camera: str
    frame: Picture
    drawing: Picture | None
    size: tuple[float, float]
    metres_per_unit: float | None
    tolerance: float | None
    begun: Sequence[Pair]
    target: str
    save: Callable[[list[Pair], Optics | None], str]
    optics: Optics | None = None
    """The lens that was given; None: straight."""
    fits: bool = False
    """Whether the page begins with a lens that the pairs tell."""

    def state(self) -> dict[str, Any]:
        height, width = self.frame.shape[:2]
        return {
            "camera": self.camera,
            "frame": [width, height],
            "plan": list(self.size),
            "drawing": self.drawing is not None,
            "metres_per_unit": self.metres_per_unit,
            "pairs": self.begun,
            "target": self.target,
            "lens": "fit" if self.fits else "given" if self.optics is not None else "straight",
            "given": _numbers(self.optics),
        }

    def fit(self, pairs: list[Pair], lens: Choice = "given") -> dict[str, Any]:
        """Errors in plan units; null beyond the horizon."""
        try:
            found = self._found(pairs, lens)
        except (BadPairs, NoLens) as error:
            return {"reason": str(error)}
        scene = Scene(self.camera, pairs, found, self.size, self.metres_per_unit)
        return {
            "errors": [_finite(error) for error in found.used.errors],
            "bad": found.bad,
            "mean": _finite(found.mean),
            "worst": _finite(found.worst),
            "mean_of_all": _finite(found.everything.mean),
            "part": _finite(found.mean / found.diagonal),
            "good": found.good,
            "exact": found.exact,
            "grid": grid(scene, found),
            "step": scene.step_text,
            "lens": _numbers(found.used.view.optics),
        }

    def saved(self, pairs: list[Pair], lens: Choice) -> str:
        """What was written. Raises NotSaved."""
        try:
            optics = self._found(pairs, lens).used.view.optics
        except (BadPairs, NoLens) as error:
            raise NotSaved(str(error)) from error
        return self.save(pairs, optics)

    def _found(self, pairs: list[Pair], lens: Choice) -> Calibration:
        tolerance = cameras.tolerance(self.size, self.tolerance)
        if lens == "fit":
            height, width = self.frame.shape[:2]
            return find_lens(pairs, (width, height), self.size, tolerance).with_
        return calibrate(pairs, self.size, tolerance, self.optics if lens == "given" else None)


def grid(scene: Scene, found: Calibration) -> list[list[list[float]]]:
    """The plan's grid as lines of pixels; what lies behind the camera is left out."""
    drawn: list[list[list[float]]] = []
    for line in lines(scene):
        x, y = found.used.view.to_image(line[::_EVERY, 0], line[::_EVERY, 1])
        seen = np.isfinite(x) & (np.abs(x) < 1e5) & (np.abs(y) < 1e5)
        points = np.round(np.stack([x, y], axis=1)[seen], 1)
        drawn += [points.tolist()] if len(points) > 1 else []
    return drawn


def serve(desk: Desk, port: int) -> PageServer:
    """A server that listens, and does not answer yet."""
    return PageServer((LOOPBACK, port), partial(_Handler, desk))


def _numbers(optics: Optics | None) -> list[float] | None:
    return None if optics is None else [optics.lens.k1, optics.lens.k2]


def _finite(number: float) -> float | None:
    return round(number, 4) if math.isfinite(number) else None


class _Asked(msgspec.Struct):
    pairs: list[Pair]
    lens: Choice = "given"


class _Handler(PageHandler):
    largest = 100_000

    def __init__(self, desk: Desk, *rest: Any) -> None:
        self._desk = desk
        super().__init__(*rest)

    def get(self, path: str) -> None:
        if path == "/":
            self.answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "/state":
            self.json(200, self._desk.state())
        elif path == "/frame":
            self._picture(self._desk.frame)
        elif path == "/plan" and self._desk.drawing is not None:
            self._picture(self._desk.drawing)
        else:
            self.json(404, {"error": "there is no such page"})

    def post(self, path: str) -> None:
        if path not in ("/fit", "/save"):
            self.json(404, {"error": "there is no such page"})
            return
        asked = self._asked()
        if asked is None:
            self.json(400, {"error": 'write {"pairs": [[[x, y], [plan_x, plan_y]], ...]}'})
        elif path == "/fit":
            self.json(200, self._desk.fit(asked.pairs, asked.lens))
        else:
            self._save(asked)

    def _save(self, asked: _Asked) -> None:
        try:
            self.json(200, {"said": self._desk.saved(asked.pairs, asked.lens)})
        except NotSaved as error:
            self.json(409, {"error": str(error)})
        except OSError as error:
            self.json(500, {"error": f"cannot write {self._desk.target}: {error.strerror}"})

    def _asked(self) -> _Asked | None:
        try:
            asked = msgspec.convert(json.loads(self.body() or b""), _Asked)
        except (ValueError, RecursionError):
            return None
        finite = all(
            math.isfinite(number) and abs(number) < 1e7 for pair in asked.pairs for point in pair for number in point
        )
        return asked if finite and len(asked.pairs) <= MOST else None

    def _picture(self, picture: Picture) -> None:
        _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        self.answer(200, "image/jpeg", data.tobytes())
