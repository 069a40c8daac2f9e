"""One contract for every place where files may lie."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.aggregator import files as files_module
from services.aggregator.core.aggregate import replay
from services.aggregator.files import Files, LocalFiles, MemoryFiles, Superseded
from services.aggregator.files_s3 import S3Files
from services.aggregator.settings import DataSettings
from services.runtime.errors import Fenced
from tests.aggregator.buckets import in_bucket
from tests.aggregator.build import NOON_MS, TRACKS, track
from tests.aggregator.test_aggregate import CONFIG
from tests.aggregator.test_crashes import check
from tests.aggregator.world import Crash, Fuse, World
from tests.support.cache import REPOSITORY
from tests.support.s3 import S3Server

Open = Callable[[], Files]
"""Opens the same files, as another process would."""


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "local":
        return lambda: LocalFiles(tmp_path / "data")
    if request.param == "memory":
        memory = MemoryFiles()
        return lambda: memory
    server: S3Server = request.getfixturevalue("s3")
    bucket = server.new_bucket()
    return lambda: S3Files(in_bucket(server, bucket))


@pytest.fixture
def files(place: Open) -> Files:
    return place()


def test_what_is_written_is_read_and_replaced_as_a_whole(files: Files) -> None:
    claim = files.claim("tracks-0")
    files.write("a/b=c%2Fd/x.parquet", b"first, and longer", claim)
    files.write("a/b=c%2Fd/x.parquet", b"second", claim)

    assert files.read("a/b=c%2Fd/x.parquet") == b"second"
    assert files.read("a/none") is None


def test_paths_are_those_below_a_folder_and_nothing_unfinished(files: Files) -> None:
    claim = files.claim("tracks-0")
    for path in ("a/2", "a/b/1", "ab/3"):
        files.write(path, b"x", claim)

    assert files.paths("a") == ["a/2", "a/b/1"]
    assert files.paths("none") == []
    files.remove("a/2")
    files.remove("a/2")
    assert files.paths("a") == ["a/b/1"]


def test_an_older_claim_writes_nothing(files: Files) -> None:
    older, newer = files.claim("tracks-0"), files.claim("tracks-0")
    files.write("a/x", b"newer", newer)

    with pytest.raises(Superseded):
        files.write("a/x", b"older", older)
    assert files.read("a/x") == b"newer"


def test_claims_of_other_names_do_not_matter(files: Files) -> None:
    claim = files.claim("tracks-0")
    files.claim("tracks-1")
    files.write("a/x", b"x", claim)

    assert files.read("a/x") == b"x"


def test_claims_and_files_outlive_the_process(place: Open) -> None:
    first = place()
    claim = first.claim("tracks-0")
    first.write("a/x", b"first", claim)
    second = place()
    newer = second.claim("tracks-0")

    with pytest.raises(Superseded):
        first.write("a/x", b"late", claim)
    assert second.read("a/x") == b"first"
    second.write("a/x", b"second", newer)
    assert (place().read("a/x"), place().paths("a")) == (b"second", ["a/x"])


def test_what_a_crash_left_is_no_parquet_and_is_overwritten(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    claim = files.claim("tracks-0")
    files.write("a/x.parquet", b"whole", claim)
    left = tmp_path / "a" / ".x.parquet.tmp"
    left.write_bytes(b"ha")

    assert [p.name for p in tmp_path.rglob("*.parquet")] == ["x.parquet"]
    assert files.paths("a") == ["a/x.parquet"]
    files.write("a/x.parquet", b"whole again", claim)
    assert not left.exists()


def test_many_claims_at_once_are_all_different(tmp_path: Path) -> None:
    epochs: list[int] = []

    def claim() -> None:
        files = LocalFiles(tmp_path)
        epochs.extend(files.claim("tracks-0").epoch for _ in range(10))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs) == list(range(1, 41))


def test_whoever_claims_waits_until_a_write_under_way_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its first look at the files could miss what is renamed right after."""
    writer, heir = LocalFiles(tmp_path), LocalFiles(tmp_path)
    claim = writer.claim("tracks-0")
    claimed = threading.Event()
    seen: list[bool] = []

    def claim_too() -> None:
        heir.claim("tracks-0")
        claimed.set()

    taking = threading.Thread(target=claim_too)
    replace = files_module._replace

    def slowly(target: Path, data: bytes) -> None:
        if target.name == "x":
            taking.start()
            seen.append(claimed.wait(0.5))
        replace(target, data)

    monkeypatch.setattr(files_module, "_replace", slowly)
    writer.write("a/x", b"in time", claim)
    taking.join()

    assert (seen, claimed.is_set()) == ([False], True)
    with pytest.raises(Superseded):
        writer.write("a/y", b"too late", claim)


WRITER = """
import sys
from tests.aggregator.test_files import opened
from services.aggregator.files import Superseded

files = opened(sys.argv[1:])
claim = files.claim("tracks-0")
files.read("a/x.parquet")
print("claimed", flush=True)
sys.stdin.readline()
try:
    files.write("a/x.parquet", b"zombie", claim)
except Superseded:
    print("superseded", flush=True)
"""


def opened(where: Sequence[str]) -> Files:
    """The files in a folder, or in a bucket: endpoint, access key, secret key, url."""
    if len(where) == 1:
        return LocalFiles(Path(where[0]))
    endpoint, access_key, secret_key, url = where
    keys = SecretStr(access_key), SecretStr(secret_key)
    return S3Files(DataSettings(url=url, endpoint=endpoint, access_key=keys[0], secret_key=keys[1]))


@pytest.mark.parametrize("kind", ["local", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_writer_that_was_stopped_while_another_took_over_writes_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """SIGSTOP right before the write; the next owner claims and writes; SIGCONT. A real process, and no luck."""
    where = [str(tmp_path / "data")]
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3")
        where = [server.endpoint_url, server.access_key, server.secret_key, f"s3://{server.new_bucket()}/data"]
    heir = opened(where)
    zombie = subprocess.Popen(
        [sys.executable, "-c", WRITER, *where],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert zombie.stdin is not None and zombie.stdout is not None
    try:
        assert zombie.stdout.readline() == "claimed\n"
        zombie.send_signal(signal.SIGSTOP)
        zombie.stdin.write("write now\n")
        zombie.stdin.flush()
        heir.write("a/x.parquet", b"heir", heir.claim("tracks-0"))
        zombie.send_signal(signal.SIGCONT)
        said = zombie.communicate(timeout=60)[0]
    finally:
        zombie.kill()

    assert said == "superseded\n"
    assert heir.read("a/x.parquet") == b"heir"


@pytest.mark.parametrize("nth", range(14))
def test_killed_before_or_after_any_write_to_the_disk_nothing_is_lost_and_nothing_counts_twice(
    nth: int, tmp_path: Path
) -> None:
    """After: the file is there, and nobody was told so, like a PUT whose answer was lost."""
    tracks = [track([NOON_MS + 1000 * i], number=i, start_ms=NOON_MS) for i in range(4)]
    world = World(tracks, files=LocalFiles(tmp_path))
    with contextlib.suppress(Crash):
        world.live(CONFIG, Fuse(nth), batch=2)
    world.files = LocalFiles(tmp_path)
    world.live(CONFIG)

    check(world, replay(tracks, CONFIG))


def test_an_aggregator_that_another_superseded_on_the_disk_writes_nothing(tmp_path: Path) -> None:
    tracks = [track([NOON_MS + 1000 * i], number=i, start_ms=NOON_MS) for i in range(4)]
    world = World(tracks, files=LocalFiles(tmp_path))
    late = world.handler(CONFIG, flush_s=0)
    late.assigned(TRACKS, None, 0)
    late.handle(world.log[0])
    late.committed({TRACKS: 1})
    world.files = LocalFiles(tmp_path)
    world.live(CONFIG)

    with pytest.raises(Fenced, match="start it again"):
        late.tick(0)
    check(world, replay(tracks, CONFIG))
