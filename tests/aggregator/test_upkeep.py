"""The options of `plateflow aggregator` that mend checkpoints, on a real Kafka."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from services.aggregator import checkpoint as checkpoints
from services.aggregator import upkeep
from services.aggregator.checkpoint import Checkpoint
from services.aggregator.core.config import Config
from services.aggregator.files import LocalFiles
from services.aggregator.files_s3 import files_at
from services.aggregator.settings import AggregatorSettings
from services.aggregator.tables import Origin
from services.runtime.errors import SettingsError, Stop
from services.runtime.kafka import KafkaLog, KafkaSource
from services.runtime.ports import Partition
from services.runtime.settings import load
from tests.support.kafka import Broker


def settings_for(broker: str, data: Path, group: str) -> AggregatorSettings:
    return load(
        AggregatorSettings,
        {"PLATEFLOW_DATA": str(data), "PLATEFLOW_KAFKA_BROKER": broker, "PLATEFLOW_KAFKA_GROUP": group},
    )


def save(settings: AggregatorSettings, topic: str, next_offset: int) -> None:
    files, log, partition = files_at(settings.data), KafkaLog(settings.kafka), Partition(topic, 0)
    checkpoint = Checkpoint(
        origin=Origin(log.cluster_id, log.topic_id(topic), topic, 0),
        partitions=1,
        next_offset=next_offset,
        config=Config(),
    )
    checkpoints.save(files, files.claim(checkpoints.name_of(partition)), partition, checkpoint)


def commit(settings: AggregatorSettings, topic: str, offset: int) -> None:
    source = KafkaSource(settings.kafka, "aggregator")
    source.consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    source.close()


def grow(settings: AggregatorSettings, topic: str, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka.broker})
    admin.create_partitions([NewPartitions(topic, count)])[topic].result(30)
    log = KafkaLog(settings.kafka)
    while log.partitions(topic) != count:
        time.sleep(0.1)


def produce(broker: Broker, topic: str, name: str, commits: bool) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": name})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"{}", partition=0)
    producer.flush()
    if commits:
        producer.commit_transaction()
    else:
        producer.abort_transaction()


def test_a_topic_is_migrated_once_all_committed_records_are_aggregated(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    topic = f"{topic_prefix}tracks"
    kafka.create_topics({topic: 1})
    settings = settings_for(kafka.bootstrap, tmp_path, f"{topic_prefix}group")
    produce(kafka, topic, f"{topic_prefix}a", commits=True)
    produce(kafka, topic, f"{topic_prefix}b", commits=False)
    grow(settings, topic, 4)

    save(settings, topic, 0)
    commit(settings, topic, 0)
    with pytest.raises(Stop, match="not aggregated yet"):
        upkeep.migrate_topic(settings, topic)

    save(settings, topic, 1)
    commit(settings, topic, 1)
    assert upkeep.migrate_topic(settings, topic) == f"0 cameras moved; {topic} is ready for 4 partitions"
    found = [checkpoints.load(LocalFiles(tmp_path), Partition(topic, index)) for index in range(4)]
    assert [(one.partitions, one.next_offset) for one in found if one] == [(4, 1), (4, 0), (4, 0), (4, 0)]
    with pytest.raises(Stop, match="no topic"):
        upkeep.migrate_topic(settings, f"{topic}-none")


def test_a_checkpoint_is_forgotten_by_its_name(tmp_path: Path) -> None:
    settings = settings_for("localhost:1", tmp_path, "group")
    files, partition = LocalFiles(tmp_path), Partition("plateflow.tracks", 3)
    files.write(checkpoints.path_of(partition), b"{}", files.claim(checkpoints.name_of(partition)))

    assert "is forgotten" in upkeep.reset_checkpoint(settings, "plateflow.tracks:3")
    assert "there was no checkpoint" in upkeep.reset_checkpoint(settings, "plateflow.tracks:3")
    for wrong in ("plateflow.tracks", "3", "plateflow.tracks:x", ":1"):
        with pytest.raises(SettingsError, match="TOPIC:PARTITION"):
            upkeep.reset_checkpoint(settings, wrong)
