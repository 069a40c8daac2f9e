"""What is wrong is named, with what would be right, before anything starts; and it does not stop what runs.

The chart's refusals, and its hook job run twice, stand in test_helm.py; secrets that compose lacks in test_compose.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer

from services.contracts.codec import encode
from services.runtime.environment import load, variables
from services.runtime.errors import SettingsError
from services.simulator import traffic
from services.simulator.clips import camera_file
from tests.aggregator.build import NOON_MS, track
from tests.deploy.test_helm import SETTINGS
from tests.support.cache import REPOSITORY
from tests.support.compose import Machine
from tests.support.compose import load as compose
from tests.support.kafka import Broker
from tests.support.stack import Stack

NEEDED = {
    "KAFKA_BROKER": "kafka:9092",
    "STORAGE_URI": "http://vault.example/api",
    "STORAGE_ACCESS_KEY": "made-up-access",
    "STORAGE_SECRET": "made-up-secret",
}


# ---- the environment -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("service", "name", "value", "said"),
    [
        ("ingest", "PLATEFLOW_INGEST_WORKERS", "0", "greater than or equal to 1"),
        ("ingest", "PLATEFLOW_CLIPS_MAX_AGE_HOURS", "-1", "greater than 0"),
        ("ingest", "STORAGE_URI", "vault.example", "needs a URL such as https://"),
        ("inference", "PLATEFLOW_SAMPLE_FPS", "500", "less than or equal to 240"),
        ("inference", "PLATEFLOW_DEVICE", "tpu", "'cpu'"),
        ("inference", "PLATEFLOW_OBJECTS_URL", "ftp://shots", "needs a folder or s3://bucket/prefix"),
        ("inference", "PLATEFLOW_TRACING_RATIO", "2", "less than or equal to 1"),
        ("aggregator", "PLATEFLOW_AGGREGATOR_FLUSH_S", "soon", "valid number"),
        ("aggregator", "PLATEFLOW_HTTP_PORT", "70000", "less than or equal to 65535"),
        ("aggregator", "PLATEFLOW_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("aggregator", "KAFKA_MECHANISM", "KERBEROS", "'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'"),
        ("aggregator", "KAFKA_BROKER", "kafka", "needs host:port"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value_and_what_it_may_be(
    service: str, name: str, value: str, said: str
) -> None:
    with pytest.raises(SettingsError) as told:
        load(SETTINGS[service], {**NEEDED, name: value})
    (line,) = str(told.value).splitlines()[1:]
    assert name in line and said in line and repr(value) in line


@pytest.mark.parametrize("service", ["ingest", "inference", "aggregator"])
def test_every_variable_that_is_wrong_is_named_at_once(service: str) -> None:
    ends = ("_S", "_HOURS", "_BYTES", "_PORT")
    numbers = [one.name for one in variables(SETTINGS[service]) if one.name.endswith(ends)]
    assert numbers
    with pytest.raises(SettingsError) as told:
        load(SETTINGS[service], NEEDED | dict.fromkeys(numbers, "many"))
    assert not [name for name in numbers if name not in str(told.value)]


@pytest.mark.parametrize("secret", ["STORAGE_ACCESS_KEY", "STORAGE_SECRET"])
def test_a_missing_secret_is_named_by_its_key(secret: str) -> None:
    with pytest.raises(SettingsError, match=rf"{secret}.*: missing"):
        load(SETTINGS["ingest"], {name: value for name, value in NEEDED.items() if name != secret})


@pytest.mark.parametrize("service", ["ingest", "inference", "aggregator"])
def test_a_service_with_a_wrong_value_ends_at_once_with_2_and_opens_nothing(service: str, tmp_path: Path) -> None:
    env = NEEDED | {"PLATEFLOW_HTTP_PORT": "70000", "PLATEFLOW_DATA": str(tmp_path / "data"), "PATH": "/usr/bin"}
    words = [sys.executable, "-m", f"services.{service}"]
    done = subprocess.run(words, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "PLATEFLOW_HTTP_PORT" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


# ---- compose ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("service", "variable", "value", "said"),
    [
        ("inference", "KAFKA_MECHANISM", "KERBEROS", "'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'"),
        ("ingest", "STORAGE_URI", "vault", "needs a URL such as https://"),
        ("topics", "KAFKA_BROKER", "kafka", "needs host:port"),
        ("demo-clips", "DEMO_CAMERAS", "9", "less than or equal to 4"),
    ],
)
def test_a_wrong_value_in_composes_env_file_ends_its_service_with_what_it_may_be(
    tmp_path: Path, service: str, variable: str, value: str, said: str
) -> None:
    machine = Machine(compose(tmp_path, {variable: value}), tmp_path)
    process = machine.start_ours(service)
    assert process.wait(60) == 2, process.tail()
    assert said in " ".join(process.tail().split())


# ---- cameras ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def running(tmp_path: Path, kafka: Broker, topic_prefix: str) -> Iterator[Stack]:
    """The aggregator, with the demo's cameras."""
    (tmp_path / "cameras.yaml").write_text(camera_file(traffic.CAMERAS))
    with Stack(tmp_path / "stack", kafka, topic_prefix, tmp_path / "cameras.yaml") as stack:
        stack.start("aggregator")
        yield stack


def seen(stack: Stack, plates: Mapping[str, str]) -> None:
    """Tracks of these recordings -> plates."""
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap, "log_level": 0})
    for recording, plate in plates.items():
        one = track([NOON_MS, NOON_MS + 400], plate, recording=recording)
        producer.produce(stack.topics.tracks, encode(one), key=one.camera)
    producer.flush(30)


def test_a_broken_camera_file_does_not_stop_running_cameras_and_a_mended_one_is_taken(running: Stack) -> None:
    file = running.folder.parent / "cameras.yaml"
    good = file.read_text()
    seen(running, {"rec-1": "A111AA77"})
    running.wait(lambda: {one.plate for one in running.plates()} == {"A111AA77"}, 60, "the first plate")

    file.write_text("demo/gate_north: {pairs: [[1, 2]]}\n")
    running.wait(lambda: 'reloads_total{outcome="refused"} 1.0' in running.page("aggregator", "metrics").text, 30, "it")
    seen(running, {"rec-2": "B222BB77"})

    running.wait(lambda: "B222BB77" in {one.plate for one in running.plates()}, 60, "the plate behind the broken file")
    running.wait(
        lambda: running.page("aggregator", "readyz").is_success, 30, "it to be ready, as it stays unless Kafka is slow"
    )
    log = (running.folder / "aggregator.log").read_text()
    assert "demo/gate_north" in log and "Traceback" not in log

    file.write_text(good.replace("640", "641", 1) if "640" in good else good + "\n# mended\n")
    running.wait(lambda: 'reloads_total{outcome="applied"} 1.0' in running.page("aggregator", "metrics").text, 30, "it")
