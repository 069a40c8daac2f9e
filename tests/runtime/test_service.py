"""The shell around a service as a process: what it says and how it leaves when it cannot work."""

from __future__ import annotations

from pathlib import Path

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
