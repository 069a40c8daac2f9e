"""`plateflow doctor` finds what is wrong before a service does, says what to do, and gives no secret away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from services.cli.doctor_vault import judge_clock
from services.inference.models.recogniser import WEIGHTS
from services.runtime.environment import OURS
from tests.cli.command import Plateflow
from tests.support.collector import Collector
from tests.support.kafka import Broker
from tests.support.processes import free_port
from tests.support.stack import ACCESS_KEY, SECRET, Stack


@pytest.fixture
def stack(tmp_path: Path, kafka: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Vault and the topics, no service; the environment of this process is that of the services."""
    with Stack(tmp_path, kafka, topic_prefix) as stack:
        for name, value in stack.settings().items():
            monkeypatch.setenv(name, value)
        yield stack


def wrong(plateflow: Plateflow) -> list[str]:
    return [line.removeprefix("wrong").strip() for line in plateflow.out.splitlines() if line.startswith("wrong")]


def test_where_all_is_well_every_check_is_ok(stack: Stack, plateflow: Plateflow) -> None:
    assert plateflow("doctor") == 0, plateflow.out

    subjects = [line.removeprefix("ok").strip().partition(":")[0] for line in plateflow.out.splitlines()]
    assert {*subjects} == {
        *("settings", "kafka", "topics", "permissions", "groups", "vault", "clock"),
        *("clip store", "object store", "data folder", "models"),
    }
    assert f"{stack.topics.tracks}: 2 partitions" in plateflow.out
    assert SECRET not in plateflow.out + plateflow.err and ACCESS_KEY not in plateflow.out + plateflow.err


def test_for_scripts_each_check_is_an_object(stack: Stack, plateflow: Plateflow) -> None:
    stack.vault.faults.refuse_keys = True

    assert plateflow("doctor", "--json") == 1

    found = [json.loads(line) for line in plateflow.out.splitlines()]
    assert {one["subject"] for one in found if not one["ok"]} == {"vault"}


def test_a_collector_that_takes_no_spans_is_told(
    stack: Stack, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        monkeypatch.setenv("PLATEFLOW_TRACING_ENDPOINT", collector.endpoint)
        assert plateflow("doctor") == 0
    assert f"tracing: {collector.endpoint} takes spans" in plateflow.out

    assert plateflow("doctor") == 1
    (told,) = wrong(plateflow)
    assert told.startswith("tracing: ") and "usually 4318" in told


def test_nothing_is_made_by_looking(stack: Stack, plateflow: Plateflow) -> None:
    before = stack.broker.topics()

    plateflow("doctor")

    assert stack.broker.topics() == before
    assert not stack.data.exists()


def test_keys_that_vault_refuses_are_told_with_their_variables(stack: Stack, plateflow: Plateflow) -> None:
    stack.vault.faults.refuse_keys = True

    assert plateflow("doctor") == 1
    assert wrong(plateflow) == ["vault: it refuses our keys: correct STORAGE_ACCESS_KEY and STORAGE_SECRET"]
    assert plateflow.err == "1 check is wrong\n"


def test_a_vault_that_does_not_answer_is_told_with_its_address(
    stack: Stack, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_URI", nowhere := f"http://127.0.0.1:{free_port()}/api")

    assert plateflow("doctor") == 1
    assert wrong(plateflow) == [f"vault: {nowhere} does not answer: check STORAGE_URI, and Vault itself"]


def test_a_topic_that_vault_does_not_write_to_is_told(
    stack: Stack, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_QUEUE_NAME", "no-such-topic")

    assert plateflow("doctor") == 1
    assert wrong(plateflow) == [
        "topics: there is no no-such-topic: set KAFKA_QUEUE_NAME to the topic of Vault's Kafka integration, or make it"
    ]


def test_a_broker_that_does_not_answer_is_told(
    stack: Stack, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BROKER", nowhere := f"127.0.0.1:{free_port()}")

    assert plateflow("doctor") == 1
    (told,) = wrong(plateflow)
    assert told.startswith(f"kafka: {nowhere} does not answer (") and "check KAFKA_BROKER" in told


def test_folders_that_cannot_be_made_are_told(
    stack: Stack, plateflow: Plateflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("no folder")
    monkeypatch.setenv("PLATEFLOW_DATA", str(tmp_path / "a-file" / "data"))
    monkeypatch.setenv("PLATEFLOW_CLIPS_URL", str(tmp_path / "a-file" / "clips"))

    assert plateflow("doctor") == 1
    assert [line.partition(":")[0] for line in wrong(plateflow)] == ["clip store", "data folder"]


def test_weights_that_are_not_what_their_card_says_are_told(
    stack: Stack, plateflow: Plateflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / WEIGHTS.name
    copy.write_bytes(WEIGHTS.read_bytes() + b"!")
    shutil.copy(WEIGHTS.with_suffix(".json"), copy.with_suffix(".json"))
    monkeypatch.setenv("PLATEFLOW_RECOGNISER_WEIGHTS", str(copy))

    assert plateflow("doctor") == 1
    (told,) = wrong(plateflow)
    assert told.startswith("models: ") and "SHA-256" in told


def test_wrong_and_missing_settings_are_told_once_and_the_rest_is_checked(
    plateflow: Plateflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith((OURS, "KAFKA_", "STORAGE_", "VAULT_", "KERBEROS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATEFLOW_SAMPLE_FPS", "500")
    monkeypatch.setenv("STORAGE_SECRET", "a-secret-value")

    assert plateflow("doctor") == 1

    (fps,) = (line for line in wrong(plateflow) if "PLATEFLOW_SAMPLE_FPS" in line)
    (broker,) = (line for line in wrong(plateflow) if "PLATEFLOW_KAFKA_BROKER" in line)
    assert "less than or equal to 240" in fps and fps.endswith("(needed by inference)")
    assert broker.endswith("(needed by ingest, inference, aggregator)")
    told = [line.split(":")[0] for line in plateflow.out.splitlines() if line.startswith("ok")]
    assert told == ["ok     clip store", "ok     object store", "ok     data folder"]
    assert "a-secret-value" not in plateflow.out + plateflow.err


@pytest.mark.parametrize(
    ("date", "ok", "words"),
    [
        (formatdate(1_000_000, usegmt=True), True, "agree"),
        (formatdate(1_000_000 - 29, usegmt=True), True, "agree"),
        (formatdate(1_000_000 - 120, usegmt=True), False, "120 s ahead of"),
        (formatdate(1_000_000 + 3600, usegmt=True), False, "3600 s behind"),
        ("no date", True, "does not say"),
    ],
)
def test_a_clock_that_differs_from_vaults_is_told(date: str, ok: bool, words: str) -> None:
    finding = judge_clock(date, 1_000_000)

    assert finding.ok is ok
    assert words in finding.text
