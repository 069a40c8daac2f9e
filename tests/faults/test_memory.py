"""What `make memory` says of a curve and of an order."""

from __future__ import annotations

from tests.faults.memory import Curve, Part, Sample, camera_of, out_of_order


def curve(own: float, per_record: float, end: int = 1_200, warm_up: int = 200) -> Curve:
    """It takes half again as much at once, and then a little for each record."""
    found = Curve("made up", warm_up, end)
    found.samples = [Sample(n, own + 0.5 * own * (n > 50) + per_record * n, 10e6) for n in range(0, end + 1, 10)]
    return found


def test_growth_is_told_from_after_the_warm_up() -> None:
    assert curve(90e6, 0.0).growth_percent() == 0.0
    growing = curve(90e6, 1_450.0)  # bytes for each record: 1 % of 145 MB in 1,000, of which 900 lie between the tenths
    assert 0.85 < growing.growth_percent() < 0.95


def test_a_chart_has_a_bar_for_each_twentieth_and_marks_the_warm_up() -> None:
    lines = curve(90e6, 0.0).chart().splitlines()
    assert len(lines) == 21
    assert [line.endswith("warm-up") for line in lines[1:]] == [True] * 3 + [False] * 17


def test_order_is_that_of_each_camera_alone() -> None:
    keys = [f"yard/{n}_3-414_gate{n % 2}_1-2-3-4_57_20452.mp4" for n in range(6)]
    assert out_of_order(keys, keys, camera_of) == 0
    assert out_of_order([keys[1], keys[0], *keys[2:]], keys, camera_of) == 0
    assert out_of_order([keys[2], keys[0], *keys[3:]], keys, camera_of) == 1


def test_a_part_is_clean_only_if_flat_whole_and_in_order() -> None:
    assert Part(1_000, 0.99, 4, 0, 0).clean
    assert Part(10_000, 9.9, 64, 0, 0).clean
    assert not any(
        part.clean for part in (Part(1_000, 1.0, 4, 0, 0), Part(1_000, 0.0, 4, 1, 0), Part(1_000, 0.0, 4, 0, 1))
    )
