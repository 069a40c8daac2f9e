"""Kafka by confluent-kafka behind the ports of `services.runtime.ports`.

Rules
- Cooperative-sticky assignment, ``read_committed``; offsets are committed by the producer's transactions only.
- One stable ``transactional.id`` per instance: a second process with it fences the first. Fresh group metadata for each
  commit, so a member that lost its partitions aborts.
- Partitioner ``murmur2_random``, the one of the Java clients: a key always lands on the same partition.
- Every wait is bounded, and a broker out of reach is waited for, not an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic  # type: ignore[attr-defined]

from services.runtime.crash import crash_point
from services.runtime.errors import Fenced, Stop
from services.runtime.ports import Assignments, Outgoing, Partition, Record, TransactionAborted
from services.runtime.repeats import Repeats
from services.runtime.settings import KafkaSettings

log = logging.getLogger(__name__)
client_log = logging.getLogger("librdkafka")
error_log = logging.getLogger(f"{__name__}.client")
for _one in (client_log, error_log):
    _one.addFilter(Repeats())
LISTENING: dict[str, Any] = {"logger": client_log, "log_level": 6}
"""What the client itself says goes where our lines go, in their form; it is handed over while we poll."""

CALL_S = 10.0
"""How long one call to the broker may take before it is tried again."""
EMBEDDED = "mockCluster"
"""How the cluster id of the embedded broker begins (`services.simulator.broker`)."""
MESSAGE_LIMIT = 8_000_000
"""Bytes before compression; the broker's own limit counts after it."""


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """What consumer, producer and admin client share: where the brokers are and how to log in."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.broker,
        "client.id": settings.instance_id,
        "security.protocol": settings.protocol,
        "log.connection.close": False,
        "log_level": 0,  # a command says itself what is wrong; the services listen, see LISTENING
        "reconnect.backoff.max.ms": 5_000,
        "topic.metadata.refresh.interval.ms": 30_000,
    }
    if settings.username is not None and settings.password is not None:
        config["sasl.mechanism"] = settings.mechanism
        config["sasl.username"] = settings.username
        config["sasl.password"] = settings.password.get_secret_value()
    if settings.ca_file is not None:
        config["ssl.ca.location"] = str(settings.ca_file)
    return config


Pulse = Callable[[], None]
"""Called now and then while Kafka is waited for: a sign of life, and the place to raise Interrupted."""


def _no_pulse() -> None:
    """Nobody is interested."""


class KafkaSource:
    """A `Source` on a consumer group."""

    def __init__(self, settings: KafkaSettings, service: str, pulse: Pulse = _no_pulse) -> None:
        self._pulse = pulse
        self._starts: dict[Partition, int] | None = None
        """Offsets sought while an assignment is being made; None outside."""
        self.consumer = Consumer(
            client_config(settings)
            | {
                "group.id": settings.group_of(service),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(settings.session_timeout_s * 1000),
                "max.poll.interval.ms": int(settings.max_poll_interval_s * 1000),
                "queued.max.messages.kbytes": 16_384,
                "fetch.error.backoff.ms": 200,
                "error_cb": _log_error,
                **LISTENING,
            }
        )

    def subscribe(self, topics: Sequence[str], assignments: Assignments) -> None:
        def on_assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._starts = {}
            try:
                assignments.assigned([Partition(p.topic, p.partition) for p in partitions])
                starts = self._starts
            finally:
                self._starts = None
            consumer.incremental_assign(
                [TopicPartition(p.topic, p.partition, starts[Partition(p.topic, p.partition)]) for p in partitions]
            )

        def on_revoke(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            assignments.revoked([Partition(p.topic, p.partition) for p in partitions], lost=False)
            consumer.incremental_unassign(partitions)

        def on_lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            assignments.revoked([Partition(p.topic, p.partition) for p in partitions], lost=True)
            consumer.incremental_unassign(partitions)

        self.consumer.subscribe(list(topics), on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    def poll(self, timeout_s: float, limit: int) -> list[Record]:
        first = self.consumer.poll(timeout_s)
        if first is None:
            return []
        more = self.consumer.consume(limit - 1, 0) if limit > 1 else []
        return [self._record(message) for message in (first, *more) if self._usable(message)]

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        asked = [TopicPartition(p.topic, p.index) for p in partitions]
        answers = _patiently("committed offsets", lambda: self.consumer.committed(asked, timeout=CALL_S), self._pulse)
        return {Partition(p.topic, p.partition): (p.offset if p.offset >= 0 else None) for p in answers}

    def log_start(self, partition: Partition) -> int:
        asked = TopicPartition(partition.topic, partition.index)
        low, _high = _patiently(
            "log start", lambda: self.consumer.get_watermark_offsets(asked, timeout=CALL_S), self._pulse
        )
        return int(low)

    def seek(self, partition: Partition, offset: int) -> None:
        if self._starts is not None:
            self._starts[partition] = offset
        else:
            self.consumer.seek(TopicPartition(partition.topic, partition.index, offset))

    def pause(self, partitions: Sequence[Partition]) -> None:
        self.consumer.pause([TopicPartition(p.topic, p.index) for p in partitions])

    def resume(self, partitions: Sequence[Partition]) -> None:
        self.consumer.resume([TopicPartition(p.topic, p.index) for p in partitions])

    def lag(self, partition: Partition, position: int) -> int | None:
        _low, high = self.consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.index), cached=True)
        return max(0, high - position) if high >= 0 else None

    def close(self) -> None:
        self.consumer.close()

    def _usable(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() in REFUSALS:
            raise Stop(refusal(error))
        error_log.warning("kafka: %s", error.str())
        return False

    @staticmethod
    def _record(message: Message) -> Record:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None:
            raise ValueError("a consumed message has a place")
        headers: list[tuple[str, bytes]] = message.headers() or []  # type: ignore[assignment]
        return Record(
            partition=Partition(topic, partition),
            offset=offset,
            value=message.value(),
            key=message.key(),
            headers=tuple((name, value or b"") for name, value in headers),
            timestamp_ms=max(0, message.timestamp()[1]),
        )


class KafkaSink:
    """A `Sink` on a transactional producer; commits the offsets of ``source``."""

    def __init__(self, settings: KafkaSettings, service: str, source: KafkaSource, pulse: Pulse = _no_pulse) -> None:
        self._source, self._pulse = source, pulse
        self.transactional_id = settings.transactional_id(service)
        self.producer = Producer(
            client_config(settings)
            | {
                "transactional.id": self.transactional_id,
                "transaction.timeout.ms": int(settings.transaction_timeout_s * 1000),
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 2,
                "message.max.bytes": MESSAGE_LIMIT,
                "queue.buffering.max.messages": 1_000_000,
                **LISTENING,
            }
        )

    def begin(self) -> None:
        _patiently("start of transactions", lambda: self.producer.init_transactions(CALL_S), self._pulse)

    def publish(self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int]) -> None:
        try:
            self.producer.begin_transaction()
            for message in messages:
                self._produce(message)
            crash_point("after-produce")
            positions = [TopicPartition(p.topic, p.index, offset) for p, offset in offsets.items()]
            metadata = self._source.consumer.consumer_group_metadata()
            _retry_retriable(
                lambda: self.producer.send_offsets_to_transaction(positions, metadata, CALL_S), self._pulse
            )
            _retry_retriable(lambda: self.producer.commit_transaction(CALL_S), self._pulse)
            crash_point("after-commit")
        except KafkaException as failure:
            self._abort(failure)

    def close(self) -> None:
        self.producer.purge()
        with suppress(KafkaException):  # of one that was fenced, which has been told; nothing is left to send
            self.producer.flush(1.0)

    def _produce(self, message: Outgoing) -> None:
        while True:
            try:
                self.producer.produce(
                    message.topic, value=message.value, key=message.key, headers=list(message.headers)
                )
                self.producer.poll(0)
                return
            except BufferError:
                self.producer.poll(0.1)

    def _abort(self, failure: KafkaException) -> None:
        error: KafkaError = failure.args[0]
        if error.fatal() and error.code() in REFUSALS:
            raise Stop(refusal(error)) from failure
        if error.fatal():
            raise self._fenced(error) from failure
        try:
            _retry_retriable(lambda: self.producer.abort_transaction(CALL_S), self._pulse)
        except KafkaException as second:
            raise self._fenced(second.args[0]) from second
        if error.code() in REFUSALS:
            raise Stop(refusal(error)) from failure
        raise TransactionAborted(error.str()) from failure

    def _fenced(self, error: KafkaError) -> Fenced:
        return Fenced(
            f"another process took over the name {self.transactional_id}, or this one stood still for longer than a "
            "transaction may take. If there is another: give each instance a PLATEFLOW_KAFKA_INSTANCE_ID of its own, "
            f"or stop it ({error.str()})"
        )


class KafkaLog:
    """Who the cluster and its topics are, and making topics that are missing."""

    def __init__(self, settings: KafkaSettings, pulse: Pulse = _no_pulse) -> None:
        self._settings, self._pulse = settings, pulse
        self._complaint: KafkaError | None = None
        """Why the client cannot log in; the calls themselves only say that nobody answers."""
        self._admin = AdminClient(client_config(settings) | {"log_level": 0, "error_cb": self._heed})

    @property
    def cluster_id(self) -> str:
        """Empty where the broker does not say (the embedded one)."""
        return str(self._topics("identity of the cluster").cluster_id or "")

    def topic_id(self, topic: str) -> str:
        """Empty where the broker does not say. A topic made anew under the same name has another id."""
        if self.cluster_id.startswith(EMBEDDED):
            return ""  # it never answers, and waiting for it would cost the demo ten seconds per partition
        asked = TopicCollection([topic])
        answer = _patiently(
            "identity of the topic", lambda: self._admin.describe_topics(asked)[topic].result(CALL_S), self._pulse
        )
        return str(answer.topic_id or "")

    def partitions(self, topic: str) -> int:
        """0 for a topic that does not exist."""
        found = self._topics("partitions of the topic").topics.get(topic)
        return 0 if found is None or found.error is not None else len(found.partitions)

    def reachable(self) -> bool:
        try:
            self._admin.list_topics(timeout=2.0)
        except KafkaException:
            return False
        return True

    def _topics(self, what: str) -> ClusterMetadata:
        found: ClusterMetadata = _patiently(what, self._list_topics, self._pulse)
        return found

    def _list_topics(self) -> ClusterMetadata:
        try:
            return self._admin.list_topics(timeout=CALL_S)
        except KafkaException:
            self._admin.poll(0)  # serves `_heed`
            if self._complaint is not None:
                raise Stop(refusal(self._complaint)) from None
            raise

    def _heed(self, error: KafkaError) -> None:
        if error.code() in REFUSALS:
            self._complaint = error
        _log_error(error)

    def ensure(self, topics: Sequence[str]) -> None:
        """Make the topics that are missing; a broker that makes them by itself may refuse."""
        known = self._topics("list of topics").topics
        missing = [topic for topic in topics if topic not in known]
        if not missing:
            return
        futures = self._admin.create_topics(
            [NewTopic(t, num_partitions=self._settings.topic_partitions, replication_factor=-1) for t in missing],
            operation_timeout=CALL_S,
            request_timeout=CALL_S,
        )
        for topic, future in futures.items():
            try:
                future.result()
                log.info("topic made", extra={"topic": topic})
            except KafkaException as failure:
                if failure.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    log.info(
                        "topic not made, left to the broker: %s",
                        failure.args[0].str(),
                        extra={"topic": topic},
                    )


def _log_error(error: KafkaError) -> None:
    error_log.warning("kafka: %s", error.str())


def _retry_retriable(call: Callable[[], Any], pulse: Pulse) -> Any:
    """Repeat a transactional call while librdkafka says that repeating it may help."""
    while True:
        try:
            return call()
        except KafkaException as failure:
            if not failure.args[0].retriable():
                raise
            log.warning("kafka is slow: %s", failure.args[0].str())
            pulse()


def _patiently(what: str, call: Callable[[], Any], pulse: Pulse) -> Any:
    """Wait for a broker that is out of reach; what it refuses for good is for the operator."""
    while True:
        try:
            return call()
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.code() in REFUSALS:
                raise Stop(f"{what}: {refusal(error)}") from failure
            if error.fatal():
                raise Stop(f"kafka refuses ({what}): {error.str()}") from failure
            log.warning("waiting for kafka (%s): %s", what, error.str())
            pulse()
            time.sleep(0.5)


_LOGIN = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED)
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "read and write on the topics of PLATEFLOW_KAFKA_TOPIC_PREFIX, "
    "and read on that of KAFKA_QUEUE_NAME",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "read on the groups that begin as KAFKA_GROUP says",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "idempotent writes, and the making of topics",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "write on the transactional ids that begin as KAFKA_GROUP says",
}
REFUSALS = (*_LOGIN, KafkaError._SSL, *_RIGHTS)
"""What no patience heals."""


def refusal(error: KafkaError) -> str:
    """A refusal in words that name the setting."""
    if error.code() in _LOGIN:
        return (
            f"the broker refuses the login: correct KAFKA_USERNAME, KAFKA_PASSWORD or KAFKA_MECHANISM ({error.str()})"
        )
    if error.code() == KafkaError._SSL:
        return (
            "the broker's certificate is not trusted, or it speaks no TLS: set PLATEFLOW_KAFKA_CA_FILE to the "
            f"authority that signed it, and see KAFKA_SECURITY ({error.str()})"
        )
    return f"the broker refuses access: grant the user of KAFKA_USERNAME {_RIGHTS[error.code()]} ({error.str()})"
