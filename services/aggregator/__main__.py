"""Run the aggregator: `plateflow.tracks` in, plates, passages, heatmaps and sightings out. Wiring only."""

from __future__ import annotations

from services.aggregator.cameras import Cameras, FixedCameras, WatchedCameras
from services.aggregator.core.config import Camera, Config
from services.aggregator.files_s3 import files_at
from services.aggregator.handler import AggregatorHandler
from services.aggregator.settings import AggregatorSettings
from services.runtime.disk import watch_disk
from services.runtime.kafka import KafkaLog
from services.runtime.loop import LoopOptions
from services.runtime.service import Service, run_service

NAME = "aggregator"
TAKEN = 500
"""Records in hand at most: their results go out in one transaction."""


def build(settings: AggregatorSettings, kafka: KafkaLog) -> Service:
    topics = settings.kafka.topics
    files = files_at(settings.data)
    watch_disk("data", settings.data.url)
    handler = AggregatorHandler(
        files,
        cameras_of(settings),
        kafka,
        topics,
        flush_s=settings.rules.flush_s,
        former_partitions=settings.rules.former_partitions,
    )
    return Service(
        name=NAME,
        topics=[topics.tracks],
        handler=handler,
        options=LoopOptions(service=NAME, deadletter_topic=topics.deadletter, workers=0, in_flight=TAKEN),
        makes=[topics.plates, topics.passages, topics.deadletter],
        probes={"data folder": files.trouble},
    )


def cameras_of(settings: AggregatorSettings) -> Cameras:
    rules = settings.rules
    if settings.cameras is None:
        return FixedCameras(Config(options=rules.options, default=Camera(cell=rules.cell)))
    return WatchedCameras(settings.cameras, rules.options, rules.cell)


def main() -> int:
    return run_service(NAME, AggregatorSettings, build)


if __name__ == "__main__":
    raise SystemExit(main())
