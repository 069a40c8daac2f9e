"""Decoys are drawn inside the picture, and pictures in which plates were covered say where the new ones hang."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.training.decoys import decoy, overlay
from services.inference.training.finetune import read_sample, write_sample
from services.inference.training.scenes import LONGEST, Sample, stream, swapped

seeds = st.integers(0, 2**32 - 1)


def photo() -> Sample:
    rng = np.random.default_rng(3)
    image = rng.integers(60, 120, (240, 320, 3)).astype(np.uint8)
    return Sample(image, np.array([[128.0, 120.0, 192.0, 136.0]]))


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_a_decoy_keeps_the_size_of_the_picture_and_is_the_same_for_a_seed(seed: int) -> None:
    first, second = photo().image.copy(), photo().image.copy()
    decoy(first, np.random.default_rng(seed))
    decoy(second, np.random.default_rng(seed))

    assert first.shape == (240, 320, 3)
    assert np.array_equal(first, second)


def test_decoys_and_the_clock_of_a_camera_show() -> None:
    before = photo().image
    for seed, draw in enumerate((decoy, overlay)):
        after = before.copy()
        draw(after, np.random.default_rng(seed + 1))
        assert (after != before).any()


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_a_swapped_plate_hangs_where_the_old_one_hung(seed: int) -> None:
    sample = swapped(photo(), np.random.default_rng(seed))

    assert len(sample.boxes) == 1
    x1, y1, x2, y2 = sample.boxes[0]
    assert x1 < 160 < x2
    assert y1 < 128 < y2


def test_a_stream_shows_pictures_with_and_without_plates_of_bounded_size() -> None:
    pictures = stream([photo()], np.random.default_rng(1))
    seen = [next(pictures) for _ in range(30)]

    assert {len(one.boxes) > 0 for one in seen} == {True, False}
    assert all(max(one.image.shape) <= LONGEST for one in seen)


def test_samples_survive_the_pipe_and_one_cut_off_ends_it() -> None:
    pipe = io.BytesIO()
    write_sample(photo(), pipe)
    whole = pipe.getvalue()
    back = read_sample(io.BytesIO(whole))

    assert back is not None
    assert np.array_equal(back.image, photo().image)
    assert back.boxes == pytest.approx(photo().boxes)
    assert read_sample(io.BytesIO(whole[:-1])) is None
    assert read_sample(io.BytesIO()) is None
