"""The batches of detector training: boxes stay on their plates through every map, and a run leaves a usable file."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from services.inference.training.scenes import Sample
from services.inference.training.scenes import write_sample as write_files

torch = pytest.importorskip("torch", reason="needs the gpu extra: pip install 'plateflow[gpu]'")
pytestmark = pytest.mark.torch


def bright() -> Sample:
    """A white plate on black."""
    image = np.zeros((300, 400, 3), np.uint8)
    image[140:160, 150:250] = 255
    return Sample(image, np.array([[150.0, 140.0, 250.0, 160.0]]))


def test_boxes_lie_on_their_plates_in_mosaics_and_alone() -> None:
    from services.inference.training.gallery import Gallery

    gallery = Gallery([bright()], 2, torch.device("cpu"), np.random.default_rng(4))
    gallery.add(bright())
    batch = gallery.batch(12, 320, mosaics=0.5, drawn_share=0.5)

    assert batch.images.shape == (12, 3, 320, 320)
    assert len(batch.boxes) >= 6
    assert (batch.owner[1:] >= batch.owner[:-1]).all()
    for (x, y, w, h), owner in zip(batch.boxes.numpy() * 320, batch.owner.int().tolist(), strict=True):
        picture = batch.images[owner].mean(dim=0)
        inner = picture[int(y - h / 5) : int(y + h / 5) + 1, int(x - w / 5) : int(x + w / 5) + 1].mean()
        assert inner > picture.median()


def test_the_oldest_drawn_picture_makes_room_and_photos_stay() -> None:
    from services.inference.training.gallery import Gallery

    gallery = Gallery([bright()], 2, torch.device("cpu"), np.random.default_rng(4))
    empty = Sample(np.full((50, 50, 3), 90, np.uint8), np.empty((0, 4)))
    for _ in range(5):
        gallery.add(empty)

    batch = gallery.batch(6, 160, mosaics=0.0, drawn_share=1.0)
    assert gallery.drawn == 5
    assert len(batch.boxes) == 0
    assert len(gallery.batch(6, 160, mosaics=0.0, drawn_share=0.0).boxes) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_leaves_weights_that_detect_and_can_be_published(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs the gpu extra: pip install 'plateflow[gpu]'")
    photos = tmp_path / "photos"
    for folder in ("images", "labels"):
        (photos / folder / "train").mkdir(parents=True)
    for number in range(3):
        write_files(bright(), photos / "images" / "train", photos / "labels" / "train", f"{number}", 90)
    command = [sys.executable, "-m", "services.inference.training.finetune", "train", str(photos), "--out"]
    command += [str(tmp_path / "out"), "--seconds", "40", "--painters", "1", "--batch", "2", "--room", "8"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "out" / "training.json").read_text())
    assert facts["steps"] >= 1, f"no step in {time.monotonic() - began:.0f} s"
    from services.inference.models.torch_detector import UltralyticsDetector

    detector = UltralyticsDetector(tmp_path / "out" / "detector.pt", "cpu")
    assert len(detector.detect([bright().image])) == 1

    from services.inference.models.detector import WEIGHTS_FOLDER, OnnxDetector
    from services.inference.training.publish_detector import publish

    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copyfile(WEIGHTS_FOLDER / "detector.json", weights / "detector.json")
    card = publish(tmp_path / "out", shared_data, weights)

    assert card["finetuned"]["steps"] == facts["steps"]
    assert card["phases"] == json.loads((WEIGHTS_FOLDER / "detector.json").read_text())["phases"]
    assert hashlib.sha256((weights / "detector.onnx").read_bytes()).hexdigest() == card["sha256"]["detector.onnx"]
    assert f"{facts['steps']} steps" in (weights / "detector.md").read_text()
    assert len(OnnxDetector(weights / "detector.onnx").detect([bright().image])) == 1
