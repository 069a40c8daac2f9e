"""The tracker follows plates: cases that cameras show, and properties that always hold."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.core.tracker import TrackBox, Tracker, TrackerOptions

W, H = 100.0, 22.0


def box(x: float, y: float = 300.0, w: float = W, score: float = 0.9) -> TrackBox:
    """A plate whose centre is at (x, y)."""
    h = w * H / W
    return TrackBox(x - w / 2, y - h / 2, w, h, score)


def numbers(frames: list[tuple[int, list[TrackBox]]], options: TrackerOptions | None = None) -> list[list[int | None]]:
    tracker = Tracker(options)
    return [tracker.update(time_ms, boxes) for time_ms, boxes in frames]


def test_a_plate_keeps_its_number_at_4_fps_where_its_boxes_never_overlap() -> None:
    frames = [(k * 250, [box(100 + 250 * k)]) for k in range(6)]

    assert numbers(frames) == [[0]] * 6


def test_two_plates_side_by_side_at_4_fps_keep_their_identity() -> None:
    frames = [(k * 250, [box(200 + 120 * k), box(500 + 120 * k)]) for k in range(8)]

    assert numbers(frames) == [[0, 1]] * 8


def test_two_lanes_of_opposite_direction_that_pass_each_other_keep_their_numbers() -> None:
    frames = [(k * 250, [box(200 + 100 * k, 300), box(1200 - 100 * k, 380)]) for k in range(10)]

    assert numbers(frames) == [[0, 1]] * 10


def test_plates_that_cross_on_one_line_keep_their_course() -> None:
    frames = [(k * 66, [box(200 + 40 * k, 300), box(1230 - 40 * k, 310)]) for k in range(26)]

    assert numbers(frames) == [[0, 1]] * 26


def test_an_approaching_plate_grows_and_stays_one() -> None:
    frames = [(k * 250, [box(640 + 30 * k, 200 + 60 * k, w=50 * 1.3**k)]) for k in range(8)]

    assert numbers(frames) == [[0]] * 8


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    seen = [(0, [box(100)]), (250, [box(150)]), (500, [box(200)])]

    assert numbers([*seen, (1500, [box(400)])])[-1] == [0]
    assert numbers([*seen, (2500, [box(600)])])[-1] == [1]


def test_the_gap_is_time_and_not_a_number_of_frames() -> None:
    empty: list[tuple[int, list[TrackBox]]] = [(k * 20, []) for k in range(1, 50)]

    assert numbers([(0, [box(100)]), *empty, (1000, [box(110)])])[-1] == [0]


def test_a_plate_that_left_does_not_hand_its_number_to_a_newcomer_at_the_other_side() -> None:
    frames = [(0, [box(100), box(500)]), (250, [box(100), box(500)]), (500, [box(500), box(900)])]

    assert numbers(frames)[-1] == [1, 2]


def test_a_newcomer_does_not_shift_the_numbers_of_a_standing_queue() -> None:
    frames = [(0, [box(400), box(800)]), (250, [box(50), box(400)])]

    assert numbers(frames) == [[0, 1], [2, 0]]


def test_a_doubtful_box_continues_a_track_but_starts_none() -> None:
    frames = [(0, [box(100)]), (66, [box(110, score=0.2), box(900, score=0.2)])]

    assert numbers(frames) == [[0], [0, None]]


def test_a_sure_box_is_matched_before_a_doubtful_one() -> None:
    frames = [(0, [box(100)]), (66, [box(101, score=0.2), box(112, score=0.9)])]

    assert numbers(frames)[-1] == [None, 0]


def test_a_plate_of_another_size_is_another_plate() -> None:
    assert numbers([(0, [box(100)]), (66, [box(100, w=300)])])[-1] == [1]


def test_boxes_of_another_label_never_continue_a_track() -> None:
    other = TrackBox(50, 289, 100, 22, 0.9, "bus-number")

    assert numbers([(0, [box(100)]), (66, [other])])[-1] == [1]


def test_frames_out_of_order_are_an_error_that_names_the_times() -> None:
    tracker = Tracker()
    tracker.update(100, [])

    with pytest.raises(ValueError, match="100 ms after 100 ms"):
        tracker.update(100, [])


def test_trackers_share_nothing() -> None:
    assert numbers([(0, [box(100)])]) == numbers([(0, [box(100)])]) == [[0]]


places = st.tuples(st.integers(0, 1200), st.integers(0, 700), st.integers(40, 160), st.sampled_from([0.2, 0.5, 0.9]))
clips = st.lists(st.tuples(st.integers(1, 900), st.lists(places, max_size=5, unique=True)), min_size=1, max_size=8)


@given(clips, st.randoms(use_true_random=False))
def test_the_order_of_the_boxes_in_a_frame_does_not_matter(
    clip: list[tuple[int, list[tuple[int, int, int, float]]]], rng: random.Random
) -> None:
    straight, shuffled, now = Tracker(), Tracker(), 0
    for gap, found in clip:
        now += gap
        boxes = [box(x, y, w, score) for x, y, w, score in found]
        mixed = rng.sample(boxes, len(boxes))
        of_box = dict(zip(boxes, straight.update(now, boxes), strict=True))

        assert of_box == dict(zip(mixed, shuffled.update(now, mixed), strict=True))


@given(clips)
def test_a_track_has_one_box_in_a_frame_and_numbers_count_up_without_holes(
    clip: list[tuple[int, list[tuple[int, int, int, float]]]],
) -> None:
    tracker, now, seen = Tracker(), 0, set[int]()
    for gap, found in clip:
        now += gap
        given_ = tracker.update(now, [box(x, y, w, score) for x, y, w, score in found])
        real = [number for number in given_ if number is not None]

        assert len(real) == len(set(real))
        seen |= set(real)
    assert seen == set(range(len(seen)))


@given(st.integers(60, 260), st.floats(-3, 3), st.floats(-1, 1), st.integers(3, 12), st.floats(1.6, 6.0))
def test_two_parallel_plates_keep_their_identity_at_any_frame_rate(
    step_ms: int, vx: float, vy: float, frames: int, apart: float
) -> None:
    """Plates ``apart`` widths from each other that move, per frame, by less than half of that, and within reach."""
    reach = TrackerOptions().reach + TrackerOptions().first_reach_per_s * step_ms / 1000
    limit = min(apart / 2.2, 0.95 * reach) * W / step_ms
    vx, vy = max(-limit, min(limit, vx)), max(-limit / 4, min(limit / 4, vy))
    clip = []
    for time_ms in range(0, frames * step_ms, step_ms):
        x, y = 2000 + vx * time_ms, 900 + vy * time_ms
        clip.append((time_ms, [box(x, y), box(x + apart * W, y)]))

    assert numbers(clip) == [[0, 1]] * frames


def test_a_vehicle_that_left_does_not_go_on_as_a_doubtful_box_far_away() -> None:
    driven = [(k * 125, [box(600 - 50 * k, 300 + 60 * k, w=80 + 8 * k)]) for k in range(6)]
    house = (6 * 125 + 625, [box(370, 60, w=250, score=0.25)])

    assert numbers([*driven, house])[-1] == [None]
