"""Homography: fit, error, projection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.core.config import Ground, Matrix
from services.aggregator.core.homography import BadPairs, Fit, Pair, fit, ground_points, project, version_of

# Eight pairs of a wide-angle camera over a court, published with kerberos-io/heatmap, and what they lead to.
COURT: list[Pair] = [
    ((257, 262), (110, 145)),
    ((370, 225), (349, 145)),
    ((492, 190), (588, 145)),
    ((294, 324), (110, 500)),
    ((474, 272), (349, 500)),
    ((620, 213), (588, 500)),
    ((727, 383), (349, 855)),
    ((799, 259), (588, 855)),
]
SQUARE: list[Pair] = [((0, 0), (0, 0)), ((100, 0), (10, 0)), ((100, 100), (10, 10)), ((0, 100), (0, 10))]


def at(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    plan_x, plan_y, _ = project(matrix, np.array([float(x)]), np.array([float(y)]))
    return float(plan_x[0]), float(plan_y[0])


def test_the_known_court_leads_to_the_known_matrix_points_and_errors() -> None:
    found = fit(COURT)

    scale = found.matrix[8]
    known = [
        -1.457530805,
        0.00101489,
        246.036663,
        -2.119522604,
        -7.537571287,
        2358.795648,
        -0.00103014,
        -0.006776952,
        1,
    ]
    assert np.allclose(np.array(found.matrix) / scale, known, rtol=1e-4, atol=1e-6)
    assert at(found.matrix, 400, 300) == pytest.approx((232.97, 519.18), abs=0.01)
    assert at(found.matrix, 600, 400) == pytest.approx((269.69, 827.85), abs=0.01)
    assert found.mean == pytest.approx(25.2, abs=0.1)
    assert found.worst == pytest.approx(40.1, abs=0.1)
    assert all(found.inliers)


def test_a_wrong_pair_is_left_out_and_reported() -> None:
    pairs: list[Pair] = [*SQUARE, ((50, 50), (5, 5)), ((20, 70), (2, 7)), ((70, 20), (1, 9))]

    found = fit(pairs, ransac=0.5)

    assert found.inliers == (True,) * 6 + (False,)
    assert found.rms == pytest.approx(0, abs=1e-3)
    assert found.worst > 5
    assert at(found.matrix, 30, 40) == pytest.approx((3, 4), abs=1e-3)


def test_of_sets_of_pairs_that_agree_the_one_that_comes_nearest_is_used() -> None:
    # Six of seven agree within the tolerance with or without the last one; but only without it do they fit.
    pairs: list[Pair] = [*SQUARE, ((50, 50), (5, 5)), ((20, 70), (2, 7)), ((90, 90), (9.9, 8.3))]

    found = fit(pairs, ransac=1.0)

    assert found.inliers == (True,) * 6 + (False,)
    assert found.rms == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("count", [9, 40])
def test_few_pairs_and_many_lead_to_the_same_place(count: int) -> None:
    pixels = [(37 * i % 1000, 91 * i % 700) for i in range(1, count + 1)]
    pairs: list[Pair] = [((x, y), (x / (2 + y / 500), y / (2 + y / 500))) for x, y in pixels]
    pairs[3] = (pairs[3][0], (0, 0))

    found = fit(pairs, ransac=1.0)

    assert [i for i, used in enumerate(found.inliers) if not used] == [3]
    assert at(found.matrix, 500, 500) == pytest.approx((500 / 3, 500 / 3), abs=0.01)


def test_the_same_pairs_always_give_the_same_matrix() -> None:
    assert len({fit(COURT, ransac=36.0) for _ in range(5)}) == 1
    assert isinstance(fit(COURT, ransac=36.0), Fit)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (SQUARE[:3], "at least 4"),
        ([((i, i), (x, y)) for i, (_, (x, y)) in enumerate(SQUARE)], "one line"),
        ([(p, (i, 2 * i)) for i, (p, _) in enumerate(SQUARE)], "one line"),
        ([*SQUARE[:3], SQUARE[2]], "fewer than 4 different"),
        ([((0, 0), (0, 0)), ((1, 0), (1, 0)), ((2, 0), (2, 0)), ((0, 1), (0, 1))], "line|no homography"),
        ([SQUARE[0], SQUARE[1], (SQUARE[2][0], (0, 10)), (SQUARE[3][0], (10, 10))], "horizon"),
    ],
)
def test_pairs_that_determine_no_homography_are_refused_with_a_reason(pairs: list[Pair], says: str) -> None:
    with pytest.raises(BadPairs, match=says):
        fit(pairs)


def test_points_beyond_the_horizon_and_off_the_plan_are_recognised() -> None:
    # w = 1 - y / 100: the horizon is the line y = 100
    ground = Ground(matrix=(1, 0, 0, 0, 1, 0, 0, -0.01, 1), version="v", width=50, height=50, cell=10)
    boxes = np.array([[10, 10, 0, 0], [10, 100, 0, 0], [10, 140, 0, 0], [10, 60, 0, 0], [-1, 1, 0, 0]], dtype=float)

    x, y, on = ground_points(ground, boxes, 100, 200)

    assert on.tolist() == [True, False, False, False, False]
    assert (x[0], y[0]) == (11.111, 11.111)


def test_beyond_the_horizon_nothing_is_on_the_plan_though_its_mirror_image_would_be() -> None:
    ground = Ground(matrix=(1, 0, -30, 0, 1, -160, 0, -0.01, 1), version="v", width=50, height=50, cell=10)
    behind = np.array([[14, 144, 0, 0]], dtype=float)  # w = -0.44, so that both coordinates divided by it are 36.4

    x, y, on = ground_points(ground, behind, 100, 200)

    assert not on.any() and np.isnan(x).all() and np.isnan(y).all()


def test_the_anchor_is_the_centre_or_the_bottom_and_pairs_of_another_frame_size_are_scaled() -> None:
    unit: Matrix = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    box = np.array([[10, 20, 4, 2]], dtype=float)
    center = Ground(matrix=unit, version="v", width=99, height=99, cell=10)
    bottom = Ground(matrix=unit, version="v", width=99, height=99, cell=10, anchor="bottom")
    half = Ground(matrix=unit, version="v", width=99, height=99, cell=10, image_width=50, image_height=100)

    assert [axis.item() for axis in ground_points(center, box, 100, 100)] == [12, 21, True]
    assert [axis.item() for axis in ground_points(bottom, box, 100, 100)] == [12, 22, True]
    assert [axis.item() for axis in ground_points(half, box, 100, 100)] == [6, 21, True]


pixels = st.floats(-2000, 4000, allow_nan=False)


@given(st.lists(st.tuples(pixels, pixels), min_size=1, max_size=40))
def test_a_point_lands_at_the_same_place_alone_or_in_company(points: list[tuple[float, float]]) -> None:
    matrix = fit(COURT).matrix
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])

    together = np.stack(project(matrix, x, y))
    alone = np.stack([np.concatenate(project(matrix, x[i : i + 1], y[i : i + 1])) for i in range(len(x))], axis=1)

    assert np.array_equal(together, alone, equal_nan=True)


def test_the_version_changes_with_whatever_moves_a_point() -> None:
    base = version_of(COURT, "center", 0.0, (699, 996), (None, None))

    assert base == version_of(COURT, "center", 0.0, (699, 996), (None, None))
    assert base != version_of(COURT[1:], "center", 0.0, (699, 996), (None, None))
    assert base != version_of(COURT, "bottom", 0.0, (699, 996), (None, None))
    assert base != version_of(COURT, "center", 9.0, (699, 996), (None, None))
