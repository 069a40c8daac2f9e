"""A real Kafka for benchmarks: the one of the tests, in a folder of its own that goes away with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Skipped
from tests.support.kafka import KafkaServer


@contextmanager
def broker() -> Iterator[tuple[KafkaServer, Path]]:
    """A running broker and a scratch folder. Raises Skipped where none can be started."""
    with tempfile.TemporaryDirectory(prefix="plateflow-bench-") as scratch:
        folder = Path(scratch)
        try:
            server = KafkaServer(folder / "kafka").start()
        except (OSError, RuntimeError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise Skipped(f"no Kafka: it needs Java 17 and, once, the network for its jars ({reason})") from error
        try:
            yield server, folder
        finally:
            server.kill()
