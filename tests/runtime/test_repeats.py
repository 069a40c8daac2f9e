"""What is logged again and again is logged now and then, with how often."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.runtime.repeats import MOST, Repeats


def passed(moments: Sequence[tuple[float, str]], every_s: float = 30) -> list[str]:
    """What passes of messages, each at its time."""
    clock = iter([at for at, _ in moments])
    judge = Repeats(every_s, lambda: next(clock))
    records = [logging.LogRecord("kafka", logging.WARNING, "", 0, "%s", (text,), None) for _, text in moments]
    return [record.getMessage() for record in records if judge.filter(record)]


def test_a_message_that_comes_again_at_once_is_left_out_and_counted_later() -> None:
    down = [(at, f"connect failed (after {at} ms)") for at in (0, 1, 2, 29, 31)]
    assert passed(down) == ["connect failed (after 0 ms)", "connect failed (after 31 ms) (3 times more in 31 s)"]


def test_another_message_passes_at_once() -> None:
    assert passed([(0, "down"), (1, "up"), (2, "down")]) == ["down", "up"]


def test_one_broker_more_that_is_down_is_news() -> None:
    told = ["1/3 brokers are down", "3/3 brokers are down", "broker1:9092: refused", "broker2:9092: refused"]
    assert passed([(0, text) for text in told]) == told


def test_what_the_client_itself_has_counted_is_the_same_complaint() -> None:
    text = "refused (after {}ms in state CONNECT, {} identical error(s) suppressed)"
    assert passed([(0, text.format(3, 29)), (1, text.format(0, 7))]) == [text.format(3, 29)]


def test_rare_messages_all_pass_as_they_are() -> None:
    assert passed([(0, "down"), (40, "down"), (80, "down")]) == ["down"] * 3


def test_what_is_remembered_is_bounded() -> None:
    names = ["".join("abcdefghij"[int(digit)] for digit in str(number)) for number in range(3 * MOST)]
    assert passed([(0, name) for name in names]) == names


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["down 1 ms", "down 2 ms", "away"])), max_size=40))
def test_every_kind_is_heard_of_in_every_stretch_in_which_it_happens(steps: list[tuple[int, str]]) -> None:
    at, moments = 0, []
    for step, text in steps:
        at += step
        moments.append((float(at), text))
    heard = passed(moments)
    assert len(heard) <= len(moments)
    assert {text.split()[0] for text in heard} == {text.split()[0] for _, text in moments}
