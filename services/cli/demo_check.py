"""Compares what the demo's services published, and what lies in Parquet, with the truth about its clips. Pure.

In: truth, messages, sums of the Parquet. Out: a verdict: one row for each passage, and a sentence for each fault.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.contracts.messages import Passage, Plate, RecordingDone
from services.simulator.clips import ClipTruth, Truth
from services.simulator.scene import PassageTruth, Seen

EXACT_SHARE = 0.95
"""So many of the passages must be read exactly."""
GROUND_M = 0.5
"""How far a readable plate may be from where it really was, on the plan."""
SPEED_SHARE = 0.2
"""How far a speed may be off."""


@dataclass(slots=True)
class Published:
    """Everything that the services published."""

    recordings: dict[str, RecordingDone] = field(default_factory=dict)
    """By key."""
    passages: dict[str, Passage] = field(default_factory=dict)
    """By id, as the next."""
    plates: dict[str, Plate] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)
    """Stage and reason of each."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What lies in Parquet."""

    image: int
    """Sum of `count` in the image plane's heatmaps."""
    ground: int
    """Sum of `count` in the ground plane's heatmaps."""
    off_plan: int
    """Sightings beyond the plan of a calibrated camera."""
    uncalibrated: int
    """Sightings of cameras without a homography."""
    sightings: int
    """Rows of the sightings."""


@dataclass(frozen=True, slots=True)
class Row:
    """One expected passage and what became of it."""

    clip: ClipTruth
    truth: PassageTruth
    passage: Passage | None
    worst_m: float | None
    """Largest distance between a readable sighting and the truth, on the plan."""

    @property
    def exact(self) -> bool:
        return self.passage is not None and self.passage.plate == self.truth.plate


@dataclass(frozen=True, slots=True)
class Verdict:
    rows: tuple[Row, ...]
    faults: tuple[str, ...]
    """Empty: everything is as it should be."""

    @property
    def exact(self) -> int:
        return sum(row.exact for row in self.rows)


def judge(truth: Truth, published: Published, sums: Sums) -> Verdict:
    """The verdict on a whole demo."""
    by_key: dict[str, list[Passage]] = defaultdict(list)
    for passage in published.passages.values():
        by_key[passage.key].append(passage)
    rows = [row for clip in truth.recordings for row in _rows(clip, by_key[clip.key], published)]
    faults = [
        *_recording_faults(truth, published),
        *_passage_faults(rows, published),
        *(fault for row in rows for fault in _row_faults(row)),
        *_chain_faults(rows),
        *_sum_faults(sums, len(published.plates)),
    ]
    return Verdict(tuple(rows), tuple(faults))


def _rows(clip: ClipTruth, passages: Sequence[Passage], published: Published) -> Iterable[Row]:
    """Exact readings find their vehicle first; what is left is paired by time."""
    left = sorted(passages, key=lambda one: one.first_seen_ms)
    paired: dict[int, Passage] = {}
    for same in (lambda t, p: t.plate == p.plate, _overlap):
        for number, expected in enumerate(clip.passages):
            found = next((one for one in left if same(expected, one)), None) if number not in paired else None
            if found is not None:
                paired[number] = found
                left.remove(found)
    for number, expected in enumerate(clip.passages):
        passage = paired.get(number)
        yield Row(clip, expected, passage, _worst_m(clip, expected, passage, published) if passage else None)


def _overlap(truth: PassageTruth, passage: Passage) -> bool:
    return passage.first_seen_ms <= truth.last_ms and passage.last_seen_ms >= truth.first_ms


def _worst_m(clip: ClipTruth, truth: PassageTruth, passage: Passage, published: Published) -> float | None:
    readable = {one.time_ms: one for one in truth.seen if one.time_ms >= truth.readable_first_ms}
    readable = {time: one for time, one in readable.items() if time <= truth.readable_last_ms}
    misses = [
        math.hypot(plate.ground.x - seen.ground[0], plate.ground.y - seen.ground[1])
        for plate in published.plates.values()
        if plate.passage_id == passage.id and plate.ground and (seen := _at(readable, plate.time_ms))
    ]
    return max(misses) if misses and clip.calibrated else None


def _at(seen: dict[int, Seen], time_ms: int) -> Seen | None:
    """What was to be seen at that time; containers may round a time to the next millisecond."""
    return seen.get(time_ms) or seen.get(time_ms - 1) or seen.get(time_ms + 1)


def _recording_faults(truth: Truth, published: Published) -> list[str]:
    missing = [clip.key for clip in truth.recordings if clip.key not in published.recordings]
    faults = [f"{key} was never finished" for key in missing]
    for clip in truth.recordings:
        done = published.recordings.get(clip.key)
        if done is not None and done.frames != len(clip.frame_ms):
            faults.append(f"{clip.key}: {done.frames} frames were looked at, not {len(clip.frame_ms)}")
    return faults + [f"a dead letter: {text}" for text in published.dead_letters]


def _passage_faults(rows: Sequence[Row], published: Published) -> list[str]:
    faults = [f"{_place(row)}: {row.truth.plate} was not seen at all" for row in rows if row.passage is None]
    exact = sum(row.exact for row in rows)
    if exact < EXACT_SHARE * len(rows):
        faults.append(f"only {exact} of {len(rows)} plates were read exactly, less than {EXACT_SHARE:.0%}")
    known = {row.passage.id for row in rows if row.passage}
    extra = [one for one in published.passages.values() if one.id not in known]
    return faults + [f"{one.key}: {one.plate} passed, but no such vehicle was there" for one in extra]


def _row_faults(row: Row) -> list[str]:
    truth, passage = row.truth, row.passage
    if passage is None:
        return []
    faults = []
    slack = 2 * max((b - a for a, b in zip(row.clip.frame_ms, row.clip.frame_ms[1:], strict=False)), default=0) + 2
    if not truth.first_ms - slack <= passage.first_seen_ms <= truth.readable_first_ms + slack:
        faults.append(f"first seen {passage.first_seen_ms - truth.readable_first_ms} ms after it could be read")
    if not truth.readable_last_ms - slack <= passage.last_seen_ms <= truth.last_ms + slack:
        faults.append(f"last seen {truth.readable_last_ms - passage.last_seen_ms} ms before it could be read no more")
    if passage.direction != truth.direction:
        faults.append(f"{passage.direction} instead of {truth.direction}")
    if row.clip.calibrated and row.worst_m is None:
        faults.append("no ground position")
    if row.worst_m is not None and row.worst_m > GROUND_M:
        faults.append(f"a ground position is {row.worst_m:.2f} m off")
    speed = passage.speed_mps
    if row.clip.calibrated and (speed is None or abs(speed - truth.speed_mps) > SPEED_SHARE * truth.speed_mps):
        faults.append(f"speed {speed} m/s instead of {truth.speed_mps:.1f}")
    return [f"{_place(row)}, {truth.plate}: {fault}" for fault in faults]


def _chain_faults(rows: Sequence[Row]) -> list[str]:
    """A vehicle that crosses a boundary between recordings is one chain, whichever recording was processed first."""
    faults = []
    for before, row in ((a, b) for b in rows for a in rows if b.truth.continues and a.truth.plate == b.truth.plate):
        if before is not row and before.passage and row.passage:
            first, second = before.passage, row.passage
            if first.continues != second.id and second.continues != first.id:
                faults.append(f"{_place(row)}, {row.truth.plate}: not linked to its passage in the recording before")
    alone = [row for row in rows if row.passage and row.passage.continues]
    chained = {row.truth.plate for row in rows if row.truth.continues}
    return faults + [
        f"{_place(row)}, {row.truth.plate}: linked to a passage of another vehicle"
        for row in alone
        if row.truth.plate not in chained
    ]


def _sum_faults(sums: Sums, published: int) -> list[str]:
    faults = []
    if sums.sightings != published:
        faults.append(f"{sums.sightings} sightings are in Parquet, but {published} were published")
    if sums.image != published:
        faults.append(f"the image heatmaps count {sums.image}, but {published} sightings were published")
    on_ground = sums.ground + sums.off_plan + sums.uncalibrated
    if on_ground != published:
        faults.append(
            f"ground heatmaps, off the plan and uncalibrated make {on_ground}, but {published} were published"
        )
    return faults


def _place(row: Row) -> str:
    return row.clip.key
