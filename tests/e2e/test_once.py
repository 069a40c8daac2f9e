"""The same recording once, through the whole system on real Kafka: two Vaults, repeats in any order, backfill."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import Producer

from services.aggregator import cameras
from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Options
from services.ingest.core.backfill import announcement
from services.simulator.clips import key_of
from services.simulator.vault import VaultStandIn
from services.simulator.vault_events import Arrival, Form
from tests.e2e.test_backfill import first_runs
from tests.e2e.test_walk import cells_expected, cells_on_disk
from tests.faults.judge import difference
from tests.faults.small import rendered
from tests.support.kafka import Broker
from tests.support.stack import SERVICES, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HOURS = 2
HOUR_MS = 3_600_000
SECOND = "second-vault"


@dataclass
class Site:
    """Recordings hours apart, which lie in both Vaults; ingest remembers so few that many repeats get through."""

    stack: Stack
    other: VaultStandIn
    keys: list[str]
    camera_file: Path


@pytest.fixture
def site(tmp_path: Path, kafka: Broker, topic_prefix: str) -> Iterator[Site]:
    out = tmp_path / "clips"
    originals = rendered(out, seed=5)[:4]
    other = VaultStandIn(tmp_path / "other", _nobody, access_key="made-up-other", secret="made-up-too", form=Form.C)
    more = {
        "PLATEFLOW_INGEST_REMEMBERED": "2",
        "PLATEFLOW_VAULT_ALLOWED_HOSTS": other.url.removeprefix("http://"),
    }
    with other, Stack(tmp_path / "stack", kafka, topic_prefix, out / "cameras.yaml", more=more) as stack:
        kafka.create_topics({stack.topics.backfill: 1})
        keys = []
        for original in originals:
            content = (out / key_of(original)).read_bytes()
            for number in range(HOURS):
                key = key_of(replace(original, start_ms=original.start_ms + number * 5 * HOUR_MS))
                stack.vault.put(key, content)
                other.put(key, content, SECOND)
                keys.append(key)
        yield Site(stack, other, keys, out / "cameras.yaml")


def _nobody(_value: bytes) -> None:
    """The second Vault's announcements are sent by the test, in an order of its own."""


def test_recordings_announced_up_to_five_times_by_two_vaults_and_by_backfill_count_once(site: Site) -> None:
    stack, chance = site.stack, random.Random(11)
    told: list[tuple[str, bytes]] = []
    for key in site.keys:
        size = stack.vault.path("demo", key).stat().st_size
        ways = [
            (stack.vault_topic, stack.vault.message(Arrival(key, "demo", size))),
            (stack.vault_topic, site.other.message(Arrival(key, SECOND, size))),
            (stack.topics.backfill, announcement(key, "demo", size)),
        ]
        told += chance.choices(ways, k=chance.randint(1, 5))
    chance.shuffle(told)
    stack.start(*SERVICES)
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap, "partitioner": "random"})
    for topic, value in told:
        producer.produce(topic, value)
    assert producer.flush(30) == 0
    stack.wait_for_recordings(len(site.keys), 200)
    stack.wait(lambda: all_clips_done(stack, len(told)), 200, "all announcements to be dealt with")
    assert stack.stop(*SERVICES) == dict.fromkeys(SERVICES, 0), stack.tails()

    assert stack.dead_letters() == []
    runs = {(one.recording_id, one.run) for one in stack.done()}
    assert len(runs) > len(site.keys), "no repeat came as far as the ledger"
    once = replay(first_runs(stack.tracks()), cameras.read(site.camera_file, Options()))
    assert once.plates
    assert difference([*once.plates, *once.passages], [*stack.plates(), *stack.passages()]) == (0, 0)
    assert cells_on_disk(stack.data) == cells_expected(once)


def all_clips_done(stack: Stack, announced: int) -> bool:
    """Ingest has dealt with every announcement, and inference with every clip that came of them."""
    page = stack.page("ingest", "metrics").text
    counted = [line for line in page.splitlines() if line.startswith("plateflow_records_total{")]
    handled = sum(float(line.rpartition(" ")[2]) for line in counted)
    return handled >= announced and len(stack.done()) >= len(stack.broker.read_all(stack.topics.clips)) > 0
