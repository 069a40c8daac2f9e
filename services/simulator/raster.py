"""Paints textured quadrilaterals into pictures, nearest last. Pictures are uint8 RGB (H, W, 3). Pure."""

from __future__ import annotations

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

    def level(self, shrink: float) -> int:
        """The coarsest copy that still has at least one texel for each pixel."""
        return int(np.clip(np.floor(np.log2(max(shrink, 1.0))), 0, len(self.levels) - 1))


@dataclass(frozen=True, slots=True)
class Quad:
    """One face: four corners in a texture (0..1, clockwise from top left) and on the canvas, in pixels."""

    texture: Texture
    uv: Array  # (4, 2)
    xy: Array  # (4, 2)
    distance: float
    shade: float = 1.0


def paint(canvas: Picture, mask: Picture, quads: list[Quad]) -> None:
    """Paints what faces the viewer, farthest first, and marks in ``mask`` (H, W) what it covered."""
    for quad in sorted(quads, key=lambda quad: -quad.distance):
        if _area(quad.xy) > 0.25:
            _paint_one(canvas, mask, quad)


def _paint_one(canvas: Picture, mask: Picture, quad: Quad) -> None:
    height, width = canvas.shape[:2]
    low = np.maximum(np.floor(quad.xy.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(quad.xy.max(axis=0)).astype(int) + 2, (width, height))
    if (high <= low).any():
        return
    base = quad.texture.levels[0]
    texels = _area(quad.uv) * base.shape[0] * base.shape[1]
    level = quad.texture.level(float(np.sqrt(max(texels, 1.0) / _area(quad.xy))))
    picture = quad.texture.levels[level]
    source = (quad.uv * (picture.shape[1], picture.shape[0]) - 0.5).astype(np.float32)
    corners = (quad.xy - low).astype(np.float32)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    warped = cv2.warpPerspective(
        picture, cv2.getPerspectiveTransform(source, corners), size, borderMode=cv2.BORDER_REPLICATE
    )
    if quad.shade != 1.0:
        warped = cv2.convertScaleAbs(warped, alpha=quad.shade)
    inside = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners * 16).astype(np.int32), 255, shift=4)
    rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
    cv2.copyTo(warped, inside, canvas[rows, columns])
    cv2.bitwise_or(mask[rows, columns], inside, mask[rows, columns])


def _area(corners: Array) -> float:
    """Signed area; positive where the corners go clockwise on the screen, that is where the face looks at us."""
    x, y = corners[:, 0], corners[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def blend(picture: Picture, colour: tuple[float, float, float], alpha: NDArray[np.float32]) -> None:
    """Mixes a colour into ``picture`` in place, by ``alpha`` (H, W) in 0..1."""
    mixed = picture * (1 - alpha[..., None]) + np.asarray(colour, np.float32) * alpha[..., None]
    picture[:] = np.clip(mixed, 0, 255).astype(np.uint8)
