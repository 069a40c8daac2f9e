"""Builds the pipeline from its settings: for the service, for `plateflow run`, for benchmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.contracts.messages import Models
from services.inference.decode import Decoder
from services.inference.models.detector import DETECTOR_ONNX, LetterboxDetector, OnnxDetector, OpenVinoDetector
from services.inference.models.factory import create_detector, create_recogniser
from services.inference.models.recogniser import WEIGHTS as RECOGNISER_ONNX
from services.inference.models.recogniser import Recogniser
from services.inference.pipeline import VEHICLES, Pipeline
from services.inference.settings import PipelineSettings
from services.runtime.errors import Stop


@dataclass(frozen=True, slots=True)
class Inference:
    """A pipeline that is ready, its decoder (to be closed), and which models it runs."""

    pipeline: Pipeline
    decoder: Decoder
    models: Models
    recogniser: Recogniser

    def close(self) -> None:
        self.decoder.close()


def build_inference(settings: PipelineSettings) -> Inference:
    """Loads the models. Stop where weights are missing or wrong, or the device is not there."""
    detector, detector_file = _detector(settings)
    _check_classes(settings.options.classes, detector)
    recogniser_file = settings.recogniser_weights or RECOGNISER_ONNX
    recogniser = create_recogniser(
        settings.recogniser_weights, settings.threads, settings.read_batch, settings.cpu_runtime
    )
    decoder = Decoder(settings.limits, settings.threads)
    pipeline = Pipeline(detector, recogniser, decoder, settings.options, _vehicles(settings))
    return Inference(pipeline, decoder, Models(model_name(detector_file), model_name(recogniser_file)), recogniser)


@contextmanager
def inference(settings: PipelineSettings | None = None) -> Iterator[Inference]:
    """`build_inference` for a while."""
    built = build_inference(settings or PipelineSettings())
    try:
        yield built
    finally:
        built.close()


def model_name(weights: Path) -> str:
    """``detector-1f3a5b7c9d0e``: name and first digits of the SHA-256 of the weights."""
    return f"{weights.stem}-{hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}"


def _check_classes(classes: Sequence[str], detector: LetterboxDetector) -> None:
    known = sorted(set(detector.names.values()))
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise Stop(f"the detector has no class {', '.join(unknown)}; it has: {', '.join(known)}")


def _vehicles(settings: PipelineSettings) -> LetterboxDetector | None:
    if settings.vehicle_weights is None:
        return None
    detector = create_detector(settings.device, settings.vehicle_weights, settings.threads, runtime="onnxruntime")
    if not set(VEHICLES) & set(detector.names.values()):
        raise Stop(f"PLATEFLOW_VEHICLE_WEIGHTS: {settings.vehicle_weights} finds none of {', '.join(VEHICLES)}")
    return detector


def _detector(settings: PipelineSettings) -> tuple[LetterboxDetector, Path]:
    detector = create_detector(
        settings.device,
        settings.detector_weights,
        settings.threads,
        settings.detect_score,
        settings.detect_overlap,
        settings.detect_size,
        settings.cpu_runtime,
    )
    shipped = (
        DETECTOR_ONNX if isinstance(detector, OnnxDetector | OpenVinoDetector) else DETECTOR_ONNX.with_suffix(".pt")
    )
    return detector, settings.detector_weights or shipped
