"""TLS, SASL and access rights, on a real broker that has them on: who gets in, and what is said where one does not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]

from services.contracts.codec import encode
from services.contracts.topics import Topics
from tests.aggregator.build import NOON_MS, track
from tests.support.kafka import PASSWORD, USER
from tests.support.secure_kafka import SecureKafka
from tests.support.services import ServiceProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(200)]

EVERYTHING = (AclOperation.READ, AclOperation.WRITE, AclOperation.CREATE, AclOperation.DESCRIBE)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    server = SecureKafka(tmp_path_factory.mktemp("secure"))
    server.start()
    yield server
    server.kill()


class Installation:
    """Topics and an aggregator of one test, with rights for nothing yet."""

    def __init__(self, broker: SecureKafka, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.prefix = f"test-{uuid.uuid4().hex[:8]}"
        self.topics = Topics(self.prefix)
        broker.create_topics(dict.fromkeys(self.topics.all(), 1))

    def may(self, *kinds: ResourceType) -> None:
        for kind in kinds:
            self.broker.grant(kind, self.prefix, *EVERYTHING if kind is ResourceType.TOPIC else EVERYTHING[:2])

    def aggregator(self, **more: str) -> ServiceProcess:
        settings = {
            "KAFKA_BROKER": self.broker.secured,
            "KAFKA_SECURITY": "SASL_SSL",
            "KAFKA_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_USERNAME": USER,
            "KAFKA_PASSWORD": PASSWORD,
            "PLATEFLOW_KAFKA_CA_FILE": str(self.broker.ca_file),
            "KAFKA_GROUP": self.prefix,
            "PLATEFLOW_KAFKA_TOPIC_PREFIX": self.prefix,
            "PLATEFLOW_KAFKA_INSTANCE_ID": "0",
            "PLATEFLOW_DATA": str(self.folder / "data"),
        }
        return ServiceProcess("aggregator", settings | more, self.folder).start()

    def put_a_track(self) -> None:
        producer = Producer({"bootstrap.servers": self.broker.bootstrap})
        producer.produce(self.topics.tracks, encode(track([NOON_MS])))
        assert producer.flush(30) == 0


@pytest.fixture
def site(broker: SecureKafka, tmp_path: Path) -> Installation:
    return Installation(broker, tmp_path)


def said_by(service: ServiceProcess, *words: str) -> None:
    """Unready, with these words, none of which is the password; then it ends with 3, not with a traceback."""
    try:
        for word in words:
            service.wait_until_it_says(word, 60)
        assert PASSWORD not in service.log.read_text()
        assert "Traceback" not in service.log.read_text()
        assert service.stop() == 3
    finally:
        service.kill()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_with_the_right_certificate_user_and_rights_a_service_works(site: Installation, mechanism: str) -> None:
    site.may(ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    service = site.aggregator(KAFKA_MECHANISM=mechanism)
    try:
        site.put_a_track()
        service.process.wait_until(lambda: len(site.broker.read_all(site.topics.passages)) == 1, 60)
        service.wait_until_ready()
        assert service.stop() == 0
    finally:
        service.kill()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_told_by_its_setting(site: Installation, mechanism: str) -> None:
    wrong = site.aggregator(KAFKA_MECHANISM=mechanism, KAFKA_PASSWORD="another-made-up-one")
    said_by(wrong, "refuses the login", "KAFKA_PASSWORD")
    assert "another-made-up-one" not in wrong.log.read_text()


def test_a_wrong_certificate_authority_is_told_by_its_setting(site: Installation) -> None:
    said_by(site.aggregator(PLATEFLOW_KAFKA_CA_FILE=str(site.broker.other_ca)), "PLATEFLOW_KAFKA_CA_FILE")


def test_a_missing_right_on_the_topics_is_told_by_its_setting(site: Installation) -> None:
    site.may(ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    said_by(site.aggregator(), "PLATEFLOW_KAFKA_TOPIC_PREFIX")


def test_a_missing_right_to_write_a_topic_is_told_by_its_setting(site: Installation) -> None:
    site.may(ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    site.broker.grant(ResourceType.TOPIC, site.prefix, AclOperation.READ, AclOperation.DESCRIBE)
    site.put_a_track()
    said_by(site.aggregator(), "PLATEFLOW_KAFKA_TOPIC_PREFIX")


def test_a_missing_right_on_the_group_is_told_by_its_setting(site: Installation) -> None:
    site.may(ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID)
    said_by(site.aggregator(), "KAFKA_GROUP")


def test_a_missing_right_on_the_transactional_id_is_told_by_its_setting(site: Installation) -> None:
    site.may(ResourceType.TOPIC, ResourceType.GROUP)
    said_by(site.aggregator(), "transactional ids", "KAFKA_GROUP")
