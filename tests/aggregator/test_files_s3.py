"""One writer per file on a real S3 server: zombies, late PUTs, lost answers (rule 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer

from services.aggregator import checkpoint as checkpoints
from services.aggregator import files_s3
from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Config
from services.aggregator.files import Superseded
from services.aggregator.files_s3 import S3Files
from services.aggregator.handler import AggregatorHandler
from services.contracts.codec import encode
from services.contracts.topics import Topics
from services.runtime.errors import Fenced, Stop
from services.runtime.ports import Partition
from tests.aggregator.buckets import in_bucket
from tests.aggregator.build import NOON_MS, TRACKS, track
from tests.aggregator.test_aggregate import CONFIG
from tests.aggregator.test_crashes import check
from tests.aggregator.world import Crash, Fuse, World
from tests.support.kafka import Broker
from tests.support.proxy import LossyProxy
from tests.support.s3 import S3Server
from tests.support.services import ServiceProcess

TOLD = [track([NOON_MS + 1000 * i], number=i, start_ms=NOON_MS) for i in range(4)]


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.new_bucket()


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[LossyProxy]:
    with LossyProxy(urlsplit(s3.endpoint_url).port or 0) as proxy:
        yield proxy


class Slow(S3Files):
    """Files of a process that is stopped just before its next PUT of such a path, while ``meanwhile`` happens."""

    meanwhile: tuple[str, Callable[[], object]] | None = None

    def _put(self, path: str, data: bytes) -> None:
        if self.meanwhile is not None and path.startswith(self.meanwhile[0]):
            happens, self.meanwhile = self.meanwhile[1], None
            happens()
        super()._put(path, data)


def world_in(s3: S3Server, bucket: str) -> World:
    return World(TOLD, files=S3Files(in_bucket(s3, bucket)))


def taken_up(world: World, records: int) -> AggregatorHandler:
    """An aggregator that has handled and committed these records, and flushed nothing."""
    handler = world.handler(CONFIG, flush_s=0)
    start = handler.assigned(TRACKS, world.committed, 0) or 0
    floor = world.committed or 0
    for record in world.log[start:records]:
        outgoing = handler.handle(record)
        world.published += outgoing if record.offset >= floor else ()
    world.committed = max(records, floor)
    handler.committed({TRACKS: world.committed})
    return handler


def zombie(world: World, s3: S3Server, bucket: str, records: int) -> tuple[AggregatorHandler, Slow]:
    """The same, as another process: it sees the same log and offsets, and comes to the bucket by itself."""
    mine, slow = world.files, Slow(in_bucket(s3, bucket))
    world.files = slow
    try:
        return taken_up(world, records), slow
    finally:
        world.files = mine


@pytest.mark.parametrize("nth", [0, 3, 4, 5, 6, 7, 8, 9, 12])
def test_killed_at_any_write_and_restarted_nothing_is_lost_and_nothing_counts_twice(
    nth: int, s3: S3Server, bucket: str
) -> None:
    world = world_in(s3, bucket)
    with pytest.raises(Crash):
        world.live(CONFIG, Fuse(nth), batch=2)
    world.files = S3Files(in_bucket(s3, bucket))
    world.live(CONFIG)

    check(world, replay(TOLD, CONFIG))


def test_a_zombie_that_wakes_after_another_took_over_writes_nothing(s3: S3Server, bucket: str) -> None:
    world = world_in(s3, bucket)
    late, _files = zombie(world, s3, bucket, 2)
    world.live(CONFIG)

    with pytest.raises(Fenced, match="start it again"):
        late.tick(0)
    check(world, replay(TOLD, CONFIG))


@pytest.mark.parametrize("before", ["heatmap", "sightings", "current", "checkpoints"])
def test_a_zombie_stopped_between_its_look_at_the_claim_and_its_put_writes_nothing(
    before: str, s3: S3Server, bucket: str
) -> None:
    world = world_in(s3, bucket)
    late, files = zombie(world, s3, bucket, 2)
    files.meanwhile = (before, lambda: world.live(CONFIG))

    with pytest.raises(Fenced, match="start it again"):
        late.tick(0)
    check(world, replay(TOLD, CONFIG))


@pytest.mark.parametrize("before", ["heatmap", "sightings"])
def test_a_put_that_lands_after_the_next_writer_has_read_is_seen_by_that_writer_who_restores(
    before: str, s3: S3Server, bucket: str
) -> None:
    """Also where it lands on a file with rows, which are read again when more are added."""
    world = world_in(s3, bucket)
    world.log, rest = world.log[:1], world.log[1:]
    world.live(CONFIG)
    world.log += rest
    late, files = zombie(world, s3, bucket, 3)
    next_writer: list[AggregatorHandler] = []
    files.meanwhile = (before, lambda: next_writer.append(taken_up(world, 4)))
    with pytest.raises(Fenced):
        late.tick(0)

    with pytest.raises(Fenced, match="another process"):
        next_writer[0].tick(0)
    world.files = S3Files(in_bucket(s3, bucket))
    world.live(CONFIG)
    check(world, replay(TOLD, CONFIG))


def test_a_put_whose_answer_was_lost_is_known_by_its_bytes(s3: S3Server, bucket: str, proxy: LossyProxy) -> None:
    world = world_in(s3, bucket)
    world.files = S3Files(in_bucket(s3, bucket, endpoint=proxy.url))
    world.live(CONFIG)

    assert proxy.lost > 6
    check(world, replay(TOLD, CONFIG))


def test_a_claim_that_another_was_quicker_to_take_is_the_next_one(s3: S3Server, bucket: str) -> None:
    """The tests' server decides conditions one by one, not when two PUTs come at once, so they come in turn."""
    slow, other = Slow(in_bucket(s3, bucket)), S3Files(in_bucket(s3, bucket))
    slow.meanwhile = ("epochs", lambda: other.claim("tracks-0"))

    assert slow.claim("tracks-0").epoch == 2


def test_a_first_put_that_meets_another_file_is_refused(s3: S3Server, bucket: str) -> None:
    mine, theirs = S3Files(in_bucket(s3, bucket)), S3Files(in_bucket(s3, bucket))
    assert mine.read("a/x") is None
    theirs.write("a/x", b"theirs", theirs.claim("another-name"))

    with pytest.raises(Superseded):
        mine.write("a/x", b"mine", mine.claim("tracks-0"))
    assert theirs.read("a/x") == b"theirs"


def test_what_is_wrong_with_s3_is_told_to_the_operator(s3: S3Server, bucket: str) -> None:
    assert S3Files(in_bucket(s3, bucket)).trouble() is None
    with patch.object(files_s3, "ATTEMPTS", 1):
        wrong = {
            "create it": in_bucket(s3, "no-such-bucket-here"),
            "PLATEFLOW_DATA_ACCESS_KEY": in_bucket(s3, bucket, secret_key="made-up-wrong-key"),
            "does not answer": in_bucket(s3, bucket, endpoint="http://127.0.0.1:1"),
        }
        for words, settings in wrong.items():
            files = S3Files(settings)
            assert words in (files.trouble() or "")
            with pytest.raises(Stop, match=words):
                World(TOLD, files=files).live(CONFIG)


def test_the_service_writes_into_a_bucket_by_its_settings(
    kafka: Broker, s3: S3Server, bucket: str, topic_prefix: str, tmp_path: Path
) -> None:
    topics = Topics(topic_prefix.rstrip("."))
    kafka.create_topics({topics.tracks: 1})
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for message in TOLD:
        producer.produce(topics.tracks, value=encode(message), key=message.camera)
    assert producer.flush(30) == 0
    settings = {
        "KAFKA_BROKER": kafka.bootstrap,
        "KAFKA_GROUP": topics.prefix,
        "PLATEFLOW_KAFKA_TOPIC_PREFIX": topics.prefix,
        "PLATEFLOW_DATA": f"s3://{bucket}/some/prefix",
        "PLATEFLOW_DATA_ENDPOINT": s3.endpoint_url,
        "PLATEFLOW_DATA_ACCESS_KEY": s3.access_key,
        "PLATEFLOW_DATA_SECRET_KEY": s3.secret_key,
        "PLATEFLOW_AGGREGATOR_FLUSH_S": "0.2",
    }
    service = ServiceProcess("aggregator", settings, tmp_path).start().wait_until_ready()
    files = S3Files(in_bucket(s3, bucket))
    service.process.wait_until(lambda: _checkpointed(files, topics.tracks) == len(TOLD))
    assert service.stop() == 0
    written = World(TOLD, files=files)
    assert len(written.sightings()) == len(replay(TOLD, Config()).plates)
    assert s3.secret_key not in service.log.read_text()


def _checkpointed(files: S3Files, topic: str) -> int:
    found = checkpoints.load(files, Partition(topic, 0))
    return 0 if found is None else found.next_offset
