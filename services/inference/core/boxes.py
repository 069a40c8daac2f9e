"""Arithmetic of boxes: overlap, non-maximum suppression, the letterbox between a frame and a network input.

Rules
- Boxes are corners, (x1, y1, x2, y2) in pixels, in arrays (n, 4).
- A letterboxed frame keeps its ratio up to half a pixel and lies in the top left corner; both axes have
  their own scale, so the way back is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
FILLS = 0.6
"""Of a picture's width: a wider plate fills it, with too little around it for the network to see its edges."""


def overlaps(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Intersection over union of boxes `a` (n, 4) with boxes `b` (m, 4): (n, m). Empty boxes give 0."""
    both = shared(a, b)
    return _share(both, areas(a)[:, None] + areas(b)[None, :] - both)


def insides(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Intersection over the smaller of both: (n, m). 1 where one lies in the other; empty boxes give 0."""
    return _share(shared(a, b), np.minimum(areas(a)[:, None], areas(b)[None, :]))


def shared(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Area that boxes `a` (n, 4) have in common with boxes `b` (m, 4): (n, m)."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    result: NDArray[np.float64] = np.clip(bottom_right - top_left, 0, None).prod(axis=2, dtype=np.float64)
    return result


def _share(part: Floats, whole: Floats) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return result


def areas(boxes: Floats) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1, dtype=np.float64)
    return result


def suppress(
    boxes: Floats, scores: Floats, iou: float, inside: Floats | None = None, limit: int = 300
) -> NDArray[np.intp]:
    """Indices of the boxes to keep, best score first: none overlaps a kept, better one by more than `iou`.

    ``inside`` (n,): nor does it share more than so much of the smaller one's area; 1 or none: it may.
    """
    most = np.ones(len(boxes)) if inside is None else inside
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size and len(kept) < limit:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        apart = overlaps(boxes[best : best + 1], boxes[rest])[0] <= iou
        beside = insides(boxes[best : best + 1], boxes[rest])[0] <= most[rest]
        order = rest[apart & beside]
    return np.asarray(kept, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a frame of `width` x `height` lies in a network input of `input_width` x `input_height`."""

    width: int
    height: int
    scaled_width: int
    scaled_height: int
    input_width: int
    input_height: int

    @classmethod
    def fit(cls, width: int, height: int, size: int, stride: int = 32) -> Letterbox:
        """The longest side becomes `size`; input sides are rounded up to `stride`: 16:9 -> 640 x 384."""
        return cls.part(width, height, size / max(width, height), stride)

    @classmethod
    def within(cls, width: int, height: int, input_width: int, input_height: int) -> Letterbox:
        """For a network that takes one size of input only."""
        scale = min(input_width / width, input_height / height)
        scaled_width = min(input_width, max(1, round(width * scale)))
        scaled_height = min(input_height, max(1, round(height * scale)))
        return cls(width, height, scaled_width, scaled_height, input_width, input_height)

    @classmethod
    def part(cls, width: int, height: int, scale: float, stride: int = 32) -> Letterbox:
        """For a part of a frame, in the frame's own scale."""
        scaled_width, scaled_height = max(1, round(width * scale)), max(1, round(height * scale))
        return cls(width, height, scaled_width, scaled_height, up(scaled_width, stride), up(scaled_height, stride))

    @property
    def scales(self) -> tuple[float, float]:
        return self.scaled_width / self.width, self.scaled_height / self.height

    def into_input(self, boxes: Floats) -> NDArray[np.float64]:
        """Corners in pixels of the frame (n, 4) to pixels of the input."""
        corners: NDArray[np.float64] = np.asarray(boxes, dtype=np.float64) * np.array(self.scales * 2)
        return corners

    def into_frame(self, boxes: Floats) -> NDArray[np.float64]:
        """Corners in pixels of the input (n, 4) to pixels of the frame, clipped to it."""
        corners = np.asarray(boxes, dtype=np.float64) / np.array(self.scales * 2)
        inside: NDArray[np.float64] = np.clip(corners, 0.0, np.array([self.width, self.height] * 2, dtype=np.float64))
        return inside


def up(value: int, stride: int = 32) -> int:
    """The next multiple of ``stride``."""
    return -(-value // stride) * stride
