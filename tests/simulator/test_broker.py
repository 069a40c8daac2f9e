"""The embedded broker is a Kafka that other processes reach."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from services.contracts.topics import Topics
from services.simulator.broker import VAULT_TOPIC, EmbeddedBroker


def consume(address: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(4)])
    found: list[bytes | None] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message.value())
    consumer.close()
    return found


def test_a_broker_in_another_process_takes_and_gives_messages_and_ends_on_sigterm(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "services.simulator.broker", "--port-file", str(port_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        announced = process.stdout.readline().strip().removeprefix("KAFKA_BROKER=")
        assert port_file.read_text() == announced
        producer = Producer({"bootstrap.servers": announced})
        for number in range(20):
            producer.produce(VAULT_TOPIC, f"recording {number}".encode())
        assert producer.flush(10) == 0

        found = consume(announced, VAULT_TOPIC, 20)

        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert sorted(found, key=str) == sorted((f"recording {number}".encode() for number in range(20)), key=str)


def test_named_topics_exist_from_the_start() -> None:
    with EmbeddedBroker(Topics().all()) as broker:
        found = Producer({"bootstrap.servers": broker.address}).list_topics(timeout=10).topics

    assert set(Topics().all()) <= set(found)
    assert len(found[Topics().tracks].partitions) == 4
