"""Other objects than plates: any YOLO, in each layout, followed by the same tracker and not read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Config
from services.aggregator.core.grid import label_of
from services.contracts.identity import clip_id, recording_id
from services.contracts.messages import Clip, Run
from services.inference.build import build_inference
from services.inference.decode import Decoder
from services.inference.messages import track_parts
from services.inference.models.detector import OnnxDetector
from services.inference.models.factory import create_detector
from services.inference.models.layouts import UnknownLayout, boxes_of
from services.inference.pipeline import Pipeline, PipelineOptions
from services.inference.result import RecordingResult
from services.inference.settings import PipelineSettings
from services.runtime.errors import Stop
from tests.support.plates import ColourReader
from tests.support.video import Image, road, write_clip
from tests.support.yolo import Layout, write_yolo

RED, BLUE = (0, 0, 255), (255, 0, 0)


def street(person: tuple[int, int] | None, car: tuple[int, int] | None = None) -> Image:
    """320 x 240 with a red person of 24 x 60 and a blue car of 80 x 40; places are top left corners."""
    image = road()
    for place, size, colour in ((person, (24, 60), RED), (car, (80, 40), BLUE)):
        if place is not None:
            right, bottom = place[0] + size[0] - 1, place[1] + size[1] - 1
            cv2.rectangle(image, place, (right, bottom), colour, -1)
    return image


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


@pytest.mark.parametrize("layout", ["columns", "rows", "ready"])
@pytest.mark.parametrize("size", [None, (640, 640), (640, 480)])
def test_every_layout_and_size_of_input_gives_the_same_boxes(
    layout: Layout, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    detector = OnnxDetector(write_yolo(tmp_path / "yolo.onnx", layout, size), threads=1)
    frames = [street((40, 80), (200, 150)), street(None, (10, 20)), road()]

    both, car, nothing = detector.detect(frames)
    assert nothing == []
    found = {one.label: (one.x, one.y, one.w, one.h) for one in both}
    assert found.keys() == {"person", "car"}
    assert np.allclose(found["person"], (40, 80, 24, 60), atol=1.5)
    assert np.allclose(found["car"], (200, 150, 80, 40), atol=1.5)
    assert [one.label for one in car] == ["car"]


def test_a_network_that_names_no_classes_gives_them_numbers(tmp_path: Path) -> None:
    detector = OnnxDetector(write_yolo(tmp_path / "yolo.onnx", "ready", names=False), threads=1)

    assert {one.label for one in detector.detect([street((40, 80), (200, 150))])[0]} == {"plate", "class 1"}


def test_what_is_no_yolo_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownLayout, match="fits no YOLO of 80 classes"):
        boxes_of(np.zeros((10, 10), np.float32), 80)


@given(boxes=st.integers(7, 40), classes=st.integers(1, 20), seed=st.integers(0, 99))
def test_columns_and_rows_of_the_same_boxes_are_the_same(boxes: int, classes: int, seed: int) -> None:
    columns = np.random.default_rng(seed).random((4 + classes, boxes), np.float32)
    rows = np.vstack([columns[:4], np.ones((1, boxes), np.float32), columns[4:]]).T

    assert np.array_equal(boxes_of(columns, classes), columns)
    if rows.shape[0] != 4 + classes:
        assert np.allclose(boxes_of(np.ascontiguousarray(rows), classes), columns)


# ---- through the pipeline and the aggregator ----------------------------------------------------------------
def walk(decoder: Decoder, folder: Path, options: PipelineOptions) -> RecordingResult:
    """A person walks to the right while a car drives to the left, four frames a second."""
    frames = [(k * 250, street((20 + 12 * k, 60), (220 - 12 * k, 150))) for k in range(10)]
    detector = OnnxDetector(write_yolo(folder / "yolo.onnx"), threads=1)
    pipeline = Pipeline(detector, ColourReader(), decoder, options)
    return pipeline.process(write_clip(folder / "street.mp4", frames), 1_700_000_000_000)


def test_persons_and_cars_are_followed_and_not_read(decoder: Decoder, tmp_path: Path) -> None:
    result = walk(decoder, tmp_path, PipelineOptions())

    assert sorted(track.label for track in result.tracks) == ["car", "person"]
    assert {track.reading.text for track in result.tracks} == {""}
    assert {len(track.observations) for track in result.tracks} == {10}
    for track in result.tracks:
        shot = cv2.imdecode(np.frombuffer(track.best.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert shot is not None and shot.shape[0] >= 40


def test_only_the_classes_that_were_named_are_followed(decoder: Decoder, tmp_path: Path) -> None:
    result = walk(decoder, tmp_path, PipelineOptions(classes=("person",)))

    assert [track.label for track in result.tracks] == ["person"]


def test_objects_never_suppress_or_continue_each_other_and_each_class_has_its_heatmap(
    decoder: Decoder, tmp_path: Path
) -> None:
    """Nothing of program K's ghosts: an object adds to its cells only while it is seen."""
    result = walk(decoder, tmp_path, PipelineOptions())
    recording = recording_id("street.mp4")
    clip = Clip(
        id=clip_id(1, recording), results=1, recording_id=recording, camera="street", key="street.mp4", source="local",
        start_ms=1_700_000_000_000, path="street.mp4", size=0, sha256="",
    )  # fmt: skip
    parts = [part for track in result.tracks for part in track_parts(clip, Run("t", 0, 0), result, track)]
    outcome = replay(parts, Config())

    assert len(outcome.passages) == 2 and {one.continues for one in outcome.passages} == {None}
    assert len(outcome.plates) == 20, "250 ms apart, so each observation is a sighting"
    heat = {label_of(layer.version): cells for (_, _, layer, _), cells in outcome.cells.items()}
    assert heat.keys() == {"person", "car"}
    for cells in heat.values():
        assert sum(count for count, _, _ in cells.values()) == 10
        assert sum(dwell for _, _, dwell in cells.values()) == 9 * 250


def test_the_services_settings_choose_detector_and_classes(tmp_path: Path) -> None:
    weights = write_yolo(tmp_path / "yolo.onnx")
    built = build_inference(PipelineSettings(device="cpu", detector_weights=weights, classes="car, person"))
    built.close()

    with pytest.raises(Stop, match=r"no class bicycle; it has: car, person"):
        build_inference(PipelineSettings(device="cpu", detector_weights=weights, classes="car,bicycle"))


# ---- the real thing: a COCO network, exported here ----------------------------------------------------------
@pytest.mark.torch
@pytest.mark.shared
@pytest.mark.slow
def test_a_coco_network_finds_cars_as_checkpoint_and_as_onnx(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs plateflow[gpu]")
    weights = tmp_path / "coco.pt"
    weights.write_bytes((shared_data / "plates" / "weights" / "yolo11n_from_int8.pt").read_bytes())
    export = "import sys; from ultralytics import YOLO; YOLO(sys.argv[1]).export(format='onnx', imgsz=640)"
    done = subprocess.run([sys.executable, "-c", export, str(weights)], capture_output=True, text=True, check=False)
    if not weights.with_suffix(".onnx").is_file():
        pytest.skip(f"ultralytics cannot export here: {done.stderr.strip()[-200:]}")
    photos = sorted((shared_data / "plates" / "det" / "images" / "val").glob("*.jpg"))[:12]
    images = [np.asarray(cv2.imread(str(photo)), np.uint8) for photo in photos]

    best = []
    for file in (weights, weights.with_suffix(".onnx")):
        detector = create_detector("cpu", file, threads=2, confidence=0.5)
        found = detector.detect(images)
        best.append([next((one for one in boxes if one.label == "car"), None) for boxes in found])
    pairs = [(a, b, image) for a, b, image in zip(*best, images, strict=True) if a and b]
    assert len(pairs) >= 3
    near = [
        np.allclose((a.x, a.y, a.w, a.h), (b.x, b.y, b.w, b.h), atol=max(image.shape) * 0.03) for a, b, image in pairs
    ]
    assert sum(near) >= 0.6 * len(near), "another size of input may put another car first, but mostly it is the same"
