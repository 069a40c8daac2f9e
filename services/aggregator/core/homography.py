"""From pixels to the plan (rule 7): fit a homography to point pairs, report its error, project points.

A `View` is the whole way: a lens that bends lines is undone first, then comes the homography. Whoever wants to know
where something lies asks it, or `ground_points`; nobody multiplies by the matrix alone.

The fit is RANSAC (Fischler & Bolles 1981), scored by how near the pairs come and not only by how many do (MSAC, Torr &
Zisserman 2000): of few pairs, several sets of one size may agree, and the wrong one would name a good pair as bad. Of
up to `ALL_TRIED` pairs every four are tried; of more, OpenCV draws them, from a fixed seed. So the same pairs give the
same matrix. Points are projected element by element in float64, never by a matrix product, whose last bits depend on
how many points it is given; then rounded to three digits, before anything is decided from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from services.aggregator.core.config import Anchor, Ground, Lens, Matrix
from services.aggregator.core.lens import Optics
from services.contracts.messages import Point

Pair = tuple[Point, Point]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MIN_PAIRS = 4
ALL_TRIED = 12
"""Pairs; they have 495 fours."""
FLAT = 1e-3
"""Points whose spread across is less than this part of their spread along lie on one line."""


class BadPairs(ValueError):
    """The pairs determine no homography. Says why, and what to change."""


@dataclass(frozen=True, slots=True)
class View:
    """From the pixels of a frame to the plan, and back. Points are x and y of shape (n,)."""

    matrix: Matrix
    """From what a straight lens would show to the plan."""
    optics: Optics | None = None
    """None: the lens is straight."""

    def to_plan(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Plan units; nan beyond the horizon or the lens's reach."""
        if self.optics is not None:
            x, y = self.optics.undistort(x, y)
        return project(self.matrix, x, y)[:2]

    def to_image(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Pixels; nan for what lies behind the camera, or beyond what its lens shows."""
        seen_x, seen_y, _ = project(inverse(self.matrix), x, y)
        return (seen_x, seen_y) if self.optics is None else self.optics.distort(seen_x, seen_y)


@dataclass(frozen=True, slots=True)
class Fit:
    """A homography and how well it fits its own pairs; errors in plan units."""

    view: View
    inliers: tuple[bool, ...]
    errors: tuple[float, ...]
    """Distance between each projected point and its mate, all pairs."""

    @property
    def matrix(self) -> Matrix:
        return self.view.matrix

    @property
    def rms(self) -> float:
        """Root mean square over the inliers."""
        used = [error for error, inlier in zip(self.errors, self.inliers, strict=True) if inlier]
        return float(np.sqrt(np.mean(np.square(used))))

    @property
    def mean(self) -> float:
        return float(np.mean(self.errors))

    @property
    def worst(self) -> float:
        return max(self.errors)


def fit(pairs: Sequence[Pair], ransac: float = 0.0, optics: Optics | None = None) -> Fit:
    """The homography that takes each pair's first point (pixels) to its second (plan units).

    ``ransac``: pairs that miss by more than this, in plan units, are left out; 0 uses all (least squares).
    ``optics``: the lens that is undone before, None where it is straight. Raises BadPairs.
    """
    if len(pairs) < MIN_PAIRS:
        raise BadPairs(f"a homography needs at least {MIN_PAIRS} point pairs, here are {len(pairs)}: add some")
    image, plan = straightened(pairs, optics)
    _check_spread(image, "in the image")
    _check_spread(plan, "on the plan")
    choose = ransac > 0 and len(pairs) > MIN_PAIRS
    found, inliers = _consensus(image, plan, ransac) if choose else (least_squares(image, plan), _all(image))
    if found is None or inliers.sum() < MIN_PAIRS:
        raise BadPairs("no homography fits at least four of the pairs: check them, or raise ransac")
    matrix = _in_front(found, image[inliers])
    x, y, w = project(matrix, image[:, 0], image[:, 1])
    errors = np.where(w > 0, np.hypot(x - plan[:, 0], y - plan[:, 1]), np.inf)
    return Fit(View(matrix, optics), tuple(inliers.tolist()), tuple(errors.tolist()))


def straightened(pairs: Sequence[Pair], optics: Optics | None) -> tuple[Floats, Floats]:
    """The pairs' pixels as a straight lens would show them, and their plan points; both (n, 2). Raises BadPairs."""
    image = np.array([pair[0] for pair in pairs], dtype=np.float64)
    plan = np.array([pair[1] for pair in pairs], dtype=np.float64)
    if optics is not None:
        image = np.stack(optics.undistort(image[:, 0], image[:, 1]), axis=1)
        nowhere = np.flatnonzero(~np.isfinite(image[:, 0]))
        if len(nowhere):
            raise BadPairs(
                f"pair {nowhere[0] + 1} lies where the lens shows nothing, outside the frame: measure it again"
            )
    return image, plan


def _consensus(image: Floats, plan: Floats, ransac: float) -> tuple[Floats | None, Mask]:
    """The homography of the pairs that agree, and which do."""
    if len(image) > ALL_TRIED:
        found, mask = cv2.findHomography(image, plan, cv2.RANSAC, ransac)
        return _matrix(found), mask.ravel().astype(bool) if mask is not None else _all(image)
    best_cost, best = np.inf, np.zeros(len(image), bool)
    for four in combinations(range(len(image)), MIN_PAIRS):
        missed = missed_by(least_squares(image[list(four)], plan[list(four)]), image, plan)
        cost = float(np.square(np.minimum(missed, ransac)).sum())
        if cost < best_cost:
            best_cost, best = cost, missed <= ransac
    return (least_squares(image[best], plan[best]) if best.sum() >= MIN_PAIRS else None), best


def least_squares(image: Floats, plan: Floats) -> Floats | None:
    """The homography, (3, 3), that comes nearest to the plan points; both (n, 2)."""
    return _matrix(cv2.findHomography(image, plan, 0)[0])


def _matrix(found: Any) -> Floats | None:
    return np.asarray(found, np.float64) if found is not None and np.all(np.isfinite(found)) else None


def missed_by(found: Floats | None, image: Floats, plan: Floats) -> Floats:
    """Distance of each projected point from its mate; inf beyond the horizon, where fewer points lie."""
    if found is None:
        return np.full(len(image), np.inf)
    x, y, w = found @ np.column_stack([image, np.ones(len(image))]).T
    front = w * np.sign(np.median(w)) > 0
    safe = np.where(front, w, 1.0)
    return np.where(front, np.hypot(x / safe - plan[:, 0], y / safe - plan[:, 1]), np.inf)


def _all(points: Floats) -> Mask:
    return np.ones(len(points), bool)


def _check_spread(points: Floats, where: str) -> None:
    """All points but one on a line leave the homography open, all the more all of them."""
    if len(np.unique(points, axis=0)) < MIN_PAIRS:
        raise BadPairs(f"fewer than {MIN_PAIRS} different points {where}: add pairs")
    for left_out in range(len(points)):
        others = np.delete(points, left_out, axis=0)
        along, across = np.linalg.svd(others - others.mean(axis=0), compute_uv=False)[:2]
        if across <= FLAT * along:
            raise BadPairs(f"the points {where} lie on one line, but for at most one: add pairs away from it")


def _in_front(found: Floats, image: Floats) -> Matrix:
    """The matrix with the sign that makes w positive at the pairs. BadPairs where its horizon runs between them."""
    w = found[2, 0] * image[:, 0] + found[2, 1] * image[:, 1] + found[2, 2]
    if not (np.all(w > 0) or np.all(w < 0)):
        raise BadPairs("the horizon of the best homography runs between the points: at least one pair is wrong")
    if abs(np.linalg.det(found / np.linalg.norm(found))) < 1e-12:
        raise BadPairs("the pairs squeeze the image onto a line of the plan: at least three of four lie on one line")
    a, b, c, d, e, f, g, h, i = (found if w[0] > 0 else -found).ravel().tolist()
    return (a, b, c, d, e, f, g, h, i)


def project(matrix: Matrix, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Plan coordinates and w of points given by their pixel coordinates, all of shape (n,); nan where w <= 0."""
    a, b, c, d, e, f, g, h, i = matrix
    w = g * x + h * y + i
    safe = np.where(w > 0, w, np.nan)
    return rounded((a * x + b * y + c) / safe), rounded((d * x + e * y + f) / safe), w


def inverse(matrix: Matrix) -> Matrix:
    """From the plan back to pixels; what lies behind the camera gets w <= 0 there, too."""
    a, b, c, d, e, f, g, h, i = np.linalg.inv(np.array(matrix).reshape(3, 3)).ravel().tolist()
    return (a, b, c, d, e, f, g, h, i)


def rounded(values: Floats) -> Floats:
    """To three digits, each element by itself."""
    return np.floor(values * 1000.0 + 0.5) / 1000.0


def view_of(ground: Ground) -> View:
    """A camera's way onto the plan, from the pixels of the frame that its pairs were measured in."""
    if ground.lens is None:
        return View(ground.matrix)
    assert ground.image_width and ground.image_height  # `services.aggregator.cameras` sees to it
    return View(ground.matrix, Optics(ground.lens, ground.image_width, ground.image_height))


def on_plan(ground: Ground, x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    """Which plan points lie on the plan; nan (beyond the horizon) does not."""
    return (x >= 0) & (y >= 0) & (x < ground.width) & (y < ground.height)


def ground_points(
    ground: Ground, boxes: Floats, frame_width: int, frame_height: int
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Where boxes (n, 4) stand on the plan, and which of them stand on it."""
    x = boxes[:, 0] + boxes[:, 2] * 0.5
    y = boxes[:, 1] + boxes[:, 3] * (0.5 if ground.anchor == "center" else 1.0)
    if ground.image_width and ground.image_height:
        x = x * (ground.image_width / frame_width)
        y = y * (ground.image_height / frame_height)
    plan_x, plan_y = view_of(ground).to_plan(x, y)
    return plan_x, plan_y, on_plan(ground, plan_x, plan_y)


def version_of(
    pairs: Sequence[Pair],
    anchor: Anchor,
    ransac: float,
    plan: tuple[float, float],
    image: object,
    lens: Lens | None = None,
) -> str:
    """12 hex digits that change whenever a point might land elsewhere."""
    facts: list[object] = [pairs, anchor, ransac, plan, image]
    facts += [("lens", lens.k1, lens.k2)] if lens is not None else []  # without one, the version is what it always was
    return hashlib.blake2b(json.dumps(facts, separators=(",", ":")).encode(), digest_size=6).hexdigest()
