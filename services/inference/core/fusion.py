"""One picture of a plate out of several: what dark, narrow pictures show together when none shows it alone. Pure.

Each picture is straightened by the corners that the recogniser found in it and brought to one brightness and contrast;
what the corners missed is mended against the average of all by the enhanced correlation coefficient (Evangelidis and
Psarakis, PAMI 2008; a homography); then the pictures are averaged by their weights, so that the noise, which differs
from picture to picture, goes down and the plate stays (shift and add: Farsiu et al., IEEE TIP 2004).

Rules
- The order of the pictures does not matter.
- A picture that does not come to match, or only by moving far, stays where its corners put it.
- The average, not the median: fused by the median, fewer plates are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Matrix = NDArray[np.float64]
MOST = 7
"""Pictures that are fused, those of most weight."""
_EDGE = (0.05, 0.065)  # of the fused picture's width and height, around the plate on each side
_FAR = 0.075  # of its width: a correction that moves a corner further is none
_ROUNDS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 1e-4)
_SMOOTH = 5  # pixels of the filter before the correction
_BRIGHTNESS, _CONTRAST = 128, 45  # mean and standard deviation of the fused plate


@dataclass(frozen=True, slots=True)
class Sight:
    """A grey picture (h, w) with the plate's ``corners`` (4, 2) in units of it, clockwise from top left, and how much
    it counts, above 0."""

    image: Image
    corners: NDArray[np.float32]
    weight: float


def fuse(sights: Sequence[Sight], size: tuple[int, int]) -> Image:
    """The plate straightened, grey, of ``size`` (height, width). At least one sight."""
    chosen = sorted(sights, key=lambda one: (-one.weight, one.image.tobytes(), one.corners.tobytes()))[:MOST]
    place = _place(size)
    straight = [_straight(one, _onto(one, place), place, size) for one in chosen]
    weights = np.array([one.weight for one in chosen]) / sum(one.weight for one in chosen)
    if len(chosen) > 1:
        first = _mean(straight, weights)
        mended = [
            _correction(first, one, place) @ _onto(sight, place) for sight, one in zip(chosen, straight, strict=True)
        ]
        straight = [_straight(one, onto, place, size) for one, onto in zip(chosen, mended, strict=True)]
    fused = _BRIGHTNESS + _CONTRAST * _mean(straight, weights)
    return np.clip(np.rint(fused), 0, 255).astype(np.uint8)


def _place(size: tuple[int, int]) -> Field:
    """Where the corners of the plate come to lie (4, 2), in pixels."""
    (height, width), (side, top) = size, _EDGE
    x, y = (side * width, (1 - side) * width), (top * height, (1 - top) * height)
    return np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], np.float32)


def _onto(sight: Sight, place: Field) -> Matrix:
    height, width = sight.image.shape
    corners = sight.corners.astype(np.float32) * np.array((width, height), np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, place), np.float64)


def _straight(sight: Sight, onto: Matrix, place: Field, size: tuple[int, int]) -> Field:
    """The picture so warped, its plate of mean 0 and deviation 1."""
    warped = cv2.warpPerspective(
        sight.image.astype(np.float32), onto, size[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    (left, top), (right, bottom) = place[0].astype(int), place[2].astype(int)
    plate = warped[top:bottom, left:right]
    return np.asarray((warped - plate.mean()) / max(float(plate.std()), 1e-3), np.float32)


def _mean(pictures: Sequence[Field], weights: NDArray[np.float64]) -> Field:
    return np.asarray(np.tensordot(weights, np.stack(pictures), 1), np.float32)


def _correction(common: Field, picture: Field, place: Field) -> Matrix:
    """What brings a straightened picture onto the common one; nothing where that fails or goes far."""
    start, everywhere = np.eye(3, dtype=np.float32), np.full(common.shape, 255, np.uint8)
    try:
        _, back = cv2.findTransformECC(common, picture, start, cv2.MOTION_HOMOGRAPHY, _ROUNDS, everywhere, _SMOOTH)
        correction = np.linalg.inv(np.asarray(back, np.float64))
        moved = cv2.perspectiveTransform(place[None].astype(np.float64), correction)[0]
    except (cv2.error, np.linalg.LinAlgError):  # they have nothing in common
        return np.eye(3)
    reach = float(np.abs(moved - place).max())
    return correction if reach <= _FAR * common.shape[1] else np.eye(3)
