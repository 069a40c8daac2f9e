"""CPU milliseconds a frame of the detector by threads, batch and whether idle threads spin."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime

from benchmarks.harness import alternate, last_line, medians, table
from services.inference.models.detector import DETECTOR_ONNX


def _onnx(threads: int, batch: int, spinning: str) -> Callable[[], tuple[float, float]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    session = onnxruntime.InferenceSession(str(DETECTOR_ONNX), options, providers=["CPUExecutionProvider"])
    frames = np.random.default_rng(5).random((batch, 3, 384, 640), dtype=np.float32)

    def once() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        session.run(None, {"images": frames})
        return (time.perf_counter() - wall) * 1e3 / batch, (time.process_time() - cpu) * 1e3 / batch

    return once


def run(quick: bool) -> str:
    """Two tables, wall and CPU time, and the JSON line."""
    runs = {
        f"{threads} threads, batch {batch}, {'spinning' if spinning == '1' else 'sleeping'}": _onnx(
            threads, batch, spinning
        )
        for threads in (1, 2)
        for batch in ((1,) if quick else (1, 4))
        for spinning in ("0", "1")
    }
    walls: dict[str, list[float]] = {name: [] for name in runs}

    def measured(name: str) -> Callable[[], float]:
        def once() -> float:
            wall, cpu = runs[name]()
            walls[name].append(wall)
            return cpu

        return once

    cpus = alternate({name: measured(name) for name in runs}, 1 if quick else 9)
    middle = medians(cpus)
    best = min(middle, key=lambda name: middle[name])
    fields = {"cpu_ms": {name: round(value, 1) for name, value in middle.items()}, "least": best}
    parts = [table("detector, 640 x 384, FP32", "ms of CPU/frame", cpus), table("the same", "ms of wall/frame", walls)]
    return "\n".join([*parts, last_line("detector", fields)])
