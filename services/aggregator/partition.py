"""One input partition: its state, its files, its checkpoint (rules 2 to 5).

In: the records of the partition, in order of offset, and the word that a transaction stands. Out: results to
publish, files.

C <= F <= K, always: files are written only while the state is exactly that of K; a checkpoint, taken at K, is
written down once every file that was dirty then is written. Writing is spread over ticks, so that it never
holds up records for long; what a file gains meanwhile only makes its F larger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from services.aggregator import checkpoint as checkpoints
from services.aggregator.checkpoint import CameraEntry, Checkpoint
from services.aggregator.core.aggregate import CameraState, Result, apply
from services.aggregator.core.config import Config
from services.aggregator.files import Claim, Files, Superseded
from services.aggregator.hours import DataFile, Hours
from services.contracts.messages import Track
from services.runtime import metrics
from services.runtime.crash import crash_point
from services.runtime.errors import Fenced, Stop
from services.runtime.ports import Partition

FILES_PER_TICK = 32
POINTER = "current.json"


class Pointer(msgspec.Struct):
    """``current.json``: the results version that readers should use."""

    results: int


@contextmanager
def files_usable() -> Iterator[None]:
    """Turns what files can do to us into words for an operator."""
    try:
        yield
    except Superseded as error:
        raise Fenced(f"{error}: this one leaves; start it again, and it takes what the group gives it") from error
    except OSError as error:
        raise Stop(
            f"cannot use {error.filename or 'the data folder'}: {error.strerror or error}. Free space or mend the "
            "folder of PLATEFLOW_DATA, then start again; nothing is lost"
        ) from error


@dataclass(slots=True)
class Flush:
    """A flush under way: the checkpoint to write in the end, and the files to write before."""

    checkpoint: Checkpoint
    files: list[DataFile]


class PartitionState:
    def __init__(
        self,
        partition: Partition,
        files: Files,
        claim: Claim,
        checkpoint: Checkpoint,
        committed: int,
    ) -> None:
        self.partition, self.config, self.partitions = partition, checkpoint.config, checkpoint.partitions
        self.position = checkpoint.next_offset
        """Next offset to handle; the state holds all below."""
        self.committed = committed
        """K"""
        self.checkpointed = checkpoint.next_offset
        """C"""
        self._live_from = committed
        self._files, self._claim, self._origin = files, claim, checkpoint.origin
        self._hours = Hours(files, claim, checkpoint.origin)
        self._cameras = {(entry.results, entry.camera): CameraState(entry.state) for entry in checkpoint.cameras}
        self._flush: Flush | None = None
        self._behind_since_s: float | None = None
        self._pointed: bool = files.read(POINTER) is not None

    @property
    def cameras(self) -> int:
        return len(self._cameras)

    def handle(self, offset: int, track: Track) -> Result | None:
        """What comes of a track; None where another run of its recording counts. May raise Stop."""
        camera, options = self.config.camera(track.camera), self.config.options
        with files_usable():
            if not self._hours.admit(track, camera, options):
                return None
        state = self._cameras.setdefault((track.results, track.camera), CameraState())
        result = apply(state, track, camera, options)
        with files_usable():
            self._hours.add(offset, track, result, camera, options)
        return result

    def live(self, offset: int) -> bool:
        """Are the results of this offset still to be published?"""
        return offset >= self._live_from

    def tick(self, now_s: float, wanted: Config, every_s: float) -> None:
        """Begins a flush when it is due, and goes on with the one under way. May raise Stop."""
        if self.position != self.committed:
            return  # replaying, or results under way
        if wanted is not self.config:
            if wanted != self.config:
                self.flush(wanted)
                return
            self.config = wanted  # so that the next look costs nothing
        if self._flush is None and self._due(now_s, every_s):
            self._begin(self.config)
        if self._flush is not None:
            self._go_on(FILES_PER_TICK)

    def flush(self, wanted: Config | None = None) -> None:
        """Everything at once, if the state is that of K; ``wanted`` comes into force with it."""
        if self.position != self.committed:
            return
        self._begin(wanted or self.config)
        self._go_on(None)

    def _due(self, now_s: float, every_s: float) -> bool:
        if self.committed == self.checkpointed:
            self._behind_since_s = None
            return False
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        return now_s - self._behind_since_s >= every_s

    def _begin(self, config: Config) -> None:
        self._flush = Flush(self._checkpoint(config), self._hours.dirty())
        self._behind_since_s = None

    def _go_on(self, limit: int | None) -> None:
        flush = self._flush
        assert flush is not None
        with files_usable(), metrics.FLUSH_SECONDS.time():
            now, flush.files = flush.files[:limit], flush.files[limit:] if limit is not None else []
            for file in now:
                self._hours.write(file, self.committed)
                metrics.FILES_WRITTEN.labels(file.kind).inc()
                crash_point("between-files")
            if flush.files:
                return
            self._point()
            crash_point("before-checkpoint")
            checkpoints.save(self._files, self._claim, self.partition, flush.checkpoint)
            metrics.FILES_WRITTEN.labels("checkpoint").inc()
        self.checkpointed, self.config, self._flush = flush.checkpoint.next_offset, flush.checkpoint.config, None

    def _checkpoint(self, config: Config) -> Checkpoint:
        return Checkpoint(
            origin=self._origin,
            partitions=self.partitions,
            next_offset=self.committed,
            config=config,
            cameras=[
                CameraEntry(results, camera, state.snapshot()) for (results, camera), state in self._cameras.items()
            ],
        )

    def _point(self) -> None:
        """The first results there are become the current ones; then only an operator moves the pointer."""
        if not self._pointed and self._cameras:
            first = next(iter(self._cameras))[0]
            if self._files.read(POINTER) is None:
                self._files.write(POINTER, msgspec.json.encode(Pointer(first)), self._claim)
            self._pointed = True
