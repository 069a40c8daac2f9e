"""A pinhole camera over flat ground. World metres in, pixels out, and back through a plane. Pure.

World: x to the right, y away from the camera's foot along the road, z up. Camera: right-handed, x right, y down, z into
the picture. Pixel (0, 0) is the top left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pinhole:
    """Where a camera hangs and how it looks: ``height_m`` over the road at world (x_m, 0), turned by pan and tilt."""

    width: int
    height: int
    focal_px: float
    height_m: float
    tilt_deg: float
    pan_deg: float = 0.0
    x_m: float = 0.0

    def matrix(self) -> Array:
        """The 3 x 4 projection matrix (Hartley and Zisserman, Multiple View Geometry, chapter 6)."""
        axes = np.stack([self._right(), np.cross(self._forward(), self._right()), self._forward()])
        inner = np.array([[self.focal_px, 0, self.width / 2], [0, self.focal_px, self.height / 2], [0, 0, 1]])
        outer = np.column_stack([axes, -axes @ np.array([self.x_m, 0.0, self.height_m])])
        return np.asarray(inner @ outer, dtype=np.float64)

    def project(self, points: Array) -> tuple[Array, Array]:
        """World points (N, 3) to pixels (N, 2) and depths (N,) in metres; at depths <= 0 the pixels mean nothing."""
        homogeneous = np.column_stack([points, np.ones(len(points))]) @ self.matrix().T
        depth = homogeneous[:, 2]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        return homogeneous[:, :2] / safe[:, None], depth

    def homography(self, z_m: float = 0.0) -> Array:
        """The 3 x 3 matrix from pixels to world (x, y) on the horizontal plane at ``z_m``."""
        full = self.matrix()
        plane = np.column_stack([full[:, 0], full[:, 1], full[:, 2] * z_m + full[:, 3]])
        return np.asarray(np.linalg.inv(plane), dtype=np.float64)

    def horizon_px(self) -> float:
        """Row of the horizon; negative where it lies above the picture."""
        return self.height / 2 - self.focal_px * math.tan(math.radians(self.tilt_deg))

    def _forward(self) -> Array:
        pan, tilt = math.radians(self.pan_deg), math.radians(self.tilt_deg)
        return np.array([math.sin(pan) * math.cos(tilt), math.cos(pan) * math.cos(tilt), -math.sin(tilt)])

    def _right(self) -> Array:
        pan = math.radians(self.pan_deg)
        return np.array([math.cos(pan), -math.sin(pan), 0.0])


def apply(homography: Array, points: Array) -> Array:
    """Points (N, 2) through a 3 x 3 homography."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:3])
