"""The handler: clip messages in; tracks, the finished recording and best shots out; what cannot work is
rejected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.contracts.codec import decode, encode
from services.contracts.identity import clip_id, done_id, part_id, passage_id, recording_id, track_id
from services.contracts.messages import Clip, Models, Observation, Reading, RecordingDone, Run, Track
from services.contracts.topics import Topics
from services.inference.decode import Decoder
from services.inference.handler import InferenceHandler
from services.inference.messages import PART, outgoing, track_parts
from services.inference.pipeline import Pipeline
from services.inference.result import RecordingResult, Shot, TrackResult
from services.runtime.clips import MemoryStore
from services.runtime.errors import Reject, Retry
from services.runtime.ports import Outgoing, Partition, Record
from services.runtime.vault import FetchedClip, Wanted
from tests.support.plates import BLUE, RED, ColourDetector, ColourReader, scene
from tests.support.video import road, write_clip

KEY = "front/1700000000_6-967003_gate_200-200-400-400_24_769.mp4"
START = 1_700_000_000_967
MODELS = Models("detector-1", "recogniser-1")
TOPICS = Topics()


def clip_message(path: str = "clips/one.mp4") -> Clip:
    recording = recording_id(KEY)
    return Clip(
        id=clip_id(1, recording), trace_id="trace-7", results=1, recording_id=recording, camera="front/gate", key=KEY,
        source="minio", start_ms=START, path=path, size=1, sha256="00",
    )  # fmt: skip


def record(value: bytes | None, offset: int = 5) -> Record:
    return Record(Partition(TOPICS.clips, 2), offset, value)


class FakeVault:
    """A Vault that holds one file, or fails as told."""

    def __init__(self, file: Path | None = None, failure: Exception | None = None) -> None:
        self.file, self.failure = file, failure
        self.asked: list[Wanted] = []

    def fetch(self, wanted: Wanted, into: Path) -> FetchedClip:
        self.asked.append(wanted)
        if self.failure is not None:
            raise self.failure
        assert self.file is not None
        data = self.file.read_bytes()
        into.write_bytes(data)
        return FetchedClip("blob", len(data), "00", len(data))


class System:
    """A handler on stores in memory."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.clips, self.objects = MemoryStore(), MemoryStore()

    def handler(self, vault: FakeVault | None = None) -> InferenceHandler:
        pipeline = Pipeline(ColourDetector(), ColourReader(), self.decoder)
        return InferenceHandler(pipeline, self.clips, self.objects, MODELS, TOPICS, vault)

    def handle(self, clip: Clip | None = None, vault: FakeVault | None = None) -> list[Outgoing]:
        return list(self.handler(vault).handle(record(encode(clip or clip_message()))))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


@pytest.fixture
def system(decoder: Decoder) -> System:
    return System(decoder)


@pytest.fixture
def two_vehicles(tmp_path: Path) -> Path:
    frames = [(k * 250, scene((BLUE, 50 + 15 * k, 80), (RED, 170 + 10 * k, 180))) for k in range(6)]
    return write_clip(tmp_path / "two.mp4", frames)


def tracks_of(messages: list[Outgoing]) -> list[Track]:
    return [decode(one.value, Track) for one in messages if one.topic == TOPICS.tracks]


def done_of(messages: list[Outgoing]) -> RecordingDone:
    (done,) = [one for one in messages if one.topic == TOPICS.recordings]
    return decode(done.value, RecordingDone)


def test_a_clip_leads_to_its_tracks_and_then_the_finished_recording(system: System, two_vehicles: Path) -> None:
    system.clips.put_file("clips/one.mp4", two_vehicles)

    messages = system.handle()

    assert [one.topic for one in messages] == [TOPICS.tracks, TOPICS.tracks, TOPICS.recordings]
    assert {one.key for one in messages} == {b"front/gate"}
    first, second = tracks_of(messages)
    assert (first.reading.text, second.reading.text) == ("A123BC77", "K777KK77")
    assert first.id == track_id(1, recording_id(KEY), 0)
    assert [one.time_ms for one in first.observations] == [START + k * 250 for k in range(6)]
    assert (first.frame_width, first.frame_height, first.start_ms) == (320, 240, START)
    done = done_of(messages)
    assert done.id == done_id(1, recording_id(KEY))
    assert (done.frames, done.tracks, done.observations, done.models) == (6, 2, 12, MODELS)


def test_every_message_names_its_run_and_carries_the_trace_along(system: System, two_vehicles: Path) -> None:
    system.clips.put_file("clips/one.mp4", two_vehicles)

    messages = system.handle()

    for message in [*tracks_of(messages), done_of(messages)]:
        assert message.run == Run(TOPICS.clips, 2, 5)
        assert message.trace_id == "trace-7"
        assert (message.camera, message.key, message.results) == ("front/gate", KEY, 1)


def test_best_shots_lie_in_the_object_store_under_the_id_of_the_passage(system: System, two_vehicles: Path) -> None:
    system.clips.put_file("clips/one.mp4", two_vehicles)

    first, _ = tracks_of(system.handle())

    assert first.best is not None
    assert first.best.path == f"bestshots/2023-11-14/{passage_id(1, recording_id(KEY), 0)}.jpg"
    with system.objects.open(first.best.path) as picture:
        assert picture.read_bytes().startswith(b"\xff\xd8")
    assert first.best.box in [one.box for one in first.observations]


def test_a_clip_without_a_plate_still_leads_to_a_finished_recording(system: System, tmp_path: Path) -> None:
    system.clips.put_file("clips/one.mp4", write_clip(tmp_path / "empty.mp4", [(0, road()), (250, road())]))

    messages = system.handle()

    assert tracks_of(messages) == []
    assert (done_of(messages).tracks, done_of(messages).frames) == (0, 2)


def test_a_clip_handled_again_gives_the_same_messages_but_for_the_seconds(system: System, two_vehicles: Path) -> None:
    system.clips.put_file("clips/one.mp4", two_vehicles)

    first, again = system.handle(), system.handle()

    assert first[:-1] == again[:-1]
    assert first[-1].headers == again[-1].headers
    assert done_of(first).id == done_of(again).id


def test_the_finished_recording_is_a_cloud_event_at_the_start_of_the_recording(
    system: System, two_vehicles: Path
) -> None:
    system.clips.put_file("clips/one.mp4", two_vehicles)

    headers = dict(system.handle()[-1].headers)

    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"].decode() == done_id(1, recording_id(KEY))
    assert headers["ce_source"] == b"/plateflow/inference"
    assert headers["ce_type"] == b"io.plateflow.recording.v1"
    assert headers["ce_subject"] == b"front/gate"
    assert headers["content-type"] == b"application/json"
    moment = datetime.fromisoformat(headers["ce_time"].decode())
    assert moment == datetime.fromtimestamp(START / 1000, UTC)


@pytest.mark.parametrize("value", [None, b"{", b'{"id": 5}', b"[]"])
def test_what_is_no_clip_message_is_rejected(system: System, value: bytes | None) -> None:
    with pytest.raises(Reject) as rejection:
        system.handler().handle(record(value))
    assert rejection.value.reason == "bad-message"


def test_a_clip_that_is_no_video_is_rejected(system: System) -> None:
    system.clips.put_bytes("clips/one.mp4", b"<html>not found</html>")

    with pytest.raises(Reject) as rejection:
        system.handle()
    assert rejection.value.reason == "undecodable"


def test_a_missing_clip_is_fetched_from_vault_again(system: System, two_vehicles: Path) -> None:
    vault = FakeVault(two_vehicles)

    messages = system.handle(vault=vault)

    assert vault.asked == [Wanted(KEY, "minio")]
    assert len(tracks_of(messages)) == 2


def test_a_missing_clip_without_a_vault_is_rejected_with_what_to_do(system: System) -> None:
    with pytest.raises(Reject, match="STORAGE_URI") as rejection:
        system.handle()
    assert rejection.value.reason == "missing-clip"


@pytest.mark.parametrize("failure", [Reject("gone", "404"), Retry("vault-unavailable", "503")])
def test_what_vault_says_of_a_missing_clip_decides(system: System, failure: Exception) -> None:
    with pytest.raises(type(failure)) as raised:
        system.handle(vault=FakeVault(failure=failure))
    assert raised.value is failure


def result_with(observations: int) -> RecordingResult:
    seen = tuple(
        Observation(START + k * 66, k, (1000.25, 500.75, 120.5, 30.25), 0.9123, "A123BC777", (0.9876,) * 9)
        for k in range(observations)
    )
    reading = Reading("A123BC777", "A123BC777", 0.9, (0.9,) * 9)
    track = TrackResult(0, "plate", reading, seen, Shot(b"", START, (0, 0, 1, 1)))
    return RecordingResult((track,), 1, 1, 1920, 1080, 0, 1, {}, "", {"total": 1.0})


@pytest.mark.parametrize(
    ("observations", "sizes"), [(1, [1]), (PART, [PART]), (PART + 1, [PART, 1]), (5000, [2000, 2000, 1000])]
)
def test_a_long_track_comes_in_parts_that_together_are_the_track(observations: int, sizes: list[int]) -> None:
    result = result_with(observations)
    parts = list(track_parts(clip_message(), Run("t", 0, 0), result, result.tracks[0]))

    assert [len(part.observations) for part in parts] == sizes
    assert [part.part for part in parts] == list(range(len(sizes)))
    assert {part.of for part in parts} == {len(sizes)}
    assert [part.id for part in parts] == [part_id(1, recording_id(KEY), 0, k) for k in range(len(sizes))]
    assert tuple(one for part in parts for one in part.observations) == result.tracks[0].observations


def test_no_message_nears_one_megabyte() -> None:
    messages = outgoing(clip_message(), Run("t", 0, 0), result_with(5000), MODELS, TOPICS)

    assert max(len(one.value) for one in messages) < 600_000
