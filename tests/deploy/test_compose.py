"""`docker-compose.yml`: valid, pinned, without secrets, and the system that it describes reads the demo's plates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.contracts.codec import decode
from services.contracts.messages import Passage, RecordingDone
from services.simulator.camera import recorded_at
from services.simulator.clips import camera_file, load_truth
from services.simulator.traffic import CAMERAS
from tests.support.cache import REPOSITORY
from tests.support.compose import COMPOSE_FILE, Machine, check, interpolated, load, variables
from tests.support.kafka import Broker
from tests.support.processes import accepts
from tests.support.prometheus import binary

OURS = ("topics", "ingest", "inference", "inference-gpu", "aggregator", "vault", "demo-clips", "demo-cameras")
SERVICES = ("ingest", "inference", "aggregator")
DEMO = ("vault", "demo-clips", "demo-cameras")
SECRETS = ("STORAGE_ACCESS_KEY", "STORAGE_SECRET", "S3_ACCESS_KEY", "S3_SECRET_KEY", "GRAFANA_PASSWORD")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return load(tmp_path_factory.mktemp("compose"))


def test_the_file_is_valid_by_the_compose_specification(services: dict[str, Any]) -> None:
    assert {*OURS, "kafka", "s3", "buckets", "prometheus", "grafana", "kafka-exporter"} == set(services)


def test_a_mistake_in_the_file_would_be_found(tmp_path: Path) -> None:
    filled = interpolated(COMPOSE_FILE.read_text(), variables(REPOSITORY / ".env.example"))
    done = check(filled.replace("stop_grace_period", "stop_grace"), tmp_path)
    assert done.returncode != 0
    assert "stop_grace" in done.stderr


def test_every_missing_secret_is_named_with_what_to_do(tmp_path: Path) -> None:
    done = check(COMPOSE_FILE.read_text(), tmp_path)
    assert done.returncode != 0
    for name in SECRETS:
        assert f"required variable {name} is missing a value: copy .env.example to .env and" in done.stderr


def test_the_sample_of_secrets_is_complete_and_nothing_secret_stands_in_the_file() -> None:
    sample = variables(REPOSITORY / ".env.example")
    assert set(sample) == set(SECRETS)
    text = COMPOSE_FILE.read_text()
    assert not [name for name in ("STORAGE_SECRET", "S3_SECRET_KEY", "GRAFANA_PASSWORD") if sample[name] in text]


def test_every_image_is_pinned_to_a_release(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["image"].rpartition(":")[2].lstrip("v")[0].isdigit(), name


def test_our_containers_have_no_rights_and_a_read_only_root(services: dict[str, Any]) -> None:
    for name in OURS:
        service = services[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert not [name for name, service in services.items() if service.get("privileged")]


def test_nothing_is_reachable_from_other_machines(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_the_gpu_and_the_demo_run_only_when_asked_for(services: dict[str, Any]) -> None:
    profiles = {name: service["profiles"] for name, service in services.items() if service.get("profiles")}
    assert profiles == {"inference-gpu": ["gpu"]} | {name: ["demo"] for name in DEMO}
    assert services["inference-gpu"]["build"]["args"]["VARIANT"] == "cuda"


def test_whatever_is_mounted_from_the_tree_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for mount in service.get("volumes", []):
            assert mount["type"] != "bind" or (REPOSITORY / mount["source"]).exists(), mount["source"]


def test_the_camera_file_is_the_one_of_the_demos_cameras() -> None:
    shipped = yaml.safe_load((REPOSITORY / "deploy" / "cameras.yaml").read_text())
    assert shipped == yaml.safe_load(camera_file(CAMERAS))


def test_a_live_clip_is_named_by_the_moment_of_its_upload() -> None:
    name = "1630567591_6-967003_gate_200-200-400-400_24_769.mp4"
    assert recorded_at(name, 1_700_000_000_042) == "1700000000_2-42_gate_200-200-400-400_24_769.mp4"


def wait(machine: Machine, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"waited {timeout_s} s in vain for {what}\n{machine.tails()}"
        time.sleep(0.3)


def ended_well(machine: Machine, service: str, timeout_s: float = 150) -> None:
    process = machine.start_ours(service)
    wait(machine, lambda: not process.running, timeout_s, f"{service} to end")
    assert process.returncode == 0, process.tail()


def start_prometheus(machine: Machine) -> int:
    """The command and the configuration of the compose file; addresses and the folder of the rules are of here."""
    config = REPOSITORY / "deploy" / "prometheus" / "prometheus.yml"
    text = machine.here("prometheus", config.read_text()).replace("15s", "1s")
    ours = machine.folder / "prometheus.yml"
    ours.write_text(text.replace("rules/*.yml", str(config.parent / "rules" / "*.yml")))
    port = machine.port("prometheus", "9090")
    words = [machine.here("prometheus", word) for word in machine.services["prometheus"]["command"]]
    words = [f"--config.file={ours}" if word.startswith("--config.file") else word for word in words]
    command = [str(binary("prometheus")), *words, f"--web.listen-address=127.0.0.1:{port}"]
    machine.start("prometheus", command, {}).wait_until(lambda: accepts(port))
    return port


def up(port: int) -> set[str]:
    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": "up == 1"}, timeout=5).json()
    return {one["metric"]["job"] for one in answer["data"]["result"]}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(load(tmp_path, {"DEMO_CAMERAS": "1", "DEMO_CLIPS_PER_MINUTE": "20"}), tmp_path)
    yield machine
    machine.kill()


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.timeout(600)
def test_started_natively_with_the_files_own_commands_the_demos_plates_come_out(machine: Machine) -> None:
    """Kafka, the S3 store, Prometheus and every service of ours, hosts mapped to loopback."""
    kafka = Broker(f"127.0.0.1:{machine.port('kafka', '9092')}")
    machine.start_kafka().wait_until(kafka.answers)
    machine.start_s3().wait_until(lambda: accepts(machine.port("s3", "7070")))
    ended_well(machine, "topics")
    ended_well(machine, "demo-clips")
    for service in SERVICES:
        machine.start_ours(service)
    machine.start_ours("vault")
    pages = {service: f"http://127.0.0.1:{machine.port(service, '8080')}/readyz" for service in SERVICES}
    wait(machine, lambda: all(map(answers, pages.values())), 90, "every service to be ready")
    prometheus = start_prometheus(machine)
    machine.start_ours("demo-cameras")
    clips = machine.folder / "volumes" / "demo-clips"
    truth = load_truth(clips / "truth.json")
    expected = {passage.plate for recording in truth.recordings for passage in recording.passages}

    def found() -> set[str]:
        passages = [decode(message.value(), Passage) for message in kafka.read_all("plateflow.passages")]
        return {passage.plate for passage in passages}

    wait(machine, lambda: expected <= found(), 240, f"the plates {expected}")
    done = [decode(message.value(), RecordingDone) for message in kafka.read_all("plateflow.recordings")]
    assert {one.camera for one in done} == {one.camera for one in truth.recordings}
    assert not kafka.read_all("plateflow.deadletter")
    assert list((machine.folder / "volumes" / "s3" / "objects" / "clips").rglob("*.mp4"))
    wait(machine, lambda: len(up(prometheus)) == len(SERVICES), 30, "Prometheus to reach every service")
    machine.processes["demo-cameras"].stop()
    for service in SERVICES:
        assert machine.processes[service].stop(40) == 0, machine.processes[service].tail()
    assert list((machine.folder / "volumes" / "heatmaps" / "heatmap").rglob("*.parquet"))


def answers(page: str) -> bool:
    try:
        return httpx.get(page, timeout=5).is_success
    except httpx.TransportError:
        return False
