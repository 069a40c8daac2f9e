"""`plateflow status` tells what is ready, what waits and who recorded last, and as much where something is down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from services.cli.status import _duration
from services.contracts.codec import encode
from services.contracts.messages import Models, RecordingDone, Run
from services.simulator.vault_events import Arrival
from tests.cli.command import Plateflow
from tests.support.kafka import Broker
from tests.support.processes import free_port
from tests.support.recordings import mp4
from tests.support.stack import Stack

KEYS = [f"yard/17859347{number:02}_3-414_gate_1-2-3-4_57_20452.mp4" for number in range(3)]


@pytest.fixture
def stack(tmp_path: Path, kafka: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Ready to start; the environment of this process is that of its services."""
    with Stack(tmp_path, kafka, topic_prefix) as stack:
        for name, value in stack.settings().items():
            monkeypatch.setenv(name, value)
        yield stack


def finish(stack: Stack, camera: str, *starts_ms: int) -> None:
    """Say on `plateflow.recordings` that these recordings are finished, in one transaction, as inference does."""
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap, "transactional.id": stack.topics.prefix + camera})
    producer.init_transactions(30)
    producer.begin_transaction()
    for start_ms in starts_ms:
        done = RecordingDone(
            id=f"{camera}-{start_ms}", results=1, recording_id=f"{camera}-{start_ms}", camera=camera,
            key=f"{camera}/{start_ms}.mp4", run=Run("clips", 0, 0), start_ms=start_ms, duration_ms=4000, frames=32,
            frame_width=1280, frame_height=720, tracks=2, observations=20, models=Models("d", "r"), seconds=1.5,
        )  # fmt: skip
        producer.produce(stack.topics.recordings, encode(done), key=camera)
    producer.commit_transaction(30)


def fetched(stack: Stack) -> None:
    """Ingest has taken in three recordings, and given up on something that is none."""
    stack.start("ingest")
    for key in KEYS:
        stack.vault.put(key, mp4())
        stack.vault.announce(Arrival(key, "demo", len(mp4())))
    stack.vault.publish(b"{broken")
    stack.wait(lambda: 'outcome="rejected",service="ingest"} 1.0' in metrics(stack), 60, "the dead letter")
    stack.wait(lambda: 'outcome="handled",service="ingest"} 3.0' in metrics(stack), 60, "three recordings")


def metrics(stack: Stack) -> str:
    return stack.page("ingest", "metrics").text


def test_status_tells_what_is_ready_what_waits_and_who_recorded_last(stack: Stack, plateflow: Plateflow) -> None:
    fetched(stack)
    finish(stack, "yard/gate", 1_785_934_700_000, 1_785_934_709_000)
    finish(stack, "yard/ramp", 1_785_930_000_000)

    assert plateflow("status", "--json", "--over", "0.2", "--url", f"http://{stack.address('ingest')}") == 0

    (ingest,) = plateflow.answer["services"]
    assert (ingest["service"], ingest["ready"], ingest["in_flight"]) == ("ingest", True, 0)
    assert ingest["dead_letters"] == {"bad-json": 1}
    assert plateflow.answer["waiting"] == {"ingest": 0, "inference": len(KEYS), "aggregator": 0}
    assert [(one["camera"], one["start_ms"]) for one in plateflow.answer["cameras"]] == [
        ("yard/ramp", 1_785_930_000_000),
        ("yard/gate", 1_785_934_709_000),
    ]
    assert plateflow.answer["troubles"] == []

    assert plateflow("status", "--over", "0.2", "--url", f"http://{stack.address('ingest')}") == 0
    assert "ingest" in plateflow.out and "yard/ramp" in plateflow.out and "2026-08-05" in plateflow.out


def test_status_says_what_is_down_and_tells_the_rest(stack: Stack, plateflow: Plateflow) -> None:
    stack.start("ingest")
    nobody = f"http://127.0.0.1:{free_port()}"

    ours = f"http://{stack.address('ingest')}"

    assert plateflow("status", "--json", "--over", "0.2", "--url", ours, "--url", nobody) == 1

    up, down = plateflow.answer["services"]
    assert (up["ready"], down["ready"]) == (True, False)
    (trouble,) = plateflow.answer["troubles"]
    assert trouble.startswith(f"{nobody}: http: does not answer")
    assert plateflow.answer["waiting"]["ingest"] == 0

    assert plateflow("status", "--over", "0.2", "--url", ours, "--url", nobody) == 1
    rows = [line.split() for line in plateflow.out.splitlines() if line]
    assert ["inference", "unknown", "0"] in rows and [nobody.removeprefix("http://"), "down"] in rows


def test_status_says_why_a_service_is_not_ready(stack: Stack, plateflow: Plateflow) -> None:
    stack.start("ingest")
    stack.vault.faults.refuse_keys = True
    stack.wait(lambda: stack.page("ingest", "readyz").status_code == 503, 60, "the refusal")

    assert plateflow("status", "--over", "0.2", "--url", f"http://{stack.address('ingest')}") == 1
    assert "Vault refuses our keys: correct STORAGE_ACCESS_KEY" in plateflow.out


def test_status_without_kafka_still_shows_the_services(plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BROKER", raising=False)

    assert plateflow("status", "--json", "--over", "0.1", "--url", f"http://127.0.0.1:{free_port()}") == 1

    http, kafka = plateflow.answer["troubles"]
    assert "does not answer" in http
    assert "PLATEFLOW_KAFKA_BROKER" in kafka


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119, "119 s"), (180, "3 min"), (7200, "2 h"), (86_400 * 3, "3 d")]
)
def test_a_duration_is_short_to_read(seconds: float, words: str) -> None:
    assert _duration(seconds) == words
