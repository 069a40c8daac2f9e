"""Dead letters and the verdicts on them, on Kafka.

In: the topics `plateflow.deadletter` and `plateflow.deadletter-verdicts`. Out: `Letter`s; replayed messages, verdicts.

Rules
- A replayed message and the verdict on its letter are one transaction: neither is ever there without the other.
- Who judges opens the `Desk`. All share its transactional id, so opening it ends what another left unfinished and
  fences that one; the verdicts are read only then. Two people who replay a letter at once send it once.
- A verdict's key is the letter's id, on one partition, compacted: the newest of each letter stays, some hundred bytes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from services.cli.letters import Letter, Place, Verdict, replayed_headers, replayed_value
from services.contracts.codec import BadMessage, decode
from services.contracts.messages import DeadLetter
from services.runtime.errors import Stop
from services.runtime.kafka import MESSAGE_LIMIT, client_config
from services.runtime.settings import KafkaSettings

ANSWER_S = 15.0
SILENT_S = 60.0
"""A topic whose end does not come within so many seconds without a message is given up."""
TOGETHER = 20
"""Letters in one transaction."""


class Judgement(msgspec.Struct):
    """The value of a verdict's record."""

    verdict: Verdict


def letters(settings: KafkaSettings) -> list[Letter]:
    """All dead letters there are, the oldest first, with the verdicts on them. Stop where there is no such topic."""
    topic = settings.topics.deadletter
    verdicts = _verdicts(settings)
    found: dict[str, Letter] = {}
    for message in _to_the_end(settings, topic):
        letter = _letter(message)
        if letter is not None:  # one that came twice, after offsets were reset, is the same letter
            verdict = verdicts.get(letter.message.id)
            found[letter.message.id] = Letter(letter.message, letter.place, letter.time_ms, verdict)
    return sorted(found.values(), key=lambda letter: (letter.time_ms, letter.place))


def _letter(message: Message) -> Letter | None:
    """None for what somebody else put on the topic."""
    try:
        read = decode(message.value(), DeadLetter)
    except BadMessage:
        return None
    return Letter(read, Place(message.partition() or 0, message.offset() or 0), max(0, message.timestamp()[1]))


def _verdicts(settings: KafkaSettings) -> dict[str, Verdict]:
    """By letter; none where nobody has judged yet."""
    topic = settings.topics.verdicts
    if topic not in _topics(settings):
        return {}
    return {
        (message.key() or b"").decode(): msgspec.json.decode(message.value() or b"", type=Judgement).verdict
        for message in _to_the_end(settings, topic)
    }


def _topics(settings: KafkaSettings) -> set[str]:
    return set(AdminClient(client_config(settings)).list_topics(timeout=ANSWER_S).topics)


def _to_the_end(settings: KafkaSettings, topic: str) -> Iterator[Message]:
    """Committed messages from the first to the present last. Stop for a topic that is not there or falls silent."""
    consumer = Consumer(
        client_config(settings)
        | {
            "group.id": settings.group_of("deadletters"),  # required, but nothing is committed
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


class Desk:
    """Where one person at a time judges letters. Stop where another has opened it since."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._make_verdicts_topic()
        self._producer = Producer(
            client_config(settings)
            | {
                "client.id": f"deadletters-{uuid.uuid4().hex[:8]}",
                "transactional.id": settings.group_of("deadletters"),
                "transaction.timeout.ms": int(settings.transaction_timeout_s * 1000),
                "partitioner": "murmur2_random",  # the original goes to the partition that it came from
                "compression.type": "lz4",
                "message.max.bytes": MESSAGE_LIMIT,
            }
        )
        self._in_turn(self._producer.init_transactions, ANSWER_S)

    def replay(self, chosen: Sequence[Letter]) -> None:
        """Sends each original to the topic it came from. Stop, before anything is sent, where one is gone."""
        gone = {letter.message.origin.topic for letter in chosen} - _topics(self._settings)
        if gone:
            raise Stop(f"there is no topic {', '.join(sorted(gone))} any more, where these letters came from")
        self._judge(chosen, Verdict.REPLAYED, self._send)

    def discard(self, chosen: Sequence[Letter]) -> None:
        self._judge(chosen, Verdict.DISCARDED, lambda letter: None)

    def _judge(self, chosen: Sequence[Letter], verdict: Verdict, send: Callable[[Letter], None]) -> None:
        value = msgspec.json.encode(Judgement(verdict))

        def transaction(part: Sequence[Letter]) -> None:
            self._producer.begin_transaction()
            for letter in part:
                send(letter)
                self._producer.produce(self._settings.topics.verdicts, value=value, key=letter.message.id)
            self._producer.commit_transaction(ANSWER_S)

        for first in range(0, len(chosen), TOGETHER):
            self._in_turn(transaction, chosen[first : first + TOGETHER])

    def _send(self, letter: Letter) -> None:
        original = letter.message
        self._producer.produce(
            original.origin.topic,
            value=replayed_value(letter),
            key=original.key,
            headers=list(replayed_headers(letter)),
        )

    def _in_turn(self, call: Callable[..., None], *arguments: Any) -> None:
        """Stop where another desk was opened. What else fails leaves nothing behind, or all of it."""
        try:
            call(*arguments)
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.fatal():
                raise Stop("somebody else judges dead letters just now: try again when they are done") from failure
            if error.txn_requires_abort():
                self._producer.abort_transaction(ANSWER_S)
            raise

    def _make_verdicts_topic(self) -> None:
        topic = self._settings.topics.verdicts
        if topic in _topics(self._settings):
            return
        new = NewTopic(topic, 1, -1, config={"cleanup.policy": "compact"})
        admin = AdminClient(client_config(self._settings))
        try:
            admin.create_topics([new], operation_timeout=ANSWER_S)[topic].result(ANSWER_S)
        except KafkaException as error:  # somebody else was quicker
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
