"""The plate renderer: same seed, same pixels; legible, of the right shape; hard crops stay within their bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.models.recogniser import ALPHABET, INPUT_SIZE
from services.inference.training.crops import Studio
from services.inference.training.fonts import dejavu, glyph, training_fonts
from services.inference.training.painter import SEPARATORS
from services.inference.training.plates import NEW_ROW, plate_text, render_plate
from services.inference.training.strokes import StrokeFace
from services.inference.training.styles import STACKED, STYLES, USUAL

STYLE_NAMES = st.sampled_from(sorted(STYLES))
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(style=STYLE_NAMES, seed=SEEDS)
def test_the_same_seed_gives_the_same_pixels(style: str, seed: int) -> None:
    text = plate_text(style, np.random.default_rng(seed))
    one, two = render_plate(text, style, seed), render_plate(text, style, seed)
    assert one.text == two.text
    assert np.array_equal(one.image, two.image)


@settings(max_examples=25, deadline=None)
@given(style=STYLE_NAMES, seed=SEEDS)
def test_a_made_up_text_is_made_of_the_alphabet_and_separators_alone(style: str, seed: int) -> None:
    text = plate_text(style, np.random.default_rng(seed))
    plate = render_plate(text, style, seed, height=40)
    assert set(text) <= set(ALPHABET + SEPARATORS + NEW_ROW)
    assert plate.text == "".join(char for char in text if char not in SEPARATORS + NEW_ROW)
    assert 1 <= len(plate.text) <= 12
    assert len(plate.rows) == 1 + (NEW_ROW in text)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_plate_has_the_shape_of_its_standard(style: str) -> None:
    image = render_plate("A123BC77", style, 1, height=112).image
    width, height = STYLES[style].size
    assert image.dtype == np.uint8
    assert image.shape[0] == 112
    if width:
        assert image.shape[1] / 112 == pytest.approx(width / height, rel=0.01)


def test_every_character_leaves_its_own_ink() -> None:
    plates = {char: render_plate(f"A{char}00BC77", seed=5, wobble=0).image for char in "0123456789"}
    assert len({image.tobytes() for image in plates.values()}) == len(plates)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 3999))
def test_an_alphabet_of_our_own_draws_every_character_and_repeats(seed: int) -> None:
    inks = {char: glyph(StrokeFace(seed), char) for char in ALPHABET}
    assert all(one.mask.max() > 200 for one in inks.values())
    assert all(0.05 < one.width < 2 for one in inks.values())
    assert np.array_equal(inks["R"].mask, glyph(StrokeFace(seed), "R").mask)


def test_at_least_forty_kinds_of_plates_are_drawn_eight_of_them_with_two_rows() -> None:
    texts = {style: plate_text(style, np.random.default_rng(1)) for style in STYLES}
    assert len(texts) >= 40
    assert sum(NEW_ROW in text for text in texts.values()) >= 8


def test_the_letters_of_a_russian_plate_are_lower_than_its_digits() -> None:
    image = render_plate("A888AA77", seed=2, wobble=0, height=224).image.min(axis=2)
    first_letter, first_digit = image[20:200, 80:170], image[20:200, 190:275]

    def inked_rows(part: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
        return int((part < 90).any(axis=1).sum())

    assert inked_rows(first_letter) < 0.85 * inked_rows(first_digit)


def test_an_unknown_style_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="choose one of ru_private"):
        render_plate("A123BC77", "martian")


def test_a_character_outside_the_alphabet_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="not 'Ж'"):
        render_plate("Ж123BC77")


def test_dejavu_is_there_without_any_cache() -> None:
    assert dejavu() in training_fonts(None)
    assert glyph(dejavu(), "8").mask.max() == 255


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, hardness=st.floats(0, 1))
def test_crops_are_what_the_recogniser_takes_and_repeat_by_seed(seed: int, hardness: float) -> None:
    one, two = (
        Studio(np.random.default_rng(seed), training_fonts(None), pool=2, hardness=hardness).crop() for _ in range(2)
    )
    assert one.image.shape == INPUT_SIZE
    assert one.image.dtype == np.uint8
    assert set(one.text) <= set(ALPHABET)
    assert len(one.rows) <= 2
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.corners, two.corners)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_the_corners_of_a_crop_go_clockwise_from_the_top_left(seed: int) -> None:
    studio = Studio(np.random.default_rng(seed), training_fonts(None), pool=2, no_plate=0)
    corners = studio.crop().corners.astype(float)
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    area = ((x0 * y1 - x1 * y0) + (x1 * y2 - x2 * y1) + (x2 * y3 - x3 * y2) + (x3 * y0 - x0 * y3)) / 2
    assert area > 0
    assert x0 < x1
    assert y0 < y3
    assert corners.min() > -0.2
    assert corners.max() < 1.2


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_a_crop_without_a_plate_has_nothing_to_read(seed: int) -> None:
    crop = Studio(np.random.default_rng(seed), training_fonts(None), no_plate=1).crop()
    assert crop.image.shape == INPUT_SIZE
    assert crop.rows == ()


@pytest.mark.parametrize(("share", "rows"), [(0.0, {1}), (1.0, {2})])
def test_as_many_plates_have_two_rows_as_are_asked_for(share: float, rows: set[int]) -> None:
    studio = Studio(np.random.default_rng(5), training_fonts(None), pool=8, no_plate=0, two_rows=share)

    assert {len(studio.crop().rows) for _ in range(40)} == rows


@pytest.mark.parametrize(("share", "kinds"), [(0.0, {1}), (1.0, {2})])
def test_plates_that_begin_in_two_rows_are_drawn_where_they_are_asked_for(share: float, kinds: set[int]) -> None:
    studio = Studio(np.random.default_rng(6), training_fonts(None), pool=8, no_plate=0, styles=["de"], stacked=share)

    assert {len(studio.crop().rows) for _ in range(40)} == kinds
    assert not set(STACKED) & set(USUAL)


def test_a_plate_that_begins_in_two_rows_is_read_with_all_but_the_upper_small_characters_in_the_lower_row() -> None:
    assert render_plate("KA-09/MA 2662", "in_stacked", 3).rows == ("KA09", "MA2662")
    one, other = (render_plate(text, "in_stacked", 3, wobble=0).image for text in ("KA09/MA 2662", "KA09/KB 2662"))
    rows, columns = (one != other).any(axis=2).nonzero()
    assert rows.min() > 0.45 * one.shape[0]
    assert columns.max() < 0.5 * one.shape[1]


def test_pictures_in_low_light_are_darker_than_any_ink_on_them_would_make_them() -> None:
    dark, other = (
        [
            Studio(np.random.default_rng(seed), training_fonts(None), pool=2, no_plate=0, dark=share)
            .crop()
            .image.mean()
            for seed in range(12)
        ]
        for share in (1.0, 0.0)
    )

    assert max(dark) < 100
    assert np.median(other) > np.median(dark)
