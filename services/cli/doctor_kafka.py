"""Kafka for `plateflow doctor`: does it answer, are the topics there, may we read and write them, as our groups?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ClusterMetadata, ConsumerGroupDescription  # type: ignore[attr-defined]

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
        yield from _groups(admin, settings)


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
    for topic in (*settings.topics.all(), *settings.topics.internal()):
        if topic in found:
            few = found[topic] < settings.topic_partitions
            note = f", fewer than PLATEFLOW_KAFKA_TOPIC_PARTITIONS={settings.topic_partitions}" if few else ""
            yield good("topics", f"{topic}: {_count(found[topic], 'partition')}{note}")
        else:
            partitions = _count(settings.topic_partitions, "partition")
            yield good("topics", f"{topic} is not there yet: made when needed, with {partitions}")


def _permissions(admin: AdminClient, settings: KafkaSettings, found: Mapping[str, int]) -> Iterator[Finding]:
    """Of the topics that are there. Transactions cannot be asked about without disturbing a service."""
    needed = {topic: {AclOperation.READ, AclOperation.WRITE} for topic in settings.topics.all()}
    needed |= {topic: {AclOperation.READ} for topic in settings.topics.internal()}
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


def _groups(admin: AdminClient, settings: KafkaSettings) -> Iterator[Finding]:
    """May we read as the services' groups? Asking joins none of them."""
    names = [settings.group_of(service) for service in ("ingest", "inference", "aggregator")]
    refused = []
    for name in names:
        try:
            granted = set(_group(admin, name).authorized_operations or ())
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                yield wrong("groups", f"the broker does not tell of {name}: {failure.args[0].str()}")
                return
            granted = set()
        refused += [] if AclOperation.READ in granted else [name]
    if refused:
        yield wrong("groups", f"grant the user of KAFKA_USERNAME READ on the groups {', '.join(refused)}")
    else:
        yield good("groups", f"we may read as {', '.join(names)}")


def _group(admin: AdminClient, name: str) -> ConsumerGroupDescription:
    """A broker that has never had a group needs a moment to say so."""
    until = time.monotonic() + ANSWER_S
    while True:
        asked = admin.describe_consumer_groups([name], include_authorized_operations=True, request_timeout=ANSWER_S)
        try:
            found: ConsumerGroupDescription = asked[name].result(ANSWER_S)
            return found
        except KafkaException as failure:
            passing = failure.args[0].code() in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
            if not passing or time.monotonic() > until:
                raise
        time.sleep(0.3)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
