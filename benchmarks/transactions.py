"""Clips a second through the transactional loop on a real Kafka, and how long the aggregator takes from end to end.

Exactly once: `services.runtime.loop` with `KafkaSource` and `KafkaSink`, as inference runs it; its handler decodes a
clip message and encodes two tracks of 15 observations and the finished recording. At least once: the same loop, source
and handler; its sink produces without a transaction, waits for all acknowledgements, then commits the offsets.
Producer: librdkafka's own, the same messages already encoded, the same settings, a flush for each `BATCH` clips;
nothing is consumed. End to end: tracks at a steady rate into the aggregator as a process of its own, from produce to
the last sighting of each track in a consumer that reads committed messages only.
"""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.broker import broker
from benchmarks.harness import alternate, last_line, medians, table
from services.contracts import identity
from services.contracts.codec import decode, encode
from services.contracts.messages import Clip, Models, Observation, Plate, Reading, Run, Track
from services.contracts.topics import Topics
from services.inference.messages import outgoing
from services.inference.result import RecordingResult, Shot, TrackResult
from services.runtime.kafka import MESSAGE_LIMIT, KafkaSink, KafkaSource, client_config
from services.runtime.loop import Loop, LoopOptions
from services.runtime.ports import Outgoing, Partition, Record
from services.runtime.settings import KafkaSettings
from tests.support.kafka import KafkaServer
from tests.support.services import ServiceProcess

BATCH = 512
"""Clips in flight, and so in one transaction at most."""
PARTITIONS = 3
CAMERAS = 30
_START_MS = 1_781_593_200_000
_MODELS = Models("detector-bench", "recogniser-bench")


def _clip(number: int) -> Clip:
    camera, key = f"bench/camera{number % CAMERAS}", f"bench/{number}.mp4"
    recording = identity.recording_id(key)
    return Clip(
        id=identity.clip_id(1, recording), results=1, recording_id=recording, camera=camera, key=key, source="bench",
        start_ms=_START_MS + number // CAMERAS * 10_000, path=f"2026-06-16/{recording}.mp4", size=1_500_000,
        sha256="0" * 64,
    )  # fmt: skip


def _tracked(start_ms: int) -> RecordingResult:
    """Two plates, 15 observations each."""
    tracks = tuple(
        TrackResult(
            number, "plate", Reading(text, text, 0.93, (0.9,) * len(text)),
            tuple(
                Observation(start_ms + 67 * i, i, (100.0 + 9 * i, 300.0 + 3 * i, 90.0, 22.0), 0.8, text, (0.9,) * 8)
                for i in range(15)
            ),
            Shot(b"", start_ms, (100.0, 300.0, 90.0, 22.0)),
        )
        for number, text in enumerate(("A123BC77", "B456CE99"))
    )  # fmt: skip
    return RecordingResult(tracks, 15, 250, 1920, 1080, 10_000, 30, {}, "", {"total": 0.1})


class _Handler:
    """A clip message into its track messages, as inference makes them, without the networks."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def handle(self, record: Record) -> Sequence[Outgoing]:
        clip = decode(record.value, Clip)
        run = Run(record.partition.topic, record.partition.index, record.offset)
        return outgoing(clip, run, _tracked(clip.start_ms), _MODELS, self._topics)


def _plain_producer(settings: KafkaSettings) -> Producer:
    """With the settings of `KafkaSink`, but no transactions."""
    return Producer(
        client_config(settings)
        | {
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 2,
            "message.max.bytes": MESSAGE_LIMIT,
            "queue.buffering.max.messages": 1_000_000,
        }
    )


class _AtLeastOnce:
    """A `Sink` without transactions: results first, offsets once the broker has acknowledged all of them."""

    def __init__(self, settings: KafkaSettings, source: KafkaSource) -> None:
        self._source, self._producer = source, _plain_producer(settings)

    def begin(self) -> None:
        """Nothing to fence."""

    def publish(self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int]) -> None:
        for message in messages:
            self._producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
            self._producer.poll(0)
        self._producer.flush()
        positions = [TopicPartition(p.topic, p.index, offset) for p, offset in offsets.items()]
        self._source.consumer.commit(offsets=positions, asynchronous=False)

    def close(self) -> None:
        self._producer.flush(1.0)


@dataclass(slots=True)
class _Counted:
    """A sink that ends the loop after ``clips``, and knows when the first came and the last was published."""

    sink: KafkaSink | _AtLeastOnce
    handler: _Handler
    clips: int
    stop: threading.Event = field(default_factory=threading.Event)
    began: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    done: int = 0
    transactions: int = 0

    def begin(self) -> None:
        self.sink.begin()

    def publish(self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int]) -> None:
        self.sink.publish(messages, offsets)
        self.transactions += 1
        self.done += len(messages) // 3
        if self.done >= self.clips and not self.stop.is_set():
            self.ended, self.cpu = time.perf_counter(), time.process_time() - self.cpu
            self.stop.set()

    def handle(self, record: Record) -> Sequence[Outgoing]:
        if not self.began:
            self.began, self.cpu = time.perf_counter(), time.process_time()
        return self.handler.handle(record)

    def close(self) -> None:
        self.sink.close()


class _Throughput:
    """The three ways of the same clips, which wait on their topic; notes CPU and clips a transaction on the side."""

    def __init__(self, server: KafkaServer, clips: int) -> None:
        self.topics = Topics("bench")
        self._server, self._clips = server, clips
        self.cpu_ms: dict[str, list[float]] = {}
        self.per_transaction: list[float] = []
        server.create_topics(dict.fromkeys(self.topics.all(), PARTITIONS))
        producer = Producer({"bootstrap.servers": server.bootstrap, "partitioner": "murmur2_random"})
        for number in range(clips):
            clip = _clip(number)
            producer.produce(self.topics.clips, encode(clip), clip.camera.encode())
        producer.flush()
        first = _clip(0)
        self._messages = outgoing(first, Run("bench.clips", 0, 0), _tracked(_START_MS), _MODELS, self.topics)

    def _settings(self) -> KafkaSettings:
        name = uuid.uuid4().hex[:8]
        return KafkaSettings(broker=self._server.bootstrap, group=name, topic_prefix="bench", instance_id=name)

    def exactly_once(self) -> float:
        settings = self._settings()
        source = KafkaSource(settings, "bench")
        return self._looped("exactly once", source, KafkaSink(settings, "bench", source))

    def at_least_once(self) -> float:
        settings = self._settings()
        source = KafkaSource(settings, "bench")
        return self._looped("at least once", source, _AtLeastOnce(settings, source))

    def _looped(self, name: str, source: KafkaSource, sink: KafkaSink | _AtLeastOnce) -> float:
        counted = _Counted(sink, _Handler(self.topics), self._clips)
        options = LoopOptions(service="bench", deadletter_topic=self.topics.deadletter, workers=1, in_flight=BATCH)
        Loop(source, counted, counted, options).run([self.topics.clips], counted.stop)
        self.cpu_ms.setdefault(name, []).append(counted.cpu * 1e3 / self._clips)
        if name == "exactly once":
            self.per_transaction.append(self._clips / counted.transactions)
        return self._clips / (counted.ended - counted.began)

    def producer(self) -> float:
        producer, cpu, began = _plain_producer(self._settings()), time.process_time(), time.perf_counter()
        for number in range(self._clips):
            for message in self._messages:
                producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
            producer.poll(0)
            if number % BATCH == BATCH - 1:
                producer.flush()
        producer.flush()
        self.cpu_ms.setdefault("producer", []).append((time.process_time() - cpu) * 1e3 / self._clips)
        return self._clips / (time.perf_counter() - began)


# End to end of the aggregator


def _latencies(server: KafkaServer, folder: Path, tracks: int, rate: float) -> list[float]:
    """Milliseconds from producing a track to reading its last sighting, for each of ``tracks`` at ``rate`` a second."""
    topics = Topics("latency")
    server.create_topics(dict.fromkeys(topics.all(), PARTITIONS))
    settings = {
        "KAFKA_BROKER": server.bootstrap, "KAFKA_GROUP": "latency", "PLATEFLOW_KAFKA_TOPIC_PREFIX": "latency",
        "PLATEFLOW_KAFKA_INSTANCE_ID": "0", "PLATEFLOW_DATA": str(folder / "data"),
    }  # fmt: skip
    service = ServiceProcess("aggregator", settings, folder).start().wait_until_ready()
    seen, stop = _Seen(server, topics.plates), threading.Event()
    reader = threading.Thread(target=seen.read, args=(stop,))
    reader.start()
    warm_up = int(2 * rate)
    try:
        sent = _steadily(server, topics, tracks + warm_up, rate)
        until = time.monotonic() + 60
        while len(seen.last) < len(sent) and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1.0)  # the last sightings of the last track
    finally:
        stop.set()
        reader.join()
        service.kill()
    if len(seen.last) < len(sent):
        raise RuntimeError(f"{len(sent) - len(seen.last)} tracks never came out\n{service.process.tail()}")
    return [1e3 * (seen.last[recording] - when) for recording, when in list(sent.items())[warm_up:]]


@dataclass(slots=True)
class _Seen:
    server: KafkaServer
    topic: str
    last: dict[str, float] = field(default_factory=dict)
    """By recording: when its last sighting was read."""

    def read(self, stop: threading.Event) -> None:
        consumer = Consumer(
            {"bootstrap.servers": self.server.bootstrap, "group.id": "seen", "isolation.level": "read_committed"}
        )
        consumer.assign([TopicPartition(self.topic, number, 0) for number in range(PARTITIONS)])
        while not stop.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                now = time.perf_counter()
                self.last[decode(message.value(), Plate).recording_id] = now
        consumer.close()


def _steadily(server: KafkaServer, topics: Topics, tracks: int, rate: float) -> dict[str, float]:
    """Produces one track after another; by recording: when it was handed to the producer."""
    producer = Producer({"bootstrap.servers": server.bootstrap, "partitioner": "murmur2_random", "linger.ms": 2})
    sent: dict[str, float] = {}
    began = time.perf_counter()
    for number in range(tracks):
        clip = _clip(number)
        message = outgoing(clip, Run(topics.clips, 0, number), _tracked(clip.start_ms), _MODELS, topics)[0]
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        sent[decode(message.value, Track).recording_id] = time.perf_counter()
        producer.produce(message.topic, message.value, message.key)
        producer.poll(0)
    producer.flush()
    return sent


def run(quick: bool) -> str:
    """The table and the JSON line."""
    clips, rounds = (500, 1) if quick else (5_000, 3)
    tracks, rate = (100, 50.0) if quick else (2000, 100.0)
    with broker() as (server, folder):
        work = _Throughput(server, clips)
        variants = {
            "exactly once": work.exactly_once,
            "at least once": work.at_least_once,
            "producer": work.producer,
        }
        figures = alternate(variants, rounds)
        latencies = sorted(_latencies(server, folder, tracks, rate))
    middle, cpu = medians(figures), {name: values[1:] for name, values in work.cpu_ms.items()}
    fields = {
        "clips_per_second": round(middle["exactly once"]),
        "of_at_least_once": round(middle["exactly once"] / middle["at least once"], 3),
        "of_producer": round(middle["exactly once"] / middle["producer"], 3),
        "cpu_ms_per_clip": round(statistics.median(cpu["exactly once"]), 3),
        "clips_per_transaction": round(statistics.median(work.per_transaction), 1),
        "tracks_per_second": rate,
        **{f"p{share}_ms": round(latencies[int(share / 100 * (len(latencies) - 1))], 1) for share in (50, 95, 99)},
    }
    parts = [
        table("transactions, a clip message into two tracks and a recording", "clips/s", figures),
        table("the same, CPU time of our process", "ms/clip", cpu),
        table(f"aggregator end to end at {rate:g} tracks/s", "ms", {"produced to read committed": latencies}),
    ]
    return "\n".join([*parts, last_line("transactions", fields)])
