"""What the aggregator goes by, as values: the rules' numbers and each camera's geometry.

A `Config` is "in force" for a partition: it is kept in the checkpoint, so that a replay goes by the very same
numbers, the fitted matrix included. A changed one comes into force only after a flush and a checkpoint (rule
3).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Anchor = Literal["center", "bottom"]
Matrix = tuple[float, float, float, float, float, float, float, float, float]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of rules 6 to 8. Times in milliseconds."""

    window_ms: int = 200
    """Sightings of a plate lie at least this far apart; 0 switches deduplication off."""
    stationary_ms: int = 0
    """A plate seen at the same place is published at most this often; 0 switches the rule off."""
    stationary_px: float = 20.0
    """How near two box centres are, in pixels, to be the same place."""
    horizon_ms: int = 600_000
    """A recording that starts further behind its camera's newest is deduplicated only within itself."""
    gap_ms: int = 10_000
    """A passage continues another of the same plate that is at most this far away in time."""
    dwell_cap_ms: int = 1_000
    """The most that one observation adds to the dwell of its cell."""


class Geo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a plan lies on the earth (`services.aggregator.core.geo`). Degrees, WGS 84."""

    lat: float
    """Of the plan's origin, its upper left corner."""
    lon: float
    rotation: float = 0.0
    """What upwards on the plan is, clockwise from north."""


class Lens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the camera's lens bends straight lines: `services.aggregator.core.lens`."""

    k1: float
    """Below 0: a barrel."""
    k2: float = 0.0


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's way onto the plan: the fitted homography and what it was fitted from."""

    matrix: Matrix
    """Row by row; scaled so that the third homogeneous coordinate is positive in front of the horizon."""
    version: str
    """Hash of the pairs and all that decides where a point lands."""
    width: float
    height: float
    cell: float
    """Side of a cell, in plan units."""
    anchor: Anchor = "center"
    metres_per_unit: float | None = None
    geo: Geo | None = None
    image_width: int | None = None
    """Frame size that the pairs were measured in, where it is not that of every recording."""
    image_height: int | None = None
    lens: Lens | None = None
    """Undone before the homography; None: straight lines stay straight. Needs the frame size."""
    pairs: int = 0
    inliers: int = 0
    rms: float = 0.0
    """Of the inliers' reprojection error, in plan units."""
    worst: float | None = None
    """Largest reprojection error of all pairs, in plan units; None where a pair lies beyond the horizon."""


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """One camera. Without ``ground`` it gets the image-plane heatmap only."""

    cell: int = 40
    """Side of an image-plane cell, in pixels."""
    label: str | None = None
    ground: Ground | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    options: Options = Options()
    cameras: dict[str, Camera] = {}
    default: Camera = Camera()
    """For a camera that is not named."""

    def camera(self, name: str) -> Camera:
        return self.cameras.get(name, self.default)
