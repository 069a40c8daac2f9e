"""A log, a group's offset, published messages and files, in which an aggregator lives and dies at any point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from services.aggregator import tables
from services.aggregator.cameras import FixedCameras
from services.aggregator.core.config import Config
from services.aggregator.files import Claim, Files, MemoryFiles
from services.aggregator.handler import AggregatorHandler
from services.aggregator.tables import Footer
from services.contracts.codec import decode
from services.contracts.messages import Message, Passage, Plate, Run, Track
from services.contracts.topics import Topics
from services.runtime.ports import Outgoing, Record
from tests.aggregator.build import TRACKS, record

M = TypeVar("M", bound=Message)
Cells = dict[tuple[int, int], list[int]]


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Blows at the ``left``-th point it passes."""

    left: int | None = None
    passed: list[str] = field(default_factory=list)

    def at(self, point: str) -> None:
        self.passed.append(point)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash(point)


class FusedFiles:
    """Files of a process that may die before or after each write."""

    def __init__(self, files: Files, fuse: Fuse) -> None:
        self._files, self._fuse = files, fuse
        self.claim, self.read, self.remove, self.paths = files.claim, files.read, files.remove, files.paths

    def write(self, path: str, data: bytes, claim: Claim) -> None:
        self._fuse.at(f"before {path.partition('/')[0]}")
        self._files.write(path, data, claim)
        self._fuse.at(f"after {path.partition('/')[0]}")


@dataclass
class Identity:
    cluster_id: str = "cluster"
    topic: str = "topic-1"
    count: int = 1

    def topic_id(self, topic: str) -> str:
        return self.topic

    def partitions(self, topic: str) -> int:
        return self.count


@dataclass
class World:
    tracks: Sequence[Track]
    gaps: Sequence[int] = ()
    """Offsets left out before each record, as the ends of transactions do."""
    files: Files = field(default_factory=MemoryFiles)
    identity: Identity = field(default_factory=Identity)
    committed: int | None = None
    log_start: int = 0
    former_partitions: int | None = None
    published: list[Outgoing] = field(default_factory=list)
    log: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        offset = 0
        for index, message in enumerate(self.tracks):
            offset += self.gaps[index % len(self.gaps)] if self.gaps else 0
            self.log.append(record(offset, message))
            offset += 1

    def handler(self, config: Config, fuse: Fuse | None = None, flush_s: float = 30.0) -> AggregatorHandler:
        files = FusedFiles(self.files, fuse or Fuse())
        return AggregatorHandler(files, FixedCameras(config), self.identity, Topics(), flush_s, self.former_partitions)

    def live(
        self,
        config: Config,
        fuse: Fuse | None = None,
        *,
        batch: int = 1,
        flush_s: float = 0.0,
        aborts: Sequence[int] = (),
        each_batch: Callable[[AggregatorHandler], None] = lambda handler: None,
    ) -> AggregatorHandler:
        """One life from assignment to the end of the log and a clean leave, or to the fuse's point (Crash)."""
        fuse = fuse or Fuse()
        handler = self.handler(config, fuse, flush_s)
        position, floor = self._assign(handler)
        turn = 0
        while todo := [r for r in self.log if r.offset >= position][:batch]:
            turn += 1
            outgoing: list[Outgoing] = []
            for taken in todo:
                results = handler.handle(taken)
                outgoing += results if taken.offset >= floor else ()
            position = todo[-1].offset + 1
            if turn in aborts:
                handler.revoked(TRACKS, lost=True)
                position, floor = self._assign(handler)
                continue
            if position > floor:
                fuse.at("before transaction")
                self.published += outgoing
                self.committed = position
                fuse.at("after transaction")
                handler.committed({TRACKS: position})
            handler.tick(float(turn))
            each_batch(handler)
        handler.revoked(TRACKS, lost=False)
        return handler

    def _assign(self, handler: AggregatorHandler) -> tuple[int, int]:
        start = handler.assigned(TRACKS, self.committed, self.log_start)
        floor = self.log_start if self.committed is None else self.committed
        return (floor if start is None else start), floor

    # What came of it

    def plates(self) -> list[Plate]:
        return self._messages("plateflow.plates", Plate)

    def passages(self) -> list[Passage]:
        return self._messages("plateflow.passages", Passage)

    def _messages(self, topic: str, kind: type[M]) -> list[M]:
        return [decode(out.value, kind) for out in self.published if out.topic == topic]

    def cells(self) -> dict[str, Cells]:
        return {path: tables.cells_of(data) for path, data in self._files("heatmap")}

    def sightings(self) -> list[dict[str, object]]:
        return [row for _, data in self._files("sightings") for row in tables._table(data).to_pylist()]

    def ledger(self) -> dict[str, Run]:
        return {
            recording: run
            for _, data in self._files("sightings")
            for recording, run in tables.footer_of(data).ledger.items()
        }

    def footers(self) -> dict[str, Footer]:
        return {path: tables.footer_of(data) for kind in ("heatmap", "sightings") for path, data in self._files(kind)}

    def _files(self, kind: str) -> Iterator[tuple[str, bytes]]:
        for path in self.files.paths(kind):
            data = self.files.read(path)
            assert data is not None
            yield path, data
