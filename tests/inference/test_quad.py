"""The corners that the recogniser finds in a crop become the quad of the observation, in pixels of the frame."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.inference.core.spread import Spread
from services.inference.core.vote import VoteOptions
from services.inference.follow import MOST_MARGIN, Followed, Picture
from services.inference.models.detector import Detection
from services.inference.models.recogniser import ALPHABET, CharacterReading, crop_place


@given(st.floats(0, 580), st.floats(0, 440), st.floats(8, 300), st.floats(6, 90), st.floats(0, MOST_MARGIN))
def test_corners_at_the_crops_corners_are_the_place_of_the_crop_in_the_frame(
    x: float, y: float, wide: float, high: float, margin: float
) -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    track = Followed(0, "plate", Spread[Picture](4), margin)
    track.see(1000, 0, Detection(x, y, wide, high, 0.9), frame)
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    picture = track.pictures.kept()[0].item
    track.read([(picture, _read("K47MX", whole))], VoteOptions(), _no_reader)
    quad = track.observations[0].quad
    left, top, right, bottom = crop_place(frame, (x, y, wide, high), margin)
    assert quad is not None
    assert np.abs(np.array(quad) - [[left, top], [right, top], [right, bottom], [left, bottom]]).max() <= 1.01


def test_an_engine_without_corners_leaves_no_quad() -> None:
    track = Followed(0, "plate", Spread[Picture](4))
    track.see(1000, 0, Detection(20, 20, 60, 20, 0.9), np.zeros((80, 120, 3), np.uint8))
    track.read([(track.pictures.kept()[0].item, _read("K47MX", None))], VoteOptions(), _no_reader)
    assert track.observations[0].quad is None


def test_what_is_no_plate_has_no_vote() -> None:
    street = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    track = Followed(0, "plate", Spread[Picture](4))
    for frame in range(3):
        track.see(1000 * frame, frame, Detection(20, 20, 60, 20, 0.9), street)
    plate, badge = _read("K47MX", None), replace(_read("SWIFT", None), plate=0.1)
    shown = [kept.item for kept in track.pictures.kept()]
    track.read([(shown[0], plate), *((one, badge) for one in shown[1:])], VoteOptions(), _no_reader)
    assert track.reading.text == "K47MX"
    sign = Followed(1, "plate", Spread[Picture](4))
    sign.see(0, 0, Detection(20, 20, 60, 20, 0.9), street)
    sign.read([(sign.pictures.kept()[0].item, badge)], VoteOptions(), _no_reader)
    assert sign.reading.text == ""


def _read(text: str, corners: np.ndarray | None) -> CharacterReading:
    rows = np.zeros((len(text), len(ALPHABET)), np.float32)
    for row, char in zip(rows, text, strict=True):
        row[ALPHABET.index(char)] = 0.9
    return CharacterReading(text, rows, corners=corners)


def _no_reader(picture: np.ndarray) -> CharacterReading:
    raise AssertionError("so few pictures are not fused")
