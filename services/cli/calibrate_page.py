"""`plateflow calibrate --page`: point pairs clicked on the frame and on the plan, their errors told at once.

The page only shows and asks; the fit is that of the command and of the aggregator, so both tell the same errors.

Asked at `/state` (JSON), `/frame` and `/plan` (pictures); posted to `/fit` and `/save`: `{"pairs": [[[x, y],
[plan_x, plan_y]], ...]}`. The answer has `errors`, `bad`, and `grid` (lines over the frame), or a `reason` why the
pairs lead nowhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from services.aggregator.cameras import MISS
from services.aggregator.core.calibration import Calibration, calibrate
from services.aggregator.core.homography import BadPairs, Pair
from services.aggregator.core.lens import Optics
from services.cli.background import Picture
from services.cli.calibration_pictures import Scene, lines
from services.cli.local_page import LOOPBACK, PageHandler

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
    save: Callable[[list[Pair]], str]
    optics: Optics | None = None
    """The lens that is undone before the fit; None: straight."""

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
        }

    def fit(self, pairs: list[Pair]) -> dict[str, Any]:
        """Errors in plan units; null beyond the horizon."""
        tolerance = MISS * math.hypot(*self.size) if self.tolerance is None else self.tolerance
        try:
            found = calibrate(pairs, self.size, tolerance, self.optics)
        except BadPairs as error:
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
        }


def grid(scene: Scene, found: Calibration) -> list[list[list[float]]]:
    """The plan's grid as lines of pixels; what lies behind the camera is left out."""
    drawn: list[list[list[float]]] = []
    for line in lines(scene):
        x, y = found.used.view.to_image(line[::_EVERY, 0], line[::_EVERY, 1])
        seen = np.isfinite(x) & (np.abs(x) < 1e5) & (np.abs(y) < 1e5)
        points = np.round(np.stack([x, y], axis=1)[seen], 1)
        drawn += [points.tolist()] if len(points) > 1 else []
    return drawn


def serve(desk: Desk, port: int) -> ThreadingHTTPServer:
    """A server that listens, and does not answer yet."""
    return ThreadingHTTPServer((LOOPBACK, port), partial(_Handler, desk))


def _finite(number: float) -> float | None:
    return round(number, 4) if math.isfinite(number) else None


class _Asked(msgspec.Struct):
    pairs: list[Pair]


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
        pairs = self._pairs()
        if pairs is None:
            self.json(400, {"error": 'write {"pairs": [[[x, y], [plan_x, plan_y]], ...]}'})
        elif path == "/fit":
            self.json(200, self._desk.fit(pairs))
        else:
            self._save(pairs)

    def _save(self, pairs: list[Pair]) -> None:
        found = self._desk.fit(pairs)
        if "reason" in found:
            self.json(409, {"error": found["reason"]})
            return
        try:
            self.json(200, {"said": self._desk.save(pairs)})
        except NotSaved as error:
            self.json(409, {"error": str(error)})
        except OSError as error:
            self.json(500, {"error": f"cannot write {self._desk.target}: {error.strerror}"})

    def _pairs(self) -> list[Pair] | None:
        try:
            pairs = msgspec.convert(json.loads(self.body() or b""), _Asked).pairs
        except (ValueError, RecursionError):
            return None
        finite = all(
            math.isfinite(number) and abs(number) < 1e7 for pair in pairs for point in pair for number in point
        )
        return pairs if finite and len(pairs) <= MOST else None

    def _picture(self, picture: Picture) -> None:
        _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        self.answer(200, "image/jpeg", data.tobytes())
