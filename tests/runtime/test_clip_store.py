"""One contract for every store: a folder, a real S3 server, memory."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from pydantic import SecretStr

from services.runtime import clips_local, metrics
from services.runtime.clips import (
    BadPath,
    ClipStore,
    MemoryStore,
    MissingClip,
    Stored,
    StoreFull,
    StoreUnavailable,
    expendable,
    open_store,
    sweeper,
)
from services.runtime.clips_local import LocalStore
from services.runtime.clips_s3 import S3Store
from services.runtime.errors import Reject, Retry
from services.runtime.settings import StoreSettings
from tests.support.s3 import S3Server

CLIP = b"\x00\x00\x00\x18ftypisom made-up clip"
PATH = "front/gate/0af3.mp4"
FOREVER_S = 10 * 365 * 86400.0
ENDLESS = 1 << 60


def in_bucket(s3: S3Server, bucket: str, secret_key: str | None = None) -> StoreSettings:
    return StoreSettings(
        url=f"s3://{bucket}/some/prefix",
        endpoint=s3.endpoint_url,
        access_key=SecretStr(s3.access_key),
        secret_key=SecretStr(secret_key or s3.secret_key),
    )


@pytest.fixture(params=["folder", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ClipStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return open_store(StoreSettings(url=str(tmp_path / "store")))
    server: S3Server = request.getfixturevalue("s3")
    return open_store(in_bucket(server, server.new_bucket()))


def read(store: ClipStore, path: str) -> bytes:
    with store.open(path) as file:
        return file.read_bytes()


def test_what_was_put_is_read_back(store: ClipStore, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(CLIP)
    store.put_file(PATH, source)
    store.put_bytes("front/gate/shot.jpg", b"picture")
    source.unlink()

    assert read(store, PATH) == CLIP
    assert read(store, "front/gate/shot.jpg") == b"picture"
    assert store.size(PATH) == len(CLIP)
    assert store.exists(PATH)


def test_putting_again_replaces(store: ClipStore) -> None:
    store.put_bytes(PATH, CLIP)
    store.put_bytes(PATH, b"second")

    assert read(store, PATH) == b"second"
    assert store.size(PATH) == 6


def test_an_empty_file_and_a_large_one_are_stored_whole(store: ClipStore, tmp_path: Path) -> None:
    large = os.urandom(1 << 20) * 9  # S3 takes this in parts
    (tmp_path / "large").write_bytes(large)
    store.put_file("a/large", tmp_path / "large")
    store.put_bytes("a/empty", b"")

    assert read(store, "a/large") == large
    assert read(store, "a/empty") == b""


def test_a_missing_clip_is_said_to_be_missing(store: ClipStore) -> None:
    assert not store.exists(PATH)
    with pytest.raises(MissingClip):
        store.size(PATH)
    with pytest.raises(MissingClip), store.open(PATH):
        pass


def test_a_path_below_a_file_is_missing_too(store: ClipStore) -> None:
    store.put_bytes("front", CLIP)

    assert not store.exists("front/gate.mp4")
    with pytest.raises(MissingClip):
        store.size("front/gate.mp4")
    store.delete("front/gate.mp4")
    assert store.exists("front")


def test_deleting_twice_is_no_error(store: ClipStore) -> None:
    store.put_bytes(PATH, CLIP)
    store.delete(PATH)
    store.delete(PATH)

    assert not store.exists(PATH)


OUTSIDE = ["../evil", "a/../../evil", "/etc/passwd", "", "a//b", "a/", ".", "a/./b", "a\x00b", "a\\b", ".incoming/x"]


def test_a_path_that_could_leave_the_store_is_refused(store: ClipStore, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(CLIP)
    for path in [*OUTSIDE, "é" * 128]:
        attempts: list[Callable[[str], object]] = [
            lambda path: store.put_bytes(path, CLIP),
            lambda path: store.put_file(path, source),
            lambda path: store.open(path).__enter__(),
            store.exists,
            store.size,
            store.delete,
        ]
        for attempt in attempts:
            with pytest.raises(BadPath):
                attempt(path)


def test_unusual_names_are_kept(store: ClipStore) -> None:
    names = ["a b/%2F+ü/№ 7.mp4", "..a/b..", "a" * 255, "камера/О001ОО77.jpg"]
    for name in names:
        store.put_bytes(name, name.encode())

    assert [read(store, name).decode() for name in names] == names
    assert sorted(store.sweep(time.time() + 60, 1.0, ENDLESS)) == sorted(names)


def test_a_sweep_removes_what_is_too_old_and_nothing_else(store: ClipStore) -> None:
    store.put_bytes("a/1", CLIP)
    store.put_bytes("b/2", CLIP)

    assert store.sweep(time.time(), 3600.0, ENDLESS) == []
    assert sorted(store.sweep(time.time() + 7200, 3600.0, ENDLESS)) == ["a/1", "b/2"]
    assert not store.exists("a/1")
    assert store.sweep(time.time() + 7200, 3600.0, ENDLESS) == []


def test_a_sweep_keeps_the_store_within_its_size(store: ClipStore) -> None:
    for name in ("a", "b", "c"):
        store.put_bytes(f"gate/{name}", bytes(100))
    removed = store.sweep(time.time(), FOREVER_S, 250)

    assert len(removed) == 1
    assert [store.exists(f"gate/{name}") for name in ("a", "b", "c")].count(True) == 2
    assert len(store.sweep(time.time(), FOREVER_S, 0)) == 2


def test_a_store_that_works_says_so(store: ClipStore) -> None:
    assert store.check() is None


def test_many_threads_may_put_and_read_at_once(store: ClipStore) -> None:
    def work(number: int) -> None:
        try:
            store.put_bytes(f"gate/{number % 3}/{number}", bytes([number]) * 1000)
            if read(store, f"gate/{number % 3}/{number}") == bytes([number]) * 1000:
                fine.append(number)
            store.delete(f"gate/{number % 3}/{number}")
        except Exception as error:
            wrong.append(error)

    fine: list[int] = []
    wrong: list[Exception] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert sorted(fine) == list(range(24))


def test_errors_of_a_store_are_instructions_to_the_loop() -> None:
    assert issubclass(MissingClip, Reject)
    assert issubclass(BadPath, Reject)
    assert isinstance(StoreFull("full"), Retry)
    assert not StoreFull("full").healthy(), "the whole store is full: no dead letters, patience"
    assert not StoreUnavailable("gone").healthy()


# ---- what a sweep decides ----

files = st.lists(
    st.builds(Stored, st.integers(0, 1000).map(float), st.text(min_size=1, max_size=5), st.integers(0, 100)),
    max_size=20,
)


@given(files, st.integers(0, 1500), st.integers(0, 1000), st.integers(0, 2000))
def test_a_sweep_removes_the_oldest_and_no_more_than_it_must(
    stored: list[Stored], now_s: int, max_age_s: int, max_bytes: int
) -> None:
    removed = expendable(stored, now_s, max_age_s, max_bytes)
    kept = sorted(stored)[len(removed) :]

    assert removed == sorted(stored)[: len(removed)]
    assert all(now_s - file.stored_s <= max_age_s for file in kept)
    assert sum(file.size for file in kept) <= max_bytes
    if removed:
        last = removed[-1]
        too_old = now_s - last.stored_s > max_age_s
        assert too_old or sum(file.size for file in kept) + last.size > max_bytes


def test_the_oldest_goes_first() -> None:
    clock = iter([10.0, 20.0, 30.0])
    store = MemoryStore(clock=lambda: next(clock))
    for name in ("c", "b", "a"):
        store.put_bytes(name, bytes(10))

    assert store.sweep(30.0, FOREVER_S, 10) == ["c", "b"]


def test_the_chore_sweeps_by_the_settings_and_counts(tmp_path: Path) -> None:
    settings = StoreSettings(url=str(tmp_path), max_bytes=150)  # type: ignore[arg-type]
    store = open_store(settings)
    store.put_bytes("a", bytes(100))
    store.put_bytes("b", bytes(100))
    before = metrics.REGISTRY.get_sample_value("plateflow_store_removed_files_total", {"store": "clips"}) or 0.0
    sweeper(store, settings, "clips")()

    assert metrics.REGISTRY.get_sample_value("plateflow_store_removed_files_total", {"store": "clips"}) == before + 1
    assert DEFAULT_REGISTRY.get_sample_value("plateflow_store_removed_files_total", {"store": "clips"}) is None


# ---- a folder ----


def visible(root: Path) -> list[str]:
    return sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())


def test_a_clip_that_is_being_written_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    seen: list[bool] = []
    rename = clips_local._rename

    def look_then_rename(temporary: Path, target: Path) -> None:
        seen.append(store.exists(PATH) or bool(store.sweep(time.time() + 3000, 0.0, 0)))
        rename(temporary, target)

    monkeypatch.setattr(clips_local, "_rename", look_then_rename)
    store.put_bytes(PATH, CLIP)

    assert seen == [False]
    assert visible(tmp_path) == [PATH]


def test_a_put_that_fails_half_way_leaves_the_old_clip_and_no_rubbish(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes(PATH, CLIP)
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        store.put_file(PATH, tmp_path / "not-there")

    assert visible(tmp_path) == [PATH]
    assert read(store, PATH) == CLIP


def test_a_full_disk_asks_for_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(temporary: Path, data: bytes) -> None:
        temporary.write_bytes(data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(clips_local, "_write", no_room)
    with pytest.raises(StoreFull, match="no room left"):
        LocalStore(tmp_path).put_bytes(PATH, CLIP)

    assert visible(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_really_full_device_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        Path("/dev/full").write_bytes(CLIP)

    assert isinstance(LocalStore(tmp_path)._trouble(caught.value), StoreFull)


def test_what_a_crash_left_behind_is_swept_after_an_hour(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    half = tmp_path / ".incoming" / "tmp-crashed" / "file"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")

    assert store.sweep(time.time() + 60, 0.0, 0) == []
    assert half.exists()
    store.sweep(time.time() + 2 * clips_local.ABANDONED_AFTER_S, FOREVER_S, ENDLESS)
    assert not half.exists()


def test_empty_folders_go_with_their_last_clip(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes("front/2026/a", CLIP)
    store.put_bytes("front/b", CLIP)
    store.delete("front/2026/a")

    assert not (tmp_path / "front" / "2026").exists()
    assert store.exists("front/b")


def test_clips_are_readable_by_services_under_other_users(tmp_path: Path) -> None:
    LocalStore(tmp_path).put_bytes(PATH, CLIP)

    assert (tmp_path / PATH).stat().st_mode & 0o444 == 0o444


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = LocalStore(tmp_path / "file" / "store")

    assert "Check the folder" in str(store.check())
    with pytest.raises(StoreUnavailable):
        store.put_bytes(PATH, CLIP)


# ---- S3 ----


def test_a_bucket_that_is_not_there_is_reported_with_what_to_do(s3: S3Server) -> None:
    store = S3Store(in_bucket(s3, "no-such-bucket"))

    assert "create it" in str(store.check())
    with pytest.raises(StoreUnavailable, match="create it"):
        store.put_bytes(PATH, CLIP)
    with pytest.raises(StoreUnavailable), store.open(PATH):
        pass


def test_refused_keys_are_reported_without_showing_them(s3: S3Server, tmp_path: Path) -> None:
    store = S3Store(in_bucket(s3, s3.new_bucket(), secret_key="wrong-made-up"))
    source = tmp_path / "clip"
    source.write_bytes(CLIP)
    with pytest.raises(StoreUnavailable, match="refuses our keys") as caught:
        store.put_file(PATH, source)

    assert "refuses our keys" in str(store.check())
    assert "made-up" not in str(caught.value)


def test_a_server_that_does_not_answer_asks_for_another_try() -> None:
    settings = StoreSettings(
        url="s3://bucket", endpoint="http://127.0.0.1:9", access_key=SecretStr("a"), secret_key=SecretStr("b")
    )
    store = S3Store(settings)

    assert "does not answer" in str(store.check())
    with pytest.raises(StoreUnavailable, match="does not answer"):
        store.put_bytes(PATH, CLIP)


def test_two_prefixes_of_a_bucket_are_two_stores(s3: S3Server) -> None:
    bucket = s3.new_bucket()
    settings = in_bucket(s3, bucket)
    clips = S3Store(settings)
    objects = S3Store(settings.model_copy(update={"url": f"s3://{bucket}/other"}))
    clips.put_bytes(PATH, CLIP)

    assert not objects.exists(PATH)
    assert objects.sweep(time.time() + 60, 0.0, 0) == []
    assert clips.exists(PATH)


def test_the_temporary_file_goes_when_the_reader_is_done(s3: S3Server) -> None:
    store = S3Store(in_bucket(s3, s3.new_bucket()))
    store.put_bytes(PATH, CLIP)
    with store.open(PATH) as file:
        assert file.name == "0af3.mp4"

    assert not file.exists()
