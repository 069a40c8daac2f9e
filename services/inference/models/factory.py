"""Chooses what runs the networks: `PLATEFLOW_DEVICE=auto|cpu|cuda` and `PLATEFLOW_CPU_RUNTIME` in, detector and
recogniser out.

`auto` takes CUDA where torch, ultralytics and a card are there, else the CPU, and logs which. On the CPU the shipped
networks run on OpenVINO where it is installed (x86), other weights and other processors on ONNX Runtime. What is asked
for and absent is a `Stop` that says what to do.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from pathlib import Path
from typing import Literal

from services.inference.models import openvino_network
from services.inference.models.detector import (
    CONFIDENCE,
    DETECTOR_ONNX,
    INPUT_SIZE,
    IOU,
    LetterboxDetector,
    OnnxDetector,
    OpenVinoDetector,
)
from services.inference.models.rapid_recogniser import RapidRecogniser
from services.inference.models.recogniser import WEIGHTS as RECOGNISER_ONNX
from services.inference.models.recogniser import OnnxRecogniser, OpenVinoRecogniser, Recogniser
from services.runtime.errors import Stop

Device = Literal["auto", "cpu", "cuda"]
Runtime = Literal["auto", "openvino", "onnxruntime"]
Engine = Literal["plateflow", "rapidocr"]
log = logging.getLogger(__name__)


def create_detector(
    device: Device = "auto",
    weights: Path | None = None,
    threads: int = 0,
    confidence: float = CONFIDENCE,
    iou: float = IOU,
    input_size: int = INPUT_SIZE,
    runtime: Runtime = "auto",
) -> LetterboxDetector:
    """A detector on `device`. `weights`: an .onnx for the CPU, a .pt for either; None: the shipped ones."""
    if device not in ("auto", "cpu", "cuda"):
        raise Stop(f"PLATEFLOW_DEVICE must be auto, cpu or cuda, not {device!r}")
    missing = "" if device == "cpu" else why_no_cuda()
    if device == "cuda" and missing:
        raise Stop(f"PLATEFLOW_DEVICE=cuda, but {missing}; or set PLATEFLOW_DEVICE=cpu")
    if (device == "cpu" or missing) and weights is not None and weights.suffix == ".pt":
        return _checkpoint_on_cpu(weights, confidence, iou, input_size)
    if device == "cpu" or missing:
        on_openvino = takes_openvino(runtime, weights)
        name = "OpenVINO" if on_openvino else "ONNX Runtime"
        log.info("detector: %s on the CPU%s", name, f" ({missing})" if missing else "")
        chosen = OpenVinoDetector if on_openvino else OnnxDetector
        return chosen(weights or DETECTOR_ONNX, threads, confidence, iou, input_size)
    if weights and weights.suffix != ".pt":
        raise Stop(f"CUDA takes an ultralytics checkpoint (.pt), not {weights}; name one, or set PLATEFLOW_DEVICE=cpu")
    from services.inference.models.torch_detector import DETECTOR_PT, UltralyticsDetector

    log.info("detector: torch on CUDA")
    return UltralyticsDetector(weights or DETECTOR_PT, "cuda", confidence, iou, input_size)


def create_recogniser(
    weights: Path | None = None,
    threads: int = 0,
    batch: int = 32,
    runtime: Runtime = "auto",
    engine: Engine = "plateflow",
) -> Recogniser:
    """The recogniser, which is small enough for the CPU everywhere. `weights`: an .onnx of ours beside its card;
    `batch`, `runtime`: of ours, too."""
    if engine == "rapidocr":
        if weights is not None:
            raise Stop(f"{weights} is for the engine plateflow: rapidocr brings its own weights; name one of the two")
        return RapidRecogniser(threads)
    if takes_openvino(runtime, weights):
        return OpenVinoRecogniser(RECOGNISER_ONNX, threads)
    return OnnxRecogniser(weights or RECOGNISER_ONNX, threads, batch)


def takes_openvino(runtime: Runtime, weights: Path | None) -> bool:
    """Whether OpenVINO runs the network. `weights` of others have classes, alphabets and forms of their own, which the
    ONNX Runtime's side reads and checks."""
    if runtime == "openvino" and not openvino_network.available():
        raise Stop("PLATEFLOW_CPU_RUNTIME=openvino, but openvino is not installed: pip install 'plateflow[openvino]'")
    return runtime != "onnxruntime" and weights is None and openvino_network.available()


def _checkpoint_on_cpu(weights: Path, confidence: float, iou: float, input_size: int) -> LetterboxDetector:
    """Slower than ONNX Runtime, but it needs no export."""
    for package in ("torch", "ultralytics"):
        if importlib.util.find_spec(package) is None:
            raise Stop(
                f"{weights} is an ultralytics checkpoint, and {package} is not installed: pip install "
                "'plateflow[gpu]', or name an .onnx of it (yolo export format=onnx dynamic=True)"
            )
    from services.inference.models.torch_detector import UltralyticsDetector

    log.info("detector: torch on the CPU")
    return UltralyticsDetector(weights, "cpu", confidence, iou, input_size)


def why_no_cuda() -> str:
    """What keeps the CUDA path from running, and what to do; empty where nothing does."""
    for package in ("torch", "ultralytics"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: pip install 'plateflow[gpu]'"
    try:
        ctypes.CDLL("libcuda.so.1")  # torch takes seconds to load, only to say the same
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1): install it, then check with nvidia-smi"
    import torch

    if not torch.cuda.is_available():
        return "torch finds no CUDA device: check the driver with nvidia-smi"
    return ""
