"""A topic from its first message to its present last, read beside the services: nothing is committed.

In: settings, a topic. Out: its committed messages. Stop where there is no such topic, or where it falls silent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from services.runtime.errors import Stop
from services.runtime.kafka import client_config
from services.runtime.settings import KafkaSettings

ANSWER_S = 15.0
SILENT_S = 60.0
"""A topic whose end does not come within so many seconds without a message is given up."""


def topic_names(settings: KafkaSettings) -> set[str]:
    return set(AdminClient(client_config(settings)).list_topics(timeout=ANSWER_S).topics)


def to_the_end(settings: KafkaSettings, topic: str, reader: str) -> Iterator[Message]:
    """``reader`` ends the name of the group that the broker wants to hear, for its permissions."""
    consumer = Consumer(
        client_config(settings)
        | {
            "group.id": settings.group_of(reader),  # required, but nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        found = consumer.list_topics(timeout=ANSWER_S).topics
        if topic not in found:
            raise Stop(f"there is no topic {topic}: PLATEFLOW_KAFKA_TOPIC_PREFIX is another, or no service ran yet")
        unfinished = set(found[topic].partitions)
        consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in unfinished])
        yield from _until_finished(consumer, topic, unfinished)
    finally:
        consumer.close()


def _until_finished(consumer: Consumer, topic: str, unfinished: set[int]) -> Iterator[Message]:
    heard = time.monotonic()
    while unfinished:
        message = consumer.poll(0.5)
        if message is None:
            if time.monotonic() - heard > SILENT_S:
                raise Stop(f"the broker does not give the end of {topic}: try again")
            continue
        heard = time.monotonic()
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            unfinished.discard(message.partition() or 0)
        else:
            raise KafkaException(error)
