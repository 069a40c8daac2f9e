"""Sampled frames a second of the whole CPU pipeline, beside a plain loop and beside each of its stages alone.

The plain loop is what one would write first: OpenCV reads every frame, ultralytics predicts on the same sampled ones
with the same weights, and the recogniser reads every plate of every frame.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from benchmarks.harness import alternate, last_line, medians, table
from benchmarks.workload import START_MS, Clip, clip, plates_of
from services.inference.build import Inference, inference
from services.inference.core.sampling import Sampler
from services.inference.models.detector import DETECTOR_ONNX
from services.inference.models.factory import create_detector, create_recogniser
from services.inference.models.recogniser import OnnxRecogniser, crop_plate
from services.inference.settings import PipelineSettings

_BATCH = 4


def _timed(work: Callable[[], int]) -> Callable[[], float]:
    """Frames a second of work that answers with its number of frames."""

    def once() -> float:
        began = time.perf_counter()
        return work() / (time.perf_counter() - began)

    return once


def _plain_loop(path: Path, fps: float) -> Callable[[], int]:
    from ultralytics import YOLO

    network, recogniser = YOLO(str(DETECTOR_ONNX.with_suffix(".pt"))), OnnxRecogniser()

    def once() -> int:
        capture, sampler, frames = cv2.VideoCapture(str(path)), Sampler(fps), 0
        rate, number = capture.get(cv2.CAP_PROP_FPS), 0
        while True:
            there, image = capture.read()
            if not there:
                return frames
            number += 1
            if not sampler.takes(round((number - 1) * 1000 / rate)):
                continue
            frames += 1
            boxes: Any = network.predict(image, imgsz=640, conf=0.2, device="cpu", verbose=False)[0].boxes
            for x1, y1, x2, y2 in boxes.xyxy.tolist():
                recogniser.read([crop_plate(image, (x1, y1, x2 - x1, y2 - y1))])

    return once


def _stages(built: Inference, path: Path, fps: float) -> dict[str, Callable[[], int]]:
    """Decoding, detecting and reading, each alone on all cores."""
    detector, recogniser = create_detector("cpu", confidence=0.2), create_recogniser()
    result = built.pipeline.process(path, START_MS)
    images = [frame.image for frame in built.decoder.open(path, fps)]
    seen = [one for track in result.tracks for one in track.observations if one.text]
    crops = [crop_plate(images[one.frame], one.box) for one in seen]

    def decode() -> int:
        return sum(1 for _ in built.decoder.open(path, fps))

    def detect() -> int:
        for start in range(0, len(images), _BATCH):
            detector.detect(images[start : start + _BATCH])
        return len(images)

    def read() -> int:
        recogniser.read(crops)
        return len(images)

    return {"decoding alone": decode, "detecting alone": detect, "reading alone": read}


def _read(built: Inference, path: Path) -> list[str]:
    return sorted(track.reading.text for track in built.pipeline.process(path, START_MS).tracks)


def run(quick: bool) -> str:
    """The table and the JSON line."""
    wanted = Clip(720, "h264", 1, 0.4) if quick else Clip(1080, "h264", 5, 2.0)
    path, settings = clip(wanted), PipelineSettings(device="cpu")
    every_frame = PipelineSettings(device="cpu", motion_threshold=0)
    with inference(every_frame) as built, inference(settings) as gated:
        truth = sorted(plates_of(wanted))
        exact, exact_gated = (_read(one, path) == truth for one in (built, gated))
        work = {
            "pipeline": lambda: built.pipeline.process(path, START_MS).frames,
            "with the motion gate": lambda: gated.pipeline.process(path, START_MS).frames,
        }
        work |= _stages(built, path, settings.sample_fps)
        if importlib.util.find_spec("ultralytics") is not None:
            work["plain loop"] = _plain_loop(path, settings.sample_fps)
        figures = alternate({name: _timed(one) for name, one in work.items()}, 1 if quick else 3)
    middle = medians(figures)
    whole = middle["pipeline"]
    limit = 1 / sum(1 / middle[f"{stage} alone"] for stage in ("decoding", "detecting", "reading"))
    fields: dict[str, object] = {"frames_per_second": round(whole, 2), "of_limit": round(whole / limit, 3)}
    fields |= {"plates_exact": exact, "plates_exact_gated": exact_gated}
    if "plain loop" in middle:
        fields["over_plain_loop"] = round(whole / middle["plain loop"], 2)
        fields["over_plain_loop_gated"] = round(middle["with the motion gate"] / middle["plain loop"], 2)
    else:
        fields["skipped"] = "the plain loop needs ultralytics: pip install 'plateflow[gpu]'"
    return "\n".join([table(f"pipeline, {wanted.name}", "sampled frames/s", figures), last_line("pipeline", fields)])
