"""The smallest shape: the densest cells, as polygons that hold just them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of

from services.aggregator.core.area import Floats, most_significant
from services.aggregator.core.outline import outlines, smallest_shape
from services.contracts.gates import Gate, check, holds

CELLS = of.arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 7)))
COUNTS = of.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 4)), elements=st.integers(0, 9).map(float))


def edges(count: int) -> Floats:
    return np.array([10.0 * index for index in range(count + 1)])


@given(CELLS)
@settings(max_examples=200, deadline=None)
def test_the_middle_of_a_cell_lies_in_one_polygon_where_it_is_chosen_and_in_none_elsewhere(
    cells: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> None:
    polygons = [tuple((float(x), float(y)) for x, y in outline) for outline in outlines(cells)]

    for (row, column), chosen in np.ndenumerate(cells):
        assert sum(holds(polygon, column + 0.5, row + 0.5) for polygon in polygons) == chosen


@given(COUNTS, st.floats(0.05, 1))
@settings(max_examples=100, deadline=None)
def test_no_smaller_set_of_cells_holds_the_share(
    counts: np.ndarray[tuple[int, int], np.dtype[np.float64]], share: float
) -> None:
    if not counts.any():
        return
    rows, columns = counts.shape
    shape = smallest_shape(counts, edges(columns), edges(rows), share)
    cells = round(shape.part * counts.size)

    assert shape.held >= share - 1e-9
    for fewer in combinations(counts.ravel().tolist(), cells - 1):
        assert sum(fewer) < counts.sum() * (share - 1e-12)


@given(COUNTS, st.floats(0.05, 1))
@settings(max_examples=100, deadline=None)
def test_the_shape_is_never_larger_than_the_rectangle(
    counts: np.ndarray[tuple[int, int], np.dtype[np.float64]], share: float
) -> None:
    if not counts.any():
        return
    x, y = edges(counts.shape[1]), edges(counts.shape[0])

    assert smallest_shape(counts, x, y, share).part <= most_significant(counts, x, y, share).part + 1e-12


def test_a_ring_is_cut_so_that_no_polygon_has_a_hole_and_each_can_be_a_zone() -> None:
    counts = np.array([[1.0, 1, 1], [1, 0, 1], [1, 1, 1]])
    shape = smallest_shape(counts, edges(3), edges(3), 1.0)

    check(Gate(zones=shape.relative))
    assert (shape.held, round(shape.part * 9)) == (1.0, 8)
    assert not any(holds(polygon, 0.5, 0.5) for polygon in shape.relative)


def test_a_cell_that_the_frame_cuts_off_counts_by_what_it_holds_per_area() -> None:
    x, y = np.array([0.0, 10, 12]), np.array([0.0, 10])

    assert smallest_shape(np.array([[5.0, 4]]), x, y, 0.4).polygons == (((10, 0), (12, 0), (12, 10), (10, 10)),)


def test_nothing_counted_or_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="counts nothing"):
        smallest_shape(np.zeros((2, 2)), edges(2), edges(2))
    with pytest.raises(ValueError, match="share"):
        smallest_shape(np.ones((2, 2)), edges(2), edges(2), 0)
