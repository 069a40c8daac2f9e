"""The aggregator without Kafka, for `plateflow run`: the same core, the same files, one process, one go.

In: tracks, a recording at a time. Out: sightings and passages, and on `flush` and `close` the Parquet below a folder.
The log that a service has in Kafka is the caller's: whoever goes on with a folder gives all tracks so far again, and
gets the state that they lead to (rule 2: what is in a file is not added again).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from services.aggregator import checkpoint as checkpoints
from services.aggregator.checkpoint import Checkpoint
from services.aggregator.core.config import Config
from services.aggregator.files import Files, LocalFiles
from services.aggregator.hours import SESSION, session
from services.aggregator.partition import PartitionState, files_usable
from services.aggregator.tables import Origin
from services.contracts.messages import Passage, Plate, Track
from services.runtime.errors import SettingsError
from services.runtime.ports import Partition

PARTITION = Partition("local", 0)


class LocalAggregator:
    """Takes over a folder: what an earlier run left there is replaced. SettingsError where a service writes to it."""

    def __init__(self, data: Path | Files, config: Config | None = None, log: Sequence[Track] | None = None) -> None:
        """``log``: go on with what is there, which came of these tracks; None: replace it."""
        files = LocalFiles(data) if isinstance(data, Path) else data
        _check_ours(files)
        config = config or Config()
        checkpoint = checkpoints.load(files, PARTITION) if log else None
        if checkpoint is None or checkpoint.next_offset > len(log or ()):
            _make_room(files)
            origin = Origin(f"{SESSION}{uuid.uuid4().hex}", "", PARTITION.topic, PARTITION.index)
            checkpoint = Checkpoint(origin=origin, partitions=1, next_offset=0, config=config)
        with files_usable():
            claim = files.claim(checkpoints.name_of(PARTITION))
        self._state = PartitionState(PARTITION, files, claim, checkpoint, len(log or ()))
        for track in (log or ())[checkpoint.next_offset :]:
            self._state.handle(self._state.position, track)
            self._state.position += 1
        if config != checkpoint.config:
            self._state.flush(config)

    def add(self, track: Track) -> tuple[list[Plate], list[Passage]]:
        """What comes of a track; nothing before its last part, nor where another run of its recording counts."""
        state = self._state
        result = state.handle(state.position, track)
        state.position += 1
        state.committed = state.position
        return (result.plates, result.passages) if result is not None else ([], [])

    def flush(self) -> None:
        """Writes all files. Stop where that is not possible."""
        self._state.flush()

    close = flush


def _check_ours(files: Files) -> None:
    for path in files.paths("checkpoints"):
        partition, _, index = path.removeprefix("checkpoints/").removesuffix(".json").rpartition("-")
        found = checkpoints.load(files, Partition(partition, int(index)))
        if found is not None and not session(found.origin):
            raise SettingsError(f"the aggregator of a Kafka cluster writes to this folder ({path}): choose another")


def _make_room(files: Files) -> None:
    for folder in ("heatmap", "sightings"):
        for path in files.paths(folder):
            files.remove(path)
