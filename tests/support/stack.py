"""The whole system on a real Kafka: a Vault stand-in in this process, the three services as processes of their own."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
from confluent_kafka import Consumer, TopicPartition

from services.contracts.codec import decode
from services.contracts.messages import DeadLetter, Message, Passage, Plate, RecordingDone, Track
from services.contracts.topics import Topics
from services.simulator.camera import Account, UploadingCamera
from services.simulator.vault import KafkaPublisher, VaultStandIn
from services.simulator.vault_events import Form
from tests.support.kafka import Broker
from tests.support.services import ServiceProcess

SERVICES = ("ingest", "inference", "aggregator")
ACCESS_KEY, SECRET = "made-up-access", "made-up-secret"
M = TypeVar("M", bound=Message)


class Stack:
    """Everything between a camera's upload and the last topic, below one folder and one topic prefix."""

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        prefix: str,
        cameras: Path | None = None,
        *,
        partitions: int = 2,
        form: Form = Form.B,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """``form`` of Vault's announcements; ``more`` settings of every service."""
        self.folder, self.broker = folder, broker
        self.topics = Topics(prefix.rstrip("."))
        self.vault_topic = f"{self.topics.prefix}.vault"
        self.data = folder / "data"
        self._cameras, self._more = cameras, dict(more or {})
        self._processes: dict[str, ServiceProcess] = {}
        folder.mkdir(parents=True, exist_ok=True)
        broker.create_topics(dict.fromkeys((self.vault_topic, *self.topics.all()), partitions))
        publish = KafkaPublisher({"bootstrap.servers": broker.bootstrap, "log_level": 2}, self.vault_topic)
        self.vault = VaultStandIn(folder / "vault", publish, access_key=ACCESS_KEY, secret=SECRET, form=form)

    @classmethod
    def beside(cls, other: Stack, topics: Topics) -> Stack:
        """A view on other topics of the same installation, where other processes work; it starts nothing itself."""
        view = copy.copy(other)
        view.topics, view._processes = topics, {}
        return view

    def __enter__(self) -> Self:
        self.vault.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
        self.vault.stop()

    # Services

    def start(self, *services: str) -> None:
        """Start services (again, after `kill`) and wait until each is ready."""
        for service in services:
            self._processes.setdefault(service, ServiceProcess(service, self.settings(), self.folder)).start()
        for service in services:
            self._processes[service].wait_until_ready()

    def page(self, service: str, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """What a service answers at /metrics, /healthz or /readyz."""
        return self._processes[service].ask(f"/{path}", headers)

    def address(self, service: str) -> str:
        """host:port of a service's page."""
        return self._processes[service].url.removeprefix("http://")

    def kill(self, service: str) -> None:
        self._processes[service].kill()

    def stop(self, *services: str) -> dict[str, int]:
        """SIGTERM, one after another; the exit code of each."""
        return {service: self._processes[service].stop() for service in services}

    def settings(self) -> dict[str, str]:
        """The environment of every service."""
        settings = {
            "KAFKA_BROKER": self.broker.bootstrap,
            "KAFKA_GROUP": self.topics.prefix,
            "KAFKA_QUEUE_NAME": self.vault_topic,
            "PLATEFLOW_KAFKA_TOPIC_PREFIX": self.topics.prefix,
            "PLATEFLOW_KAFKA_INSTANCE_ID": "0",
            "PLATEFLOW_KAFKA_SESSION_TIMEOUT_S": "6",
            "STORAGE_URI": self.vault.api,
            "STORAGE_ACCESS_KEY": ACCESS_KEY,
            "STORAGE_SECRET": SECRET,
            "PLATEFLOW_CLIPS_URL": str(self.folder / "clips"),
            "PLATEFLOW_OBJECTS_URL": str(self.folder / "objects"),
            "PLATEFLOW_DATA": str(self.data),
            "PLATEFLOW_AGGREGATOR_FLUSH_S": "1",
            "OMP_NUM_THREADS": "1",
        }
        return settings | ({"PLATEFLOW_CAMERAS": str(self._cameras)} if self._cameras else {}) | self._more

    # What goes in, what comes out

    def upload(self, clips: Iterable[Path], name: str | None = None) -> list[str]:
        """Upload clips as a camera does, under ``name`` where there is one; their keys."""
        camera = UploadingCamera(Account(self.vault.api, ACCESS_KEY, SECRET))
        return [camera.upload(clip, name) for clip in clips]

    def read(self, topic: str, kind: type[M]) -> list[M]:
        """All committed messages of a topic, by partition and offset."""
        return [decode(message.value(), kind) for message in self.broker.read_all(topic)]

    def done(self) -> list[RecordingDone]:
        return self.read(self.topics.recordings, RecordingDone)

    def tracks(self) -> list[Track]:
        return self.read(self.topics.tracks, Track)

    def plates(self) -> list[Plate]:
        return self.read(self.topics.plates, Plate)

    def passages(self) -> list[Passage]:
        return self.read(self.topics.passages, Passage)

    def dead_letters(self) -> list[DeadLetter]:
        return self.read(self.topics.deadletter, DeadLetter)

    def wait_for_recordings(self, count: int, timeout_s: float = 100) -> None:
        """Until ``count`` different recordings are finished and the aggregator has taken in all of their tracks."""
        self.wait(lambda: len({one.recording_id for one in self.done()}) >= count, timeout_s, f"{count} recordings")
        self.wait(self.aggregated, timeout_s, "the aggregator to reach the end of the tracks")

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Until ``condition()`` holds; fails with the logs' ends where a service died or time is up."""
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"waited {timeout_s} s in vain for {what}\n{self.tails()}")
            time.sleep(0.2)

    def tails(self) -> str:
        return "\n".join(process.process.tail(15) for process in self._processes.values())

    def aggregated(self) -> bool:
        """Whether the group's offset lies behind the last track of each partition."""
        consumer = Consumer(
            {"bootstrap.servers": self.broker.bootstrap, "group.id": f"{self.topics.prefix}-aggregator"}
        )
        try:
            last: dict[int, int] = {}
            for message in self.broker.read_all(self.topics.tracks):
                last[message.partition() or 0] = message.offset() or 0
            asked = [TopicPartition(self.topics.tracks, index) for index in last]
            offsets = {p.partition: p.offset for p in consumer.committed(asked, timeout=10)} if asked else {}
            return all(offsets[index] > offset for index, offset in last.items())
        finally:
            consumer.close()


def plain(message: Track) -> tuple[object, ...]:
    """A track without what differs from run to run."""
    return (message.recording_id, message.track, message.part, message.reading, message.observations)
