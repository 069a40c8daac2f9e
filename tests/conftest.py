"""Fixtures that every test can ask for: a real Kafka, a real S3, the shared data.

A server that does not start fails the tests that need it; nothing here skips them. What the servers need is
fetched before the first test, so that no test's time limit pays for a download.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import kafka as kafka_support
from tests.support import s3 as s3_support
from tests.support.cache import REPOSITORY
from tests.support.kafka import Broker, KafkaServer
from tests.support.s3 import S3Server

settings.register_profile("unhurried", settings(), deadline=None)  # no test asserts a time, and machines are shared
settings.load_profile("unhurried")
KAFKA_FIXTURES = {"kafka", "own_kafka"}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch Kafka's jars and build the S3 server where a collected test needs them."""
    if session.config.option.collectonly:
        return
    needed = {name for item in session.items for name in _needs(item)}
    try:
        if "own_kafka" in needed or ("kafka" in needed and not os.environ.get("PLATEFLOW_TEST_KAFKA")):
            kafka_support.jars()
        if "s3" in needed:
            s3_support.versitygw()
    except Exception as error:
        pytest.exit(f"the tests' servers could not be set up (the first time needs the network): {error}", 1)


def _needs(item: pytest.Item) -> set[str]:
    """Fixtures that it asks for, and markers, since a parametrised fixture may ask for another by name."""
    return {*getattr(item, "fixturenames", ()), *(marker.name for marker in item.iter_markers())}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what needs a server by the fixtures it asks for: `-m "not kafka"` leaves those out."""
    asked = set(getattr(item, "fixturenames", ()))
    if asked & KAFKA_FIXTURES:
        item.add_marker("kafka")
    for name, marker in (("s3", "s3"), ("shared_data", "shared")):
        if name in asked:
            item.add_marker(marker)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that all tests share (never stop it): our own, or the one in PLATEFLOW_TEST_KAFKA."""
    given = os.environ.get("PLATEFLOW_TEST_KAFKA")
    if given:
        broker = Broker(given)
        if not broker.answers():
            raise RuntimeError(f"PLATEFLOW_TEST_KAFKA={given} does not answer; start it or unset this")
        yield broker
        return
    server = KafkaServer(tmp_path_factory.mktemp("kafka")).start()
    yield server
    server.stop()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    """A broker of the test's own, which it may stop, kill, freeze and restart. Costs some seconds."""
    server = KafkaServer(tmp_path / "kafka").start()
    yield server
    server.kill()


@pytest.fixture
def topic_prefix() -> str:
    """Begins the names of this test's topics, groups and transactional ids, so that tests do not meet."""
    return f"test-{uuid.uuid4().hex[:8]}."


@pytest.fixture
def fresh_topic(kafka: Broker, topic_prefix: str) -> Callable[..., str]:
    """`fresh_topic("clips", partitions=4)` makes that topic for this test alone and returns its name."""

    def make(name: str = "topic", partitions: int = 1) -> str:
        kafka.create_topics({topic_prefix + name: partitions})
        return topic_prefix + name

    return make


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The S3 server that all tests share; each takes its own bucket with `s3.new_bucket()`."""
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips and photos: `../shared/data` or `$PLATEFLOW_SHARED/data`; skips without."""
    folder = Path(os.environ.get("PLATEFLOW_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data here ({folder} is missing); PLATEFLOW_SHARED names their folder")
    return folder
