"""Malformed messages, keys, camera files, settings and media, by the thousand: each refused in words.

What is sent follows from a seed: sound samples (the corpus, as code) and what chance makes of their bytes. Between the
bad ones good ones come, and all of those are processed. `make fuzz` sends 10,000 of each (`PLATEFLOW_FUZZ=10000`).
"""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.aggregator import cameras
from services.aggregator.cameras import BadCameras
from services.aggregator.core.config import Options
from services.aggregator.settings import AggregatorSettings
from services.contracts.codec import encode
from services.contracts.kerberos import BadEvent, parse_key
from services.inference.decode import Decoder
from services.ingest.handler import IngestHandler
from services.ingest.settings import IngestSettings
from services.runtime.clips_local import LocalStore
from services.runtime.errors import Reject, Retry, SettingsError
from services.runtime.ports import Partition, Record
from services.runtime.settings import load
from services.runtime.vault import FetchedClip, Wanted
from services.simulator.vault_events import Arrival, Form, event
from tests.aggregator.build import NOON_MS, TRACKS, track
from tests.aggregator.test_handler import handler
from tests.support.recordings import CYRILLIC_KEY, KEY
from tests.support.video import numbered, write_clip

COUNT = int(os.environ.get("PLATEFLOW_FUZZ", "500"))
MEDIA = COUNT // 20
PIECES = (
    b"", b"\x00", b"\xff\xfe", b"null", b"true", b"-1", b"1e999", b"NaN", b'"', b"{", b"}", b"[", b"]" * 9, b"[" * 3000,
    b"../", b"/", b"%2e%2e", b"\\", b"\r\n", b"\xed\xa0\x80", b"9" * 400, b'{"a":{"a":', b"%s%n", b"*a", b"&a", b"!!py",
)  # fmt: skip
GROWTH_KIB = 300_000


def mutated(sample: bytes, chance: random.Random) -> bytes:
    """One to eight strokes: bytes changed, cut out, doubled, or replaced by a piece that parsers dislike."""
    data = bytearray(sample)
    for _ in range(chance.randint(1, 8)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 1, 4, 40)))
        stroke = chance.randrange(4)
        if stroke == 0:
            data[start:end] = chance.randbytes(end - start)
        elif stroke == 1:
            del data[start:end]
        elif stroke == 2:
            data[start:start] = data[start:end]
        else:
            data[start:end] = chance.choice(PIECES)
    return bytes(data)


def malformed(*samples: bytes, seed: int, count: int = COUNT) -> Iterator[bytes]:
    chance = random.Random(seed)
    yield from PIECES
    for _ in range(count):
        yield mutated(chance.choice(samples), chance)


@pytest.fixture(autouse=True)
def flat_memory() -> Iterator[None]:
    """What a process ever took grows by less than a bound, however much was sent."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB


class EmptyVault:
    """Nothing is there: whatever gets so far as a download ends in a dead letter."""

    def fetch(self, wanted: Wanted, into: Path) -> FetchedClip:
        raise Reject("gone", "there is no such recording")


@pytest.mark.timeout(1800)
def test_malformed_announcements_are_dead_letters_and_nothing_leaves_the_store(tmp_path: Path) -> None:
    root = tmp_path / "inside" / "clips"
    ingest = IngestHandler(EmptyVault(), LocalStore(root), "clips", results=1, remembered=100, work=root / "work")
    samples = [event(Arrival(KEY, "demo", 9), form, signed_url="http://h/x?s=1", trace_id="t") for form in Form]
    samples.append(event(Arrival(CYRILLIC_KEY, "demo", 9), Form.B))
    for number, value in enumerate(malformed(*samples, seed=1)):
        try:
            assert ingest.handle(Record(Partition("vault", 0), number, value)) == ()  # skipped: derived, on demand
        except (Reject, Retry) as refused:
            assert refused.reason and refused.detail
    assert [path.name for path in (tmp_path / "inside").iterdir()] == ["clips"]


@pytest.mark.timeout(1800)
def test_malformed_tracks_are_refused_and_the_good_ones_between_are_counted() -> None:
    aggregator = handler()
    samples = [encode(track([NOON_MS, NOON_MS + 200], number=number)) for number in range(3)]
    good = published = 0
    for number, value in enumerate(malformed(*samples, seed=2)):
        try:
            aggregator.handle(Record(TRACKS, 2 * number, value))
        except Reject as refused:
            assert refused.reason in ("bad-message", "bad-track")
        if number % 5 == 0:
            sound = track([NOON_MS + 1000 * number], recording=f"good-{number}")
            good += 1
            published += len(aggregator.handle(Record(TRACKS, 2 * number + 1, encode(sound)))) == 2
    assert published == good


def test_malformed_keys_are_refused_or_stay_inside() -> None:
    for value in malformed(KEY.encode(), CYRILLIC_KEY.encode(), seed=3):
        try:
            key = parse_key(value.decode("utf-8", "surrogateescape")).key
        except BadEvent as refused:
            assert refused.reason == "unsafe-key"
        else:
            assert ".." not in key.split("/") and not key.startswith("/") and "\\" not in key


@pytest.mark.timeout(1800)
def test_malformed_camera_files_are_refused_in_words(tmp_path: Path) -> None:
    sample = (Path(__file__).parents[2] / "deploy" / "cameras.yaml").read_bytes()
    file = tmp_path / "cameras.yaml"
    for value in malformed(sample, seed=4, count=COUNT // 5):
        file.write_bytes(value)
        try:
            cameras.read(file, Options())
        except BadCameras as refused:
            assert str(refused)


def test_malformed_settings_are_refused_by_name() -> None:
    sound = {
        "KAFKA_BROKER": "kafka:9092", "STORAGE_URI": "https://vault.example/api", "STORAGE_ACCESS_KEY": "a",
        "STORAGE_SECRET": "b", "PLATEFLOW_CLIPS_URL": "s3://bucket/clips", "PLATEFLOW_AGGREGATOR_WINDOW_MS": "200",
        "PLATEFLOW_INGEST_MAX_CLIP_BYTES": "2GB", "PLATEFLOW_HTTP_PORT": "8080",
    }  # fmt: skip
    chance = random.Random(5)
    for _ in range(COUNT // 2):
        name = chance.choice(list(sound))
        value = mutated(sound[name].encode(), chance).decode("utf-8", "replace").replace("\0", "")
        for kind in (IngestSettings, AggregatorSettings):
            try:
                load(kind, sound | {name: value})
            except SettingsError as refused:
                assert name in str(refused)


@pytest.mark.timeout(1800)
def test_mutated_media_files_give_frames_or_a_refusal_and_the_decoder_lives_on(tmp_path: Path) -> None:
    sample = write_clip(tmp_path / "good.mp4", numbered(8, 250)).read_bytes()
    file = tmp_path / "bad.mp4"
    with Decoder(threads=1) as decoder:
        for number, value in enumerate(malformed(sample, seed=6, count=MEDIA)):
            file.write_bytes(value)
            try:
                list(decoder.open(file))
            except Exception as refused:
                assert type(refused).__module__.startswith("services."), refused
            if number % 25 == 0:
                assert len(list(decoder.open(tmp_path / "good.mp4"))) == 8
