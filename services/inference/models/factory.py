"""Chooses the detector for a device: `PLATEFLOW_DEVICE=auto|cpu|cuda` in, a detector out.

`auto` takes CUDA where torch, ultralytics and a card are there, else ONNX Runtime on the CPU, and logs which.
`cuda` where that is absent is a `Stop` that says what to do.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Literal

from services.inference.models.detector import (
    CONFIDENCE,
    DETECTOR_ONNX,
    INPUT_SIZE,
    IOU,
    LetterboxDetector,
    OnnxDetector,
)
from services.runtime.errors import Stop

Device = Literal["auto", "cpu", "cuda"]
log = logging.getLogger(__name__)


def create_detector(
    device: Device = "auto",
    weights: Path | None = None,
    threads: int = 0,
    confidence: float = CONFIDENCE,
    iou: float = IOU,
    input_size: int = INPUT_SIZE,
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
        log.info("detector: ONNX Runtime on the CPU%s", f" ({missing})" if missing else "")
        return OnnxDetector(weights or DETECTOR_ONNX, threads, confidence, iou, input_size)
    if weights and weights.suffix != ".pt":
        raise Stop(f"CUDA takes an ultralytics checkpoint (.pt), not {weights}; name one, or set PLATEFLOW_DEVICE=cpu")
    from services.inference.models.torch_detector import DETECTOR_PT, UltralyticsDetector

    log.info("detector: torch on CUDA")
    return UltralyticsDetector(weights or DETECTOR_PT, "cuda", confidence, iou, input_size)


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
    import torch

    if not torch.cuda.is_available():
        return "torch finds no CUDA device: check the driver with nvidia-smi"
    return ""
