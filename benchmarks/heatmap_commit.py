"""Milliseconds of one commit of a heatmap file on the local disk, beside a plain write of the same bytes."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import last_line, table
from services.aggregator import tables
from services.aggregator.core.config import Camera, Options
from services.aggregator.core.grid import Cells
from services.aggregator.files import LocalFiles

_HOUR_MS = 1_781_593_200_000


def run(quick: bool) -> str:
    """The table and the JSON line."""
    commits = 20 if quick else 10_000
    rng = np.random.default_rng(5)
    spots = rng.integers(0, 48, (400, 2)).tolist()
    cells: Cells = {(x, y): [1, 1, 40] for x, y in spots}
    footer = tables.Footer(
        origin=tables.Origin("benchmark", "t", "plateflow.tracks", 0), next_offset=1, camera=Camera(), options=Options()
    )
    ours: list[float] = []
    plain: list[float] = []
    packed: list[float] = []
    written: list[float] = []
    with tempfile.TemporaryDirectory(dir=".cache" if Path(".cache").is_dir() else None) as folder:
        files = LocalFiles(Path(folder))
        claim = files.claim("benchmark")
        data = b""
        for number in range(commits):
            x, y = spots[number % len(spots)]
            cells[x, y][0] += 1
            began = time.perf_counter()
            spent = time.thread_time()
            data = tables.cells_to_bytes(cells, _HOUR_MS, 40, footer)
            packed.append((time.thread_time() - spent) * 1e3)
            before = time.perf_counter()
            files.write("heatmap/one.parquet", data, claim)
            written.append((time.perf_counter() - before) * 1e3)
            ours.append((time.perf_counter() - began) * 1e3)
            if number % 10 == 0:
                began = time.perf_counter()
                (Path(folder) / "plain").write_bytes(data)
                plain.append((time.perf_counter() - began) * 1e3)
    share = max(1, commits // 10)
    fields = {
        "p50_ms": round(statistics.median(ours), 3),
        "p95_ms": round(sorted(ours)[int(0.95 * (len(ours) - 1))], 3),
        "p50_first_tenth_ms": round(statistics.median(ours[:share]), 3),
        "p50_last_tenth_ms": round(statistics.median(ours[-share:]), 3),
        "bytes_cpu_ms": round(statistics.median(packed), 3),
        "write_p50_ms": round(statistics.median(written), 3),
        "file_bytes": len(data),
        "commits": commits,
    }
    parts = {"commit": ours, "its bytes, CPU": packed, "its writing": written, "write without safety": plain}
    text = table("heatmap commit, local disk", "ms", parts)
    return "\n".join([text, last_line("heatmap_commit", fields)])
