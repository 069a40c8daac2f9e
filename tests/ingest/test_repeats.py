"""Repeats are suppressed, but never the announcement that carries the recording on."""

import itertools
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.repeats import Place, Repeats
from services.ingest.one_at_a_time import OneAtATime

FIRST, SECOND = Place(1000, "vault", 1, 9), Place(2000, "vault", 0, 5)


def test_a_later_announcement_of_a_handled_recording_is_a_repeat() -> None:
    repeats = Repeats(10)
    assert not repeats.is_repeat("clip", FIRST)
    repeats.remember("clip", FIRST)

    assert repeats.is_repeat("clip", SECOND)
    assert not repeats.is_repeat("another", SECOND)


def test_an_announcement_handled_again_after_an_abort_is_not_its_own_repeat() -> None:
    repeats = Repeats(10)
    repeats.remember("clip", FIRST)

    assert not repeats.is_repeat("clip", FIRST)


def test_the_earliest_announcement_is_never_a_repeat_even_when_it_comes_last() -> None:
    repeats = Repeats(10)
    repeats.remember("clip", SECOND)
    assert not repeats.is_repeat("clip", FIRST)
    repeats.remember("clip", FIRST)

    assert repeats.is_repeat("clip", SECOND)


def test_two_instances_that_swap_partitions_never_both_suppress() -> None:
    here, there = Repeats(10), Repeats(10)
    here.remember("clip", FIRST)
    there.remember("clip", SECOND)

    assert [there.is_repeat("clip", FIRST), here.is_repeat("clip", SECOND)] == [False, True]


@given(
    places=st.lists(
        st.builds(Place, st.integers(0, 3), st.just("v"), st.integers(0, 2), st.integers(0, 9)), unique=True
    ),
    capacity=st.integers(0, 3),
    others=st.lists(st.text("abc", max_size=1)),
)
def test_whatever_was_remembered_the_earliest_passes(places: list[Place], capacity: int, others: list[str]) -> None:
    repeats = Repeats(capacity)
    for place, other in itertools.zip_longest(places, others):
        if place is not None:
            repeats.remember("clip", place)
        if other is not None:
            repeats.remember("other" + other, FIRST)
    for place in places:
        assert not (place == min(places) and repeats.is_repeat("clip", place))


def test_the_memory_is_bounded_and_keeps_the_newest() -> None:
    repeats = Repeats(3)
    for number in range(10):
        repeats.remember(f"clip-{number}", FIRST)
    known = [number for number in range(10) if repeats.is_repeat(f"clip-{number}", SECOND)]

    assert known == [7, 8, 9]


def test_one_name_admits_one_thread_and_other_names_are_free() -> None:
    turns = OneAtATime()
    inside: list[str] = []
    overlaps: list[int] = []

    def visit(name: str) -> None:
        with turns(name):
            inside.append(name)
            overlaps.append(inside.count(name))
            time.sleep(0.005)
            inside.remove(name)

    threads = [threading.Thread(target=visit, args=(name,)) for name in "aabbccaabbcc"]
    with turns("elsewhere"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert overlaps == [1] * 12
    assert turns._locks == {}
