"""What Kafka knows of the state of everything, for `plateflow status`: what waits, and who recorded last.

In: the broker and the names in `KafkaSettings`. Out: numbers and `LastRecording`s. Raises KafkaException, LookupError.

Rules
- Nothing is committed and no group is joined: the services do not notice.
- A transaction leaves a marker in its partitions, which counts as an offset, but is no record. So what waits is read
  and counted where it is little, and only then taken from the offsets where it is much.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from services.contracts.codec import BadMessage, decode
from services.contracts.messages import RecordingDone
from services.runtime.kafka import client_config
from services.runtime.settings import KafkaSettings

ANSWER_S = 10.0
COUNTED = 1_000
"""Offsets up to which waiting records are read and counted."""
RECENT = 2_000
"""Records from the end of each partition in which a camera's last recording is looked for."""


@dataclass(frozen=True, slots=True)
class LastRecording:
    """The newest recording of a camera that is finished."""

    camera: str
    start_ms: int
    tracks: int
    key: str


class KafkaView:
    """A reader beside the services."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reader = self._consumer(settings.group_of("status"), {"enable.partition.eof": True})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    def waiting(self, service: str, topic: str) -> int:
        """Records on ``topic`` that ``service`` has not committed yet. LookupError for a topic that is not there."""
        ends = self._ends(topic)
        committed = self._committed(service, topic, ends)
        open_ranges = {
            index: (max(low, committed[index]), high)
            for index, (low, high) in ends.items()
            if high > max(low, committed[index])
        }
        offsets = sum(high - start for start, high in open_ranges.values())
        return offsets if offsets > COUNTED else sum(1 for _ in self._read(topic, open_ranges))

    def last_recordings(self) -> list[LastRecording]:
        """Each camera's newest recording among the latest on `plateflow.recordings`; silent longest first."""
        topic = self._settings.topics.recordings
        ranges = {index: (max(low, high - RECENT), high) for index, (low, high) in self._ends(topic).items()}
        newest: dict[str, LastRecording] = {}
        for message in self._read(topic, {index: range_ for index, range_ in ranges.items() if range_[1] > range_[0]}):
            try:
                done = decode(message.value(), RecordingDone)
            except BadMessage:
                continue  # of somebody else, or of a newer version
            if done.camera not in newest or newest[done.camera].start_ms <= done.start_ms:
                newest[done.camera] = LastRecording(done.camera, done.start_ms, done.tracks, done.key)
        return sorted(newest.values(), key=lambda one: one.start_ms)

    def _consumer(self, group: str, more: Mapping[str, object] | None = None) -> Consumer:
        return Consumer(
            client_config(self._settings)
            | {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_committed", "log_level": 0}
            | dict(more or {})
        )

    def _ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition -> first offset, and the one behind the last."""
        found = self._reader.list_topics(topic, timeout=ANSWER_S).topics[topic]
        if found.error is not None or not found.partitions:
            raise LookupError(f"there is no topic {topic}")
        return {
            index: self._reader.get_watermark_offsets(TopicPartition(topic, index), timeout=ANSWER_S)
            for index in found.partitions
        }

    def _committed(self, service: str, topic: str, ends: Mapping[int, object]) -> dict[int, int]:
        """0 where the group has committed nothing yet."""
        consumer = self._consumer(self._settings.group_of(service))
        try:
            asked = [TopicPartition(topic, index) for index in ends]
            return {one.partition: max(0, one.offset) for one in consumer.committed(asked, timeout=ANSWER_S)}
        finally:
            consumer.close()

    def _read(self, topic: str, ranges: Mapping[int, tuple[int, int]]) -> Iterator[Message]:
        """What is committed in [start, end) of each partition. KafkaException where the broker falls silent."""
        if not ranges:
            return
        self._reader.assign([TopicPartition(topic, index, start) for index, (start, _end) in ranges.items()])
        unfinished = set(ranges)
        deadline = time.monotonic() + ANSWER_S
        while unfinished:
            message = self._reader.poll(0.5)
            if message is None:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no end of {topic} in sight"))
                continue
            index, error = message.partition() or 0, message.error()
            if error is None:
                deadline = time.monotonic() + ANSWER_S
                if (message.offset() or 0) < ranges[index][1]:
                    yield message
                else:
                    unfinished.discard(index)
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(index)
            else:
                raise KafkaException(error)
        self._reader.unassign()
