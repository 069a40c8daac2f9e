"""The networks in INT8, made on the spot: convolutions alone, by static quantisation of ONNX Runtime, calibrated on
drawn pictures of their own. What comes out is a network for a benchmark, kept in `.cache/benchmarks`."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchmarks.workload import CACHE, Clip, clip
from services.inference.models.detector import (
    CONFIDENCE,
    DETECTOR_ONNX,
    INPUT_SIZE,
    IOU,
    LetterboxDetector,
    network_input,
)
from services.inference.models.recogniser import WEIGHTS as RECOGNISER_ONNX
from services.inference.models.recogniser import preprocess
from services.inference.training.plates import plate_text, render_plate

Image = NDArray[np.uint8]
_CALIBRATED_ON = 64


def frames(count: int) -> list[Image]:
    """Of the 720p clip with one plate, spread over it, (H, W, 3) BGR."""
    wanted = Clip(720, "h264", 1, 2.0)
    with av.open(str(clip(wanted))) as container:
        every = wanted.frames // count
        found = [frame for number, frame in enumerate(container.decode(video=0)) if number % every == 0]
        return [frame.to_ndarray(format="bgr24") for frame in found[:count]]


class _Letterboxes(LetterboxDetector):
    """Finds nothing, and keeps what a network would be given: (B, H, W, 3) BGR."""

    def __init__(self) -> None:
        super().__init__(CONFIDENCE, IOU, INPUT_SIZE)
        self.inputs: list[NDArray[np.uint8]] = []

    def forward(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.inputs.append(inputs)
        return np.zeros((len(inputs), 5, 0), np.float32)


def plates(count: int, seed: int) -> tuple[list[Image], list[str]]:
    """Drawn plates 25 to 60 pixels high, and what stands on them."""
    rng = np.random.default_rng(seed)
    texts = [plate_text("ru_private", rng) for _ in range(count)]
    pictures = [render_plate(text, seed=rng, height=int(rng.integers(25, 60))).image for text in texts]
    return pictures, [text.replace(" ", "") for text in texts]


class _Pictures(CalibrationDataReader):
    def __init__(self, name: str, pictures: Iterable[NDArray[Any]]) -> None:
        self._name, self._left = name, iter(pictures)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        one = next(self._left, None)
        return None if one is None else {self._name: one}


@cache
def detector() -> Path:
    """The file of the detector in INT8."""
    seen = _Letterboxes()
    seen.detect(frames(16))
    return _quantised(DETECTOR_ONNX, "images", [network_input(one[None]) for one in np.concatenate(seen.inputs)])


@cache
def recogniser() -> Path:
    """The file of the recogniser in INT8, with a card beside it."""
    crops = np.stack([preprocess(one) for one in plates(_CALIBRATED_ON, 6)[0]])[:, None]
    path = _quantised(RECOGNISER_ONNX, "crops", [crops[i : i + 8] for i in range(0, len(crops), 8)])
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    return path


def _quantised(weights: Path, name: str, pictures: list[NDArray[Any]]) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{weights.stem}-int8-{hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}.onnx"
    if path.is_file():
        return path
    part = path.with_suffix(f".{os.getpid()}.part")
    logging.disable(logging.WARNING)  # advice for other networks
    try:
        quantize_static(
            str(weights),
            str(part),
            _Pictures(name, pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],  # what follows them decides about places and letters, and costs nothing
            per_channel=True,
            reduce_range=True,  # or sums overflow where the processor has no VNNI
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
    made = onnx.load(str(part))
    if not made.metadata_props:
        made.metadata_props.extend(onnx.load(str(weights)).metadata_props)
        onnx.save(made, str(part))
    part.replace(path)
    return path
