"""CPU milliseconds a frame of the detector by run-time, threads, batch and whether idle threads spin.

OpenVINO runs in what the processor multiplies fastest, and in full precision; torch runs the checkpoint of the same
network.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.harness import alternate, last_line, medians, table
from services.inference.models import openvino_network
from services.inference.models.detector import DETECTOR_ONNX


def _onnx(threads: int, batch: int, spinning: str) -> Callable[[], tuple[float, float]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    session = onnxruntime.InferenceSession(str(DETECTOR_ONNX), options, providers=["CPUExecutionProvider"])
    return _measured(lambda frames: session.run(None, {"images": frames}), batch)


def _openvino(threads: int, batch: int, precision: str) -> Callable[[], tuple[float, float]]:
    core = openvino_network.core()
    model = core.read_model(str(DETECTOR_ONNX))
    model.reshape([batch, 3, 384, 640])
    options = {"INFERENCE_NUM_THREADS": threads} | ({"INFERENCE_PRECISION_HINT": precision} if precision else {})
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return _measured(lambda frames: request.infer([frames]), batch)


def _torch(threads: int, batch: int) -> Callable[[], tuple[float, float]]:
    import torch
    from ultralytics import YOLO

    network = YOLO(str(DETECTOR_ONNX.with_suffix(".pt"))).model.float().fuse(verbose=False).eval()

    def forward(frames: NDArray[np.float32]) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            network(torch.from_numpy(frames))

    return _measured(forward, batch)


def _measured(forward: Callable[[NDArray[np.float32]], object], batch: int) -> Callable[[], tuple[float, float]]:
    frames = np.random.default_rng(5).random((batch, 3, 384, 640), dtype=np.float32)

    def once() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        forward(frames)
        return (time.perf_counter() - wall) * 1e3 / batch, (time.process_time() - cpu) * 1e3 / batch

    return once


def _others(batches: tuple[int, ...]) -> tuple[dict[str, Callable[[], tuple[float, float]]], list[str]]:
    runs, skipped = {}, []
    for batch in batches:
        for threads in (1, 2):
            name = f"{threads} threads, batch {batch}"
            if openvino_network.available():
                runs[f"OpenVINO, {name}"] = _openvino(threads, batch, "")
                runs[f"OpenVINO in float32, {name}"] = _openvino(threads, batch, "f32")
            if importlib.util.find_spec("ultralytics") is not None:
                runs[f"torch, {name}"] = _torch(threads, batch)
    if not openvino_network.available():
        skipped.append("OpenVINO: pip install 'plateflow[openvino]'")
    if importlib.util.find_spec("ultralytics") is None:
        skipped.append("torch: pip install 'plateflow[gpu]'")
    return runs, skipped


def run(quick: bool) -> str:
    """Two tables, wall and CPU time, and the JSON line."""
    runs = {
        f"ONNX Runtime, {threads} threads, batch {batch}, {'spinning' if spinning == '1' else 'sleeping'}": _onnx(
            threads, batch, spinning
        )
        for threads in (1, 2)
        for batch in ((1,) if quick else (1, 4))
        for spinning in ("0", "1")
    }
    others, skipped = _others((1,) if quick else (1, 4))
    runs |= others
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
    fields: dict[str, object] = {"cpu_ms": {name: round(value, 1) for name, value in middle.items()}, "least": best}
    if skipped:
        fields["skipped"] = "; ".join(skipped)
    parts = [table("detector, 640 x 384", "ms of CPU/frame", cpus), table("the same", "ms of wall/frame", walls)]
    return "\n".join([*parts, last_line("detector", fields)])
