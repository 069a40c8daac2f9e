"""`plateflow topics create`, on a real Kafka."""

from __future__ import annotations

import time

import pytest
import typer
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from services.cli.topics import RETENTION, Found, Wanted, app, differing, existing, milliseconds
from tests.support.kafka import Broker

NAMES = tuple(RETENTION)


def create(kafka: Broker, prefix: str, *options: str) -> Result:
    environment = {
        "KAFKA_BROKER": kafka.bootstrap,
        "PLATEFLOW_KAFKA_TOPIC_PREFIX": prefix.rstrip("."),
        "PLATEFLOW_KAFKA_VAULT_TOPIC": f"{prefix}vault",
    }
    return CliRunner().invoke(app, ["create", *options], env=environment)


def found(kafka: Broker, *names: str) -> dict[str, Found]:
    """Waits for the broker to know topics that were made a moment ago."""
    until = time.monotonic() + 20
    while len(there := existing(AdminClient({"bootstrap.servers": kafka.bootstrap}), names)) < len(names):
        assert time.monotonic() < until
        time.sleep(0.1)
    return there


def test_a_second_run_changes_nothing(kafka: Broker, topic_prefix: str) -> None:
    names = [topic_prefix + name for name in ("vault", *NAMES)]
    first = create(kafka, topic_prefix, "--partitions", "2", "--vault-topic")
    before = found(kafka, *names)
    second = create(kafka, topic_prefix, "--partitions", "2", "--vault-topic")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output.count("made, 2 partitions") == len(names)
    assert second.output.splitlines() == [f"{name}: as it was" for name in names]
    assert found(kafka, *names) == before


def test_retention_and_compaction_are_as_asked_for_and_follow_a_change(kafka: Broker, topic_prefix: str) -> None:
    plates = topic_prefix + "plates"
    create(kafka, topic_prefix, "--partitions", "1")
    before = found(kafka, *(topic_prefix + name for name in NAMES))
    assert before[plates].config["retention.ms"] == str(30 * 86_400_000)
    again = create(kafka, topic_prefix, "--partitions", "1", "--retention", "plates=90d", "--compact", "plates")
    assert again.exit_code == 0
    assert f"{plates}: changed" in again.output
    assert again.output.count("as it was") == len(NAMES) - 1
    until = time.monotonic() + 20
    while (config := found(kafka, plates)[plates].config)["retention.ms"] != str(90 * 86_400_000):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert set(config["cleanup.policy"].split(",")) == {"compact", "delete"}


def test_partitions_of_an_existing_topic_are_left_alone_and_fewer_than_asked_for_are_told(
    kafka: Broker, topic_prefix: str
) -> None:
    create(kafka, topic_prefix, "--partitions", "2")
    found(kafka, *(topic_prefix + name for name in NAMES))
    more = create(kafka, topic_prefix, "--partitions", "3")
    assert more.exit_code == 1
    assert f"{topic_prefix}tracks (2 of 3)" in more.output
    assert found(kafka, topic_prefix + "tracks")[topic_prefix + "tracks"].partitions == 2
    assert create(kafka, topic_prefix, "--partitions", "1").exit_code == 0


def test_a_wrong_topic_or_duration_is_named_before_anything_is_made(kafka: Broker, topic_prefix: str) -> None:
    for options, word in (
        (["--retention", "plate=30d"], "plate"),
        (["--retention", "plates=30 days"], "duration"),
        (["--compact", "vehicles"], "vehicles"),
    ):
        wrong = create(kafka, topic_prefix, *options)
        assert wrong.exit_code == 2
        assert word in wrong.output
    assert not [topic for topic in kafka.topics() if topic.startswith(topic_prefix)]


def test_a_broker_that_does_not_answer_is_told_in_one_line() -> None:
    result = CliRunner().invoke(app, ["create", "--wait-s", "0"], env={"KAFKA_BROKER": "127.0.0.1:1"})
    assert result.exit_code == 2
    assert result.output.splitlines()[-1].startswith("plateflow topics: 127.0.0.1:1 says:")


def test_a_duration_is_milliseconds() -> None:
    assert [milliseconds(text) for text in ("250ms", "10s", "30m", "24h", "7d", "forever")] == [
        250, 10_000, 1_800_000, 86_400_000, 604_800_000, -1,
    ]  # fmt: skip
    with pytest.raises(typer.BadParameter):
        milliseconds("0d")


def test_the_order_of_a_cleanup_policy_is_no_difference() -> None:
    asked = Wanted("t", 1, {"cleanup.policy": "compact,delete", "retention.ms": "5"})
    assert differing(asked, Found(1, {"cleanup.policy": "delete,compact", "retention.ms": "5"})) == {}
    assert differing(asked, Found(1, {"cleanup.policy": "delete", "retention.ms": "5"})) == {
        "cleanup.policy": "compact,delete"
    }
