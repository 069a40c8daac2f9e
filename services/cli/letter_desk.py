"""Dead letters and the verdicts on them, on Kafka.

In: the topics `plateflow.deadletter` and `plateflow.deadletter-verdicts`. Out: `Letter`s; replayed messages, verdicts.

Rules
- A replayed message and the verdict on its letter are one transaction: neither is ever there without the other.
- Who judges opens the `Desk`. All share its transactional id, so opening it ends what another left unfinished and
  fences that one; the verdicts are read only then. Two people who replay a letter at once send it once.
- A verdict's key is the letter's id, on one partition, compacted: the newest of each letter stays, some hundred bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from services.cli.letters import Letter, Place, Verdict, replayed_headers, replayed_value
from services.cli.topic_reader import to_the_end, topic_names
from services.contracts.codec import BadMessage, decode
from services.contracts.messages import DeadLetter
from services.runtime.errors import Stop
from services.runtime.kafka import MESSAGE_LIMIT, client_config
from services.runtime.settings import KafkaSettings

ANSWER_S = 15.0
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
    order: dict[str, tuple[int, Place]] = {}
    newest: dict[int, int] = {}
    for message in to_the_end(settings, topic, "deadletters"):
        letter = _letter(message)
        if letter is not None:  # one that came twice, after offsets were reset, is the same letter
            verdict = verdicts.get(letter.message.id)
            found[letter.message.id] = Letter(letter.message, letter.place, letter.time_ms, verdict)
            # A clock that was set back changes no order within a partition, so a camera's records stay in turn.
            partition = letter.place.partition
            newest[partition] = max(letter.time_ms, newest.get(partition, 0))
            order[letter.message.id] = newest[partition], letter.place
    return sorted(found.values(), key=lambda letter: order[letter.message.id])


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
    if topic not in topic_names(settings):
        return {}
    return {
        (message.key() or b"").decode(): msgspec.json.decode(message.value() or b"", type=Judgement).verdict
        for message in to_the_end(settings, topic, "deadletters")
    }


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
        gone = {letter.message.origin.topic for letter in chosen} - topic_names(self._settings)
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
        if topic in topic_names(self._settings):
            return
        new = NewTopic(topic, 1, -1, config={"cleanup.policy": "compact"})
        admin = AdminClient(client_config(self._settings))
        try:
            admin.create_topics([new], operation_timeout=ANSWER_S)[topic].result(ANSWER_S)
        except KafkaException as error:  # somebody else was quicker
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
