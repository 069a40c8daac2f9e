"""The pictures that the detector is trained on: their labels say where the plates are, and a seed says all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.training.pasting import made_up_plate, paste
from services.inference.training.scenes import (
    COUNTS,
    KINDS,
    LONGEST,
    Sample,
    cut,
    make_pictures,
    read_photo,
    write_sample,
)
from services.simulator.training_pictures import samples

seeds = st.integers(0, 2**32 - 1)


def photo(width: int = 320, height: int = 240) -> Sample:
    """Noise with one plate in the middle."""
    rng = np.random.default_rng(3)
    image = rng.integers(60, 120, (height, width, 3)).astype(np.uint8)
    return Sample(image, np.array([[width * 0.4, height * 0.5, width * 0.6, height * 0.58]]))


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from(sorted(KINDS)))
def test_every_kind_gives_a_picture_whose_boxes_lie_inside_it(seed: int, kind: str) -> None:
    sample = KINDS[kind](photo(), np.random.default_rng(seed))

    height, width = sample.image.shape[:2]
    assert sample.image.dtype == np.uint8
    assert (sample.boxes[:, :2] >= 0).all()
    assert (sample.boxes[:, 2:] <= (width, height)).all()
    assert (sample.boxes[:, :2] < sample.boxes[:, 2:]).all()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_same_seed_gives_the_same_picture(kind: str) -> None:
    first, second = (KINDS[kind](photo(), np.random.default_rng(5)) for _ in range(2))

    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.boxes, second.boxes)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(30, 200))
def test_a_pasted_plate_changes_the_picture_in_its_box_and_nowhere_else(seed: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    image = np.full((400, 500, 3), 128, np.uint8)
    ((x1, y1, x2, y2),) = paste(image, made_up_plate(rng), (250.0, 200.0), width, rng)

    changed = (image != 128).any(axis=2)
    assert changed[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1].any()
    changed[max(0, int(y1) - 2) : int(y2) + 3, max(0, int(x1) - 2) : int(x2) + 3] = False
    assert not changed.any()


def test_pictures_without_plates_have_no_boxes() -> None:
    for seed in range(5):
        assert len(KINDS["blank"](photo(), np.random.default_rng(seed)).boxes) == 0


def test_a_close_up_shows_its_plate_large() -> None:
    sample = KINDS["close"](photo(), np.random.default_rng(1))

    assert len(sample.boxes) == 1
    assert (sample.boxes[0, 2] - sample.boxes[0, 0]) / sample.image.shape[1] > 0.24


def test_a_part_keeps_the_plates_that_lie_mostly_in_it_and_is_not_too_large() -> None:
    wide = photo(2000, 1000)

    whole, empty = cut(wide, 0, 0, 2000, 1000), cut(wide, 0, 0, 500, 300)

    assert max(whole.image.shape) == LONGEST
    assert whole.boxes == pytest.approx(wide.boxes * LONGEST / 2000)
    assert len(empty.boxes) == 0


def test_labels_are_written_as_they_are_read(tmp_path: Path) -> None:
    sample = photo()

    write_sample(sample, tmp_path, tmp_path, "one", 90)
    again = read_photo(tmp_path / "one.jpg", tmp_path / "one.txt")

    assert again.image.shape == sample.image.shape
    assert again.boxes == pytest.approx(sample.boxes, abs=0.01)


def test_all_kinds_are_made_from_training_photos_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "val"):
        for folder in ("images", "labels"):
            (tmp_path / folder / split).mkdir(parents=True)
    write_sample(photo(), tmp_path / "images" / "train", tmp_path / "labels" / "train", "one", 90)
    (tmp_path / "images" / "val" / "broken.jpg").write_bytes(b"would fail if it were read")
    for kind in COUNTS:
        monkeypatch.setitem(COUNTS, kind, 2)

    make_pictures(tmp_path, tmp_path)

    names = sorted(path.stem for path in (tmp_path / "images" / "drawn").iterdir())
    assert names == sorted(f"{kind}_{number:04}" for kind in KINDS for number in range(2))
    assert names == sorted(path.stem for path in (tmp_path / "labels" / "drawn").iterdir())


def test_simulated_streets_are_the_same_for_a_seed_and_bear_plates() -> None:
    first, second = list(samples(4, seed=2)), list(samples(4, seed=2))

    assert all(np.array_equal(one.image, other.image) for one, other in zip(first, second, strict=True))
    assert sum(len(one.boxes) for one in first) > 0
