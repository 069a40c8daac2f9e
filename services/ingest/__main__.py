"""Run ingest: Vault's announcements in, clips in the store and on `plateflow.clips`. Wiring only."""

from __future__ import annotations

from pathlib import Path

from services.ingest.handler import IngestHandler
from services.ingest.settings import IngestSettings
from services.runtime.clips import INCOMING, open_store, sweeper
from services.runtime.disk import watch_disk
from services.runtime.kafka import KafkaLog
from services.runtime.loop import LoopOptions
from services.runtime.service import Chore, Service, run_service
from services.runtime.settings import folder
from services.runtime.vault import Ping, VaultClient

NAME = "ingest"
SWEEP_EVERY_S = 600.0


def build(settings: IngestSettings, _kafka: KafkaLog) -> Service:
    topics = settings.kafka.topics
    store = open_store(settings.clips)
    watch_disk("clips", settings.clips.url)
    vault = VaultClient(settings.vault, settings.max_clip_bytes)
    handler = IngestHandler(
        vault,
        store,
        topics.clips,
        results=settings.results,
        remembered=settings.remembered,
        work=work_folder(settings),
    )
    options = LoopOptions(
        service=NAME,
        deadletter_topic=topics.deadletter,
        workers=settings.workers,
        in_flight=settings.in_flight,
        retry_budget_s=settings.retry_budget_s,
        dead_letters_in_a_row=settings.dead_letters_in_a_row,
    )
    return Service(
        name=NAME,
        topics=[settings.kafka.vault_topic, topics.backfill],
        handler=handler,
        options=options,
        makes=[topics.clips, topics.deadletter],
        probes={"vault": lambda: vault_trouble(vault.ping()), "clip store": store.check},
        chores=[Chore("sweep clips", SWEEP_EVERY_S, sweeper(store, settings.clips, "clips"))],
        close=vault.close,
    )


def work_folder(settings: IngestSettings) -> Path | None:
    """Beside the clips, so that storing one is a rename, and what a crash leaves is swept with the store."""
    root = folder(settings.clips.url)
    return settings.work_folder or (root / INCOMING if root else None)


def vault_trouble(answer: Ping) -> str | None:
    """The reason for /readyz."""
    return {
        Ping.ACCEPTED: None,
        Ping.REFUSED: "Vault refuses our keys: correct STORAGE_ACCESS_KEY and STORAGE_SECRET",
        Ping.UNREACHABLE: "Vault does not answer: check STORAGE_URI, and Vault itself",
    }[answer]


def main() -> int:
    return run_service(NAME, IngestSettings, build)


if __name__ == "__main__":
    raise SystemExit(main())
