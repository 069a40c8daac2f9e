"""The consume-transform-produce loop that every service runs: records in, transactions out, exactly once inside Kafka.

In: records of a `Source`. Out: one transaction after another into a `Sink`, each with whole records and their offsets.

Rules
- This thread only polls, publishes and keeps time; it never decodes. A stateless handler runs in worker threads; a
  stateful one (workers = 0) runs here, in order of offset, and must be quick.
- A transaction is opened only when all that it publishes is in memory. Records are finished in any order, but published
  in order of offset: the committed offset never passes an unfinished record.
- What is in flight is bounded: at the bound nothing is taken; where that lasts, the partitions are paused, and polling
  goes on. A client that pauses throws away what it has fetched ahead, so a short wait is no reason to pause.
- An aborted transaction throws away all that is in flight and rewinds the input to the committed offsets.
- `Reject` becomes a dead letter in the same transaction; `Retry` waits with back-off and jitter, for ever while its
  dependency is down; a defect of ours is logged with its traceback and dead-lettered as ``internal-error``.
- Many dead letters in a row stop the service: then it is not the messages that are wrong.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast

from services.runtime import metrics, tracing, trail
from services.runtime.deadletters import dead_letter
from services.runtime.errors import Reject, Retry, Stop
from services.runtime.ports import (
    Handler,
    Outgoing,
    Partition,
    Record,
    Sink,
    Source,
    StatefulHandler,
    TransactionAborted,
)
from services.runtime.trail import Trail

log = logging.getLogger(__name__)

PAUSE_AFTER_S = 0.5
"""So long at the bound, then the partitions are paused; far below the time after which a silent consumer is out."""


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a service takes, retries and publishes."""

    service: str
    deadletter_topic: str
    workers: int = 1
    """Handler threads. 0: the handler is stateful and runs in the polling thread."""
    in_flight: int = 16
    """Records being handled or waiting for another try."""
    held: int = 512
    """Records taken but not yet published, finished ones behind an unfinished one included."""
    transaction_messages: int = 20_000
    """A transaction is closed once it holds this many messages; a record is never cut."""
    retry_budget_s: float = 600.0
    """A record that fails this long while its dependency is healthy becomes a dead letter."""
    backoff_first_s: float = 0.5
    backoff_limit_s: float = 30.0
    dead_letters_in_a_row: int = 100
    """The service stops at this many; 0 = never."""
    drain_s: float = 20.0
    """On shutdown: how long records in hand may take to finish before they are left to the next start."""


@dataclass(slots=True, eq=False)
class Entry:
    """A record in flight."""

    record: Record
    outgoing: Sequence[Outgoing] | None = None
    """Set when finished."""
    failure: BaseException | None = None
    """A Stop raised by a worker."""
    running: bool = False
    due_s: float = 0.0
    first_failed_s: float | None = None
    attempts: int = 0
    rejected: bool = False
    trail: Trail | None = None


@dataclass(slots=True)
class Lane:
    """What is in flight of one partition, in order of offset."""

    entries: deque[Entry] = field(default_factory=deque)
    floor: int = 0
    """K: below it records only restore state, their results have been published before."""


class Loop:
    """Runs one handler. `run` returns after ``stop`` is set; Stop passes through to the caller."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        handler: Handler,
        options: LoopOptions,
        *,
        heartbeat: Callable[[float], None] = lambda now: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source, self._sink, self._handler, self._options = source, sink, handler, options
        self._stateful = cast(StatefulHandler, handler) if options.workers == 0 else None
        self._heartbeat, self._clock, self._jitter = heartbeat, clock, jitter
        self._lanes: dict[Partition, Lane] = {}
        self._paused: bool | None = None
        """None: not known, since partitions have come or gone."""
        self._full_since_s: float | None = None
        """Since when nothing may be taken; None: something may."""
        self._aborted = False
        """The input must be rewound before anything else happens."""
        self._failed = False
        self._rejected_in_a_row = 0
        self._finished = threading.Event()
        self._pool = ThreadPoolExecutor(max(1, options.workers), thread_name_prefix=options.service)

    def run(self, topics: Sequence[str], stop: threading.Event) -> None:
        """Consume ``topics`` until ``stop`` is set, then finish what is in hand and leave the group."""
        try:
            self._sink.begin()
            self._source.subscribe(topics, self)
            while not stop.is_set():
                self._turn(take=True)
            self._drain()
        except BaseException:
            self._failed = True
            raise
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._source.close()
            self._sink.close()

    # Assignments: called by the source inside poll

    def assigned(self, partitions: Sequence[Partition]) -> None:
        committed = self._source.committed(partitions)
        for partition in partitions:
            self._restore(partition, committed[partition])
        self._paused = None

    def revoked(self, partitions: Sequence[Partition], lost: bool) -> None:
        lost = lost or self._aborted or self._failed
        if not lost and self._stateful is None:
            self._publish_finished()
        for partition in partitions:
            if self._lanes.pop(partition, None) is not None and self._stateful is not None:
                self._stateful.revoked(partition, lost)
            metrics.LAG_RECORDS.remove(self._options.service, partition.topic, str(partition.index))
        self._paused = None

    def _restore(self, partition: Partition, committed: int | None) -> None:
        log_start = self._source.log_start(partition)
        floor = log_start if committed is None else committed
        start = floor
        if self._stateful is not None:
            checkpoint = self._stateful.assigned(partition, committed, log_start)
            start = floor if checkpoint is None else checkpoint
        elif floor < log_start:
            log.error(
                "records were deleted before they were read: raise the topic's retention, backfill what is missing",
                extra={"topic": partition.topic, "partition": partition.index, "records": log_start - floor},
            )
            metrics.RECORDS_EXPIRED.labels(self._options.service).inc(log_start - floor)
            start = log_start
        self._lanes[partition] = Lane(floor=floor)
        self._source.seek(partition, start)

    # One turn

    def _turn(self, take: bool) -> None:
        now = self._clock()
        self._heartbeat(now)
        if self._aborted:
            self._rewind()
        room = self._room() if take else 0
        records = self._taken(room, now)
        for record in records:
            lane = self._lanes.get(record.partition)
            if lane is not None:
                lane.entries.append(Entry(record))
        self._advance()
        self._publish_finished()
        if self._stateful is not None and not self._aborted:
            self._stateful.tick(self._clock())
        self._note_in_hand(idle=not records)

    def _taken(self, room: int, now: float) -> list[Record]:
        """New records where there is room; at the bound first a short wait without a poll, then polls while paused."""
        self._full_since_s = (now if self._full_since_s is None else self._full_since_s) if room <= 0 else None
        brief = self._full_since_s is not None and now - self._full_since_s < PAUSE_AFTER_S
        if brief and not self._paused and self._stateful is None:
            self._finished.wait(0.05)
            self._finished.clear()
            return []
        self._pause_or_resume(room <= 0)
        return self._source.poll(self._patience(), max(1, room))

    def _room(self) -> int:
        taken = sum(len(lane.entries) for lane in self._lanes.values())
        return min(self._options.in_flight - self._unfinished(), self._options.held - taken)

    def _unfinished(self) -> int:
        return sum(entry.outgoing is None for entry in self._entries())

    def _patience(self) -> float:
        """Seconds that a poll may wait: short while workers may finish at any moment."""
        if any(entry.running for entry in self._entries()):
            self._finished.wait(0.05)
            self._finished.clear()
            return 0.0
        return 0.05 if self._unfinished() else 0.2

    def _drain(self) -> None:
        until = self._clock() + self._options.drain_s
        while self._clock() < until and any(entry.running for entry in self._entries()):
            self._turn(take=False)
        self._publish_finished()

    def _pause_or_resume(self, pause: bool) -> None:
        if pause != self._paused:
            (self._source.pause if pause else self._source.resume)(list(self._lanes))
            self._paused = pause

    def _entries(self) -> Iterator[Entry]:
        return (entry for lane in self._lanes.values() for entry in lane.entries)

    # Handling

    def _advance(self) -> None:
        for lane in self._lanes.values():
            if self._stateful is None:
                self._hand_out(lane)
            else:
                self._handle_in_order(lane)

    def _hand_out(self, lane: Lane) -> None:
        now = self._clock()
        for entry in lane.entries:
            if entry.outgoing is None and not entry.running and entry.due_s <= now:
                entry.running = True
                self._pool.submit(self._attempt, entry)

    def _handle_in_order(self, lane: Lane) -> None:
        """A stateful handler never overtakes within a partition; below the floor its results are thrown away."""
        for entry in lane.entries:
            if entry.outgoing is None and (entry.due_s > self._clock() or not self._handled(entry)):
                return
            if entry.record.offset < lane.floor:
                entry.outgoing = ()
                metrics.REPLAYED_RECORDS.labels(self._options.service).inc()

    def _handled(self, entry: Entry) -> bool:
        self._attempt(entry)
        return entry.outgoing is not None

    def _attempt(self, entry: Entry) -> None:
        entry.attempts += 1
        entry.trail = trail.begin(self._options.service, silent=self._restores(entry))
        outcome = "handled"
        try:
            entry.outgoing = self._handler.handle(entry.record)
        except Reject as error:
            outcome = error.reason
            self._reject(entry, error.reason, error.detail)
        except Retry as error:
            outcome = error.reason
            self._retry_later(entry, error)
        except Stop as error:
            outcome = "stopped"
            entry.failure = error
        except Exception as error:
            outcome = "internal-error"
            log.exception("defect while handling a record", extra=_place(entry.record))
            self._reject(
                entry,
                "internal-error",
                f"{type(error).__name__}: see the log of the service; please report it",
            )
        finally:
            trail.end(outcome)
            entry.running = False
            self._finished.set()

    def _restores(self, entry: Entry) -> bool:
        """Whether it is handled only to restore state."""
        lane = self._lanes.get(entry.record.partition)
        return self._stateful is not None and lane is not None and entry.record.offset < lane.floor

    def _reject(self, entry: Entry, reason: str, detail: str) -> None:
        options = self._options
        entry.rejected = True
        entry.outgoing = (
            dead_letter(options.deadletter_topic, entry.record, options.service, reason, detail, entry.attempts),
        )
        metrics.DEAD_LETTERS.labels(options.service, reason).inc()
        log.warning("dead letter: %s", reason, extra={**_place(entry.record), "detail": detail})

    def _retry_later(self, entry: Entry, error: Retry) -> None:
        now = self._clock()
        entry.first_failed_s = now if entry.first_failed_s is None else entry.first_failed_s
        if now - entry.first_failed_s >= self._options.retry_budget_s and error.healthy():
            self._reject(entry, error.reason, error.detail)
            return
        delay = min(self._options.backoff_limit_s, self._options.backoff_first_s * 2 ** min(entry.attempts - 1, 10))
        delay *= 0.5 + 0.5 * self._jitter()
        entry.due_s = now + delay
        metrics.RETRIES.labels(self._options.service, error.reason).inc()
        log.warning(
            "will try again: %s",
            error.reason,
            extra={**_place(entry.record), "detail": error.detail, "in_s": round(delay, 2)},
        )

    # Publishing

    def _publish_finished(self) -> None:
        while not self._aborted and (finished := self._take_finished()):
            outgoing = [message for entry in finished for message in entry.outgoing or ()]
            offsets: dict[Partition, int] = {}
            for entry in finished:
                if entry.record.offset >= self._lanes[entry.record.partition].floor:
                    offsets[entry.record.partition] = entry.record.offset + 1
            if not offsets:
                continue  # only state was restored
            began = self._clock()
            try:
                self._sink.publish(outgoing, offsets)
            except TransactionAborted as error:
                metrics.TRANSACTIONS.labels(self._options.service, "aborted").inc()
                log.warning("transaction aborted, reading again from the committed offsets: %s", error)
                self._aborted = True
                return
            metrics.TRANSACTIONS.labels(self._options.service, "committed").inc()
            seconds = self._clock() - began
            metrics.TRANSACTION_SECONDS.labels(self._options.service).observe(seconds)
            for entry in finished:
                tracing.published(entry.trail, seconds)
            self._note_published(finished, offsets)

    def _take_finished(self) -> list[Entry]:
        for entry in self._entries():
            if entry.failure is not None:
                raise entry.failure
        finished: list[Entry] = []
        messages = 0
        for lane in self._lanes.values():
            while lane.entries and messages < self._options.transaction_messages:
                head = lane.entries[0]
                if head.outgoing is None:
                    break
                finished.append(lane.entries.popleft())
                messages += len(head.outgoing)
        return finished

    def _note_in_hand(self, idle: bool) -> None:
        service, taken = self._options.service, sum(len(lane.entries) for lane in self._lanes.values())
        metrics.IN_FLIGHT.labels(service).set(unfinished := self._unfinished())
        metrics.QUEUE_FILL.labels(service).set(max(unfinished / self._options.in_flight, taken / self._options.held))
        heads = [lane.entries[0].record.timestamp_ms for lane in self._lanes.values() if lane.entries]
        if heads:
            self._note_age(min(heads))
        elif idle:
            metrics.LAG_SECONDS.labels(self._options.service).set(0)

    def _note_age(self, timestamp_ms: int) -> None:
        """How far behind we are, told by the arrival of a record; one without a timestamp tells nothing."""
        if timestamp_ms > 0:
            metrics.LAG_SECONDS.labels(self._options.service).set(max(0.0, time.time() - timestamp_ms / 1000))

    def _note_published(self, finished: Sequence[Entry], offsets: dict[Partition, int]) -> None:
        service = self._options.service
        for entry in finished:
            metrics.RECORDS.labels(service, "rejected" if entry.rejected else "handled").inc()
            self._rejected_in_a_row = self._rejected_in_a_row + 1 if entry.rejected else 0
        self._note_age(max(entry.record.timestamp_ms for entry in finished))
        if newest_ms := max((entry.trail.start_ms for entry in finished if entry.trail is not None), default=0):
            metrics.EVENT_AGE.labels(service).set(max(0.0, time.time() - newest_ms / 1000))
        for partition, offset in offsets.items():
            behind = self._source.lag(partition, offset)
            if behind is not None:
                metrics.LAG_RECORDS.labels(service, partition.topic, str(partition.index)).set(behind)
        if self._stateful is not None:
            self._stateful.committed(offsets)
        limit = self._options.dead_letters_in_a_row
        if limit and self._rejected_in_a_row >= limit:
            raise Stop(
                f"the last {self._rejected_in_a_row} messages all became dead letters: look at the reasons with "
                "`plateflow deadletters list`, mend the cause, start again, then `plateflow deadletters replay`"
            )

    def _rewind(self) -> None:
        partitions = list(self._lanes)
        for partition in partitions:
            del self._lanes[partition]
            if self._stateful is not None:
                self._stateful.revoked(partition, lost=True)
        self._aborted = False
        if partitions:
            self.assigned(partitions)


def _place(record: Record) -> dict[str, object]:
    return {"topic": record.partition.topic, "partition": record.partition.index, "offset": record.offset}
