"""The judge: is what came out of a disturbed system what must come out of it? Reads topics and files, changes nothing.

The log of tracks differs from run to run in its order, so it is the reference for all that the aggregator made; the log
itself is held against the tracks that the same clips gave before anything was disturbed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from services.aggregator import cameras
from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Options
from services.contracts.messages import Message, Passage, Plate, Run, Track
from tests.e2e.test_walk import cells_expected, cells_on_disk
from tests.faults.small import Small
from tests.support.stack import Stack


class Verdict(msgspec.Struct):
    """The last line of a campaign. All but ``faults``, ``clips`` and ``seconds`` must be 0."""

    faults: int = 0
    clips: int = 0
    lost: int = 0
    duplicated: int = 0
    parquet_mismatches: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.parquet_mismatches)


def judge(stack: Stack, clips: Sequence[Small], camera_file: Path) -> Verdict:
    """Counts what is missing, what is there twice, and the cells that differ."""
    log = stack.tracks()
    finished = {done.key for done in stack.done()}
    expected = replay(log, cameras.read(camera_file, Options()))
    published: list[Plate | Passage] = [*stack.plates(), *stack.passages()]
    missing, surplus = difference([*expected.plates, *expected.passages], published)
    fewer, more = against_originals(log, clips)
    on_disk, right = cells_on_disk(stack.data), cells_expected(expected)
    return Verdict(
        clips=len(clips),
        lost=len({clip.key for clip in clips} - finished) + missing + fewer,
        duplicated=surplus + more + second_runs(published),
        parquet_mismatches=sum(on_disk.get(cell) != right.get(cell) for cell in on_disk.keys() | right.keys()),
    )


def difference(expected: Iterable[Message], found: Iterable[Message]) -> tuple[int, int]:
    """How many messages are missing, and how many are there that should not be, or not so often."""
    should, does = Counter(map(msgspec.json.encode, expected)), Counter(map(msgspec.json.encode, found))
    return (should - does).total(), (does - should).total()


def second_runs(published: Sequence[Plate | Passage]) -> int:
    """Runs that count beside the first of their recording. The pure core has the ledger, so it would not see them."""
    return len({(one.results, one.recording_id, one.run) for one in published}) - len(
        {(one.results, one.recording_id) for one in published}
    )


Shape = tuple[object, ...]
"""A track without what differs from copy to copy."""


def against_originals(log: Iterable[Track], clips: Sequence[Small]) -> tuple[int, int]:
    """Tracks that copies lack, or have too many of, beside their originals. Of each recording the first run counts."""
    shapes: dict[str, Counter[Shape]] = {}
    runs: dict[str, Run] = {}
    for track in log:
        if runs.setdefault(track.key, track.run) == track.run:
            shapes.setdefault(track.key, Counter())[shape(track)] += 1
    pairs = [(shapes.get(clip.original, Counter()), shapes.get(clip.key, Counter())) for clip in clips]
    return sum((a - b).total() for a, b in pairs), sum((b - a).total() for a, b in pairs)


def shape(track: Track) -> Shape:
    seen = tuple((one.time_ms - track.start_ms, one.box, one.text) for one in track.observations)
    return (track.track, track.part, track.reading.text, seen)


def reasons(stack: Stack) -> Mapping[str, int]:
    """Of the dead letters."""
    return Counter(f"{letter.stage}: {letter.reason}" for letter in stack.dead_letters())
