"""What is drawn on frames: read by eye, so the picture itself is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.background import Still
from services.cli.overlay import COLOURS, Mark, draw
from tests.support.video import Image

GREY = 120


def frame(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), GREY, np.uint8)


def inked(image: Image, track: int) -> int:
    """Pixels in the colour of a track."""
    return int((image == np.array(COLOURS[track], np.uint8)).all(axis=2).sum())


@pytest.mark.parametrize(("width", "height"), [(160, 120), (640, 360), (1920, 1080), (3840, 2160)])
def test_letters_grow_with_the_frame_and_stay_in_it(width: int, height: int) -> None:
    corner = Mark((width - 12.0, 0.0, 10.0, 6.0), "A123BC77  0", 0)
    drawn = draw(frame(width, height), [corner])

    rows, columns = np.nonzero((drawn == np.array(COLOURS[0], np.uint8)).all(axis=2))
    assert rows.max() < height and columns.max() == width - 1
    share = (columns.max() - columns.min()) / width
    assert 0.1 < share < 0.8, "as wide on 4K as on a small picture, and never cut"


def test_what_is_to_be_read_is_not_drawn_upon() -> None:
    plate = frame()
    plate[200:212, 300:340] = np.arange(40, dtype=np.uint8)[None, :, None] * 6
    trace = [(320.0, y) for y in range(20, 206)]
    drawn = draw(plate, [Mark((300.0, 200.0, 40.0, 12.0), "A123BC77", 0, trace, clear=True)])

    assert (drawn[200:212, 300:340] == plate[200:212, 300:340]).all()
    assert inked(drawn, 0) > 100


def test_labels_of_neighbours_lie_beside_each_other() -> None:
    """Three boxes whose labels would all lie above at the same place."""
    marks = [Mark((300.0 + 6 * k, 200.0 + 3 * k, 40.0, 14.0), "A123BC77  0", k) for k in range(3)]
    alone = [inked(draw(frame(), [mark]), mark.track or 0) for mark in marks]
    together = draw(frame(), marks)

    for k, one in enumerate(alone):
        assert inked(together, k) > 0.8 * one, "no label hides another one"


@given(st.lists(st.tuples(*[st.floats(-50, 700)] * 2, *[st.floats(0, 300)] * 2), max_size=6))
def test_any_boxes_can_be_drawn(boxes: list[tuple[float, float, float, float]]) -> None:
    before = frame()
    drawn = draw(before, [Mark(box, f"car {k}", k, [(box[0], box[1])] * 2) for k, box in enumerate(boxes)], "00:00.00")

    assert drawn.shape == before.shape
    assert (before == GREY).all(), "the frame itself is not touched"


def test_the_still_of_a_busy_road_is_the_road_however_long_one_looks() -> None:
    still = Still(kept=7, width=320)
    for k in range(500):
        road = frame()
        road[:, (16 * k) % 640 : (16 * k) % 640 + 60] = 250
        still.add(road)
    picture = still.picture()

    assert picture.shape == (360, 640, 3)
    assert np.abs(picture.astype(int) - GREY).max() <= 2
