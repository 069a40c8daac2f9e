"""The most significant area is the smallest rectangle there is."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.core.area import Area, most_significant

Floats = npt.NDArray[np.float64]

grids = st.integers(1, 6).flatmap(
    lambda columns: st.lists(
        st.lists(st.sampled_from([0, 0, 0, 1, 2, 9]), min_size=columns, max_size=columns), min_size=1, max_size=6
    ).map(lambda rows: np.array(rows, dtype=float))
)


def edges(count: int, k: float = 10, last: float = 10) -> Floats:
    return np.append(np.arange(count) * k, (count - 1) * k + last)


def area(counts: Floats, share: float) -> Area:
    return most_significant(counts, edges(counts.shape[1]), edges(counts.shape[0]), share)


def test_the_smallest_rectangle_is_found_and_told_in_pixels_and_relative_to_the_frame() -> None:
    counts = np.zeros((4, 8))
    counts[1, 2:4] = 40
    counts[3, 7] = 20

    found = area(counts, 0.8)

    assert (found.left, found.top, found.right, found.bottom) == (20, 10, 40, 20)
    assert found.held == pytest.approx(0.8)
    assert found.relative == (0.25, 0.25, 0.5, 0.5)
    assert found.part == pytest.approx(2 / 32)


@settings(deadline=None)
@given(grids.filter(lambda counts: counts.sum() > 0), st.sampled_from([0.1, 0.5, 0.8, 0.95, 1.0]))
def test_no_rectangle_that_holds_the_share_is_smaller(counts: Floats, share: float) -> None:
    rows, columns = counts.shape
    x, y = edges(columns, last=3), edges(rows, last=7)  # cells at the edge end with the frame

    found = most_significant(counts, x, y, share)

    sizes = [
        (x[right] - x[left]) * (y[bottom] - y[top])
        for top, bottom in itertools.combinations(range(rows + 1), 2)
        for left, right in itertools.combinations(range(columns + 1), 2)
        if counts[top:bottom, left:right].sum() >= share * counts.sum() - 1e-6
    ]
    assert (found.right - found.left) * (found.bottom - found.top) == pytest.approx(min(sizes))
    inside = counts[
        np.ix_((y[:-1] >= found.top) & (y[1:] <= found.bottom), (x[:-1] >= found.left) & (x[1:] <= found.right))
    ]
    assert inside.sum() / counts.sum() == pytest.approx(found.held)
    assert found.held >= share - 1e-6


def test_of_rectangles_of_one_size_the_one_that_holds_most_wins_then_the_uppermost_then_the_leftmost() -> None:
    most = np.array([[4.0, 0.0], [0.0, 5.0]])
    equal = np.array([[0.0, 5.0, 5.0], [5.0, 0.0, 0.0]])

    assert (area(most, 0.4).left, area(most, 0.4).top) == (10, 10)
    assert (area(equal, 0.3).left, area(equal, 0.3).top) == (10, 0)


def test_all_of_it_lies_within_what_holds_anything() -> None:
    counts = np.zeros((9, 9))
    counts[2, 3] = counts[6, 5] = 0.1

    found = area(counts, 1.0)

    assert (found.left, found.top, found.right, found.bottom) == (30, 20, 60, 70)


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
def test_rounding_never_makes_the_whole_unreachable(values: list[float]) -> None:
    counts = np.array(values)[:, None]

    assert area(counts, 1.0).held == pytest.approx(1)
    assert area(counts.T, 1.0).held == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_a_share_beyond_all_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        area(np.ones((2, 2)), share)


def test_where_nothing_is_counted_there_is_no_area() -> None:
    with pytest.raises(ValueError, match="nothing"):
        area(np.zeros((2, 2)), 0.8)
