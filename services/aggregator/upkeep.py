"""What an operator does with checkpoints, by options of `plateflow aggregator`. The service itself must be stopped."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, TopicPartition

from services.aggregator import checkpoint as checkpoints
from services.aggregator.files_s3 import files_at
from services.aggregator.migration import migrate
from services.aggregator.settings import AggregatorSettings
from services.runtime.errors import SettingsError, Stop
from services.runtime.kafka import KafkaLog, KafkaSource, client_config
from services.runtime.ports import Partition
from services.runtime.settings import KafkaSettings

ANSWER_S = 30.0


def reset_checkpoint(settings: AggregatorSettings, which: str) -> str:
    """Forgets the checkpoint of ``TOPIC:PARTITION``; returns what to tell. SettingsError for another form."""
    topic, _, index = which.rpartition(":")
    if not topic or not index.isdecimal():
        raise SettingsError(f"{which} is no TOPIC:PARTITION, such as plateflow.tracks:0")
    partition = Partition(topic, int(index))
    if not checkpoints.reset(files_at(settings.data), partition):
        return f"there was no checkpoint of {which} in {settings.data.url}"
    return f"the checkpoint of {which} is forgotten; the next start rebuilds its state from what the log still holds"


def migrate_topic(settings: AggregatorSettings, topic: str) -> str:
    """Deals the cameras out again to the partitions that ``topic`` has now; returns what to tell. May raise Stop."""
    count = KafkaLog(settings.kafka).partitions(topic)
    if not count:
        raise Stop(f"there is no topic {topic} on {settings.kafka.broker}")
    source = KafkaSource(settings.kafka, "aggregator")
    try:
        committed = source.committed([Partition(topic, index) for index in range(count)])
    finally:
        source.close()
    moved = migrate(
        files_at(settings.data),
        topic,
        count,
        {partition.index: offset for partition, offset in committed.items()},
        lambda index, offset: _waiting(settings.kafka, topic, index, offset),
    )
    return f"{moved} cameras moved; {topic} is ready for {count} partitions"


def _waiting(settings: KafkaSettings, topic: str, index: int, offset: int) -> bool:
    """Is there a committed record at ``offset`` or behind? The ends of transactions, and aborted ones, are none."""
    consumer = Consumer(
        client_config(settings)
        | {
            "group.id": settings.group_of("aggregator"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, index, offset)])
        message = consumer.poll(ANSWER_S)
        if message is None:
            raise Stop(f"{settings.broker} does not answer for {topic}:{index}: try again when it does")
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise Stop(f"{topic}:{index} cannot be read: {error.str()}")
        return error is None
    finally:
        consumer.close()
