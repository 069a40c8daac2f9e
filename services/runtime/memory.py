"""An in-memory broker: the twin of `services.runtime.kafka` for tests and for a person who wants to see the loop work.

It keeps the promises that the loop relies on: partitions in order, transactions that show all or nothing and carry the
group's offsets, one holder per transactional id. One group member at a time has all partitions of its topics.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.runtime.errors import Fenced
from services.runtime.ports import Assignments, Headers, Outgoing, Partition, Record, TransactionAborted


@dataclass
class MemoryBroker:
    """Topics, committed offsets and transactional ids, shared by its sources and sinks."""

    partitions: int = 1
    logs: dict[Partition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    offsets: dict[tuple[str, Partition], int] = field(default_factory=dict)
    starts: dict[Partition, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def append(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        index: int | None = None,
    ) -> Record:
        """Put one message on ``topic``; the partition follows from the key unless ``index`` names it."""
        if index is None:
            index = zlib.crc32(key) % self.partitions if key is not None else 0
        partition = Partition(topic, index)
        record = Record(partition, self.end(partition), value, key, headers)
        self.logs[partition].append(record)
        return record

    def end(self, partition: Partition) -> int:
        return self.starts.get(partition, 0) + len(self.logs[partition])

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, partition after partition."""
        return [r for p in sorted(self.logs) if p.topic == topic for r in self.logs[p]]

    def expire(self, partition: Partition, before: int) -> None:
        """Delete the records below ``before``, as retention does."""
        self.logs[partition] = [r for r in self.logs[partition] if r.offset >= before]
        self.starts[partition] = before


class MemorySource:
    """A `Source` on a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, group: str) -> None:
        self.broker, self.group = broker, group
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._assignments: Assignments | None = None
        self._topics: tuple[str, ...] = ()
        self._joined = False

    def subscribe(self, topics: Sequence[str], assignments: Assignments) -> None:
        self._topics, self._assignments = tuple(topics), assignments

    def poll(self, timeout_s: float, limit: int) -> list[Record]:
        if not self._joined and self._assignments is not None:
            self._joined = True
            self._assignments.assigned([Partition(t, i) for t in self._topics for i in range(self.broker.partitions)])
        taken: list[Record] = []
        for partition, position in self._positions.items():
            if partition not in self._paused and len(taken) < limit:
                first = position - self.broker.starts.get(partition, 0)
                found = self.broker.logs[partition][max(0, first) :][: limit - len(taken)]
                taken += found
                if found:
                    self._positions[partition] = found[-1].offset + 1
        return taken

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        return {p: self.broker.offsets.get((self.group, p)) for p in partitions}

    def log_start(self, partition: Partition) -> int:
        return self.broker.starts.get(partition, 0)

    def seek(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = offset

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._paused -= set(partitions)

    def lag(self, partition: Partition, position: int) -> int | None:
        return max(0, self.broker.end(partition) - position)

    def close(self) -> None:
        if self._assignments is not None and self._positions:
            self._assignments.revoked(list(self._positions), lost=False)
        self._positions.clear()


class MemorySink:
    """A `Sink` on a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, transactional_id: str, source: MemorySource) -> None:
        self.broker, self.transactional_id, self._source = broker, transactional_id, source
        self._epoch = 0
        self.aborts_ahead = 0
        """How many of the next transactions are to be aborted, for tests."""

    def begin(self) -> None:
        self.broker.epochs[self.transactional_id] += 1
        self._epoch = self.broker.epochs[self.transactional_id]

    def publish(self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int]) -> None:
        if self.broker.epochs[self.transactional_id] != self._epoch:
            raise Fenced(f"another sink took over the name {self.transactional_id}")
        if self.aborts_ahead > 0:
            self.aborts_ahead -= 1
            raise TransactionAborted("asked for by the test")
        for message in messages:
            self.broker.append(message.topic, message.value, message.key, message.headers)
        for partition, offset in offsets.items():
            self.broker.offsets[self._source.group, partition] = offset

    def close(self) -> None:
        """Nothing to close."""
