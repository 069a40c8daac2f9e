"""What the broker keeps of a process that dies between the steps of a transaction, or was thrown out of its group."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer

from services.aggregator.migration import partition_of
from services.runtime import kafka as runtime_kafka
from services.runtime.kafka import KafkaSink, KafkaSource
from services.runtime.ports import Outgoing, Partition
from services.runtime.settings import KafkaSettings
from tests.runtime.test_broker_contract import Assigned, take
from tests.support.cache import REPOSITORY
from tests.support.kafka import Broker


class Died(BaseException):
    """The process is gone."""


@dataclass
class Site:
    """An input topic with one record, and an output topic."""

    broker: Broker
    prefix: str

    def __post_init__(self) -> None:
        self.broker.create_topics({self.topic: 1, self.out: 1})
        producer = Producer({"bootstrap.servers": self.broker.bootstrap})
        producer.produce(self.topic, b"in", partition=0)
        producer.flush(10)

    @property
    def topic(self) -> str:
        return f"{self.prefix}in"

    @property
    def out(self) -> str:
        return f"{self.prefix}out"

    @property
    def partition(self) -> Partition:
        return Partition(self.topic, 0)

    def settings(self, instance: str) -> KafkaSettings:
        return KafkaSettings(
            broker=self.broker.bootstrap, group=f"{self.prefix}group", instance_id=instance, session_timeout_s=6.0
        )

    def process(self, instance: str = "0") -> tuple[KafkaSource, KafkaSink]:
        """A member of the group that has read the record."""
        settings = self.settings(instance)
        source = KafkaSource(settings, "test")
        sink = KafkaSink(settings, "test", source)
        source.subscribe([self.topic], Assigned(source))
        sink.begin()
        assert len(take(source, 1)) == 1
        return source, sink

    def outcome(self, source: KafkaSource) -> tuple[list[bytes | None], int | None]:
        """What readers see, and the group's offset."""
        seen = [message.value() for message in self.broker.read_all(self.out)]
        return seen, source.committed([self.partition])[self.partition]


@pytest.fixture
def site(kafka: Broker, topic_prefix: str) -> Site:
    return Site(kafka, topic_prefix)


def die_at(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash_point(name: str) -> None:
        if name == point:
            raise Died(name)

    monkeypatch.setattr(runtime_kafka, "crash_point", crash_point)


def test_who_dies_after_producing_has_neither_published_nor_committed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = site.process()
    die_at("after-produce", monkeypatch)
    with pytest.raises(Died):
        sink.publish([Outgoing(site.out, b"lost")], {site.partition: 1})
    sink.producer.flush(10)  # the broker has the message, all the same
    source.close()
    again, heir = site.process()  # the next start fences what the dead one left open, and reads the record again

    assert site.outcome(again) == ([], None)
    monkeypatch.undo()
    heir.publish([Outgoing(site.out, b"result")], {site.partition: 1})
    assert site.outcome(again) == ([b"result"], 1)
    again.close()
    next_service = KafkaSource(site.settings("0"), "next")
    next_service.subscribe([site.out], Assigned(next_service))
    assert [record.value for record in take(next_service, 1)] == [b"result"]
    next_service.close()


def test_a_camera_lands_on_the_partition_that_any_kafka_client_gives_it(site: Site) -> None:
    """Java's partitioner; else a camera's messages would lie on several partitions, after each restart on others."""
    source, sink = site.process()
    many = f"{site.prefix}many"
    site.broker.create_topics({many: 8})
    cameras = [f"site/gate-{number}".encode() for number in range(40)]
    sink.publish([Outgoing(many, b"", camera) for camera in cameras], {site.partition: 1})

    landed = {message.key(): message.partition() for message in site.broker.read_all(many)}
    assert landed == {camera: partition_of(camera, 8) for camera in cameras}
    source.close()


def test_who_dies_after_the_commit_has_published_and_committed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    source, sink = site.process()
    die_at("after-commit", monkeypatch)
    with pytest.raises(Died):
        sink.publish([Outgoing(site.out, b"result")], {site.partition: 1})

    assert site.outcome(source) == ([b"result"], 1)
    source.close()


MEMBER = """
import sys, time
from services.runtime.kafka import KafkaSink, KafkaSource
from services.runtime.ports import Outgoing, Partition, TransactionAborted
from services.runtime.settings import KafkaSettings
from tests.runtime.test_broker_contract import Assigned, take

broker, group, topic, out, wait = sys.argv[1:]
settings = KafkaSettings(broker=broker, group=group, instance_id="zombie", session_timeout_s=6.0)
source = KafkaSource(settings, "test")
sink = KafkaSink(settings, "test", source)
source.subscribe([topic], Assigned(source))
sink.begin()
assert len(take(source, 1)) == 1
print("taken", flush=True)
sys.stdin.readline()
time.sleep(float(wait))
try:
    sink.publish([Outgoing(out, b"zombie")], {Partition(topic, 0): 1})
    print("published", flush=True)
except TransactionAborted:
    print("aborted", flush=True)
"""


@pytest.mark.parametrize("wait", ["0", "2"], ids=["at once", "after its heartbeat has failed"])
def test_a_member_that_was_frozen_while_another_took_over_publishes_nothing(site: Site, wait: str) -> None:
    """Longer than its session, so that the group gives its partition away; it wakes with a result in its hands."""
    zombie = subprocess.Popen(
        [sys.executable, "-c", MEMBER, site.broker.bootstrap, f"{site.prefix}group", site.topic, site.out, wait],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert zombie.stdin is not None and zombie.stdout is not None
    try:
        assert zombie.stdout.readline() == "taken\n"
        zombie.send_signal(signal.SIGSTOP)
        zombie.stdin.write("go on\n")
        zombie.stdin.flush()
        source, sink = site.process("heir")
        sink.publish([Outgoing(site.out, b"heir")], {site.partition: 1})
        zombie.send_signal(signal.SIGCONT)
        said = zombie.communicate(timeout=60)[0]
    finally:
        zombie.kill()

    assert said == "aborted\n"
    assert site.outcome(source) == ([b"heir"], 1)
    source.close()
