"""Corners that were read in some frames stand for the others of their track."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.messages import Box, Observation, Quad
from services.inference.core.corners import corners_of

QUAD: Quad = ((12.0, 21.0), (48.0, 22.0), (47.0, 38.0), (11.0, 37.0))


def seen(time_ms: int, box: Box, quad: Quad | None = None) -> Observation:
    return Observation(time_ms, time_ms // 40, box, 0.9, quad=quad)


def test_corners_that_were_read_stay_as_they_are() -> None:
    assert corners_of([seen(0, (10, 20, 40, 20), QUAD)]) == [QUAD]


def test_a_track_that_was_never_read_has_none() -> None:
    assert corners_of([seen(0, (10, 20, 40, 20)), seen(40, (11, 20, 40, 20))]) == [None, None]
    assert corners_of([]) == []


def test_in_between_they_move_and_grow_with_the_box() -> None:
    read, later = seen(0, (10, 20, 40, 20), QUAD), seen(40, (110, 220, 80, 40))
    moved = corners_of([read, later])[1]
    assert moved == ((114.0, 222.0), (186.0, 224.0), (184.0, 256.0), (112.0, 254.0))


def test_the_nearest_reading_counts_and_of_two_the_earlier() -> None:
    flat: Quad = ((10.0, 20.0), (50.0, 20.0), (50.0, 40.0), (10.0, 40.0))
    box: Box = (10, 20, 40, 20)
    track = [seen(0, box, QUAD), seen(40, box), seen(80, box), seen(120, box), seen(160, box, flat)]
    assert corners_of(track) == [QUAD, QUAD, QUAD, flat, flat]


@given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 900), st.integers(5, 200), st.booleans()), max_size=30))
def test_whatever_is_read_each_corner_lies_in_its_box_as_it_did_in_the_read_one(
    frames: list[tuple[int, int, int, bool]],
) -> None:
    track = []
    for time_ms, x, w, read in sorted(frames):
        box: Box = (x, x / 2, w, w / 4)
        a, b, c, d = ((x + w * u, x / 2 + w / 4 * v) for u, v in ((0.1, 0.1), (0.9, 0.2), (0.8, 0.9), (0.05, 0.8)))
        track.append(seen(time_ms, box, (a, b, c, d) if read else None))
    for one, quad in zip(track, corners_of(track), strict=True):
        assert (quad is None) == (not any(other.quad for other in track))
        for across, down in quad or ():
            left, top, wide, high = one.box
            assert left <= across + 0.01 <= left + wide + 0.02 and top <= down + 0.01 <= top + high + 0.02
