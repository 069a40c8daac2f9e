"""A lens told by the point pairs: found where they show one, refused where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.core.config import Lens, Matrix
from services.aggregator.core.homography import BadPairs, Pair, View
from services.aggregator.core.lens import Optics
from services.aggregator.core.lens_fit import NoLens, find_lens

FRAME, PLAN, TOLERANCE = (1280.0, 720.0), (40.0, 30.0), 1.5
MATRIX: Matrix = (0.02, 0.004, 2.0, 0.0, 0.03, 1.0, 0.0, 0.0005, 1.0)
SPOTS = [
    (90, 80),
    (640, 60),
    (1190, 90),
    (70, 380),
    (660, 330),
    (1220, 350),
    (110, 650),
    (600, 690),
    (1180, 640),
    (930, 520),
]


def seen_through(lens: Lens, noise: float = 0.0, count: int = 10, seed: int = 3) -> list[Pair]:
    view = View(MATRIX, Optics(lens, *FRAME))
    pixels = np.array(SPOTS[:count], np.float64)
    x, y = view.to_plan(pixels[:, 0], pixels[:, 1])
    pixels = pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return [((float(px), float(py)), (float(a), float(b))) for (px, py), a, b in zip(pixels, x, y, strict=True)]


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.13, 0.2).filter(lambda k1: abs(k1) > 0.02))
def test_a_lens_is_found_again_and_its_errors_vanish(k1: float) -> None:
    found = find_lens(seen_through(Lens(k1, 0.0)), FRAME, PLAN, TOLERANCE)

    assert abs(found.optics.lens.k1 - k1) < 0.01
    assert found.with_.mean < 0.01
    assert found.without is None or found.without.mean > 2 * found.with_.mean


def test_a_strong_barrel_takes_both_numbers() -> None:
    found = find_lens(seen_through(Lens(-0.3, 0.06)), FRAME, PLAN, TOLERANCE)

    assert abs(found.optics.lens.k1 + 0.3) < 0.02 and abs(found.optics.lens.k2 - 0.06) < 0.02
    assert found.pairs == 10


def test_of_seven_pairs_only_k1_is_told() -> None:
    assert find_lens(seen_through(Lens(-0.1, 0.0), count=7), FRAME, PLAN, TOLERANCE).optics.lens.k2 == 0.0


def test_a_wrong_pair_is_left_out_and_not_explained_by_the_lens() -> None:
    pairs = seen_through(Lens(-0.1, 0.0), noise=0.3)
    pairs[4] = (pairs[4][0], (pairs[4][1][0] + 4, pairs[4][1][1] - 3))

    found = find_lens(pairs, FRAME, PLAN, TOLERANCE)

    assert found.with_.bad == (4,) and found.pairs == 9
    assert abs(found.optics.lens.k1 + 0.1) < 0.02


def test_careless_clicks_through_a_straight_lens_are_hardly_ever_taken_for_a_bent_one() -> None:
    bent = 0
    for seed in range(40):
        pairs = seen_through(Lens(0.0, 0.0), noise=2.0, seed=seed)
        try:
            find_lens(pairs, FRAME, PLAN, TOLERANCE)
            bent += 1
        except NoLens as refused:
            assert "no better than chance" in str(refused)
    assert bent <= 1


def test_exact_pairs_of_a_straight_lens_tell_that_it_is_straight() -> None:
    with pytest.raises(NoLens, match="straight"):
        find_lens(seen_through(Lens(0.0, 0.0)), FRAME, PLAN, TOLERANCE)


def test_too_few_pairs_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(NoLens, match="at least 6 pairs, here are 5"):
        find_lens(seen_through(Lens(-0.1, 0.0), count=5), FRAME, PLAN, TOLERANCE)


def test_pairs_that_lead_nowhere_lead_nowhere_through_any_lens() -> None:
    line: list[Pair] = [((100.0 * k, 50.0 * k), (1.0 * k, 2.0 * k)) for k in range(7)]
    with pytest.raises(BadPairs, match="on one line"):
        find_lens(line, FRAME, PLAN, TOLERANCE)
