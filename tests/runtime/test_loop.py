"""The loop on the in-memory broker: what is published, committed, retried, given up on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pytest

from services.contracts.codec import decode
from services.contracts.messages import DeadLetter
from services.runtime.errors import Fenced, Reject, Retry, Stop
from services.runtime.loop import Loop, LoopOptions
from services.runtime.memory import MemoryBroker, MemorySink, MemorySource
from services.runtime.metrics import REGISTRY
from services.runtime.ports import Outgoing, Partition, Record

IN = Partition("in", 0)


class Function:
    """A handler made of a function."""

    def __init__(self, function: Callable[[Record], Sequence[Outgoing]]) -> None:
        self.handle = function


class Bench:
    """A loop on an in-memory broker that runs until its input is committed or a limit of turns is reached."""

    def __init__(self, values: Sequence[bytes], partitions: int = 1) -> None:
        self.broker = MemoryBroker(partitions=partitions)
        for number, value in enumerate(values):
            self.broker.append("in", value, index=number % partitions)
        self.now = 0.0

    def run(self, handler: object, workers: int = 1, aborts: int = 0, turns: int = 2_000, **options: object) -> None:
        source = MemorySource(self.broker, "group")
        self.sink = MemorySink(self.broker, "tx", source)
        self.sink.aborts_ahead = aborts
        stop = threading.Event()
        left = [turns]

        def heartbeat(_now: float) -> None:
            self.now += 1.0
            left[0] -= 1
            done = all(
                self.broker.offsets.get(("group", p), 0) >= self.broker.end(p)
                for p in (Partition("in", i) for i in range(self.broker.partitions))
            )
            if done or left[0] <= 0:
                stop.set()

        loop = Loop(
            source,
            self.sink,
            handler,  # type: ignore[arg-type]
            LoopOptions("test", "dead", workers=workers, **options),  # type: ignore[arg-type]
            heartbeat=heartbeat,
            clock=lambda: self.now,
            jitter=lambda: 1.0,
        )
        loop.run(["in"], stop)

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value for record in self.broker.records(topic)]

    def dead(self) -> list[DeadLetter]:
        return [decode(value, DeadLetter) for value in self.values("dead")]


def copy(record: Record) -> list[Outgoing]:
    return [Outgoing("out", record.value or b"")]


@pytest.mark.parametrize("workers", [1, 4])
def test_every_record_is_published_once_and_committed_in_order(workers: int) -> None:
    bench = Bench([b"%d" % n for n in range(50)])
    bench.run(Function(copy), workers=workers)
    assert bench.values("out") == [b"%d" % n for n in range(50)]
    assert bench.broker.offsets["group", IN] == 50


def test_a_slow_record_holds_back_the_offset_but_not_the_work_behind_it() -> None:
    started = threading.Event()

    def handle(record: Record) -> list[Outgoing]:
        if record.value == b"slow":
            assert started.wait(10), "the record behind never started"
        else:
            started.set()
        return copy(record)

    bench = Bench([b"slow", b"quick"])
    bench.run(Function(handle), workers=2)
    assert bench.values("out") == [b"slow", b"quick"]


def test_what_is_in_flight_is_bounded() -> None:
    running, most, lock = [0], [0], threading.Lock()

    def handle(record: Record) -> list[Outgoing]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.002)
        with lock:
            running[0] -= 1
        return copy(record)

    bench = Bench([b"x"] * 40)
    bench.run(Function(handle), workers=8, in_flight=3)
    assert most[0] <= 3
    assert len(bench.values("out")) == 40


def test_a_rejected_record_becomes_a_dead_letter_and_the_next_is_handled() -> None:
    def handle(record: Record) -> list[Outgoing]:
        if record.value == b'{"publickey":"K"}':
            raise Reject("bad-event", "no key")
        return copy(record)

    bench = Bench([b'{"publickey":"K"}', b"good"])
    bench.run(Function(handle))
    (letter,) = bench.dead()
    assert (letter.reason, letter.stage, letter.origin.offset, letter.attempts) == ("bad-event", "test", 0, 1)
    assert letter.value is not None and b"K" not in letter.value.replace(b"publickey", b"")
    assert bench.values("out") == [b"good"]


def test_a_defect_is_dead_lettered_as_ours_and_does_not_stop_the_stream() -> None:
    def handle(record: Record) -> list[Outgoing]:
        if record.value == b"trip":
            raise ZeroDivisionError("secret things")
        return copy(record)

    bench = Bench([b"trip", b"good"])
    bench.run(Function(handle))
    (letter,) = bench.dead()
    assert letter.reason == "internal-error"
    assert "secret" not in letter.detail
    assert bench.values("out") == [b"good"]


@pytest.mark.parametrize("workers", [0, 1])
def test_what_may_heal_is_tried_again_with_growing_pauses(workers: int) -> None:
    tries: list[float] = []
    bench = Bench([b"a", b"b"])

    class Heals(Stateful):
        def handle(self, record: Record) -> list[Outgoing]:
            if record.value == b"a":
                tries.append(bench.now)
                if len(tries) < 5:
                    raise Retry("down", "still down", healthy=lambda: False)
            return copy(record)

    bench.run(Heals(), workers=workers)
    assert bench.values("out") == [b"a", b"b"]
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == sorted(pauses) and pauses[-1] > pauses[0]


def test_one_record_failing_for_ten_minutes_while_its_dependency_is_fine_is_given_up_on() -> None:
    def handle(record: Record) -> list[Outgoing]:
        if record.value == b"sick":
            raise Retry("fetch-failed", "answers 500", healthy=lambda: True)
        return copy(record)

    bench = Bench([b"sick", b"well"])
    bench.run(Function(handle))
    assert [letter.reason for letter in bench.dead()] == ["fetch-failed"]
    assert bench.values("out") == [b"well"]
    assert bench.now >= 600


def test_nothing_is_given_up_on_while_the_dependency_is_down() -> None:
    def handle(record: Record) -> list[Outgoing]:
        raise Retry("fetch-failed", "no route", healthy=lambda: False)

    bench = Bench([b"waits"])
    bench.run(Function(handle), turns=1_500)
    assert bench.now > 700
    assert bench.dead() == []
    assert bench.broker.offsets == {}


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_an_aborted_transaction_rewinds_the_input_and_nothing_is_lost_or_doubled(workers: int) -> None:
    bench = Bench([b"%d" % n for n in range(20)], partitions=2)
    bench.run(Stateful(), workers=workers, aborts=3)
    assert sorted(bench.values("out"), key=lambda v: int(v or b"")) == [b"%d" % n for n in range(20)]


def test_a_stop_passes_through_and_commits_nothing_of_its_record() -> None:
    def handle(record: Record) -> list[Outgoing]:
        if record.value == b"b":
            raise Stop("STORAGE_ACCESS_KEY is refused")
        return copy(record)

    bench = Bench([b"a", b"b"])
    with pytest.raises(Stop, match="STORAGE_ACCESS_KEY"):
        bench.run(Function(handle))
    assert bench.broker.offsets.get(("group", IN), 0) <= 1


def test_a_fenced_instance_publishes_nothing_more() -> None:
    bench = Bench([b"a"])

    def handle(record: Record) -> list[Outgoing]:
        bench.broker.epochs["tx"] += 1
        return copy(record)

    with pytest.raises(Fenced):
        bench.run(Function(handle))
    assert bench.values("out") == []


def test_a_service_whose_every_message_fails_stops() -> None:
    def handle(record: Record) -> list[Outgoing]:
        raise Reject("bad-event", "no key")

    bench = Bench([b"x"] * 30)
    with pytest.raises(Stop, match="dead letters"):
        bench.run(Function(handle), dead_letters_in_a_row=10)
    assert 10 <= len(bench.dead()) <= 30


class Stateful:
    """Counts what it handled per partition; its results carry the count, so that wrong state shows."""

    def __init__(self, checkpoint: Mapping[Partition, int] | None = None) -> None:
        self.checkpoint = dict(checkpoint or {})
        self.calls: list[object] = []

    def handle(self, record: Record) -> Sequence[Outgoing]:
        self.calls.append(record.offset)
        return copy(record)

    def assigned(self, partition: Partition, committed: int | None, log_start: int) -> int | None:
        self.calls.append(("assigned", committed, log_start))
        return self.checkpoint.get(partition)

    def revoked(self, partition: Partition, lost: bool) -> None:
        self.calls.append(("revoked", lost))

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        self.calls.append(("committed", dict(offsets)))

    def tick(self, now_s: float) -> None:
        """Keeps no time."""


def test_a_stateful_handler_replays_from_its_checkpoint_with_publishing_off() -> None:
    bench = Bench([b"%d" % n for n in range(5)])
    bench.broker.offsets["group", IN] = 3
    handler = Stateful({IN: 1})
    bench.run(handler, workers=0)
    assert [call for call in handler.calls if isinstance(call, int)] == [1, 2, 3, 4]
    assert bench.values("out") == [b"3", b"4"]
    assert handler.calls[0] == ("assigned", 3, 0)
    assert handler.calls[-1] == ("revoked", False)


def test_after_a_failure_a_stateful_handler_is_told_that_its_state_is_lost() -> None:
    class Fails(Stateful):
        def handle(self, record: Record) -> Sequence[Outgoing]:
            raise Stop("broken")

    handler = Fails()
    with pytest.raises(Stop):
        Bench([b"a"]).run(handler, workers=0)
    assert handler.calls[-1] == ("revoked", True)


def test_records_deleted_by_retention_are_counted_not_passed_over_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench([b"%d" % n for n in range(5)])
    bench.broker.offsets["group", IN] = 1
    bench.broker.expire(IN, 3)
    bench.run(Function(copy))
    assert bench.values("out") == [b"3", b"4"]
    assert "deleted before they were read" in caplog.text


def test_the_lag_of_partitions_that_went_elsewhere_is_no_longer_shown() -> None:
    labels = {"service": "test", "topic": "in", "partition": "0"}
    shown: list[float | None] = []

    def look(record: Record) -> Sequence[Outgoing]:
        shown.append(REGISTRY.get_sample_value("plateflow_lag_records", labels))
        return ()

    Bench([b"a", b"b", b"c"]).run(Function(look), in_flight=1)

    assert shown == [None, 2, 1]
    assert REGISTRY.get_sample_value("plateflow_lag_records", labels) is None


def test_what_waits_makes_us_late_and_nothing_left_to_do_makes_us_timely() -> None:
    bench = Bench([])
    bench.broker.logs[IN].append(Record(IN, 0, b"a", timestamp_ms=1_000))
    late: list[float] = []

    def wait_once(record: Record) -> Sequence[Outgoing]:
        late.append(REGISTRY.get_sample_value("plateflow_lag_seconds", {"service": "test"}) or 0.0)
        if len(late) < 2:
            raise Retry("down", "wait")
        return ()

    bench.run(Function(wait_once))

    assert late[1] > 1e9  # the record is of 1970
    assert REGISTRY.get_sample_value("plateflow_lag_seconds", {"service": "test"}) == 0
