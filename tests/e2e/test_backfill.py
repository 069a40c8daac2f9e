"""Backfill over live data, and results R+1 beside results R: whole system, real Kafka, real processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from services.aggregator import cameras
from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Options
from services.contracts.messages import Track
from services.contracts.topics import Topics
from services.simulator.camera import Account, UploadingCamera
from tests.cli.command import Plateflow
from tests.e2e.test_walk import cells_expected, cells_on_disk
from tests.faults.judge import difference
from tests.faults.small import Small, copies, rendered
from tests.support.kafka import Broker
from tests.support.services import ServiceProcess
from tests.support.stack import ACCESS_KEY, SECRET, SERVICES, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CLIPS = 12
ALL_TIME = ("--from", "2026-06-01", "--to", "2026-07-01", "--source", "demo", "--device", "camera-1")


@pytest.fixture
def plateflow(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Plateflow:
    return Plateflow(capsys, monkeypatch)


@pytest.fixture
def small(tmp_path: Path) -> tuple[list[Small], Path]:
    out = tmp_path / "clips"
    return list(islice(copies(rendered(out, seed=3), out), CLIPS)), out / "cameras.yaml"


@pytest.fixture
def stack(tmp_path: Path, kafka: Broker, topic_prefix: str, small: tuple[list[Small], Path]) -> Iterator[Stack]:
    with Stack(tmp_path / "stack", kafka, topic_prefix, small[1]) as stack:
        yield stack


def upload(stack: Stack, clips: Sequence[Small], announced: bool = True) -> None:
    """Not announced: as after Kafka's retention has removed what Vault said."""
    publish = stack.vault.publish
    if not announced:
        stack.vault.publish = lambda _value: None
    camera = UploadingCamera(Account(stack.vault.api, ACCESS_KEY, SECRET))
    for clip in clips:
        camera.upload(clip.file, clip.name)
    stack.vault.publish = publish


def test_a_backfill_over_live_data_counts_once_and_results_2_grow_beside_results_1(
    stack: Stack,
    small: tuple[list[Small], Path],
    plateflow: Plateflow,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    clips, camera_file = small
    for name, value in stack.settings().items():
        monkeypatch.setenv(name, value)
    stack.start(*SERVICES)
    upload(stack, clips[::2])
    stack.wait_for_recordings(CLIPS // 2)
    upload(stack, clips[1::2], announced=False)

    # Everything is announced once more, also what is finished; then the rest is found to be finished.
    assert plateflow("backfill", *ALL_TIME, "--again", "--rate", "100") == 0, plateflow.err
    assert f"{CLIPS} announced of {CLIPS} listed" in plateflow.out
    stack.wait_for_recordings(CLIPS)
    assert plateflow("backfill", *ALL_TIME, "--rate", "100") == 0
    assert f"0 announced of {CLIPS} listed, {CLIPS} finished before" in plateflow.out
    assert stack.stop(*SERVICES) == dict.fromkeys(SERVICES, 0), stack.tails()

    once = replay(first_runs(stack.tracks()), cameras.read(camera_file, Options()))
    assert once.plates
    published = [*stack.plates(), *stack.passages()]
    assert difference([*once.plates, *once.passages], published) == (0, 0)
    assert cells_on_disk(stack.data) == cells_expected(once)

    # Results 2, by services of their own, on topics of their own, into the same folder.
    before = {path: path.read_bytes() for path in stack.data.rglob("*.parquet")}
    topics = Topics(f"{stack.topics.prefix}-r2")
    settings = stack.settings() | {
        "PLATEFLOW_RESULTS": "2",
        "KAFKA_GROUP": topics.prefix,
        "PLATEFLOW_KAFKA_TOPIC_PREFIX": topics.prefix,
        "PLATEFLOW_KAFKA_TOPIC_PARTITIONS": "2",
    }
    second = Stack.beside(stack, topics)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "second"
    folder.mkdir()
    services = [ServiceProcess(name, settings, folder).start() for name in SERVICES]
    try:
        for service in services:
            service.wait_until_ready(120)
        assert plateflow("backfill", *ALL_TIME, "--rate", "100") == 0, plateflow.err
        second.wait_for_recordings(CLIPS)
        assert [service.stop(60) for service in services] == [0, 0, 0]
    finally:
        for service in services:
            service.kill()
    assert {path: path.read_bytes() for path in before} == before
    assert {plate.results for plate in second.plates()} == {2}
    assert plates_of(second) == plates_of(stack)
    assert not {plate.id for plate in second.plates()} & {plate.id for plate in stack.plates()}

    # Readers see results 1 until the pointer is moved.
    assert plateflow("results", "list") == 0
    assert plateflow.out.startswith("* results 1: 2 cameras")
    assert plateflow("results", "use", "2") == 0, plateflow.err
    assert (stack.data / "current.json").read_text() == '{"results":2}'


def first_runs(tracks: Sequence[Track]) -> list[Track]:
    """Of each recording the run that comes first on its partition. The pure core has the ledger, this does without."""
    runs = {track.recording_id: track.run for track in reversed(tracks)}
    return [track for track in tracks if runs[track.recording_id] == track.run]


def plates_of(stack: Stack) -> list[tuple[str, str, int]]:
    return sorted((plate.key, plate.plate, plate.time_ms) for plate in stack.plates())
