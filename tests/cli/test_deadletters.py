"""`plateflow deadletters`, on a real Kafka: nothing is replayed twice, nothing gets lost between topic and verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from services.cli.letter_desk import Desk, letters
from services.cli.letters import REPLAY_OF
from services.contracts.codec import encode
from services.contracts.topics import Topics
from services.runtime.deadletters import dead_letter
from services.runtime.errors import Stop
from services.runtime.kafka import MESSAGE_LIMIT
from services.runtime.ports import Partition, Record
from services.runtime.settings import KafkaSettings
from services.simulator.vault_events import Arrival, Form, event
from tests.aggregator.build import NOON_MS, track
from tests.cli.command import Plateflow
from tests.support.kafka import Broker
from tests.support.recordings import KEY

SIGNED = "https://vault.example/x?sig=made-up-signature"


class Office:
    """A broker with dead letters on it, and the command."""

    def __init__(self, broker: Broker, prefix: str, plateflow: Plateflow) -> None:
        self.broker, self.plateflow = broker, plateflow
        self.topics = Topics(prefix.rstrip("."))
        self.vault = f"{prefix}vault"
        self.settings = KafkaSettings(broker=broker.bootstrap, topic_prefix=self.topics.prefix, group=prefix)
        broker.create_topics({self.vault: 2, self.topics.tracks: 2, self.topics.deadletter: 2})

    def give_up(self, *records: tuple[Record, str, str]) -> None:
        """Dead letters as the loop makes them: record, stage, reason."""
        in_order = {"enable.idempotence": True}  # a try that fails is not overtaken by the next record
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "message.max.bytes": MESSAGE_LIMIT} | in_order)
        for record, stage, reason in records:
            letter = dead_letter(self.topics.deadletter, record, stage, reason, f"why {reason}", 3)
            producer.produce(letter.topic, value=letter.value, key=letter.key)
        assert producer.flush(30) == 0

    def announcement(self, offset: int = 0) -> Record:
        value = event(Arrival(KEY, "demo", 9), Form.C, signed_url=SIGNED, trace_id="trace-7")
        return Record(Partition(self.vault, 0), offset, value, headers=(("trace", b"7"),))

    def track(self, number: int = 0) -> Record:
        message = track([NOON_MS], number=number)
        return Record(Partition(self.topics.tracks, 0), number, encode(message), message.camera.encode())

    def ids(self) -> list[str]:
        return [letter.message.id for letter in letters(self.settings)]

    def sent(self, topic: str) -> Sequence[Message]:
        return self.broker.read_all(topic)

    def listed(self, *options: str) -> list[dict[str, Any]]:
        assert self.plateflow("deadletters", "list", "--json", *options) == 0
        return [json.loads(line) for line in self.plateflow.out.splitlines()]


@pytest.fixture
def office(kafka: Broker, topic_prefix: str, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setenv("KAFKA_BROKER", kafka.bootstrap)
    monkeypatch.setenv("KAFKA_GROUP", topic_prefix)
    monkeypatch.setenv("PLATEFLOW_KAFKA_TOPIC_PREFIX", topic_prefix.rstrip("."))
    return Office(kafka, topic_prefix, plateflow)


def test_letters_are_listed_by_filter_and_one_is_shown_whole_without_its_secrets(office: Office) -> None:
    office.give_up((office.announcement(), "ingest", "gone"), (office.track(), "aggregator", "bad-track"))
    assert {one["reason"] for one in office.listed()} == {"gone", "bad-track"}
    (found,) = office.listed("--camera", "yard/gate", "--stage", "ingest", "--key", KEY, "--since", "2020-01-01")
    assert (found["detail"], found["attempts"], found["trace_id"]) == ("why gone", 3, None)
    assert office.listed("--since", "2999-01-01") == []

    assert office.plateflow("deadletters", "list") == 0
    assert "yard/gate" in office.plateflow.out and office.plateflow.out.endswith("2 dead letters\n")
    assert office.plateflow("deadletters", "show", found["id"][:10]) == 0
    assert KEY in office.plateflow.out and "trace: 7" in office.plateflow.out
    assert "made-up-signature" not in office.plateflow.out


def test_a_letter_is_replayed_to_where_it_came_from_and_only_once(office: Office) -> None:
    office.give_up((office.announcement(), "ingest", "gone"))
    (letter,) = office.ids()
    for expected in ("1 replayed\n", "0 replayed, 1 passed over\n"):
        assert office.plateflow("deadletters", "replay", letter) == 0
        assert office.plateflow.out.endswith(expected)
    (message,) = office.sent(office.vault)
    assert (message.key(), dict(message.headers() or ())) == (None, {"trace": b"7", REPLAY_OF: letter.encode()})
    payload = json.loads(message.value() or b"")["payload"]
    assert payload["key"] == KEY and "signedUrl" not in payload

    assert office.listed() == []
    assert [one["verdict"] for one in office.listed("--all")] == ["replayed"]
    assert office.plateflow("deadletters", "replay", letter, "--again") == 0
    assert len(office.sent(office.vault)) == 2


def test_a_track_is_never_replayed_twice_since_it_would_count_twice(office: Office) -> None:
    office.give_up(*((office.track(number), "aggregator", "internal-error") for number in range(25)))
    assert office.plateflow("deadletters", "replay", "--stage", "aggregator") == 0
    assert office.plateflow("deadletters", "replay", "--stage", "aggregator", "--again") == 0
    assert "count twice" in office.plateflow.out
    sent = office.sent(office.topics.tracks)
    assert [message.value() for message in sent] == [office.track(number).value for number in range(25)]
    assert len({message.partition() for message in sent}) == 1


def test_a_discarded_letter_is_hidden_and_can_be_replayed_after_all(office: Office) -> None:
    office.give_up((office.announcement(0), "ingest", "gone"), (office.announcement(1), "ingest", "empty"))
    assert office.plateflow("deadletters", "discard", "--reason", "gone") == 0
    assert office.plateflow("deadletters", "discard", "--reason", "gone") == 0
    assert office.plateflow.out.endswith("0 discarded, 1 passed over\n")
    assert [one["reason"] for one in office.listed()] == ["empty"]
    assert office.plateflow("deadletters", "replay", "--since", "1970-01-01") == 0
    assert office.plateflow("deadletters", "replay", "--reason", "gone", "--again") == 0
    assert len(office.sent(office.vault)) == 2
    assert office.listed() == []


def test_a_dry_run_changes_nothing(office: Office) -> None:
    office.give_up((office.announcement(), "ingest", "gone"))
    for verb in ("replay", "discard"):
        assert office.plateflow("deadletters", verb, "--reason", "gone", "--dry-run") == 0
        assert office.plateflow.out.startswith("1 would be")
    assert office.sent(office.vault) == [] and len(office.listed()) == 1


def test_two_who_replay_at_once_send_a_letter_once(office: Office) -> None:
    office.give_up((office.announcement(), "ingest", "gone"))
    first = Desk(office.settings)
    open_ = letters(office.settings)
    second = Desk(office.settings)
    second.replay(open_)
    with pytest.raises(Stop, match="somebody else"):
        first.replay(open_)
    assert len(office.sent(office.vault)) == 1


def test_a_replay_that_died_before_its_commit_sent_nothing_and_is_done_by_the_next(office: Office) -> None:
    office.give_up((office.announcement(), "ingest", "gone"))
    dead = Desk(office.settings)
    dead._producer.begin_transaction()
    dead._send(*letters(office.settings))
    dead._producer.flush(10)
    assert office.plateflow("deadletters", "replay", "--reason", "gone") == 0
    assert len(office.sent(office.vault)) == 1


def test_mistakes_are_told_in_a_line(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.give_up((office.announcement(), "ingest", "gone"))
    for arguments, complaint in (
        (["replay"], "--since 1970-01-01 means all of them"),
        (["show", "zz"], "no dead letter begins with 'zz'"),
        (["list", "--since", "yesterday"], "'yesterday' is no time"),
    ):
        assert office.plateflow("deadletters", *arguments) == 2
        assert complaint in office.plateflow.complaint
    monkeypatch.setenv("PLATEFLOW_KAFKA_TOPIC_PREFIX", "nowhere")
    assert office.plateflow("deadletters", "list") == 2
    assert "there is no topic nowhere.deadletter" in office.plateflow.complaint
