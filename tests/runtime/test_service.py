"""The shell around a service as a process: what it says and how it leaves when it cannot work."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from services.runtime import service as shell
from services.runtime.health import Health
from services.runtime.service import Chore, Service
from tests.support.kafka import KafkaServer
from tests.support.processes import free_port
from tests.support.services import ServiceProcess


def aggregator(folder: Path, **settings: str) -> ServiceProcess:
    return ServiceProcess("aggregator", {"PLATEFLOW_DATA": str(folder / "data"), **settings}, folder)


def test_missing_settings_are_named_and_the_exit_code_is_2(tmp_path: Path) -> None:
    service = aggregator(tmp_path, PLATEFLOW_KAFKA_TOPIC_PARTITIONS="none").start()
    assert service.process.wait() == 2
    text = service.log.read_text()
    assert "PLATEFLOW_KAFKA_BROKER" in text and "PLATEFLOW_KAFKA_TOPIC_PARTITIONS" in text
    assert "Traceback" not in text


def test_without_a_broker_a_service_is_alive_unready_and_leaves_when_told(tmp_path: Path) -> None:
    service = aggregator(tmp_path, KAFKA_BROKER=f"127.0.0.1:{free_port()}").start()
    service.wait_until_it_says("starting")
    assert service.ask("/healthz").status_code == 200
    assert service.stop() == 0
    assert "Traceback" not in service.log.read_text()


def test_a_service_waits_for_a_broker_that_comes_later(tmp_path: Path, own_kafka: KafkaServer) -> None:
    own_kafka.stop()
    service = aggregator(tmp_path, KAFKA_BROKER=own_kafka.bootstrap).start()
    service.wait_until_it_says("starting")
    own_kafka.restart()
    service.wait_until_ready()
    assert service.stop() == 0


def test_a_port_in_use_is_one_clear_line(tmp_path: Path, own_kafka: KafkaServer) -> None:
    port = own_kafka.bootstrap.rpartition(":")[2]
    service = aggregator(tmp_path, KAFKA_BROKER=own_kafka.bootstrap, PLATEFLOW_HTTP_PORT=port).start()
    assert service.process.wait() == 2
    assert "PLATEFLOW_HTTP_PORT" in service.log.read_text()


class Deaf:
    """A broker that is not asked for anything but whether it is there."""

    def reachable(self) -> bool:
        return True


def left_with(silences_s: list[float]) -> list[int]:
    """The codes with which a service leaves whose loop was silent for so long at each look."""
    stop, codes, now = threading.Event(), list[int](), iter(silences_s)
    health = Health(stalled_after_s=120.0, clock=lambda: next(now, 0.0))
    health.heartbeat(0.0)
    quiet = Service(name="test", topics=[], handler=None, options=None)  # type: ignore[arg-type]
    chore = Chore("end", 0.0, lambda: stop.set() if next(looks, None) is None else None)
    looks = iter(silences_s[2:])
    with patch.object(shell, "PROBE_EVERY_S", 0.0):
        shell._watch(replace(quiet, chores=[chore]), Deaf(), health, stop, codes.append)  # type: ignore[arg-type]
    return codes


def test_a_loop_that_hangs_takes_the_process_along_and_one_that_was_only_frozen_does_not() -> None:
    assert left_with([0.0, 1.0, 2.0, 3.0]) == []
    assert left_with([0.0, 500.0, 1.0, 500.0, 1.0]) == []
    assert left_with([0.0, 500.0, 505.0]) == [5]
