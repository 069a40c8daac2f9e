"""A recording walks through the whole system, on real Kafka, also where every service is killed on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pandas as pd
import pytest

from services.aggregator import cameras
from services.aggregator.core.aggregate import Outcome, replay
from services.aggregator.core.config import Options
from services.contracts.messages import Message
from services.simulator import traffic
from services.simulator.clips import Truth, render
from tests.support.kafka import Broker
from tests.support.stack import SERVICES, Stack, plain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

Clips = tuple[Path, Truth]
Cells = dict[tuple[str, str, int, int, int], tuple[int, int, int]]
"""(camera, plane, start of the hour in ms, gx, gy) -> (count, passages, dwell_ms)."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Rendered recordings of two calibrated cameras, their truth, and the camera file beside."""
    out = tmp_path_factory.mktemp("clips")
    return out, render(traffic.timetable(seed=7, cameras=2), out, seed=7)


def files(clips: Clips) -> list[Path]:
    return [clips[0] / recording.key for recording in clips[1].recordings]


@pytest.fixture
def stack(tmp_path: Path, kafka: Broker, topic_prefix: str, clips: Clips) -> Iterator[Stack]:
    with Stack(tmp_path / "stack", kafka, topic_prefix, clips[0] / "cameras.yaml") as stack:
        yield stack


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, kafka: Broker, clips: Clips) -> Iterator[Stack]:
    """The stack after a run in which nothing went wrong, all services stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with Stack(folder, kafka, f"test-{folder.name}-{time.monotonic_ns()}", clips[0] / "cameras.yaml") as stack:
        stack.start(*SERVICES)
        stack.upload(files(clips))
        stack.wait_for_recordings(len(files(clips)), timeout_s=200)
        for service in SERVICES:
            (folder / f"{service}.metrics").write_text(stack.page(service, "metrics").text)
        assert stack.stop(*SERVICES) == dict.fromkeys(SERVICES, 0), stack.tails()
        yield stack


def reference(stack: Stack, clips: Clips) -> Outcome:
    """What the pure core makes of the tracks that were really written."""
    return replay(stack.tracks(), cameras.read(clips[0] / "cameras.yaml", Options()))


def cells_on_disk(data: Path) -> Cells:
    query = (
        "SELECT camera, plane, bucket_ms, gx, gy, count, passages, dwell_ms "
        f"FROM read_parquet('{data}/heatmap/**/*.parquet', hive_partitioning = true)"
    )
    rows = duckdb.connect().execute(query).fetchall()
    return {(unquote(row[0]), *row[1:5]): row[5:8] for row in rows}


def cells_expected(outcome: Outcome) -> Cells:
    return {
        (camera, layer.plane, hour, gx, gy): (values[0], values[1], values[2])
        for (_results, camera, layer, hour), cells in outcome.cells.items()
        for (gx, gy), values in cells.items()
        if any(values)
    }


def assert_exactly_what_the_log_holds(stack: Stack, clips: Clips) -> None:
    expected = reference(stack, clips)
    assert by_id(stack.plates()) == by_id(expected.plates)
    assert by_id(stack.passages()) == by_id(expected.passages)
    assert cells_on_disk(stack.data) == cells_expected(expected)


def by_id(messages: Sequence[Message]) -> list[Message]:
    return sorted(messages, key=lambda message: message.id)


def image_count(data: Path) -> int:
    """The image plane's count, as pandas reads it."""
    files = list(data.glob("heatmap/results=1/plane=image/**/*.parquet"))
    return sum(int(pd.read_parquet(file)["count"].sum()) for file in files)


def test_no_log_and_no_metric_of_any_service_holds_a_plate(undisturbed: Stack) -> None:
    plates = {one.plate for one in undisturbed.passages()}
    assert len(plates) > 1
    for service in SERVICES:
        for kind in ("log", "metrics"):
            text = (undisturbed.folder / f"{service}.{kind}").read_text()
            assert text and not [plate for plate in plates if plate in text], f"a plate in the {kind} of {service}"


def test_plates_of_uploaded_clips_arrive_on_kafka_and_in_parquet(undisturbed: Stack, clips: Clips) -> None:
    expected = sorted((r.camera, p.plate) for r in clips[1].recordings for p in r.passages)
    found = sorted((p.camera, p.plate) for p in undisturbed.passages())
    assert found == expected
    assert len(undisturbed.done()) == len(clips[1].recordings)
    assert undisturbed.dead_letters() == []
    assert_exactly_what_the_log_holds(undisturbed, clips)


def test_the_image_planes_count_is_the_number_of_sightings_published(undisturbed: Stack) -> None:
    assert image_count(undisturbed.data) == len(undisturbed.plates()) > 0


def test_a_recording_without_a_vehicle_is_said_to_be_finished(undisturbed: Stack, clips: Clips) -> None:
    empty = {recording.key for recording in clips[1].recordings if not recording.passages}
    assert {done.key for done in undisturbed.done() if done.tracks == 0} == empty


def test_every_service_killed_in_mid_clip_loses_nothing_and_doubles_nothing(
    stack: Stack, clips: Clips, undisturbed: Stack
) -> None:
    """SIGKILL, once each: ingest while it fetches, inference while it works on a clip, the aggregator after a flush."""
    count = len(files(clips))
    stack.start(*SERVICES)
    stack.vault.faults.slow_s = 1.0
    stack.upload(files(clips)[: count // 2])
    stack.wait(lambda: gauge(stack, "ingest", "in_flight") > 0, 30, "ingest to fetch")
    stack.kill("ingest")
    stack.vault.faults.slow_s = 0.0
    stack.start("ingest")
    stack.wait(lambda: gauge(stack, "inference", "in_flight") > 0, 60, "inference to work on a clip")
    stack.kill("inference")
    stack.start("inference")
    stack.wait(lambda: bool(stack.plates()), 100, "the first plates")
    stack.upload(files(clips)[count // 2 :])
    stack.kill("aggregator")
    stack.start("aggregator")
    stack.wait_for_recordings(count, timeout_s=200)
    assert stack.stop(*SERVICES) == dict.fromkeys(SERVICES, 0), stack.tails()
    assert {plain(track) for track in stack.tracks()} == {plain(track) for track in undisturbed.tracks()}
    assert len(stack.tracks()) == len(undisturbed.tracks())
    assert_exactly_what_the_log_holds(stack, clips)


def gauge(stack: Stack, service: str, name: str) -> float:
    """A metric of a running service."""
    start = f'plateflow_{name}{{service="{service}"}} '
    lines = stack.page(service, "metrics").text.splitlines()
    return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0.0)


def test_parquet_can_be_read_while_it_is_written(stack: Stack, clips: Clips) -> None:
    stack.start(*SERVICES)
    stack.upload(files(clips))
    reads = 0

    def finished() -> bool:
        nonlocal reads
        if list(stack.data.glob("heatmap/results=1/**/*.parquet")):
            cells_on_disk(stack.data)
            image_count(stack.data)
            reads += 1
        return len(stack.done()) >= len(files(clips))

    stack.wait(finished, 200, "all recordings")
    stack.wait_for_recordings(len(files(clips)))
    stack.stop(*SERVICES)
    assert reads > 0
    assert image_count(stack.data) == len(stack.plates())


def test_the_real_clip_gives_one_passage_with_the_right_plate(
    tmp_path: Path, kafka: Broker, topic_prefix: str, shared_data: Path
) -> None:
    original = shared_data / "clips" / "checkpoint_b678xy178.mp4"
    named = tmp_path / "1630567591_6-967003_checkpoint_200-200-400-400_24_769.mp4"
    named.write_bytes(original.read_bytes())
    with Stack(tmp_path / "stack", kafka, topic_prefix) as stack:
        stack.start(*SERVICES)
        stack.upload([named])
        stack.wait_for_recordings(1)
        stack.stop(*SERVICES)
        assert [passage.plate for passage in stack.passages()] == ["B678XY178"]
        assert image_count(stack.data) == len(stack.plates()) > 0
