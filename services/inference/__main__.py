"""Run inference: clips in, tracks and finished recordings out. Wiring only."""

from __future__ import annotations

from services.inference.build import build_inference
from services.inference.gates import Gates
from services.inference.handler import InferenceHandler
from services.inference.settings import InferenceSettings
from services.runtime import metrics
from services.runtime.clips import open_store, sweeper
from services.runtime.disk import watch_disk
from services.runtime.kafka import KafkaLog
from services.runtime.loop import LoopOptions
from services.runtime.service import Chore, Service, run_service
from services.runtime.vault import VaultClient

NAME = "inference"
SWEEP_EVERY_S = 600.0


def build(settings: InferenceSettings, _kafka: KafkaLog) -> Service:
    topics = settings.kafka.topics
    clips, objects = open_store(settings.clips), open_store(settings.objects)
    watch_disk("objects", settings.objects.url)
    vault = VaultClient(settings.vault, settings.max_clip_bytes) if settings.vault.configured else None
    inference = build_inference(settings.pipeline)
    metrics.BATCH_LIMIT.labels("detector").set(settings.pipeline.detect_batch)
    metrics.BATCH_LIMIT.labels("recogniser").set(settings.pipeline.read_batch)
    metrics.MODELS.labels(inference.models.detector, inference.models.recogniser).set(1)

    def close() -> None:
        inference.close()
        if vault is not None:
            vault.close()

    return Service(
        name=NAME,
        topics=[topics.clips],
        handler=InferenceHandler(
            inference.pipeline, clips, objects, inference.models, topics, vault, Gates(settings.cameras)
        ),
        options=LoopOptions(
            service=NAME,
            deadletter_topic=topics.deadletter,
            workers=settings.workers,
            in_flight=settings.in_flight,
            retry_budget_s=settings.retry_budget_s,
            dead_letters_in_a_row=settings.dead_letters_in_a_row,
        ),
        makes=[topics.tracks, topics.recordings, topics.deadletter],
        probes={"clip store": clips.check, "object store": objects.check},
        chores=[Chore("sweep objects", SWEEP_EVERY_S, sweeper(objects, settings.objects, "objects"))],
        close=close,
    )


def main() -> int:
    return run_service(NAME, InferenceSettings, build)


if __name__ == "__main__":
    raise SystemExit(main())
