"""`plateflow backfill`, on a real Kafka and a real S3: what retention lost comes in again, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from services.cli.backfill import Pace
from services.contracts.codec import decode, encode
from services.contracts.kerberos import parse_event
from services.contracts.messages import Clip, Models, RecordingDone, Run
from services.contracts.topics import Topics
from services.ingest.core.backfill import Outcome, Selection, announcement
from services.simulator.vault_events import Arrival, Form, event
from tests.cli.command import Plateflow
from tests.support.kafka import Broker
from tests.support.recordings import mp4
from tests.support.s3 import S3Server
from tests.support.services import ServiceProcess

START_S = 1785934709
SOURCE = "minio"
RANGE = ("--source", SOURCE, "--from", f"{START_S}000", "--to", f"{START_S + 100}000")


def key(number: int, camera: str = "gate_1", directory: str = "yard") -> str:
    return f"{directory}/{START_S + number}_3-414_{camera}_1-2-3-4_57_20452.mp4"


class Yard:
    """A bucket with recordings, a Kafka without their announcements, and the command with ingest's environment."""

    def __init__(self, broker: Broker, s3: S3Server, prefix: str, folder: Path) -> None:
        self.broker, self.topics, self.folder = broker, Topics(prefix.rstrip(".")), folder
        self.vault_topic = f"{prefix}vault"
        self.bucket, self._s3 = s3.new_bucket(), s3
        sources = folder / "sources.yaml"
        place = {"endpoint": s3.endpoint_url, "bucket": self.bucket}
        keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
        sources.write_text(json.dumps({SOURCE: place | keys}))
        broker.create_topics({self.vault_topic: 1, self.topics.clips: 2, self.topics.recordings: 1})
        self.settings = {
            "KAFKA_BROKER": broker.bootstrap,
            "KAFKA_GROUP": prefix,
            "KAFKA_QUEUE_NAME": self.vault_topic,
            "PLATEFLOW_KAFKA_TOPIC_PREFIX": self.topics.prefix,
            "PLATEFLOW_KAFKA_TOPIC_PARTITIONS": "2",
            "PLATEFLOW_KAFKA_INSTANCE_ID": "0",
            "PLATEFLOW_VAULT_SOURCES_FILE": str(sources),
            "PLATEFLOW_CLIPS_URL": str(folder / "clips"),
        }

    def store(self, *keys: str) -> None:
        for one in keys:
            self._s3.client().put_object(Bucket=self.bucket, Key=one, Body=mp4())

    def put(self, topic: str, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.broker.bootstrap})
        for value in values:
            producer.produce(topic, value)
        assert producer.flush(30) == 0

    def announced(self) -> list[str]:
        return [parse_event(message.value()).key.key for message in self.broker.read_all(self.topics.backfill)]

    def ingested(self) -> list[str]:
        return [decode(message.value(), Clip).key for message in self.broker.read_all(self.topics.clips)]


@pytest.fixture
def yard(
    kafka: Broker, s3: S3Server, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Yard]:
    yard = Yard(kafka, s3, topic_prefix, tmp_path)
    for name, value in yard.settings.items():
        monkeypatch.setenv(name, value)
    yield yard


def test_what_the_bucket_holds_is_announced_in_order_of_time_and_not_a_second_time(
    yard: Yard, plateflow: Plateflow
) -> None:
    yard.store(key(3), key(1), key(2), key(500), "yard/notes.txt", f"{key(4)}_thumbnail.jpg")

    assert plateflow("backfill", *RANGE, "--rate", "1000", "--json") == 0
    assert plateflow.answer == {
        "listed": 6,
        "announced": 3,
        "finished_before": 0,
        "announced_before": 0,
        "of_another_time": 1,
        "of_another_camera": 0,
        "no_recordings": 2,
        "dry_run": False,
    }
    assert yard.announced() == [key(1), key(2), key(3)]

    assert plateflow("backfill", *RANGE, "--rate", "1000") == 0
    assert plateflow.out.startswith("0 announced of 6 listed, 3 announced before")
    assert len(yard.announced()) == 3


def test_a_dry_run_announces_nothing(yard: Yard, plateflow: Plateflow) -> None:
    yard.store(key(1))
    assert plateflow("backfill", *RANGE, "--dry-run") == 0
    assert "1 would be announced of 1 listed" in plateflow.out
    assert yard.announced() == []


def test_one_camera_can_be_chosen(yard: Yard, plateflow: Plateflow) -> None:
    yard.store(key(1), key(2, camera="gate_2"), key(3, directory="depot"))
    assert plateflow("backfill", *RANGE, "--camera", "yard/gate_2", "--rate", "1000") == 0
    assert yard.announced() == [key(2, camera="gate_2")]


def test_what_is_finished_in_these_results_is_passed_over(yard: Yard, plateflow: Plateflow) -> None:
    yard.store(key(1), key(2))
    yard.put(yard.topics.recordings, finished(key(1), results=1), finished(key(2), results=2))
    assert plateflow("backfill", *RANGE, "--rate", "1000", "--json") == 0
    assert (plateflow.answer["announced"], plateflow.answer["finished_before"]) == (1, 1)
    assert yard.announced() == [key(2)]


def test_over_live_data_ingest_hands_each_recording_on_once(yard: Yard, plateflow: Plateflow) -> None:
    keys = [key(number) for number in range(12)]
    yard.store(*keys)
    ingest = ServiceProcess("ingest", yard.settings, yard.folder).start()
    try:
        yard.put(yard.vault_topic, *(event(Arrival(one, SOURCE, len(mp4())), Form.B) for one in keys[:6]))
        ingest.process.wait_until(lambda: set(yard.ingested()) == set(keys[:6]), 60)
        assert plateflow("backfill", *RANGE, "--rate", "1000") == 0, plateflow.err
        ingest.process.wait_until(lambda: set(yard.ingested()) == set(keys), 60)
        assert ingest.stop() == 0
    finally:
        ingest.kill()
    assert sorted(yard.ingested()) == sorted(keys)


def test_a_source_that_nobody_can_list_is_told_with_what_to_do(yard: Yard, plateflow: Plateflow) -> None:
    assert plateflow("backfill", "--source", "other", *RANGE[2:]) == 2
    assert "PLATEFLOW_VAULT_SOURCES_FILE" in plateflow.err and "--device" in plateflow.err


def test_a_bucket_that_refuses_is_told_in_one_line(
    yard: Yard, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = json.loads((yard.folder / "sources.yaml").read_text())
    sources[SOURCE]["secret_key"] = "another-made-up-secret"
    (yard.folder / "sources.yaml").write_text(json.dumps(sources))
    assert plateflow("backfill", *RANGE) == 2
    assert "correct the source map" in plateflow.err
    assert "another-made-up-secret" not in plateflow.err


def test_a_range_without_an_end_is_a_mistake(yard: Yard, plateflow: Plateflow) -> None:
    assert plateflow("backfill", "--source", SOURCE, "--from", "2026-06-16", "--to", "2026-06-15") == 2
    assert "must be later than --from" in plateflow.complaint


# ---- the pure parts ----------------------------------------------------------------------------------------
def test_only_the_key_decides_what_is_chosen() -> None:
    chosen = Selection(START_S * 1000, (START_S + 10) * 1000, "yard/gate_1")
    assert chosen.outcome(key(1)) is Outcome.WANTED
    assert chosen.outcome(key(10)) is Outcome.OTHER_TIME
    assert chosen.outcome(key(1, camera="gate_2")) is Outcome.OTHER_CAMERA
    for name in ("yard/1785934709.mp4", "../secret.mp4", "yard/x\x00.mp4", ""):
        assert chosen.outcome(name) is Outcome.NO_RECORDING


def test_an_announcement_is_read_as_vaults_own() -> None:
    read = parse_event(announcement(key(1), SOURCE, 77))
    theirs = parse_event(event(Arrival(key(1), SOURCE, 77), Form.A))
    assert (read.key, read.source, read.file_size, read.camera) == (
        theirs.key,
        theirs.source,
        theirs.file_size,
        theirs.camera,
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_announcements_keep_their_rate_and_wait_while_much_is_unfinished() -> None:
    clock, waiting, said = Clock(), [500, 500, 3], list[str]()
    pace = Pace(10, 100, lambda: waiting.pop(0) if waiting else 0, said.append, clock, clock.sleep)
    pace.wait()
    assert clock.now == 4.0  # looked three times, two seconds apart
    assert len(said) == 2
    for _ in range(20):
        pace.wait()
    assert clock.now == pytest.approx(4.0 + 19 * 0.1, abs=0.2)


def finished(one: str, results: int) -> bytes:
    from services.contracts.identity import done_id, recording_id

    recording = recording_id(one)
    return encode(
        RecordingDone(
            id=done_id(results, recording),
            results=results,
            recording_id=recording,
            camera="yard/gate_1",
            key=one,
            run=Run("clips", 0, 0),
            start_ms=START_S * 1000,
            duration_ms=1000,
            frames=1,
            frame_width=640,
            frame_height=360,
            tracks=0,
            observations=0,
            models=Models("d", "r"),
            seconds=0.1,
        )
    )
