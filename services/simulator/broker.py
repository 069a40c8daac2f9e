"""An embedded Kafka broker for machines without Kafka: librdkafka's mock cluster, real protocol, in memory.

For the demo and for trying things out. It makes topics by itself, with four partitions; it keeps 5 MB of each
partition; it forgets transactional offsets and shows aborted messages; it answers no admin call. So it proves nothing
about restarts or exactly-once: tests of those run on real Kafka.

    python -m services.simulator.broker --port-file FILE      # a process that lives until SIGTERM

Out: ``host:port`` in the file, and as the first line on stdout, once other processes can reach it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from confluent_kafka import Producer

from services.contracts.topics import Topics

VAULT_TOPIC = "kcloud-event-queue"


class EmbeddedBroker:
    """A running broker; it ends with this process. ``topics`` exist from the start."""

    def __init__(self, topics: Sequence[str] = ()) -> None:
        # The mock cluster lives in the client that asks for it, so this producer is kept and never used to produce.
        self._host: Producer | None = Producer({"test.mock.num.brokers": 1, "log_level": 3})
        for topic in topics:
            self._host.list_topics(topic, timeout=10)
        brokers = self._host.list_topics(timeout=10).brokers.values()
        self.address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        """What clients take as ``bootstrap.servers``."""

    def close(self) -> None:
        self._host = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(port_file: Path | None = None, topics: Sequence[str] = ()) -> int:
    """Runs a broker in the foreground until SIGTERM or Ctrl+C; says where it listens."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with EmbeddedBroker(topics) as broker:
        if port_file is not None:
            part = port_file.with_name(port_file.name + ".part")
            part.write_text(broker.address)
            part.replace(port_file)
        sys.stdout.write(f"KAFKA_BROKER={broker.address}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.simulator.broker", description="An embedded Kafka broker, in memory."
    )
    parser.add_argument("--port-file", type=Path, help="written with host:port once the broker can be reached")
    parser.add_argument("--topic", action="append", help="a topic to make at once (default: all of plateflow's)")
    options = parser.parse_args(arguments)
    return serve(options.port_file, options.topic or [VAULT_TOPIC, *Topics().all()])


if __name__ == "__main__":
    raise SystemExit(main())
