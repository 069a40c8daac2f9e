"""CPU milliseconds a frame of the detector by run-time, precision, threads, batch, input size and whether idle threads
spin.

OpenVINO runs in what the processor multiplies fastest, and in full precision; torch runs the checkpoint of the same
network. INT8 (`benchmarks.quantised`) has its accuracy beside it: of the boxes that the network in full precision finds
in frames of drawn clips, the share that it finds too (IoU 0.5), and how many it finds besides.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks import quantised
from benchmarks.harness import alternate, last_line, medians, table
from services.inference.core.boxes import overlaps
from services.inference.models import openvino_network
from services.inference.models.detector import DETECTOR_ONNX, OnnxDetector
from services.inference.models.factory import why_no_cuda

SIZE = (384, 640)
OTHER_SIZES = ((256, 416), (544, 960), (736, 1280))
"""Height and width of the input for frames of 16:9, by `PLATEFLOW_DETECT_SIZE`."""


def _onnx(
    threads: int, batch: int, spinning: str, weights: Path = DETECTOR_ONNX, size: tuple[int, int] = SIZE
) -> Callable[[], tuple[float, float]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    return _measured(lambda frames: session.run(None, {"images": frames}), batch, size)


def _openvino(
    threads: int, batch: int, precision: str, weights: Path = DETECTOR_ONNX
) -> Callable[[], tuple[float, float]]:
    core = openvino_network.core()
    model = core.read_model(str(weights))
    model.reshape([batch, 3, *SIZE])
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


def _cuda(batch: int) -> Callable[[], tuple[float, float]]:
    """In half precision, from bytes on this side to answers on this side, as the service runs it."""
    from services.inference.models.torch_detector import UltralyticsDetector

    detector = UltralyticsDetector()
    pictures = np.random.default_rng(5).integers(0, 256, (batch, *SIZE, 3), np.uint8)

    def once() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        detector.forward(pictures)
        return (time.perf_counter() - wall) * 1e3 / batch, (time.process_time() - cpu) * 1e3 / batch

    return once


def _measured(
    forward: Callable[[NDArray[np.float32]], object], batch: int, size: tuple[int, int] = SIZE
) -> Callable[[], tuple[float, float]]:
    frames = np.random.default_rng(5).random((batch, 3, *size), dtype=np.float32)

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
                runs[f"OpenVINO in INT8, {name}"] = _openvino(threads, batch, "", quantised.detector())
            runs[f"ONNX Runtime in INT8, {name}"] = _onnx(threads, batch, "0", quantised.detector())
            if importlib.util.find_spec("ultralytics") is not None:
                runs[f"torch, {name}"] = _torch(threads, batch)
    missing = why_no_cuda()
    if not missing:
        runs |= {f"torch on CUDA, batch {batch}": _cuda(batch) for batch in (*batches, 16, 64)}
    else:
        skipped.append(f"CUDA: {missing}")
    if not openvino_network.available():
        skipped.append("OpenVINO: pip install 'plateflow[openvino]'")
    return runs, skipped


def _agreement(count: int) -> dict[str, float]:
    """How INT8 compares with full precision on drawn frames."""
    full, small = OnnxDetector(), OnnxDetector(quantised.detector())
    same = missed = besides = 0
    for frame in quantised.frames(count):
        (wanted,), (found,) = full.detect([frame]), small.detect([frame])
        boxes, others = (
            np.array([(b.x, b.y, b.x + b.w, b.y + b.h) for b in seen]).reshape(-1, 4) for seen in (wanted, found)
        )
        hits = overlaps(boxes, others) >= 0.5
        same += int(hits.any(axis=1).sum())
        missed += len(wanted) - int(hits.any(axis=1).sum())
        besides += len(found) - int(hits.any(axis=0).sum())
    return {"boxes": same + missed, "found_too": round(same / max(1, same + missed), 4), "besides": besides}


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
    runs |= {
        f"ONNX Runtime, 1 threads, batch 1, {width} x {height}": _onnx(1, 1, "0", size=(height, width))
        for height, width in OTHER_SIZES
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
    best = min((name for name in middle if " x " not in name), key=lambda name: middle[name])
    fields: dict[str, object] = {"cpu_ms": {name: round(value, 1) for name, value in middle.items()}, "least": best}
    fields["int8"] = _agreement(5 if quick else 50)
    if skipped:
        fields["skipped"] = "; ".join(skipped)
    parts = [
        table("detector, 640 x 384 where no other size is named", "ms of CPU/frame", cpus),
        table("the same", "ms of wall/frame", walls),
    ]
    return "\n".join([*parts, last_line("detector", fields)])
