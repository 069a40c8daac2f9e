"""What a backfill asks of Kafka: what needs no announcement, how much waits, and its own announcements.

Rules
- What was announced stands on `plateflow.backfill`, so a call that was broken off goes on where it was, from any host.
- An announcement counts once the broker has it; a producer that tries again writes it once.
- Key = camera: a camera's recordings go through ingest in the order of the listing, which is that of time.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

from services.cli.status_kafka import KafkaView
from services.cli.topic_reader import ANSWER_S, to_the_end, topic_names
from services.contracts.codec import BadMessage, decode
from services.contracts.identity import recording_id
from services.contracts.kerberos import BadEvent, parse_event
from services.contracts.messages import RecordingDone
from services.runtime.errors import Stop
from services.runtime.kafka import KafkaLog, client_config
from services.runtime.settings import KafkaSettings

READER = "backfill"


def finished(settings: KafkaSettings, results: int) -> set[str]:
    """Recordings that `plateflow.recordings` says to be finished in this version of the results."""
    topic = settings.topics.recordings
    found: set[str] = set()
    if topic in topic_names(settings):
        for message in to_the_end(settings, topic, READER):
            try:
                done = decode(message.value(), RecordingDone)
            except BadMessage:
                continue  # of somebody else, or of a newer version
            if done.results == results:
                found.add(done.recording_id)
    return found


def announced(settings: KafkaSettings) -> set[str]:
    """Recordings that a backfill has announced, as far back as the topic reaches."""
    found: set[str] = set()
    for message in to_the_end(settings, settings.topics.backfill, READER):
        try:
            found.add(recording_id(parse_event(message.value()).key.key))
        except BadEvent:
            continue
    return found


class Announcer:
    """Puts announcements on `plateflow.backfill`, which is made where it is missing."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings, self._topic = settings, settings.topics.backfill
        KafkaLog(settings).ensure([self._topic])
        self._failure: KafkaError | None = None
        self._producer = Producer(
            client_config(settings) | {"enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 20}
        )
        self._view = KafkaView(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._producer.flush(ANSWER_S)
        self._view.__exit__(kind, error, trace)
        if error is None and (left or self._failure):
            raise self._stopped()

    def announce(self, camera: str, value: bytes) -> None:
        """Stop where an earlier one did not arrive: what did arrive stands, and the next call goes on from there."""
        if self._failure is not None:
            raise self._stopped()
        self._producer.produce(self._topic, value, key=camera.encode(), on_delivery=self._delivered)
        self._producer.poll(0)

    def waiting(self) -> int:
        """Announcements that ingest, and clips that inference, has not finished yet."""
        self._producer.flush(ANSWER_S)
        clips = self._settings.topics.clips
        there = clips in topic_names(self._settings)
        return self._view.waiting("ingest", self._topic) + (self._view.waiting("inference", clips) if there else 0)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failure = self._failure or error

    def _stopped(self) -> Stop:
        why = self._failure.str() if self._failure else "no answer"
        return Stop(f"Kafka did not take all announcements ({why}): run this again, it goes on where it was")
