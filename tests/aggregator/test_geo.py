"""A plan on the earth, checked against the ellipsoid itself, point by point in three dimensions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator import cameras
from services.aggregator.cameras import BadCameras
from services.aggregator.core.config import Geo, Options
from services.aggregator.core.geo import affine

AXIS, FLAT = 6_378_137.0, 1 / 298.257223563
PAIRS = [[[0, 0], [0, 0]], [[100, 0], [10, 0]], [[100, 100], [10, 10]], [[0, 100], [0, 10]]]


def cartesian(lon: float, lat: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """On the surface, metres from the middle of the earth."""
    lon, lat = math.radians(lon), math.radians(lat)
    squared = FLAT * (2 - FLAT)
    n = AXIS / math.sqrt(1 - squared * math.sin(lat) ** 2)
    across = n * math.cos(lat)
    return np.array([across * math.cos(lon), across * math.sin(lon), n * (1 - squared) * math.sin(lat)])


def east_and_north(geo: Geo, lon: float, lat: float) -> tuple[float, float]:
    """Metres from the anchor, on the plane that touches the earth there."""
    away = cartesian(lon, lat) - cartesian(geo.lon, geo.lat)
    a, b = math.radians(geo.lon), math.radians(geo.lat)
    east = np.array([-math.sin(a), math.cos(a), 0])
    north = np.array([-math.sin(b) * math.cos(a), -math.sin(b) * math.sin(a), math.cos(b)])
    return float(away @ east), float(away @ north)


@given(
    st.floats(-70, 70), st.floats(-180, 180), st.floats(-360, 360), st.floats(0.01, 2), st.floats(0, 50),
    st.floats(0, 50),
)  # fmt: skip
def test_a_point_within_a_hundred_metres_lies_where_it_should_to_a_centimetre(
    lat: float, lon: float, rotation: float, metres: float, x: float, y: float
) -> None:
    geo = Geo(lat, lon, rotation)
    east, north = east_and_north(geo, *affine(geo, metres).at(x, y))
    turn = math.radians(rotation)

    assert math.isclose(east, metres * (x * math.cos(turn) - y * math.sin(turn)), abs_tol=0.01)
    assert math.isclose(north, metres * (-x * math.sin(turn) - y * math.cos(turn)), abs_tol=0.01)


@pytest.mark.parametrize(
    ("rotation", "east", "north"), [(0, 0, 30), (90, 30, 0), (180, 0, -30), (-90, -30, 0), (360, 0, 30)]
)
def test_upwards_on_the_plan_points_clockwise_from_north(rotation: float, east: float, north: float) -> None:
    geo = Geo(52.5, 13.4, rotation)

    assert east_and_north(geo, *affine(geo, 1.0).at(0, -30)) == pytest.approx((east, north), abs=0.01)


def test_the_camera_file_says_where_its_plan_lies() -> None:
    plan = {"width": 10, "height": 10, "metres_per_unit": 1.0, "geo": {"lat": 52.5, "lon": 13.4}}
    with_it = cameras.parse({"gate": {"pairs": PAIRS, "plan": plan}}, Options()).camera("gate").ground
    without = cameras.parse({"gate": {"pairs": PAIRS, "plan": {**plan, "geo": None}}}, Options()).camera("gate").ground

    assert with_it is not None and without is not None
    assert with_it.geo == Geo(52.5, 13.4, 0.0)
    assert with_it.version == without.version, "where the plan lies changes no cell"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"metres_per_unit": None}, "plan.geo needs plan.metres_per_unit"),
        ({"geo": {"lat": 91, "lon": 0}}, "lat must be"),
        ({"geo": {"lat": 0, "lon": 181}}, "lon -180 to 180"),
        ({"geo": {"lat": 0, "lon": 0, "rotation": 400}}, "rotation -360 to 360"),
        ({"geo": {"lat": float("nan"), "lon": 0}}, "finite"),
        ({"geo": {"lat": 1}}, "lon"),
        ({"geo": {"lat": 1, "lon": 1, "north": 1}}, "north"),
    ],
)
def test_a_place_that_is_none_is_told(change: dict[str, object], complaint: str) -> None:
    plan = {"width": 10, "height": 10, "metres_per_unit": 1.0, "geo": {"lat": 52.5, "lon": 13.4}} | change

    with pytest.raises(BadCameras, match=complaint):
        cameras.parse({"gate": {"pairs": PAIRS, "plan": plan}}, Options())
