"""From Vault's announcement to the clip in the store and its message: over real HTTP, into real folders."""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.contracts.codec import decode
from services.contracts.identity import recording_id
from services.contracts.messages import Clip, DeadLetter
from services.ingest.__main__ import vault_trouble, work_folder
from services.ingest.handler import IngestHandler, clip_path
from services.ingest.settings import IngestSettings
from services.runtime.clips import INCOMING, ClipStore, MemoryStore
from services.runtime.clips_local import LocalStore
from services.runtime.environment import load
from services.runtime.errors import Reject, Retry, Stop
from services.runtime.loop import Loop, LoopOptions
from services.runtime.masking import mask
from services.runtime.memory import MemoryBroker, MemorySink, MemorySource
from services.runtime.metrics import REGISTRY
from services.runtime.ports import Outgoing, Partition, Record
from services.runtime.settings import VaultSettings
from services.runtime.vault import Ping, VaultClient
from services.simulator.vault import VaultStandIn
from services.simulator.vault_events import Arrival, Form, event
from tests.ingest.test_salted import PASSPHRASE, encrypt
from tests.support.recordings import ACCESS_KEY, CYRILLIC_KEY, KEY, SECRET, fragmented_mp4, mp4

CLIPS = "plateflow.clips"
LIMIT = 1_000_000


class Bench:
    """Ingest between a Vault stand-in and a clip store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.announced: list[bytes] = []
        self.vault = VaultStandIn(folder / "vault", self.announced.append, access_key=ACCESS_KEY, secret=SECRET)
        self.store: ClipStore = LocalStore(folder / "clips")
        self.work = folder / "clips" / INCOMING

    def handler(self, *keys: str, remembered: int = 100) -> IngestHandler:
        settings = VaultSettings(
            uri=self.vault.api,
            access_key=SecretStr(ACCESS_KEY),
            secret_key=SecretStr(SECRET),
            decryption_keys=tuple(map(SecretStr, keys)),
            connect_timeout_s=2.0,
            read_timeout_s=2.0,
        )
        vault = VaultClient(settings, LIMIT)
        return IngestHandler(vault, self.store, CLIPS, results=1, remembered=remembered, work=self.work)

    def arrive(self, content: bytes, key: str = KEY, form: Form = Form.B, **change: Any) -> bytes:
        """A recording comes to lie in Vault; its announcement."""
        self.vault.put(key, content)
        arrival = replace(Arrival(key, "demo", len(content), device="d-1"), **change)
        return event(arrival, form, signed_url=self.vault.signed_url(key, "demo"), trace_id="trace-7")

    def downloads(self) -> int:
        return sum(path.endswith(("/blob", "/signed")) for _, path in self.vault.requests)

    def leftovers(self) -> list[Path]:
        return [path for path in self.work.rglob("*") if path.is_file()] if self.work.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with bench.vault:
        yield bench


def announcement(value: bytes | None, offset: int = 0, partition: int = 0, timestamp_ms: int = 0) -> Record:
    return Record(Partition("vault", partition), offset, value, timestamp_ms=timestamp_ms or 1000 + offset)


def only(outgoing: Sequence[Outgoing]) -> Clip:
    [message] = outgoing
    clip = decode(message.value, Clip)
    assert (message.topic, message.key) == (CLIPS, clip.camera.encode())
    return clip


def count(outcome: str) -> float:
    return REGISTRY.get_sample_value("plateflow_ingest_recordings_total", {"outcome": outcome}) or 0.0


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("content", [mp4(), fragmented_mp4()], ids=["progressive", "fragmented"])
def test_an_announced_recording_lies_in_the_store_and_its_message_says_where(
    content: bytes, form: Form, bench: Bench
) -> None:
    clip = only(bench.handler().handle(announcement(bench.arrive(content, form=form))))

    with bench.store.open(clip.path) as file:
        assert file.read_bytes() == content
    assert clip.path == f"2026-08-05/{recording_id(KEY)}.mp4"
    assert (clip.recording_id, clip.key, clip.source, clip.results) == (recording_id(KEY), KEY, "demo", 1)
    assert (clip.camera, clip.start_ms) == ("yard/gate", 1785934709414)
    assert (clip.size, clip.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (clip.instance_name, clip.product_id) == ("gate", "d-1")
    assert clip.trace_id == ("trace-7" if form is Form.C else None)
    assert bench.leftovers() == []


def test_cameras_in_any_script_are_ingested(bench: Bench) -> None:
    clip = only(bench.handler().handle(announcement(bench.arrive(mp4(), CYRILLIC_KEY))))

    assert clip.camera == "склад/въезд_№1_АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯхцчшщъыьэюя"


def test_an_encrypted_recording_lies_in_the_store_in_plain(bench: Bench) -> None:
    value = bench.arrive(encrypt(mp4()))
    clip = only(bench.handler("another", PASSPHRASE).handle(announcement(value)))

    with bench.store.open(clip.path) as file:
        assert file.read_bytes() == mp4()
    assert clip.sha256 == hashlib.sha256(mp4()).hexdigest()


def test_an_announcement_that_was_a_dead_letter_is_fetched_with_the_configured_keys(bench: Bench) -> None:
    announced = json.loads(bench.arrive(mp4(), form=Form.C))
    announced["data"] = {
        "storage_uri": "https://elsewhere.example",
        "storage_access_key": "made",
        "storage_secret": "up",
    }
    masked = mask(json.dumps(announced).encode())
    assert b"***" in masked

    only(bench.handler().handle(announcement(masked)))
    assert not [path for _, path in bench.vault.requests if path.endswith("/signed")]


def test_an_announcement_handled_again_is_published_again_without_a_second_download(bench: Bench) -> None:
    record = announcement(bench.arrive(mp4()))
    handler = bench.handler()
    found = count("found-in-store")

    first, again = only(handler.handle(record)), only(handler.handle(record))
    after_a_crash = only(bench.handler().handle(record))

    assert first == again == after_a_crash
    assert (bench.downloads(), count("found-in-store") - found) == (1, 2)


def test_a_clip_of_another_size_in_the_store_is_fetched_again(bench: Bench) -> None:
    record = announcement(bench.arrive(mp4()))
    path = clip_path(recording_id(KEY), 1785934709414)
    bench.store.put_bytes(path, b"torn")

    assert only(bench.handler().handle(record)).size == len(mp4()) == bench.store.size(path)


def test_a_repeat_is_suppressed_and_counted(bench: Bench) -> None:
    value = bench.arrive(mp4())
    handler, before = bench.handler(), count("duplicate")
    only(handler.handle(announcement(value, offset=1)))

    assert handler.handle(announcement(value, offset=2)) == ()
    assert handler.handle(announcement(value.replace(b"demo", b"other"), partition=7, timestamp_ms=9000)) == ()
    assert count("duplicate") - before == 2
    assert bench.downloads() == 1


def test_a_repeat_of_a_recording_that_failed_is_no_repeat(bench: Bench) -> None:
    handler = bench.handler()
    gone = announcement(event(Arrival(KEY, "gone", 5), Form.B), offset=1)
    with pytest.raises(Reject, match="gone"):
        handler.handle(gone)

    only(handler.handle(announcement(bench.arrive(mp4()), offset=2)))


def test_announcements_of_one_recording_at_once_fetch_it_once(bench: Bench) -> None:
    value, handler = bench.arrive(mp4()), bench.handler()
    bench.vault.faults.slow_s = 0.1
    results: list[Sequence[Outgoing]] = []

    def handle(offset: int) -> None:
        results.append(handler.handle(announcement(value, offset)))

    threads = [threading.Thread(target=handle, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bench.downloads() == 1
    assert any(results)
    assert len({message.value for outgoing in results for message in outgoing}) == 1


@pytest.mark.parametrize(
    ("key", "request_kind", "outcome"),
    [
        (KEY, "ondemand", "skipped-ondemand"),
        (KEY.replace(".mp4", "_thumbnail.jpg"), "persist", "skipped-derived"),
        (KEY.replace(".mp4", "_sprite.jpg"), "persist", "skipped-derived"),
        (KEY.replace(".mp4", "_redacted.mp4"), "persist", "skipped-derived"),
    ],
)
def test_what_is_no_recording_in_vault_is_skipped_and_counted(
    key: str, request_kind: str, outcome: str, bench: Bench
) -> None:
    before = count(outcome)

    assert bench.handler().handle(announcement(bench.arrive(mp4(), key, request=request_kind))) == ()
    assert count(outcome) - before == 1
    assert bench.downloads() == 0


def bad_inputs(bench: Bench) -> dict[str, tuple[bytes | None, str]]:
    """Every bad input that ingest can tell, with the reason of its dead letter."""

    def key(number: int) -> str:
        return f"yard/17859347{number}_3-414_gate_1-2-3-4_57_20452.mp4"

    return {
        "no value": (None, "bad-json"),
        "broken JSON": (b'{"payload": {"key": "u/clip.mp4", "publickey": "hidden"', "bad-json"),
        "no object": (b"[]", "bad-event"),
        "missing key": (b'{"source": "demo", "payload": {"metadata": {"publickey": "hidden"}}}', "missing-key"),
        "wrong type": (b'{"payload": {"key": 7.5, "fileSize": []}}', "bad-event"),
        "traversal": (event(Arrival("yard/../../etc/passwd", "demo", 5), Form.B), "unsafe-key"),
        "no start": (b'{"source": "demo", "payload": {"key": "yard/clip.mp4"}}', "no-start"),
        "empty": (bench.arrive(b"", key(11)), "empty"),
        "HTML": (bench.arrive(b"<!DOCTYPE html><title>Sign in</title>", key(12)), "not-a-video"),
        "truncated": (bench.arrive(mp4()[:9000], key(13)), "truncated"),
        "wrong decryption key": (bench.arrive(encrypt(mp4(), "of another agent"), key(14)), "wrong-key"),
        "gone": (event(Arrival(key(15), "demo", 5), Form.B), "gone"),
        "too large": (bench.arrive(mp4(bytes(LIMIT)), key(16)), "too-large"),
        "closed source": (event(Arrival(key(17), "closed", 5), Form.B), "source-not-permitted"),
        "wrong override": (
            json.dumps(
                {**json.loads(bench.arrive(mp4(), key(18))), "data": {"storage_uri": "http://collector.example"}}
            ).encode(),
            "host-not-allowed",
        ),
    }


def run(bench: Bench, values: Sequence[bytes | None], aborts: int = 0) -> MemoryBroker:
    """Ingest runs in its loop, on an in-memory broker, until its input is committed."""
    broker, stop, now = MemoryBroker(), threading.Event(), [0.0]
    for value in values:
        broker.append("vault", value)
    source = MemorySource(broker, "ingest")
    sink = MemorySink(broker, "ingest-0", source)
    sink.aborts_ahead = aborts

    def heartbeat(_now: float) -> None:
        now[0] += 0.2
        if broker.offsets.get(("ingest", Partition("vault", 0)), 0) >= len(values) or now[0] > 2_000:
            stop.set()

    options = LoopOptions("ingest", "dead", workers=4)
    loop = Loop(source, sink, bench.handler(PASSPHRASE), options, heartbeat=heartbeat, clock=lambda: now[0])
    loop.run(["vault"], stop)
    return broker


def test_every_bad_input_becomes_a_dead_letter_and_the_next_recording_is_processed(bench: Bench) -> None:
    bench.vault.faults.closed_sources.add("closed")
    bad = bad_inputs(bench)
    values = [value for value, _ in bad.values()]
    broker = run(bench, [*values, bench.arrive(mp4())])

    letters = [decode(record.value, DeadLetter) for record in broker.records("dead")]
    assert {name: letter.reason for name, letter in zip(bad, letters, strict=True)} == {
        name: reason for name, (_, reason) in bad.items()
    }
    assert [letter.origin.offset for letter in letters] == list(range(len(bad)))
    assert letters[2].value == b"[]"
    for letter in letters:
        told = repr(letter)
        assert all(secret not in told for secret in ("hidden", ACCESS_KEY, SECRET, PASSPHRASE))
    [clip] = broker.records(CLIPS)
    assert decode(clip.value, Clip).key == KEY
    assert bench.leftovers() == []


def test_while_vault_is_down_nothing_is_lost_and_nothing_given_up(bench: Bench) -> None:
    keys = [f"yard/17859347{number:02}_3-414_gate_1-2-3-4_57_20452.mp4" for number in range(6)]
    values = [bench.arrive(mp4(), key) for key in keys]
    for path, times in (("/storage/blob", 20), ("/storage", 20)):
        bench.vault.faults.plan(path, 503, times)

    broker = run(bench, values)

    assert [decode(record.value, Clip).key for record in broker.records(CLIPS)] == keys
    assert broker.records("dead") == []


def test_an_aborted_transaction_loses_no_recording_and_no_repeat_takes_its_place(bench: Bench) -> None:
    first, second = bench.arrive(mp4()), bench.arrive(mp4(), KEY.replace("gate", "door"))
    broker = run(bench, [first, first, second, first], aborts=2)

    assert {decode(record.value, Clip).camera for record in broker.records(CLIPS)} == {"yard/gate", "yard/door"}
    assert bench.downloads() == 2


def test_refused_keys_stop_ingest_and_name_the_variables(bench: Bench) -> None:
    value = bench.arrive(mp4())
    bench.vault.faults.refuse_keys = True

    with pytest.raises(Stop, match="STORAGE_ACCESS_KEY"):
        run(bench, [value])


def test_fewer_bytes_than_announced_are_fetched_again_before_they_are_given_up(bench: Bench) -> None:
    value = bench.arrive(mp4()[:9000], size=len(mp4()))
    handler = bench.handler()

    with pytest.raises(Retry, match="9000 of") as caught:
        handler.handle(announcement(value))
    assert caught.value.healthy()
    bench.vault.put(KEY, mp4())
    assert only(handler.handle(announcement(value))).size == len(mp4())


def test_a_disk_that_fails_is_waited_for(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    bench.work = tmp_path / "file" / "work"

    with pytest.raises(Retry) as caught:
        bench.handler().handle(announcement(bench.arrive(mp4())))
    assert not caught.value.healthy()


def test_any_store_and_the_systems_temporary_folder_will_do(bench: Bench) -> None:
    bench.store = MemoryStore()
    record = announcement(bench.arrive(mp4()))

    first, again = only(bench.handler().handle(record)), only(bench.handler().handle(record))

    assert first == again
    assert bench.downloads() == 1


ENVIRONMENT = {
    "KAFKA_BROKER": "kafka:9092",
    "STORAGE_URI": "http://vault/api",
    "STORAGE_ACCESS_KEY": "a",
    "STORAGE_SECRET": "b",
}


def test_four_variables_of_kerberos_are_enough(tmp_path: Path) -> None:
    settings = load(IngestSettings, ENVIRONMENT)

    assert (settings.kafka.broker, settings.vault.uri) == ("kafka:9092", "http://vault/api")
    assert (settings.results, settings.workers, settings.max_clip_bytes) == (1, 8, 2_000_000_000)


def test_recordings_are_fetched_beside_the_clips_unless_told_otherwise() -> None:
    def chosen(**more: str) -> Path | None:
        return work_folder(load(IngestSettings, {**ENVIRONMENT, **more}))

    assert chosen(PLATEFLOW_CLIPS_URL="/data/clips") == Path("/data/clips") / INCOMING
    assert chosen(PLATEFLOW_CLIPS_URL="s3://clips/x") is None
    assert chosen(PLATEFLOW_INGEST_WORK_FOLDER="/fast") == Path("/fast")


def test_readiness_says_what_an_operator_must_do() -> None:
    assert vault_trouble(Ping.ACCEPTED) is None
    assert "STORAGE_SECRET" in (vault_trouble(Ping.REFUSED) or "")
    assert "STORAGE_URI" in (vault_trouble(Ping.UNREACHABLE) or "")
