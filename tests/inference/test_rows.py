"""Rows of two-row plates, read once more: how they are cut out, when, and what both looks make together."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.inference.models import recogniser as recognisers
from services.inference.models.openvino_network import available
from services.inference.models.recogniser import (
    ALPHABET,
    COLUMNS,
    INPUT_SIZE,
    Answer,
    Image,
    OnnxRecogniser,
    OpenVinoRecogniser,
    read_all,
)
from services.inference.models.rows import row_pictures, together, unsure
from services.inference.training.crops import Crop, Studio
from services.inference.training.fonts import dejavu
from services.inference.training.styles import TWO_ROWS

WHOLE = np.array(((0, 0), (1, 0), (1, 1), (0, 1)), np.float32)
CROP = np.zeros((40, 60, 3), np.uint8)


def row(*characters: tuple[str, float]) -> NDArray[np.float32]:
    """(characters, letters): a distribution for each (character, probability), the rest spread evenly."""
    found = np.zeros((len(characters), len(ALPHABET)), np.float32)
    for distribution, (character, sure) in zip(found, characters, strict=True):
        distribution[:] = (1 - sure) / len(ALPHABET)
        distribution[ALPHABET.index(character)] = sure
    return found


def text(found: NDArray[np.float32]) -> str:
    return "".join(ALPHABET[int(index)] for index in found.argmax(axis=1))


def answer(upper: str, lower: str, sure: float) -> Answer:
    """What the network says of a plate that fills its crop."""
    probabilities = np.zeros((2, COLUMNS, 1 + len(ALPHABET)), np.float32)
    probabilities[:, :, 0] = 1
    for columns, characters in zip(probabilities, (upper, lower), strict=True):
        for place, character in enumerate(characters):
            columns[2 * place + 1] = (1 - sure) / 36
            columns[2 * place + 1, ALPHABET.index(character) + 1] = sure
    return probabilities, WHOLE, 1.0


class Network:
    """Says of each picture what it was given, in order, and counts how many it was asked about at each call."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), list[int]()

    def run(self, pictures: Sequence[Image]) -> list[Answer]:
        assert all(picture.shape == INPUT_SIZE for picture in pictures)
        self.asked.append(len(pictures))
        return [self.answers.pop(0) for _ in pictures]


def test_each_row_is_cut_out_straight_between_the_corners_of_a_plate_that_stands_askew() -> None:
    corners = np.array(((0.2, 0.2), (0.8, 0.3), (0.8, 0.9), (0.2, 0.8)), np.float32)
    plate = np.full((100, 200), 255, np.uint8)
    plate[55:] = 100
    target = corners * np.float32(100)
    matrix = cv2.getPerspectiveTransform(np.array([[0, 0], [200, 0], [200, 100], [0, 100]], np.float32), target)
    picture = np.asarray(cv2.warpPerspective(plate, matrix, (100, 100)), np.uint8)

    upper, lower = row_pictures(picture, corners)

    middle = slice(35, 65)  # of the width: within the plate
    assert upper.shape == lower.shape == picture.shape
    assert bool((upper[30:80, middle] > 240).all())
    assert bool((lower[30:80, middle] < 110).all())


def test_corners_that_are_no_corners_make_a_picture_none_the_less() -> None:
    for corners in (np.zeros((4, 2), np.float32), WHOLE * 1e6, WHOLE[::-1].copy()):
        assert [one.shape for one in row_pictures(np.zeros(INPUT_SIZE, np.uint8), corners)] == [INPUT_SIZE] * 2


def test_only_plates_of_two_rows_that_were_not_surely_read_are_unsure() -> None:
    poor, sure, nothing = row(("A", 0.6), ("B", 0.9)), row(("1", 0.99)), row()
    assert unsure([poor, sure])
    assert not unsure([sure, sure])
    assert not unsure([poor, nothing])
    assert not unsure([nothing, nothing])


def test_a_surer_look_at_a_row_settles_what_the_first_left_open() -> None:
    assert text(together(row(("A", 0.9), ("8", 0.41)), row(("A", 0.9), ("B", 0.99)), ALPHABET)) == "AB"
    assert text(together(row(("A", 0.9), ("8", 0.97)), row(("A", 0.9), ("B", 0.6)), ALPHABET)) == "A8"


def test_two_looks_that_agree_are_hardly_surer_than_one() -> None:
    once = row(("A", 0.7), ("B", 0.7))
    both = together(once, once, ALPHABET)
    assert both.max(axis=1) == pytest.approx([0.7, 0.7], abs=0.01)


def test_a_look_that_sees_nothing_changes_nothing() -> None:
    once = row(("A", 0.7), ("1", 0.8))
    assert text(together(once, row(), ALPHABET)) == "A1"


def test_the_rows_of_an_unsure_plate_are_read_again_in_one_call_and_no_others() -> None:
    network = Network(
        answer("A1", "", 0.5),  # one row: never
        answer("A1", "B8", 0.6),
        answer("C2", "D3", 0.999),  # sure: no more
        answer("A1", "", 0.99),
        answer("BB", "", 0.99),
    )

    readings = read_all([CROP] * 3, network.run)

    assert network.asked == [3, 2]
    assert [(one.text, one.rows) for one in readings] == [("A1", 1), ("A1BB", 2), ("C2D3", 2)]
    assert all(one.corners is WHOLE and one.plate == 1.0 for one in readings)


def two_row_crops(count: int) -> list[Crop]:
    studio = Studio(np.random.default_rng(10), [dejavu()], hardness=0.6, styles=TWO_ROWS, no_plate=0.0)
    return [studio.crop() for _ in range(count)]


def test_more_plates_of_two_rows_are_read_than_by_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    crops, recogniser = two_row_crops(300), OnnxRecogniser(threads=1)

    def right() -> int:
        readings = recogniser.read([crop.image for crop in crops])
        return sum(one.text == crop.text for one, crop in zip(readings, crops, strict=True))

    twice = right()
    monkeypatch.setattr(recognisers, "unsure", lambda rows: False)
    assert twice > right()


@pytest.mark.skipif(not available(), reason="openvino is not installed")
def test_both_run_times_read_rows_again() -> None:
    pictures = [crop.image for crop in two_row_crops(20)]
    ours, theirs = OnnxRecogniser(threads=1).read(pictures), OpenVinoRecogniser(threads=1).read(pictures)
    assert sum(one.text == other.text for one, other in zip(ours, theirs, strict=True)) >= 18
