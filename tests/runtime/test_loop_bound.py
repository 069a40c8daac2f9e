"""At the bound of what may be in flight the loop waits before it pauses: pausing costs what was fetched ahead."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence

from services.runtime.loop import Loop, LoopOptions
from services.runtime.ports import Assignments, Outgoing, Partition, Record

PARTITION = Partition("clips", 0)
RECORDS = 20


class _Source:
    """Hands out records as they are asked for, unless it is paused."""

    def __init__(self) -> None:
        self.pauses = 0
        self.paused_once = threading.Event()
        self._paused, self._next = False, 0
        self._assignments: Assignments | None = None

    def subscribe(self, topics: Sequence[str], assignments: Assignments) -> None:
        self._assignments = assignments

    def poll(self, timeout_s: float, limit: int) -> list[Record]:
        if self._assignments is not None:
            assignments, self._assignments = self._assignments, None
            assignments.assigned([PARTITION])
        first = self._next
        if not self._paused:
            self._next = min(RECORDS, first + limit)
        return [Record(PARTITION, offset, b"") for offset in range(first, self._next)]

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        return dict.fromkeys(partitions, 0)

    def log_start(self, partition: Partition) -> int:
        return 0

    def seek(self, partition: Partition, offset: int) -> None:
        self._next = offset

    def pause(self, partitions: Sequence[Partition]) -> None:
        self.pauses += 1
        self._paused = True
        self.paused_once.set()

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._paused = False

    def lag(self, partition: Partition, position: int) -> int | None:
        return None

    def close(self) -> None: ...


class _Sink:
    """Ends the loop once all is published."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def begin(self) -> None: ...

    def publish(self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int]) -> None:
        if offsets[PARTITION] == RECORDS:
            self.stop.set()

    def close(self) -> None: ...


class _Handler:
    def __init__(self, before: Callable[[], object]) -> None:
        self._before = before

    def handle(self, record: Record) -> Sequence[Outgoing]:
        self._before()
        return ()


def _pauses(source: _Source, before: Callable[[], object], clock: Callable[[], float]) -> int:
    sink = _Sink()
    options = LoopOptions(service="bound", deadletter_topic="deadletter", workers=1, in_flight=1)
    Loop(source, sink, _Handler(before), options, clock=clock).run(["clips"], sink.stop)
    return source.pauses


def test_a_record_that_is_soon_done_pauses_nothing() -> None:
    assert _pauses(_Source(), lambda: None, clock=lambda: 0.0) == 0


def test_a_record_that_takes_long_pauses_the_partitions_and_polling_goes_on() -> None:
    source, seconds = _Source(), itertools.count()

    assert _pauses(source, lambda: source.paused_once.wait(30), clock=lambda: float(next(seconds))) >= 1
