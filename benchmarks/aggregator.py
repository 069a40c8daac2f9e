"""Observations a second of the aggregator's handler on one core, beside a bare loop that only decodes the messages.

Memory stands in for the files, no Kafka is in the loop: the handler's own work is what is measured. Each camera has had
a track before; what the first of an hour takes, which makes state and files, is told apart (`new_camera_us`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.harness import alternate, last_line, medians, table
from services.aggregator.cameras import FixedCameras
from services.aggregator.core.config import Config
from services.aggregator.files import MemoryFiles
from services.aggregator.handler import AggregatorHandler
from services.contracts import identity
from services.contracts.codec import decode, encode
from services.contracts.messages import Observation, Reading, Run, Track
from services.contracts.topics import Topics
from services.runtime.ports import Partition, Record

_PARTITION = Partition("plateflow.tracks", 0)
_START_MS = 1_781_593_200_000


class _Log:
    cluster_id = "benchmark"

    def topic_id(self, topic: str) -> str:
        return topic

    def partitions(self, topic: str) -> int:
        return 1


def _tracks(cameras: int, numbers: range, observations: int) -> Iterator[Track]:
    for number in numbers:
        name, start = f"bench/camera{number % cameras}", _START_MS + number // cameras * 20_000
        recording, plate = identity.recording_id(f"{name}/{number}"), f"A{number % 1000:03}BC77"
        yield Track(
            id=identity.part_id(1, recording, 0, 0), results=1, recording_id=recording, camera=name,
            key=f"{name}/{number}.mp4", run=Run("plateflow.clips", 0, number), track=0, start_ms=start,
            frame_width=1920, frame_height=1080, reading=Reading(plate, plate, 0.93, (0.9,) * len(plate)),
            observations=tuple(
                Observation(start + 67 * i, i, (100.0 + 9 * i, 300.0 + 3 * i, 90.0, 22.0), 0.8, plate)
                for i in range(observations)
            ),
        )  # fmt: skip


def _decoded(records: list[Record], observations: int) -> float:
    began = time.process_time()
    for record in records:
        decode(record.value, Track)
    return len(records) * observations / (time.process_time() - began)


def _handled(first: list[Record], records: list[Record], observations: int, new_us: list[float]) -> float:
    """``first``: a track of each camera; ``new_us`` takes what one of them cost."""
    handler = AggregatorHandler(MemoryFiles(), FixedCameras(Config()), _Log(), Topics(), flush_s=1e9)
    handler.assigned(_PARTITION, None, 0)
    before = time.process_time()
    for record in first:
        handler.handle(record)
    began = time.process_time()
    new_us.append((began - before) * 1e6 / len(first))
    for record in records:
        handler.handle(record)
    return len(records) * observations / (time.process_time() - began)


def _records(tracks: Iterator[Track], offset: int) -> list[Record]:
    return [Record(_PARTITION, offset + i, encode(one), one.camera.encode()) for i, one in enumerate(tracks)]


def run(quick: bool) -> str:
    """The table and the JSON line."""
    tracks, rounds = (300, 1) if quick else (2000, 3)
    parts, fields, new_us = [], dict[str, float](), list[float]()
    for observations in (15, 150):
        variants = {}
        for cameras in (1, 100, 10_000):
            more = max(1, tracks * 15 // observations)
            first = _records(_tracks(cameras, range(cameras), 15), 0)
            records = _records(_tracks(cameras, range(cameras, cameras + more), observations), cameras)
            took = new_us if cameras > 1 else []
            variants[f"handler, {cameras} cameras"] = partial(_handled, first, records, observations, took)
            if cameras == 1:
                variants["decoding alone"] = partial(_decoded, records, observations)
        figures = alternate(variants, rounds)
        middle = medians(figures)
        parts.append(table(f"aggregator, tracks of {observations} observations, CPU time", "observations/s", figures))
        fields[f"observations_per_second_{observations}"] = round(middle["handler, 1 cameras"])
        fields[f"of_limit_{observations}"] = round(middle["handler, 1 cameras"] / middle["decoding alone"], 3)
        many = middle["handler, 1 cameras"] / middle["handler, 10000 cameras"]
        fields[f"cost_of_10000_cameras_{observations}"] = round(many, 2)
    fields |= {"observations_per_second": fields["observations_per_second_150"], "of_limit": fields["of_limit_150"]}
    fields["new_camera_us"] = round(statistics.median(new_us), 1)
    return "\n".join([*parts, last_line("aggregator", fields)])
