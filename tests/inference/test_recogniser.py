"""The recogniser: CTC decoding on hand-made columns, preprocessing, the committed weights, clear refusals."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference.models.recogniser import (
    ALPHABET,
    INPUT_SIZE,
    WEIGHTS,
    OnnxRecogniser,
    WrongWeights,
    crop_plate,
    decode,
    preprocess,
)
from services.inference.training.crops import Studio
from services.inference.training.fonts import dejavu
from services.inference.training.plates import plate_text, render_plate
from services.inference.training.styles import TWO_ROWS, USUAL


def columns(*marks: tuple[str, float]) -> NDArray[np.float32]:
    """One row of a plate, (1, columns, 37): a CTC column per (character, probability), "_" being the blank; the rest
    is spread evenly."""
    rows = np.empty((len(marks), 1 + len(ALPHABET)), np.float32)
    for row, (mark, sure) in zip(rows, marks, strict=True):
        row[:] = (1 - sure) / len(ALPHABET)
        row[0 if mark == "_" else ALPHABET.index(mark) + 1] = sure
    return rows[None]


def test_a_character_held_over_columns_is_one_character() -> None:
    assert decode(columns(("A", 0.9), ("A", 0.9), ("1", 0.9), ("1", 0.9), ("1", 0.9))).text == "A1"


def test_a_blank_between_equal_characters_makes_them_two() -> None:
    assert decode(columns(("7", 0.9), ("_", 0.9), ("7", 0.9), ("7", 0.9), ("_", 0.8), ("7", 0.9))).text == "777"


def test_blanks_alone_are_no_text() -> None:
    reading = decode(columns(("_", 0.9), ("_", 0.9)))
    assert reading.text == ""
    assert reading.confidences == ()
    assert reading.probabilities.shape == (0, len(ALPHABET))


def test_the_rows_of_a_plate_are_read_from_above() -> None:
    upper, lower = columns(("A", 0.9), ("_", 0.9)), columns(("1", 0.8), ("2", 0.7))
    reading = decode(np.concatenate((upper, lower)))
    assert (reading.text, reading.rows, reading.confidences) == ("A12", 2, (0.9, 0.8, 0.7))
    assert decode(np.concatenate((upper, columns(("_", 0.9), ("_", 0.9))))).rows == 1


def test_a_character_counts_where_it_is_surest() -> None:
    reading = decode(columns(("_", 0.9), ("B", 0.6), ("B", 0.95), ("B", 0.7), ("8", 0.5)))
    assert reading.text == "B8"
    assert reading.confidences == (0.95, 0.5)


def test_confidences_are_rounded_to_four_digits() -> None:
    assert decode(columns(("K", 0.123456789))).confidences == (0.1235,)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_decoded_distributions_leave_room_for_the_blank(seed: int, count: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet([0.2] * 37, (2, count)).astype(np.float32)
    reading = decode(probabilities)
    assert reading.probabilities.shape == (len(reading.text), len(ALPHABET))
    assert bool((reading.probabilities.sum(axis=1) <= 1 + 1e-5).all())
    chosen = [ALPHABET[int(index)] for index in reading.probabilities.argmax(axis=1)]
    assert chosen == list(reading.text)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 300), st.booleans())
def test_any_crop_becomes_one_grey_picture_of_the_input_size(rows: int, wide: int, colour: bool) -> None:
    crop = np.full((rows, wide, 3) if colour else (rows, wide), 77, np.uint8)
    picture = preprocess(crop)
    assert picture.shape == INPUT_SIZE
    assert picture.dtype == np.uint8
    assert bool((picture == 77).all())


def test_an_empty_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="empty crop"):
        preprocess(np.empty((0, 10, 3), np.uint8))


def test_a_crop_grows_by_the_margin_and_stops_at_the_frame() -> None:
    frame = np.zeros((100, 200, 3), np.uint8)
    assert crop_plate(frame, (50, 40, 100, 20), margin=0.1).shape == (24, 120, 3)
    assert crop_plate(frame, (-5, -5, 50, 20), margin=0.0).shape == (15, 45, 3)
    with pytest.raises(ValueError, match="outside the frame"):
        crop_plate(frame, (300, 40, 50, 20))


@pytest.fixture(scope="module")
def recogniser() -> OnnxRecogniser:
    return OnnxRecogniser(threads=1)


def test_clean_russian_plates_in_dejavu_are_read_exactly(recogniser: OnnxRecogniser) -> None:
    rng = np.random.default_rng(42)
    texts = [plate_text("ru_private", rng) for _ in range(40)]
    plates = [render_plate(text, seed=rng, face=dejavu(mono=bool(i % 2))) for i, text in enumerate(texts)]
    assert [reading.text for reading in recogniser.read([plate.image for plate in plates])] == texts


def test_clean_plates_of_every_style_of_one_row_are_read_nearly_all(recogniser: OnnxRecogniser) -> None:
    rng = np.random.default_rng(7)
    one_row = [style for style in USUAL if style not in TWO_ROWS]
    plates = [render_plate(plate_text(style, rng), style, rng) for style in one_row for _ in range(10)]
    readings = recogniser.read([plate.image for plate in plates])
    right = sum(reading.text == plate.text for reading, plate in zip(readings, plates, strict=True))
    assert right >= 0.9 * len(plates)


def test_clean_plates_of_two_rows_are_read_from_above(recogniser: OnnxRecogniser) -> None:
    rng = np.random.default_rng(8)
    plates = [render_plate(f"{rng.integers(100, 999)}/KL{rng.integers(10, 99)}", "eu_square", rng) for _ in range(30)]
    readings = recogniser.read([plate.image for plate in plates])
    right = sum(one.text == plate.text and one.rows == 2 for one, plate in zip(readings, plates, strict=True))
    assert right >= 0.8 * len(plates)


def test_badges_signs_and_bare_metal_are_no_plates(recogniser: OnnxRecogniser) -> None:
    studio = Studio(np.random.default_rng(9), [dejavu()], no_plate=1.0)
    readings = recogniser.read([studio.crop().image for _ in range(100)])
    assert sum(one.plate > 0.5 for one in readings) <= 10
    plates = [render_plate(plate_text("ru_private", studio.rng), seed=studio.rng).image for _ in range(30)]
    assert min(one.plate for one in recogniser.read(plates)) > 0.5


def test_the_batch_does_not_change_what_is_read(recogniser: OnnxRecogniser) -> None:
    crops = [render_plate(f"A{i}23BC77", seed=i, height=30 + 9 * i).image for i in range(7)]
    together = recogniser.read(crops)
    alone = [OnnxRecogniser(threads=1, batch=2).read([crop])[0] for crop in crops]
    assert [reading.text for reading in together] == [reading.text for reading in alone]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)


def test_no_crops_are_no_readings(recogniser: OnnxRecogniser) -> None:
    assert recogniser.read([]) == []


def test_weights_that_are_not_the_cards_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "recogniser.onnx"
    weights.write_bytes(WEIGHTS.read_bytes()[:-1] + b"\0")
    weights.with_suffix(".json").write_text(WEIGHTS.with_suffix(".json").read_text())
    with pytest.raises(WrongWeights, match="restore both from the same commit"):
        OnnxRecogniser(weights)


def test_missing_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(WrongWeights, match="restore it from the repository, or train it"):
        OnnxRecogniser(tmp_path / "recogniser.onnx")


@pytest.mark.parametrize(
    ("key", "ours", "theirs"), [("alphabet", ALPHABET, ALPHABET[::-1]), ("input_size", "64x192", "32x128")]
)
def test_weights_for_another_alphabet_or_size_are_refused(tmp_path: Path, key: str, ours: str, theirs: str) -> None:
    content = WEIGHTS.read_bytes()
    assert content.count(ours.encode()) == 1
    weights = tmp_path / "recogniser.onnx"
    weights.write_bytes(content.replace(ours.encode(), theirs.encode()))
    card = {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    weights.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(WrongWeights, match=f"was made for {key} '{theirs}'"):
        OnnxRecogniser(weights)


def test_real_russian_plates_are_read(recogniser: OnnxRecogniser, shared_data: Path) -> None:
    """The floor of the first models: 0.80 exact; the crops are only measured with, never trained on."""
    folder = shared_data / "plates" / "ocr"
    with (folder / "labels.csv").open(newline="") as lines:
        rows: Sequence[dict[str, str]] = list(csv.DictReader(lines))
    crops = [np.asarray(cv2.imread(str(folder / row["file"])), np.uint8) for row in rows]
    readings = recogniser.read(crops)
    right = sum(reading.text == row["text"] for reading, row in zip(readings, rows, strict=True))
    assert right >= 0.80 * len(rows)
