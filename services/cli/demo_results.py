"""Collects what the demo's services gave: messages from the topics, sums from Parquet, the heatmap's picture."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from services.cli.demo_check import Published, Sums
from services.cli.demo_show import Show
from services.cli.tail import passage_line
from services.contracts.codec import decode
from services.contracts.messages import DeadLetter, Message, Passage, Plate, RecordingDone
from services.contracts.topics import Topics
from services.simulator.clips import Truth, camera_id, load_backdrop
from services.simulator.traffic import CAMERAS

TOPICS = Topics()
_SETTLED_S = 1.5
"""So long nothing new comes once all is there: whatever is superfluous has come, too."""


class Results:
    """Takes messages and knows when everything that was announced is there."""

    def __init__(self, truth: Truth, show: Show) -> None:
        self.published = Published()
        self._show = show
        self._expected = {clip.key for clip in truth.recordings}

    def take(self, message: Message) -> None:
        """Notes one message; shows a passage and a finished recording."""
        published = self.published
        match message:
            case RecordingDone():
                if message.key not in published.recordings:
                    self._show.advance()
                published.recordings[message.key] = message
            case Passage():
                if message.id not in published.passages:
                    self._show.say(passage_line(message), "green")
                published.passages[message.id] = message
            case Plate():
                published.plates[message.id] = message
            case DeadLetter():
                published.dead_letters.append(f"{message.stage}: {message.reason}: {message.detail}")
                self._show.say(f"dead letter: {published.dead_letters[-1]}", "red")
            case _:
                pass

    @property
    def complete(self) -> bool:
        """Every recording is finished (or given up), and every track of theirs has become a passage."""
        published = self.published
        finished = len(self._expected & published.recordings.keys()) + len(published.dead_letters)
        tracks = sum(done.tracks for done in published.recordings.values())
        return finished >= len(self._expected) and len(published.passages) >= tracks


def follow(broker: str, truth: Truth, show: Show, check: Callable[[], None], silence_s: float) -> Published:
    """Reads all results from the topics until they are complete, or nothing new came for ``silence_s``."""
    show.step("reading plates in recordings", len(truth.recordings))
    results = Results(truth, show)
    consumer = _consumer(broker)
    latest = time.monotonic()
    try:
        while True:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                results.take(decode(message.value(), TOPICS.message_type(str(message.topic()))))
                latest = time.monotonic()
            quiet = time.monotonic() - latest
            if quiet > (_SETTLED_S if results.complete else silence_s):
                return results.published
            check()
    finally:
        consumer.close()


def _consumer(broker: str) -> Consumer:
    """Reads every partition from its beginning, committed messages only."""
    consumer = Consumer({
        "bootstrap.servers": broker, "group.id": f"plateflow-demo-{uuid.uuid4().hex[:8]}",
        "enable.auto.commit": False, "isolation.level": "read_committed",
    })  # fmt: skip
    wanted = (TOPICS.recordings, TOPICS.plates, TOPICS.passages, TOPICS.deadletter)
    found = consumer.list_topics(timeout=10).topics
    consumer.assign([
        TopicPartition(topic, number, OFFSET_BEGINNING) for topic in wanted for number in found[topic].partitions
    ])  # fmt: skip
    return consumer


def read_sums(data: Path) -> Sums:
    """What the aggregator's Parquet adds up to; zeros where there is none."""
    if not any(data.rglob("*.parquet")):
        return Sums(0, 0, 0, 0, 0)
    heatmap = ds.dataset(data / "heatmap", format="parquet", partitioning="hive").to_table(["plane", "count"])
    sightings = ds.dataset(data / "sightings", format="parquet", partitioning="hive").to_table(
        ["off_plan", "ground_version"]
    )
    planes = dict.fromkeys(("image", "ground"), 0)
    for plane, count in zip(heatmap["plane"].to_pylist(), heatmap["count"].to_pylist(), strict=True):
        planes[plane] += count
    off_plan = pc.sum(sightings["off_plan"]).as_py() or 0
    placed = sightings.num_rows - sightings["ground_version"].null_count
    return Sums(
        image=planes["image"],
        ground=planes["ground"],
        off_plan=off_plan,
        uncalibrated=sightings.num_rows - placed - off_plan,
        sightings=sightings.num_rows,
    )


def draw_heatmaps(data: Path, clips: Path, folder: Path) -> list[Path]:
    """Draws each camera's image plane over its own still picture, and the plan where it has one; the first is the
    busiest camera's image plane. Empty where no plate was seen."""
    from services.aggregator import picture

    drawn: list[tuple[int, Path]] = []
    for camera in CAMERAS:
        name = camera_id(camera)
        if name not in picture.cameras(data):
            continue
        seen = picture.load(data, name)
        path = picture.draw_heatmap(seen, folder / f"{camera.name}-image.png", background=load_backdrop(clips, camera))
        drawn.append((-sum(count for count, *_ in seen.cells.values()), path))
        if camera.calibrated:
            picture.draw_heatmap(picture.load(data, name, plane="ground"), folder / f"{camera.name}-ground.png")
    return [path for _, path in sorted(drawn)]
