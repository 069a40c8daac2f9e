"""What a plate must be to count at a camera: the `recognise` section of the camera file, as a value. Pure.

    vessosa/gate:
      recognise:
        zones: [[[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]]]   # polygons, in parts of the frame's width and height
        masks: [[[0, 0], [0.3, 0], [0.3, 0.2]]]                       # where nothing counts
        min_width: 40          # pixels of the recording
        min_height: 10
        min_score: 0.4         # of the detector, 0..1
        min_confidence: 0.8    # of the reading, 0..1

What is not named is as the settings say. A box is where its middle is. Zones and masks are of any number; without zones
the whole frame is one. `services.aggregator.cameras` reads the rest of the file, and checks this section too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

Polygon = tuple[tuple[float, float], ...]


class BadGate(ValueError):
    """The section cannot be used. Says why."""


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """None: as the settings say."""

    zones: tuple[Polygon, ...] = ()
    masks: tuple[Polygon, ...] = ()
    min_width: float | None = None
    min_height: float | None = None
    min_score: float | None = None
    min_confidence: float | None = None


OPEN = Gate()
"""Nothing but the settings."""


def check(gate: Gate) -> Gate:
    """The gate itself. BadGate with every fault in it."""
    faults = [f"{name} {number}: {fault}" for name, number, fault in _polygon_faults(gate)]
    for name in ("min_width", "min_height"):
        value = getattr(gate, name)
        if value is not None and not (math.isfinite(value) and value >= 1):
            faults.append(f"{name} must be 1 pixel or more, not {value:g}")
    for name in ("min_score", "min_confidence"):
        value = getattr(gate, name)
        if value is not None and not 0 <= value <= 1:
            faults.append(f"{name} must be between 0 and 1, not {value:g}")
    if faults:
        raise BadGate("; ".join(faults))
    return gate


def holds(polygon: Polygon, x: float, y: float) -> bool:
    """Whether a point lies in a polygon, by the number of edges that a ray to the right crosses (Shimrat 1962)."""
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside


def _polygon_faults(gate: Gate) -> Sequence[tuple[str, int, str]]:
    faults = []
    for name, polygons in (("zone", gate.zones), ("mask", gate.masks)):
        for number, polygon in enumerate(polygons, start=1):
            if len(polygon) < 3:
                faults.append((name, number, f"a polygon needs three corners, this has {len(polygon)}"))
            elif not all(0 <= value <= 1 for point in polygon for value in point):
                faults.append((name, number, "corners are parts of the frame, from 0 to 1"))
            elif abs(_area(polygon)) < 1e-6:
                faults.append((name, number, "its corners lie on a line"))
    return faults


def _area(polygon: Polygon) -> float:
    following = (*polygon[1:], polygon[0])
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(polygon, following, strict=True)) / 2
