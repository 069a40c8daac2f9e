"""The 200 ms rule."""

from __future__ import annotations

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Config, Options
from services.aggregator.core.dedup import Dedup, Published
from services.aggregator.core.readings import PlateIndex, same_plate
from services.contracts.messages import Run, Track
from tests.aggregator.build import NOON_MS, track

OPTIONS = Options()
HERE = (10.0, 10.0)


def select(dedup: Dedup, text: str, times: list[int], options: Options = OPTIONS) -> list[int]:
    chosen, _ = dedup.select(text, times, [HERE] * len(times), options)
    return [times[index] for index in chosen]


def test_what_is_nearer_than_200_ms_is_suppressed_and_at_exactly_200_ms_it_is_published() -> None:
    assert select(Dedup(), "A123BC77", [0, 199, 200, 399, 400, 401]) == [0, 200, 400]


def test_a_sighting_suppresses_before_as_well_as_after() -> None:
    dedup = Dedup()
    select(dedup, "A123BC77", [1000])

    assert select(dedup, "A123BC77", [600, 801, 999, 1001, 1199, 1200]) == [600, 1200]


def test_exactly_200_ms_before_is_published() -> None:
    dedup = Dedup()
    select(dedup, "A123BC77", [1000])

    assert select(dedup, "A123BC77", [800]) == [800]


def test_another_plate_is_not_suppressed() -> None:
    dedup = Dedup()
    select(dedup, "A123BC77", [0])

    assert select(dedup, "A124BC77", [0]) == [0]


def test_zero_switches_it_off() -> None:
    assert select(Dedup(), "A123BC77", [0, 0, 1], Options(window_ms=0)) == [0, 0, 1]


def test_an_undecided_reading_is_suppressed_by_the_plate_it_may_be() -> None:
    dedup = Dedup()
    select(dedup, "A123BC77", [0])

    assert select(dedup, "A1#3BC77", [100, 200]) == [200]
    assert select(dedup, "A123BC77", [300]) == []


def test_a_reading_between_two_plates_belongs_to_both_though_they_differ() -> None:
    dedup = Dedup()
    select(dedup, "A1#3BC77", [0])

    assert select(dedup, "A123BC77", [100]) == []
    assert select(dedup, "A133BC77", [100, 250]) == [250]
    assert select(dedup, "A123BC77", [250]) == [250]


def test_readings_are_one_plate_only_with_four_decided_characters_in_common() -> None:
    assert same_plate("A123BC", "A12###") is False
    assert same_plate("A123BC", "A123##")
    assert same_plate("A12#BC", "A1#3BC")
    assert not same_plate("A123BC", "A123BC7")
    assert not same_plate("A123BC", "A12#CC")
    assert same_plate("######", "######")


def test_the_stationary_rule_thins_a_parked_car_but_not_one_that_moves() -> None:
    options = Options(stationary_ms=5000, stationary_px=20)
    times = list(range(0, 10_000, 500))

    parked, resting = Dedup().select("A123BC77", times, [(100.0, 100.0)] * 20, options)
    moving, _ = Dedup().select("A123BC77", times, [(100.0 + 30 * i, 100.0) for i in range(20)], options)

    assert [times[i] for i in parked] == [0, 5000]
    assert resting == 18
    assert len(moving) == 20


def test_pruning_forgets_only_what_is_behind() -> None:
    dedup = Dedup()
    select(dedup, "A123BC77", [0, 1000])
    select(dedup, "B456EK77", [0])
    dedup.prune(500)

    assert dedup.snapshot() == {"A123BC77": Published([1000], [HERE])}
    assert select(dedup, "A123BC77", [0, 900, 1199]) == [0]


plates = st.sampled_from(["A123BC77", "A12#BC77", "A1#3BC77", "A133BC77", "B456EK77", "###6EK77", "########"])
deliveries = st.lists(
    st.tuples(plates, st.lists(st.integers(0, 3000), min_size=1, max_size=12).map(sorted)), min_size=1, max_size=12
)


@given(deliveries)
def test_no_two_sightings_of_a_plate_are_nearer_than_200_ms_and_each_suppressed_one_has_its_reason(
    delivered: list[tuple[str, list[int]]],
) -> None:
    dedup = Dedup()
    published: list[tuple[str, int]] = []
    for text, times in delivered:
        chosen, _ = dedup.select(text, times, [HERE] * len(times), OPTIONS)
        published += [(text, times[index]) for index in chosen]
        for time_ms in {times[i] for i in range(len(times)) if i not in chosen}:
            assert any(same_plate(text, other) and abs(time_ms - at) < 200 for other, at in published)

    for i, (text, time_ms) in enumerate(published):
        for other, at in published[:i]:
            assert not same_plate(text, other) or abs(time_ms - at) >= 200


@st.composite
def shuffled(draw: st.DrawFn) -> list[Track]:
    """Recordings of one camera within the horizon, each with some vehicles, delivered in any order, some twice."""
    log: list[Track] = []
    for number in range(draw(st.integers(1, 8))):
        start = NOON_MS + draw(st.sampled_from([0, 150, 1000, 1199, 1200, 60_000, 600_000]))
        for vehicle in range(draw(st.integers(1, 2))):
            times = sorted(start + draw(st.integers(0, 1500)) for _ in range(draw(st.integers(1, 8))))
            log.append(
                track(times, draw(plates), recording=f"rec-{number}", number=vehicle, start_ms=start, run=number)
            )
    again = [msgspec.structs.replace(one, run=Run("plateflow.clips", 0, 99)) for one in log if draw(st.booleans())]
    order: list[Track] = draw(st.permutations([*log, *again]))
    return order


@given(shuffled())
@example([track([NOON_MS + 1199], recording="b"), track([NOON_MS + 1000], recording="a", run=1)])
def test_shuffled_delivery_keeps_sightings_200_ms_apart(log: list[Track]) -> None:
    """Never two of a plate nearer than that, and each suppressed observation within it of a published one."""
    published = replay(log, Config()).plates
    runs: dict[str, Run] = {}
    for one in log:
        runs.setdefault(one.recording_id, one.run)
    observed = [(one, seen.time_ms) for one in log if one.run == runs[one.recording_id] for seen in one.observations]

    for i, sighting in enumerate(published):
        for other in published[:i]:
            assert not same_plate(sighting.plate, other.plate) or abs(sighting.time_ms - other.time_ms) >= 200
    shown = {(one.track_id, one.time_ms) for one in published}
    for one, time_ms in observed:
        assert (one.id, time_ms) in shown or any(
            same_plate(one.reading.text, near.plate) and abs(time_ms - near.time_ms) < 200 for near in published
        )


@given(deliveries, st.integers(0, 12), st.integers(0, 3000))
def test_a_snapshot_continues_exactly(delivered: list[tuple[str, list[int]]], cut: int, prune: int) -> None:
    straight, restored = Dedup(), Dedup()
    for index, (text, times) in enumerate(delivered):
        if index == cut:
            straight.prune(prune)
            restored.prune(prune)
            data = msgspec.json.encode(restored.snapshot())
            restored = Dedup(msgspec.json.decode(data, type=dict[str, Published]))

        assert select(straight, text, times) == select(restored, text, times)
    assert straight.snapshot() == restored.snapshot()


@given(st.lists(st.text("A1#", min_size=4, max_size=6), unique=True, max_size=12))
def test_the_index_finds_exactly_the_readings_that_are_the_same_plate(texts: list[str]) -> None:
    index: PlateIndex[list[str]] = PlateIndex(list)
    for text in texts:
        index.put(text, [text])

    for text in texts:
        own, alike = index.of(text)
        assert own == [text]
        assert sorted(one[0] for one in alike) == sorted(t for t in texts if t != text and same_plate(t, text))
