"""Where a plan lies on the earth: an anchor in, latitude and longitude of any point of the plan out.

The plan is laid on the plane that touches the earth (the ellipsoid of WGS 84) at the plan's origin, its upper left
corner. Degrees are linear in plan units there, so that a world file says the same; a hundred metres away that is exact
to a centimetre.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from services.aggregator.core.config import Geo

A, E2 = 6_378_137.0, 0.006_694_379_990_14
"""Of WGS 84: half the axis through the equator, metres; eccentricity, squared."""


class Affine(NamedTuple):
    """lon = lon0 + lon_x * x + lon_y * y, and likewise lat; x, y in plan units, y downwards on the plan."""

    lon0: float
    lon_x: float
    lon_y: float
    lat0: float
    lat_x: float
    lat_y: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Longitude and latitude, degrees."""
        return self.lon0 + self.lon_x * x + self.lon_y * y, self.lat0 + self.lat_x * x + self.lat_y * y


def affine(geo: Geo, metres_per_unit: float) -> Affine:
    """How the plan lies. ``geo.rotation``: what upwards on the plan is, degrees clockwise from north."""
    phi, turn = math.radians(geo.lat), math.radians(geo.rotation)
    bend = 1 - E2 * math.sin(phi) ** 2
    north = math.degrees(metres_per_unit / (A * (1 - E2) / bend**1.5))
    east = math.degrees(metres_per_unit / (A / math.sqrt(bend) * math.cos(phi)))
    cos, sin = math.cos(turn), math.sin(turn)
    return Affine(geo.lon, east * cos, -east * sin, geo.lat, -north * sin, -north * cos)
