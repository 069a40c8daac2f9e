"""Kafka for `plateflow doctor`: does it answer, are the topics there, may we read and write them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ClusterMetadata  # type: ignore[attr-defined]

from services.cli.doctor_finding import Finding, good, wrong
from services.runtime.kafka import EMBEDDED, client_config
from services.runtime.settings import KafkaSettings

ANSWER_S = 10.0


def check_kafka(settings: KafkaSettings) -> Iterator[Finding]:
    said: list[str] = []
    admin = AdminClient(client_config(settings) | {"error_cb": lambda error: said.append(error.str()), "log_level": 0})
    try:
        cluster = admin.list_topics(timeout=ANSWER_S)
    except KafkaException as failure:
        admin.poll(0)
        why = said[-1] if said else failure.args[0].str()
        yield wrong(
            "kafka", f"{settings.broker} does not answer ({why}): check KAFKA_BROKER, user, password and security"
        )
        return
    yield good("kafka", f"{settings.broker} answers, {_count(len(cluster.brokers), 'broker')}")
    found = _partitions(cluster)
    yield from _topics(settings, found)
    if not str(cluster.cluster_id or "").startswith(EMBEDDED):  # it never answers this question
        yield from _permissions(admin, settings, found)


def _partitions(cluster: ClusterMetadata) -> dict[str, int]:
    return {name: len(topic.partitions) for name, topic in cluster.topics.items() if topic.error is None}


def _topics(settings: KafkaSettings, found: Mapping[str, int]) -> Iterator[Finding]:
    vault_topic = settings.vault_topic
    if vault_topic in found:
        yield good("topics", f"{vault_topic} (Vault's): {_count(found[vault_topic], 'partition')}")
    else:
        yield wrong(
            "topics",
            f"there is no {vault_topic}: set KAFKA_QUEUE_NAME to the topic of Vault's Kafka integration, or make it",
        )
    for topic in settings.topics.all():
        if topic in found:
            yield good("topics", f"{topic}: {_count(found[topic], 'partition')}")
        else:
            yield good("topics", f"{topic} is not there yet: made at start with {settings.topic_partitions} partitions")


def _permissions(admin: AdminClient, settings: KafkaSettings, found: Mapping[str, int]) -> Iterator[Finding]:
    """Of the topics that are there. Groups and transactions cannot be asked about without disturbing a service."""
    needed = {topic: {AclOperation.READ, AclOperation.WRITE} for topic in settings.topics.all()}
    needed[settings.vault_topic] = {AclOperation.READ}
    asked = [topic for topic in needed if topic in found]
    if not asked:
        return
    answers = admin.describe_topics(
        TopicCollection(asked), include_authorized_operations=True, request_timeout=ANSWER_S
    )
    refused = []
    for topic, answer in answers.items():
        try:
            granted = set(answer.result(ANSWER_S).authorized_operations or ())
            missing = needed[topic] - granted
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                yield wrong("permissions", f"the broker does not tell those of {topic}: {failure.args[0].str()}")
                continue
            missing = needed[topic]
        refused += [f"{one.name} on {topic}" for one in sorted(missing, key=lambda one: one.name)]
    if refused:
        yield wrong("permissions", f"grant the user of KAFKA_USERNAME {', '.join(refused)}")
    else:
        yield good("permissions", f"we may read and write {_count(len(asked), 'topic')}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
