"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.cli import reading
from services.contracts.messages import Models
from services.inference.build import Inference
from services.inference.decode import Decoder
from services.inference.pipeline import Pipeline
from services.inference.settings import PipelineSettings
from tests.cli.command import Plateflow
from tests.support.plates import ColourDetector, ColourReader


@pytest.fixture
def plateflow(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Plateflow:
    return Plateflow(capsys, monkeypatch)


@pytest.fixture
def reader() -> ColourReader:
    return ColourReader()


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch, reader: ColourReader) -> Iterator[ColourDetector]:
    """`plateflow run` reads coloured rectangles, by real decoding, tracking, voting and aggregation."""
    detector, decoder = ColourDetector(), Decoder(threads=1)

    def build(settings: PipelineSettings) -> Inference:
        pipeline = Pipeline(detector, reader, decoder, settings.options)
        return Inference(pipeline, decoder, Models("stand-in", "stand-in"), reader)

    monkeypatch.setattr(reading, "build_inference", build)
    yield detector
    decoder.close()
