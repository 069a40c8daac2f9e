"""One contract for both brokers, Kafka and its in-memory twin: what the loop relies on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from confluent_kafka import Producer

from services.runtime.errors import Fenced
from services.runtime.kafka import KafkaLog, KafkaSink, KafkaSource
from services.runtime.memory import MemoryBroker, MemorySink, MemorySource
from services.runtime.ports import Outgoing, Partition, Record, Sink, Source
from services.runtime.settings import KafkaSettings
from tests.support.kafka import Broker


@dataclass
class Assigned:
    """Notes assignments; starts each partition where it is told, else at the committed offset or the log's start."""

    source: Source
    start: int | None = None
    partitions: list[Partition] = field(default_factory=list)

    def assigned(self, partitions: Sequence[Partition]) -> None:
        committed = self.source.committed(partitions)
        for partition in partitions:
            position = self.start if self.start is not None else committed[partition]
            self.source.seek(partition, self.source.log_start(partition) if position is None else position)
        self.partitions += partitions

    def revoked(self, partitions: Sequence[Partition], lost: bool) -> None:
        self.partitions = [p for p in self.partitions if p not in partitions]


@dataclass
class Bench:
    """A broker with one input partition holding 0, 1, 2 and one output topic."""

    source: Callable[[], Source]
    sink: Callable[[Source], Sink]
    seen: Callable[[str], list[bytes | None]]
    topic: str
    out: str

    @property
    def partition(self) -> Partition:
        return Partition(self.topic, 0)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def bench(request: pytest.FixtureRequest, topic_prefix: str) -> Bench:
    topic, out = f"{topic_prefix}in", f"{topic_prefix}out"
    if request.param == "memory":
        memory = MemoryBroker()
        for number in range(3):
            memory.append(topic, b"%d" % number)
        return Bench(
            lambda: MemorySource(memory, "group"),
            lambda source: MemorySink(memory, "tx", source),  # type: ignore[arg-type]
            lambda name: [record.value for record in memory.records(name)],
            topic,
            out,
        )
    broker: Broker = request.getfixturevalue("kafka")
    settings = KafkaSettings(broker=broker.bootstrap, group=f"{topic_prefix}group", session_timeout_s=6.0)
    KafkaLog(settings.model_copy(update={"topic_partitions": 1})).ensure([topic, out])
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(3):
        producer.produce(topic, b"%d" % number, partition=0)
    producer.flush(10)
    return Bench(
        lambda: KafkaSource(settings, "test"),
        lambda source: KafkaSink(settings, "test", source),  # type: ignore[arg-type]
        lambda name: [message.value() for message in broker.read_all(name)],
        topic,
        out,
    )


def take(source: Source, count: int) -> list[Record]:
    """Poll until ``count`` records are there."""
    records: list[Record] = []
    until = time.monotonic() + 30
    while len(records) < count and time.monotonic() < until:
        records += source.poll(0.1, 10)
    return records


def settle(source: Source) -> list[Record]:
    return [record for _ in range(5) for record in source.poll(0.1, 10)]


def test_records_come_in_order_of_offset(bench: Bench) -> None:
    source = bench.source()
    source.subscribe([bench.topic], Assigned(source))
    records = take(source, 3)
    assert [(r.partition, r.offset, r.value) for r in records] == [(bench.partition, n, b"%d" % n) for n in range(3)]
    source.close()


def test_a_transaction_publishes_and_commits_together(bench: Bench) -> None:
    source = bench.source()
    sink = bench.sink(source)
    source.subscribe([bench.topic], Assigned(source))
    sink.begin()
    take(source, 3)
    sink.publish([Outgoing(bench.out, b"a", b"key", (("name", b"value"),))], {bench.partition: 2})
    assert bench.seen(bench.out) == [b"a"]
    assert source.committed([bench.partition]) == {bench.partition: 2}
    source.close()
    again = bench.source()
    again.subscribe([bench.topic], Assigned(again))
    assert [r.offset for r in take(again, 1)] == [2]
    again.close()


def test_the_start_of_an_assignment_may_lie_before_the_committed_offset(bench: Bench) -> None:
    source = bench.source()
    sink = bench.sink(source)
    source.subscribe([bench.topic], Assigned(source, start=1))
    sink.begin()
    assert [r.offset for r in take(source, 2)] == [1, 2]
    source.close()


def test_a_paused_partition_gives_nothing_until_resumed(bench: Bench) -> None:
    source = bench.source()
    source.subscribe([bench.topic], Assigned(source))
    take(source, 3)
    source.pause([bench.partition])
    source.seek(bench.partition, 0)
    assert settle(source) == []
    source.resume([bench.partition])
    assert [r.offset for r in take(source, 3)] == [0, 1, 2]
    source.close()


def test_a_second_holder_of_the_name_fences_the_first(bench: Bench) -> None:
    source = bench.source()
    first, second = bench.sink(source), bench.sink(source)
    source.subscribe([bench.topic], Assigned(source))
    first.begin()
    take(source, 3)
    second.begin()
    with pytest.raises(Fenced):
        first.publish([Outgoing(bench.out, b"zombie")], {bench.partition: 1})
    second.publish([Outgoing(bench.out, b"owner")], {bench.partition: 1})
    assert bench.seen(bench.out) == [b"owner"]
    first.close()
    source.close()


def test_lag_is_the_distance_to_the_end_of_the_log(bench: Bench) -> None:
    source = bench.source()
    source.subscribe([bench.topic], Assigned(source))
    take(source, 3)
    assert source.lag(bench.partition, 1) == 2
    source.close()


def test_leaving_the_group_gives_the_partitions_back(bench: Bench) -> None:
    source = bench.source()
    assignments = Assigned(source)
    source.subscribe([bench.topic], assignments)
    take(source, 3)
    assert assignments.partitions == [bench.partition]
    source.close()
    assert assignments.partitions == []
