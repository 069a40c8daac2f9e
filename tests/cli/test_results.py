"""`plateflow results`: which versions there are, and the pointer that is moved in one step."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.aggregator.files import Files, LocalFiles
from services.aggregator.files_s3 import S3Files
from services.aggregator.versions import current, make_current, versions
from services.runtime.errors import Fenced, Stop
from tests.aggregator.buckets import in_bucket
from tests.cli.command import Plateflow
from tests.support.s3 import S3Server

HOUR = "camera=yard%2Fgate_1/date=2026-06-16/hour={:02}/part.parquet"


def lay_down(files: Files, results: int, hours: range) -> None:
    claim = files.claim("tracks-0")
    for hour in hours:
        files.write(f"sightings/results={results}/{HOUR.format(hour)}", b"PAR1", claim)
        files.write(f"heatmap/results={results}/plane=image/version=0/{HOUR.format(hour)}", b"PAR1", claim)


@pytest.fixture(params=["folder", "bucket"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> LocalFiles | S3Files:
    if request.param == "folder":
        return LocalFiles(tmp_path)
    s3: S3Server = request.getfixturevalue("s3")
    return S3Files(in_bucket(s3, s3.new_bucket()))


@pytest.mark.s3
def test_versions_are_told_apart_and_the_pointer_moves(files: LocalFiles | S3Files) -> None:
    assert (current(files), versions(files)) == (None, [])
    lay_down(files, 1, range(3))
    lay_down(files, 2, range(2))
    make_current(files, 1)
    assert [(one.results, one.files, len(one.hours), one.cameras) for one in versions(files)] == [
        (1, 6, 3, 1),
        (2, 4, 2, 1),
    ]
    make_current(files, 2)
    assert current(files) == 2


def test_a_reader_sees_one_pointer_or_the_other_and_never_none(tmp_path: Path) -> None:
    make_current(LocalFiles(tmp_path), 1)
    done = threading.Event()

    def read() -> set[int | None]:
        seen: set[int | None] = set()
        while not done.is_set():
            seen.add(current(LocalFiles(tmp_path)))  # a torn pointer is an error
        return seen

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for number in range(200):
            make_current(LocalFiles(tmp_path), 1 + number % 2)
        done.set()
        seen = reader.result()
    assert seen and seen <= {1, 2}


def test_of_two_who_move_the_pointer_at_once_the_later_claim_wins(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    make_current(files, 1)

    class Slow(LocalFiles):
        def write(self, path: str, data: bytes, claim: object) -> None:
            make_current(files, 3)  # somebody else, between our claim and our write
            super().write(path, data, claim)  # type: ignore[arg-type]

    with pytest.raises(Fenced):
        make_current(Slow(tmp_path), 2)
    assert current(files) == 3


def test_a_damaged_pointer_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "current.json").write_text("{")
    with pytest.raises(Stop, match="plateflow results use"):
        current(LocalFiles(tmp_path))


def test_an_incomplete_version_becomes_current_only_where_that_is_said(tmp_path: Path, plateflow: Plateflow) -> None:
    files = LocalFiles(tmp_path)
    lay_down(files, 1, range(3))
    lay_down(files, 2, range(2))
    make_current(files, 1)
    assert plateflow("results", "use", "2", tmp_path) == 2
    assert "lack 1 hours of cameras that results 1 have" in plateflow.err
    assert current(files) == 1
    assert plateflow("results", "use", "2", "--incomplete", tmp_path) == 0
    assert plateflow("results", "use", "2", tmp_path) == 0
    assert "already" in plateflow.out
    assert plateflow("results", "list", tmp_path) == 0
    assert [line[:11] for line in plateflow.out.splitlines()] == ["  results 1", "* results 2"]


def test_a_version_that_is_not_there_is_refused(tmp_path: Path, plateflow: Plateflow) -> None:
    lay_down(LocalFiles(tmp_path), 1, range(1))
    assert plateflow("results", "use", "7", tmp_path) == 2
    assert "no results 7, only: 1" in plateflow.err
    assert plateflow("results", "list", tmp_path / "nowhere") == 2
