"""Plates as quads: exactly by area, whatever the order of corners; and the older program's figures to the number."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.core import quads
from services.aggregator.core.quads import BadCell, by_area, by_points, canonical, coverage, points, thickness

Floats = npt.NDArray[np.float64]
PLATE: Floats = np.array([[100.0, 50.0], [200.0, 60.0], [198.0, 82.0], [98.0, 72.0]])

coordinates = st.floats(-300, 900, allow_nan=False).map(lambda value: round(value, 3))
corners = st.lists(st.tuples(coordinates, coordinates), min_size=4, max_size=4, unique=True).map(np.array)


def rectangle(left: float, top: float, right: float, bottom: float) -> Floats:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def area_of(polygon: Floats) -> float:
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


# ---- corners -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_corners_come_clockwise_from_the_left_of_the_upper_long_side_in_whatever_order_they_were(
    order: tuple[int, ...],
) -> None:
    assert canonical(PLATE[None, list(order)])[0].tolist() == PLATE.tolist()


def test_a_plate_that_stands_upright_begins_at_the_side_that_leads_right_most() -> None:
    upright = np.array([[[10.0, 10.0], [30.0, 12.0], [20.0, 110.0], [0.0, 108.0]]])

    assert canonical(upright)[0, 0].tolist() == [0, 108]  # its long side leads up and to the right


@settings(deadline=None)
@given(corners)
def test_no_quad_stays_crossed_or_anticlockwise(quad: Floats) -> None:
    ordered = canonical(quad[None])[0]

    assert sorted(map(tuple, ordered.tolist())) == sorted(map(tuple, quad.tolist()))
    assert area_of(ordered) >= -1e-6


# ---- by area -----------------------------------------------------------------------------------------------
def test_a_rectangle_covers_cells_as_one_computes_by_hand() -> None:
    lines = np.array([0.0, 20, 40, 60])

    held = coverage(rectangle(10, 15, 50, 30), lines, lines)

    assert held.tolist() == [[50, 100, 50], [100, 200, 100], [0, 0, 0]]


@settings(deadline=None)
@given(corners, st.integers(9, 200).map(float), st.integers(9, 200).map(float))
def test_what_the_cells_hold_is_the_area_within_the_frame(quad: Floats, step_x: float, step_y: float) -> None:
    polygon = canonical(quad[None])[0]
    wide = np.arange(-300, 901 + step_x, step_x), np.arange(-300, 901 + step_y, step_y)

    assert coverage(polygon, *wide).sum() == pytest.approx(area_of(polygon), abs=1e-3)

    # What a fine grid holds within a window, a single cell of that window's size holds as well.
    window = np.array([0.0, 400.0]), np.array([0.0, 300.0])
    fine = (
        np.unique(np.append(np.arange(0, 400, step_x), 400.0)),
        np.unique(np.append(np.arange(0, 300, step_y), 300.0)),
    )
    assert coverage(polygon, *fine).sum() == pytest.approx(coverage(polygon, *window).sum(), abs=1e-3)


@settings(deadline=None)
@given(corners)
def test_no_cell_holds_less_than_nothing_or_more_than_itself(quad: Floats) -> None:
    held = coverage(canonical(quad[None])[0], np.arange(0.0, 601, 40), np.arange(0.0, 601, 40))

    assert held.min() >= 0
    assert held.max() <= 1600 + 1e-6


def test_counts_add_up_to_the_plates_and_a_plate_over_the_edge_counts_one() -> None:
    over_the_edge = rectangle(-50, 100, 50, 120)

    found = by_area(np.array([PLATE, over_the_edge]), 640, 480, 40)

    assert (found.plates, found.thin, found.outside) == (2, 0, 0)
    assert found.counts.sum() == pytest.approx(2)
    assert found.counts[2:4, :2].sum() == pytest.approx(1)


@settings(deadline=None)
@given(st.permutations(range(4)))
def test_the_density_does_not_depend_on_the_order_of_the_corners(order: list[int]) -> None:
    assert np.allclose(
        by_area(PLATE[None], 640, 480, 7).counts, by_area(PLATE[None, order], 640, 480, 7).counts, atol=1e-12
    )
    if order != [0, 1, 2, 3]:  # where that of 15 points does
        turned = by_points(PLATE[None, [1, 2, 3, 0]], 640, 480, 7)
        assert not np.array_equal(by_points(PLATE[None], 640, 480, 7), turned)


@pytest.mark.parametrize("k", [1, 2, 7, 40, 300, 480])
def test_cells_are_squares_of_k_pixels_but_for_those_that_end_with_the_frame(k: int) -> None:
    found = by_area(PLATE[None], 848, 480, k)

    assert set(np.diff(found.x)[:-1]) <= {k} and set(np.diff(found.y)[:-1]) <= {k}
    assert (found.x[-1], found.y[-1]) == (848, 480)
    assert found.counts.shape == (-(-480 // k), -(-848 // k))


@pytest.mark.parametrize("k", [1, 2, 3, 5, 10])
def test_a_plate_leaves_no_holes_however_small_the_cells(k: int) -> None:
    plate = rectangle(100, 50, 200, 80)[None]
    held = by_area(plate, 640, 480, k).counts[-(-50 // k) : 80 // k, -(-100 // k) : 200 // k]
    assert held.min() == pytest.approx(held.max()) and held.min() > 0

    dotted = by_points(plate, 640, 480, k)
    assert (dotted > 0).sum() <= quads.POINTS  # of which most cells of the plate hold none


def test_thin_quads_and_those_outside_the_frame_are_left_out_and_counted() -> None:
    line = np.array([[10.0, 10.0], [90.0, 10.0], [90.0, 12.0], [10.0, 12.0]])
    point = np.full((4, 2), 33.0)
    far = rectangle(700, 10, 800, 40)

    found = by_area(np.array([PLATE, line, point, far]), 640, 480, 40)

    assert (found.plates, found.thin, found.outside) == (1, 2, 1)
    assert found.counts.sum() == pytest.approx(1)
    assert thickness(canonical(np.array([line, point]))).tolist() == [2, 0]


def test_no_quads_count_nothing() -> None:
    found = by_area(np.empty((0, 4, 2)), 640, 480, 40)

    assert (found.plates, found.counts.sum()) == (0, 0)


@pytest.mark.parametrize("k", [0, -40, 481])
def test_a_cell_that_fits_in_no_frame_is_refused_with_what_would(k: int) -> None:
    for count in (by_area, by_points):
        with pytest.raises(BadCell, match="between 1 and 480"):
            count(PLATE[None], 640, 480, k)


# ---- by points ---------------------------------------------------------------------------------------------
def test_fifteen_points_are_a_grid_of_five_by_three_where_the_long_side_comes_first() -> None:
    found = points(rectangle(100, 50, 180, 70)[None], height=100)

    assert found.shape == (15, 2)
    assert sorted(map(tuple, found.tolist())) == sorted(itertools.product((100, 120, 140, 160, 180), (30, 40, 50)))


def test_every_point_within_the_frame_counts_one_and_rows_begin_at_the_bottom() -> None:
    counts = by_points(rectangle(100, 50, 180, 70)[None], 200, 100, 25)

    assert counts.shape == (4, 8)
    assert counts.sum() == 15
    assert counts[0].sum() == 0 and counts[1].sum() == 10 and counts[2].sum() == 5
