"""What the loop talks to: a source of records, a transactional sink, a handler. Kafka and memory implement them.

Rules
- A transaction holds the results of whole records and their offsets, never part of one.
- `Handler.handle` is a function of the record (and of state that `assigned` restores): handled again,
  it gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A partition of a topic."""

    topic: str
    index: int


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it was consumed."""

    partition: Partition
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish."""

    topic: str
    value: bytes
    key: bytes | None = None
    headers: Headers = ()


class Assignments(Protocol):
    """Called by a source, in the polling thread, when partitions come and go."""

    def assigned(self, partitions: Sequence[Partition]) -> None: ...

    def revoked(self, partitions: Sequence[Partition], lost: bool) -> None: ...


class Source(Protocol):
    """A consumer of one group; offsets are committed by the sink's transactions only."""

    def subscribe(self, topics: Sequence[str], assignments: Assignments) -> None: ...

    def poll(self, timeout_s: float, limit: int) -> list[Record]:
        """Up to ``limit`` records; serves the group protocol, so it must be called often."""
        ...

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]: ...

    def log_start(self, partition: Partition) -> int:
        """First offset that the log still holds."""
        ...

    def seek(self, partition: Partition, offset: int) -> None: ...

    def pause(self, partitions: Sequence[Partition]) -> None: ...

    def resume(self, partitions: Sequence[Partition]) -> None: ...

    def lag(self, partition: Partition, position: int) -> int | None:
        """Records behind the end of the log, None while unknown."""
        ...

    def close(self) -> None: ...


class TransactionAborted(Exception):
    """The transaction was aborted; the input must be read again from its committed offsets."""


class Sink(Protocol):
    """A transactional producer bound to the source whose offsets it commits."""

    def begin(self) -> None:
        """Fences every earlier holder of this transactional id. Once, before the first `publish`."""
        ...

    def publish(self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int]) -> None:
        """One transaction: all messages, and the next offset of each partition. Or TransactionAborted, or Fenced."""
        ...

    def close(self) -> None: ...


class Handler(Protocol):
    """What a service does with a record. Raises the instructions of `services.runtime.errors`."""

    def handle(self, record: Record) -> Sequence[Outgoing]: ...


class StatefulHandler(Handler, Protocol):
    """A handler with state per partition. All its methods are called in one thread, `handle` in order of offset."""

    def assigned(self, partition: Partition, committed: int | None, log_start: int) -> int | None:
        """Restores the state of a partition. ``committed`` is K, None where the group never committed.

        Returns C, the offset to read from (<= K): what lies in C..K is handled with its results thrown away. None: K.
        """
        ...

    def revoked(self, partition: Partition, lost: bool) -> None:
        """The partition goes. Not lost: write down what is committed. Lost: another may own it, write nothing."""
        ...

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """The transaction with these next offsets stands: state up to there may be written down."""
        ...

    def tick(self, now_s: float) -> None:
        """Called at least about once a second, between transactions, with a monotonic clock."""
        ...
