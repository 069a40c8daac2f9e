"""Marked secrets go in by every door; nothing that people or machines see later holds one of them.

Ingest (at DEBUG) and the aggregator run as processes, on real Kafka; Vault answers with errors that repeat its keys; a
marked plate goes through. Then logs, pages, topics and files are searched.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer

from services.contracts.codec import encode
from services.contracts.topics import Topics
from services.simulator.vault import VaultStandIn
from services.simulator.vault_events import Arrival, Form, event
from tests.aggregator.build import NOON_MS, track
from tests.support.kafka import Broker
from tests.support.recordings import mp4
from tests.support.services import ServiceProcess

pytestmark = pytest.mark.timeout(200)

SECRETS = {
    name: f"marked-{name}"
    for name in ("access", "secret", "signature", "public", "override", "decryption", "s3access", "s3secret")
}
PLATE = "M777MM77"


def key(number: int) -> str:
    return f"yard/{1785934709 + number}_3-414_gate_1-2-3-4_57_20452.mp4"


def found_in(text: bytes) -> list[str]:
    return [name for name, value in SECRETS.items() if value.encode() in text]


def leaks(places: dict[str, bytes]) -> dict[str, list[str]]:
    return {place: names for place, text in places.items() if (names := found_in(text))}


def test_no_secret_and_no_plate_shows_up_in_logs_pages_topics_or_files(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    topics, vault_topic = Topics(topic_prefix.rstrip(".")), f"{topic_prefix}vault"
    kafka.create_topics({vault_topic: 1} | dict.fromkeys((*topics.all(), topics.backfill), 1))
    settings = {
        "KAFKA_BROKER": kafka.bootstrap,
        "KAFKA_GROUP": topics.prefix,
        "KAFKA_QUEUE_NAME": vault_topic,
        "PLATEFLOW_KAFKA_TOPIC_PREFIX": topics.prefix,
        "PLATEFLOW_KAFKA_INSTANCE_ID": "0",
        "STORAGE_ACCESS_KEY": SECRETS["access"],
        "STORAGE_SECRET": SECRETS["secret"],
        "AGENT_ENCRYPTION_SYMMETRIC_KEY": SECRETS["decryption"],
        "PLATEFLOW_INGEST_RETRY_BUDGET_S": "1",
        "PLATEFLOW_CLIPS_URL": str(tmp_path / "clips"),
        "PLATEFLOW_DATA": str(tmp_path / "data"),
        "PLATEFLOW_AGGREGATOR_FLUSH_S": "1",
    }
    places: dict[str, bytes] = {}
    with VaultStandIn(
        tmp_path / "vault", lambda _value: None, access_key=SECRETS["access"], secret=SECRETS["secret"]
    ) as vault:
        vault.put(key(0), mp4())
        vault.put(key(1), b"Salted__" + bytes(4096))  # encrypted, and not with our key
        vault.put(key(2), b"no video at all")
        vault.faults.closed_sources.add("closed")  # its 401 repeats the keys
        settings["STORAGE_URI"] = vault.api
        debug = settings | {"PLATEFLOW_LOG_LEVEL": "DEBUG"}
        ingest = ServiceProcess("ingest", debug, tmp_path).start()
        aggregator = ServiceProcess("aggregator", settings, tmp_path).start()
        try:
            send(kafka, vault_topic, *bad_announcements())
            send(kafka, topics.tracks, encode(track([NOON_MS], PLATE)), b'{"secret":"%s"' % SECRETS["secret"].encode())
            ingest.process.wait_until(lambda: len(kafka.read_all(topics.deadletter)) >= 6, 90)
            aggregator.process.wait_until(lambda: bool(list((tmp_path / "data").rglob("*.parquet"))), 60)
            for service in (ingest, aggregator):
                for page in ("/metrics", "/readyz", "/healthz"):
                    places[service.name + page] = service.ask(page).content
            assert [service.stop() for service in (ingest, aggregator)] == [0, 0]
        finally:
            ingest.kill()
            aggregator.kill()
    for topic in set(topics.all()) - {topics.tracks}:  # on that one we put a secret ourselves
        places[topic] = b"\n".join(repr((m.key(), m.value(), m.headers())).encode() for m in kafka.read_all(topic))
    for service in (ingest, aggregator):
        places[f"{service.name}.log"] = service.log.read_bytes()
    for file in (*(tmp_path / "clips").rglob("*"), *(tmp_path / "data").rglob("*")):
        if file.is_file():
            places[str(file)] = file.read_bytes()
    assert len(kafka.read_all(topics.clips)) == 1 and places["ingest.log"]
    assert leaks(places) == {}
    seen = [place for place in places if place.endswith((".log", "/metrics", "/readyz"))]
    assert [place for place in seen if PLATE.encode() in places[place]] == []
    assert leaks({"a log": f"fetched with {SECRETS['secret']}".encode()}) == {"a log": ["secret"]}


def bad_announcements() -> list[bytes]:
    signed = f"http://elsewhere.example/x?sig={SECRETS['signature']}"
    whole = [event(Arrival(key(number), "demo", 9), Form.C, signed_url=signed, trace_id="t") for number in range(4)]
    closed = event(Arrival(key(5), "closed", 9, cloud_key=SECRETS["public"]), Form.B)
    override = (
        b'{"payload":{"key":"%s"},"source":"demo","data":{"storage_uri":"http://elsewhere.example/api",'
        b'"storage_access_key":"%s","storage_secret":"%s"}}'
    ) % (key(6).encode(), SECRETS["override"].encode(), SECRETS["override"].encode())
    cut_off = closed[: closed.index(SECRETS["public"].encode()) + 30]
    return [*whole, closed, override, cut_off]


def send(kafka: Broker, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0
