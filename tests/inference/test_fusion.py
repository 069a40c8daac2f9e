"""Several noisy pictures of one plate make one clearer picture; an unsure vote asks for it, a sure one does not."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference.core.fusion import MOST, Sight, fuse
from services.inference.core.vote import Read, VoteOptions
from services.inference.follow import settle
from services.inference.models.recogniser import ALPHABET, INPUT_SIZE, CharacterReading, OnnxRecogniser
from services.inference.training.plates import render_plate

SIZE = INPUT_SIZE
Image = NDArray[np.uint8]
seeds = st.integers(0, 10_000)


def clean(text: str = "A123BC77") -> Sight:
    """A plate seen at an angle before something grey."""
    plate = cv2.cvtColor(render_plate(text, height=48).image, cv2.COLOR_BGR2GRAY)
    high, wide = plate.shape
    corners = np.array([(0.08, 0.1), (0.95, 0.14), (0.92, 0.93), (0.05, 0.86)], np.float32)
    whole = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], np.float32)
    onto = cv2.getPerspectiveTransform(whole, corners * np.array(SIZE[::-1], np.float32))
    image = cv2.warpPerspective(plate, onto, SIZE[::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=(90,))
    return Sight(np.asarray(image, np.uint8), corners, 1.0)


def noisy(seed: int, count: int, noise: float = 8, off: float = 0.0, text: str = "A123BC77") -> list[Sight]:
    """Dark copies of it; the corners are wrong by ``off`` of the picture's size."""
    rng, plate = np.random.default_rng(seed), clean(text)
    dark = plate.image.astype(np.float32) * 0.15 + 8
    return [
        Sight(
            np.clip(dark + rng.normal(0, noise, SIZE), 0, 255).astype(np.uint8),
            (plate.corners + rng.normal(0, off, (4, 2))).astype(np.float32),
            float(rng.uniform(0.2, 1)),
        )
        for _ in range(count)
    ]


def away(picture: Image, other: Image) -> float:
    return float(np.abs(picture.astype(float) - other)[8:-8, 16:-16].mean())


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(3, MOST))
def test_the_fused_picture_is_nearer_to_the_clean_plate_than_any_picture_of_it(seed: int, count: int) -> None:
    sights, truth = noisy(seed, count), fuse([clean()], SIZE)
    assert away(fuse(sights, SIZE), truth) < min(away(fuse([one], SIZE), truth) for one in sights)


@settings(max_examples=20, deadline=None)
@given(seeds, st.randoms())
def test_the_order_of_the_pictures_does_not_matter(seed: int, random: Random) -> None:
    sights = noisy(seed, MOST + 2, off=0.01)
    mixed = list(sights)
    random.shuffle(mixed)
    assert np.array_equal(fuse(sights, SIZE), fuse(mixed, SIZE))


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, MOST))
def test_copies_of_one_picture_give_what_it_alone_gives(seed: int, copies: int) -> None:
    (sight,) = noisy(seed, 1, noise=2)
    fused, single = fuse([sight] * copies, SIZE), fuse([sight], SIZE)
    assert np.abs(fused.astype(int) - single).max() <= 2


def test_a_picture_keeps_its_plate_straightened_at_a_common_brightness() -> None:
    dim = clean()
    dim = Sight((dim.image * 0.3).astype(np.uint8), dim.corners, 0.1)
    assert away(fuse([dim], SIZE), fuse([clean()], SIZE)) < 2


def test_corners_that_are_a_little_wrong_are_mended() -> None:
    sights, truth = noisy(1, MOST, noise=3, off=0.02), fuse([clean()], SIZE)
    unmended = np.mean([fuse([one], SIZE).astype(float) for one in sights], axis=0)
    assert away(fuse(sights, SIZE), truth) < 0.8 * float(np.abs(unmended - truth)[8:-8, 16:-16].mean())


def test_pictures_with_nothing_in_common_or_without_contrast_are_fused_all_the_same() -> None:
    corners, rng = clean().corners, np.random.default_rng(3)
    flat = Sight(np.full(SIZE, 40, np.uint8), corners, 1.0)
    wild = [Sight(rng.integers(0, 256, SIZE, np.uint8), corners, 1.0) for _ in range(3)]
    assert fuse([flat, flat, flat], SIZE).shape == fuse([flat, *wild], SIZE).shape == SIZE


@pytest.fixture(scope="module")
def recogniser() -> OnnxRecogniser:
    return OnnxRecogniser(threads=1)


def seen_as(third: str, confidence: float, corners: NDArray[np.float32] | None) -> CharacterReading:
    """A123BC77 with another third figure; what that is not sure of is the right one's."""
    text = f"A12{third}BC77"
    rows = np.zeros((len(text), len(ALPHABET)), np.float32)
    for row, char, true in zip(rows, text, "A123BC77", strict=True):
        row[ALPHABET.index(true)] = 1 - confidence
        row[ALPHABET.index(char)] += confidence
    return CharacterReading(text, rows, corners=corners)


def settled(
    recogniser: OnnxRecogniser, texts: str, corners: bool = True, confidence: float = 0.55
) -> tuple[str, list[tuple[int, ...]], list[str]]:
    """The text, the shapes of the pictures that were asked for and their readings, of dark pictures of A123BC77 whose
    third figures were read as ``texts`` says."""
    asked: list[tuple[int, ...]] = []

    def reader(picture: Image) -> CharacterReading:
        asked.append(picture.shape)
        return recogniser.read([picture])[0]

    sights = noisy(5, len(texts), noise=4)
    reads = [
        seen_as(third, confidence, one.corners if corners else None) for one, third in zip(sights, texts, strict=True)
    ]
    votes = [Read(one.text, one.probabilities, 0.5) for one in reads]
    looks = [(one.image, read) for one, read in zip(sights, reads, strict=True)]
    reading, together = settle(looks, votes, VoteOptions(), reader)
    return reading.text, asked, [one.text for one in together]


def test_an_unsure_vote_reads_the_fused_picture_once_and_heeds_it(recogniser: OnnxRecogniser) -> None:
    assert settled(recogniser, "88888") == ("A123BC77", [SIZE], ["A123BC77"])


def test_a_sure_vote_few_pictures_and_such_without_corners_ask_for_no_fused_picture(recogniser: OnnxRecogniser) -> None:
    assert settled(recogniser, "88888", confidence=0.999) == ("A128BC77", [], [])
    assert settled(recogniser, "88")[1:] == ([], [])
    assert settled(recogniser, "88888", corners=False)[1:] == ([], [])
