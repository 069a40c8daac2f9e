"""The judge sees what is missing, what is there twice, and copies that differ from their originals."""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Config
from services.contracts.messages import Run, Track
from tests.aggregator.build import NOON_MS, track
from tests.faults.judge import Verdict, against_originals, difference, second_runs
from tests.faults.small import APART_MS, Small

ORIGINAL, COPY = "site/gate/first.mp4", "site/gate/second.mp4"
CLIPS = [Small(Path(), name, name, ORIGINAL) for name in (ORIGINAL, COPY)]


def seen(recording: str, number: int = 0, run: int = 0) -> Track:
    start = NOON_MS if recording == "first" else NOON_MS + APART_MS
    return track([start + 100 * number, start + 500], recording=recording, number=number, start_ms=start, run=run)


def test_a_message_that_is_missing_or_surplus_is_counted_as_often_as_it_is() -> None:
    one, two = seen("first"), seen("second")
    assert difference([one, two], [two, one]) == (0, 0)
    assert difference([one, two], [one]) == (1, 0)
    assert difference([one], [one, one, two]) == (0, 2)
    changed = msgspec.structs.replace(one, camera="site/other")
    assert difference([one], [changed]) == (1, 1)


def test_a_copy_must_give_the_tracks_of_its_original_at_its_own_time() -> None:
    whole = [seen("first"), seen("first", 1), seen("second"), seen("second", 1)]
    assert against_originals(whole, CLIPS) == (0, 0)
    assert against_originals(whole[:3], CLIPS) == (1, 0)
    assert against_originals([*whole, whole[2]], CLIPS) == (0, 1)


def test_of_a_recording_with_two_runs_the_first_counts() -> None:
    again = [seen("second", run=7), seen("second", 1, run=7)]
    log = [seen("first"), seen("first", 1), seen("second"), again[0], seen("second", 1), again[1]]
    assert {one.run for one in log} == {Run("plateflow.clips", 0, 0), Run("plateflow.clips", 0, 7)}
    assert against_originals(log, CLIPS) == (0, 0)


def test_a_recording_that_counts_by_two_runs_is_seen() -> None:
    once = replay([seen("first"), seen("first", 1), seen("second")], Config())
    assert second_runs([*once.plates, *once.passages]) == 0
    again = replay([seen("second", run=7)], Config())
    assert second_runs([*once.plates, *again.passages]) == 1


def test_a_verdict_is_clean_only_without_any_fault_of_ours() -> None:
    assert Verdict(faults=200, clips=500, seconds=9.0).clean
    assert not any(verdict.clean for verdict in (Verdict(lost=1), Verdict(duplicated=1), Verdict(parquet_mismatches=1)))
