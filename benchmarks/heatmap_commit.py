"""Milliseconds of one commit of a heatmap file, on the local disk and in S3, beside other ways to keep the same cells.

A commit is a file of 370 cells, one of them grown, put together and written in place of the one before, safe against a
crash and against a second writer. Beside it, in turn: the same rows written by pyarrow, without safety; the same rows
appended to a Delta table by deltalake. The S3 is a real server of its own on this machine.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from benchmarks.harness import last_line, table
from services.aggregator import tables
from services.aggregator.core.config import Camera, Options
from services.aggregator.core.grid import Cells
from services.aggregator.files import Files, LocalFiles
from services.aggregator.files_s3 import S3Files
from services.runtime.settings import BucketSettings
from tests.support.s3 import S3Server

COMMITS, IN_S3, APPENDS = 10_000, 1_000, 1_000
_HOUR_MS = 1_781_593_200_000
_CACHE = Path(".cache")


@dataclass(slots=True)
class _Grid:
    """The cells of one camera's hour, one of which grows with each commit."""

    cells: Cells
    spots: list[list[int]]
    footer: tables.Footer
    commits: int = 0

    def grow(self) -> None:
        x, y = self.spots[self.commits % len(self.spots)]
        self.cells[x, y][0] += 1
        self.commits += 1

    def packed(self) -> bytes:
        return tables.cells_to_bytes(self.cells, _HOUR_MS, 40, self.footer)


@dataclass(slots=True)
class _Committer:
    """Commits again and again, and notes what each one took, in ms."""

    files: Files
    grid: _Grid
    whole: list[float] = field(default_factory=list)
    packing: list[float] = field(default_factory=list)
    """Processor time."""
    writing: list[float] = field(default_factory=list)
    size: int = 0

    def run(self, commits: int, beside: Callable[[int], None] = lambda _number: None) -> None:
        claim = self.files.claim("benchmark")
        for number in range(commits):
            self.grid.grow()
            began, spent = time.perf_counter(), time.thread_time()
            data = self.grid.packed()
            self.packing.append((time.thread_time() - spent) * 1e3)
            before = time.perf_counter()
            self.files.write("heatmap/one.parquet", data, claim)
            self.writing.append((time.perf_counter() - before) * 1e3)
            self.whole.append((time.perf_counter() - began) * 1e3)
            self.size = len(data)
            beside(number)


def _grid() -> _Grid:
    spots = np.random.default_rng(5).integers(0, 48, (400, 2)).tolist()
    origin = tables.Origin("benchmark", "t", "plateflow.tracks", 0)
    footer = tables.Footer(origin=origin, next_offset=1, camera=Camera(), options=Options())
    return _Grid({(x, y): [1, 1, 40] for x, y in spots}, spots, footer)


def _timed(work: Callable[[], object], into: list[float]) -> None:
    began = time.perf_counter()
    work()
    into.append((time.perf_counter() - began) * 1e3)


class _Delta:
    """The same rows appended to a Delta table, whose log and files grow with every commit."""

    def __init__(self, folder: Path, grid: _Grid) -> None:
        from deltalake import write_deltalake

        self._write, self._folder, self._grid = write_deltalake, str(folder), grid
        self.took: list[float] = []

    def append(self) -> None:
        self._grid.grow()
        rows: Any = pq.read_table(pa.BufferReader(self._grid.packed())).replace_schema_metadata(None)
        _timed(lambda: self._write(self._folder, rows, mode="append"), self.took)


@contextmanager
def _bucket(folder: Path) -> Iterator[S3Files]:
    """Raises what its server raises where it cannot be had."""
    server = S3Server(folder.resolve()).start()
    try:
        url, key, secret = (
            f"s3://{server.new_bucket()}/data",
            SecretStr(server.access_key),
            SecretStr(server.secret_key),
        )
        yield S3Files(BucketSettings(url=url, endpoint=server.endpoint_url, access_key=key, secret_key=secret))
    finally:
        server.stop()


def _in_s3(folder: Path, commits: int) -> _Committer:
    with _bucket(folder) as files:
        committer = _Committer(files, _grid())
        committer.run(commits)
    return committer


def _p50(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def _p95(values: list[float]) -> float:
    return round(sorted(values)[int(0.95 * (len(values) - 1))], 3)


def run(quick: bool) -> str:
    """The table and the JSON line."""
    commits, in_s3, appends = (20, 5, 3) if quick else (COMMITS, IN_S3, APPENDS)
    skipped = []
    with tempfile.TemporaryDirectory(dir=_CACHE if _CACHE.is_dir() else None) as name:
        folder, plain = Path(name), list[float]()
        local = _Committer(LocalFiles(folder / "data"), _grid())
        delta = _Delta(folder / "delta", _grid()) if find_spec("deltalake") is not None else None
        process, memory = psutil.Process(), list[int]()
        rows = pq.read_table(pa.BufferReader(local.grid.packed()))
        if delta is not None:
            delta.append()  # makes the table
            delta.took.clear()

        def beside(number: int) -> None:
            if number % max(1, commits // appends) == 0:
                memory.append(process.memory_info().rss)
                _timed(lambda: pq.write_table(rows, folder / "plain", compression="snappy"), plain)
                if delta is not None:
                    delta.append()

        local.run(commits, beside)
        parts = {"commit": local.whole, "its bytes, CPU": local.packing, "its writing": local.writing}
        parts["pyarrow alone, no safety"] = plain
        if delta is None:
            skipped.append("deltalake: pip install deltalake")
        else:
            parts["deltalake append"] = delta.took
        try:
            bucket = _in_s3(folder / "s3", in_s3)
            parts["commit in S3"] = bucket.whole
        except (OSError, RuntimeError) as error:
            bucket = None
            skipped.append(f"S3: its server cannot be had ({str(error).splitlines()[0]})")
    share = max(1, commits // 10)
    fields: dict[str, object] = {
        "p50_ms": _p50(local.whole),
        "p95_ms": _p95(local.whole),
        "p50_first_tenth_ms": _p50(local.whole[:share]),
        "p50_last_tenth_ms": _p50(local.whole[-share:]),
        "bytes_cpu_ms": _p50(local.packing),
        "write_p50_ms": _p50(local.writing),
        "pyarrow_p50_ms": _p50(plain),
        "file_bytes": local.size,
        "memory_growth_mb": round((memory[-1] - memory[len(memory) // 10]) / 1e6, 1),
        "commits": commits,
    }
    if delta is not None:
        last = max(1, len(delta.took) // 10)
        fields |= {"deltalake_p50_ms": _p50(delta.took), "deltalake_p50_last_tenth_ms": _p50(delta.took[-last:])}
    if bucket is not None:
        fields |= {"s3_p50_ms": _p50(bucket.whole), "s3_p95_ms": _p95(bucket.whole), "s3_commits": in_s3}
    if skipped:
        fields["skipped"] = "; ".join(skipped)
    return "\n".join([table("heatmap commit", "ms", parts), last_line("heatmap_commit", fields)])
