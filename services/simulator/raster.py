"""Paints textured quadrilaterals into pictures, nearest last. Pictures are uint8 RGB (H, W, 3). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]


class Texture:
    """A picture with its halved copies, so that what is far away is not sampled too coarsely."""

    def __init__(self, picture: Picture) -> None:
        self.levels = [np.ascontiguousarray(picture)]
        while min(self.levels[-1].shape[:2]) >= 8:
            height, width = self.levels[-1].shape[:2]
            half = cv2.resize(self.levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            self.levels.append(np.asarray(half, dtype=np.uint8))
        self.texels = float(picture.shape[0] * picture.shape[1])

    def fitting(self, texels_per_pixel: float) -> Picture:
        """The coarsest copy that still has at least one texel for each pixel."""
        halvings = np.floor(np.log2(max(texels_per_pixel, 1.0)) / 2)
        return self.levels[min(int(halvings), len(self.levels) - 1)]


@dataclass(frozen=True, slots=True)
class Quads:
    """N faces: four corners each in a texture (0..1, clockwise from top left) and on the canvas, in pixels."""

    textures: Sequence[Texture]
    uv: Array  # (N, 4, 2)
    xy: Array  # (N, 4, 2)
    distance: Array  # (N,)
    shade: Array  # (N,)


def paint(canvas: Picture, mask: Picture, quads: Quads) -> None:
    """Paints what faces the viewer, farthest first, and marks in ``mask`` (H, W) what it covered."""
    seen, texels = areas(quads.xy), areas(quads.uv)
    low = np.maximum(np.floor(quads.xy.min(axis=1)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(quads.xy.max(axis=1)).astype(int) + 2, (canvas.shape[1], canvas.shape[0]))
    drawn = (seen > 0.25) & (high > low).all(axis=1)
    for index in np.argsort(-quads.distance, kind="stable"):
        if drawn[index]:
            texture = quads.textures[index]
            picture = texture.fitting(float(abs(texels[index]) * texture.texels / seen[index]))
            window = (slice(low[index, 1], high[index, 1]), slice(low[index, 0], high[index, 0]))
            warped, inside = _warp(picture, quads.uv[index], quads.xy[index] - low[index], high[index] - low[index])
            if quads.shade[index] != 1.0:
                warped = np.asarray(cv2.convertScaleAbs(warped, alpha=float(quads.shade[index])), dtype=np.uint8)
            cv2.copyTo(warped, inside, canvas[window])
            cv2.bitwise_or(mask[window], inside, mask[window])


def _warp(picture: Picture, uv: Array, corners: Array, size: NDArray[np.int64]) -> tuple[Picture, Picture]:
    """A piece of a texture as it appears between ``corners`` on a canvas of ``size``, and where it lies."""
    source = (uv * (picture.shape[1], picture.shape[0]) - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    width, height = int(size[0]), int(size[1])
    warped = cv2.warpPerspective(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners * 16).astype(np.int32), 255, shift=4)
    return np.asarray(warped, dtype=np.uint8), inside


def areas(corners: Array) -> Array:
    """Signed areas (N,) of quads (N, 4, 2); positive where corners go clockwise, so where a face looks at us."""
    following = corners[:, [1, 2, 3, 0]]
    return np.asarray((corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0]).sum(axis=1) / 2)


def blend(picture: Picture, colour: tuple[float, float, float], alpha: NDArray[np.float32]) -> None:
    """Mixes a colour into ``picture`` in place, by ``alpha`` (H, W) in 0..1."""
    mixed = picture * (1 - alpha[..., None]) + np.asarray(colour, np.float32) * alpha[..., None]
    picture[:] = np.clip(mixed, 0, 255).astype(np.uint8)
