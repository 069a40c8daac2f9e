"""The same recording counts once (rule 4): announced often, late, by two Vaults, in any form, and by backfill."""

from __future__ import annotations

from dataclasses import dataclass
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator import hours
from services.aggregator.core.aggregate import replay
from services.contracts.identity import recording_id
from services.contracts.kerberos import parse_event, recording_start_ms
from services.contracts.messages import Run, Track
from services.ingest.core.backfill import announcement
from services.ingest.core.repeats import Place, Repeats
from services.simulator.vault_events import Arrival, Form, event
from tests.aggregator.build import HOUR_MS, NOON_MS, TRACKS, record, track
from tests.aggregator.test_aggregate import CONFIG
from tests.aggregator.test_crashes import check
from tests.aggregator.world import Crash, Fuse, World

SIZE = 1234
MOST = 5
"""Announcements of one recording."""


@dataclass(frozen=True)
class Announced:
    """An announcement, and the instance of ingest that gets it."""

    value: bytes
    instance: int
    partition: int


def key(hour: int) -> str:
    return f"site/{NOON_MS // 1000 + 3600 * hour}_3-414_gate_1-2-3-4_57_20452.mp4"


@st.composite
def announcements(draw: st.DrawFn) -> list[Announced]:
    """Of recordings hours apart, each 1 to 5 times, by two Vaults in three forms and by backfill, in any order."""
    found: list[Announced] = []
    for hour in draw(st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True)):
        for _ in range(draw(st.integers(1, MOST))):
            source = draw(st.sampled_from(["vault-1", "vault-2"]))
            form = draw(st.sampled_from([None, *Form]))
            value = (
                announcement(key(hour), source, draw(st.sampled_from([None, SIZE])))
                if form is None
                else event(Arrival(key(hour), source, SIZE, device=source), form, trace_id=f"{draw(st.integers(0, 9))}")
            )
            found.append(Announced(value, draw(st.integers(0, 1)), draw(st.integers(0, 1))))
    order: list[Announced] = draw(st.permutations(found))
    return order


def ingested(announced: list[Announced], remembered: int) -> list[Track]:
    """The log of tracks that comes of it: what two instances of ingest do not suppress is a run, with two tracks."""
    instances = [Repeats(remembered), Repeats(remembered)]
    log: list[Track] = []
    for number, one in enumerate(announced):
        told = parse_event(one.value)
        recording, place = recording_id(told.key.key), Place(number, "vault", one.partition, number)
        if instances[one.instance].is_repeat(recording, place):
            continue
        instances[one.instance].remember(recording, place)
        start = recording_start_ms(told)
        for vehicle, plate in enumerate(["A123BC77", "B456EK77"]):
            times = [start + 150 * i for i in range(4)]
            log.append(
                track(
                    times, plate, recording=told.key.key, number=vehicle, camera=told.camera, start_ms=start, run=number
                )
            )
    return log


def first_runs(log: list[Track]) -> list[Track]:
    runs: dict[str, Run] = {}
    return [one for one in log if runs.setdefault(one.recording_id, one.run) == one.run]


@settings(deadline=None, max_examples=60)
@given(announcements(), st.sampled_from([0, 1, 100]), st.lists(st.integers(0, 40), max_size=3))
def test_a_recording_announced_again_and_again_counts_once_exactly(
    announced: list[Announced], remembered: int, deaths: list[int]
) -> None:
    log = ingested(announced, remembered)
    world = World(log)
    for point in deaths:
        try:
            world.live(CONFIG, Fuse(point))
        except Crash:
            continue
    world.live(CONFIG)

    once = first_runs(log)
    check(world, replay(once, CONFIG))
    assert {one.recording_id for one in once} == {recording_id(parse_event(one.value).key.key) for one in announced}
    assert len(once) == 2 * len(world.ledger())


def test_a_recording_takes_one_entry_however_often_it_is_announced() -> None:
    world = World([track([NOON_MS + 1000 * n], recording=f"rec-{n}", run=n) for n in range(3)])
    world.live(CONFIG)
    before = {path: world.files.read(path) for path in world.files.paths("sightings")}
    checkpoint = len(world.files.read("checkpoints/plateflow.tracks-0.json") or b"")
    for number in range(3, 303):
        again = track([NOON_MS + 1000 * (number % 3)], recording=f"rec-{number % 3}", run=number)
        world.log.append(record(number, again))
    world.live(CONFIG)

    assert len(world.ledger()) == 3
    assert {path: world.files.read(path) for path in world.files.paths("sightings")} == before
    assert len(world.files.read("checkpoints/plateflow.tracks-0.json") or b"") <= checkpoint + len("303") - len("3")


def test_of_hours_long_past_nothing_stays_in_memory_and_their_recordings_still_count_once() -> None:
    """As in a backfill of months; here 20 hours are kept instead of 512."""
    count = 60
    world = World([track([NOON_MS + HOUR_MS * n], recording=f"rec-{n}", run=n) for n in range(count)])
    world.log += [
        record(count + n, track([NOON_MS + HOUR_MS * n], recording=f"rec-{n}", run=count + n)) for n in range(count)
    ]
    kept: list[int] = []
    with patch.object(hours, "KEPT", 20):
        world.live(CONFIG, each_batch=lambda handler: kept.append(len(handler._states[TRACKS]._hours._sightings)))

    assert max(kept) <= 21
    assert len(world.plates()) == len(world.ledger()) == count
