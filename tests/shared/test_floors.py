"""What the shipped models reach at least, on real pictures and a real clip, by the commands that a person types.

The data lie beside the repository and never in it; without them these tests are skipped.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a picture at a time, on however slow a machine

RECALL, EXACT = 0.90, 0.80
MARGIN = 1.06  # a crop shows the plate's box and 3 % of it on each side

Row = tuple[str, float, float, float, float, str]


def plateflow(*arguments: str) -> dict[str, Any]:
    """Run the command; its last line on stdout, which is one JSON object."""
    command = [sys.executable, "-m", "services.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def evaluate(folder: Path, rows: Iterable[Row], truth: Path) -> dict[str, Any]:
    with truth.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "x", "y", "w", "h", "text"))
        writer.writerows(rows)
    return plateflow("evaluate", "plates", "--images", str(folder), "--truth", str(truth), "--json")


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height in pixels."""
    image = cv2.imread(str(picture))
    assert image is not None, f"{picture} does not decode"
    return image.shape[1], image.shape[0]


def photo_rows(photos: Path, labels: Path) -> Iterable[Row]:
    """Boxes from YOLO labels: class, centre, width and height as shares of the picture."""
    for photo in sorted(photos.iterdir()):
        width, height = size_of(photo)
        for line in (labels / f"{photo.stem}.txt").read_text().splitlines():
            _, x, y, w, h = map(float, line.split())
            yield photo.name, (x - w / 2) * width, (y - h / 2) * height, w * width, h * height, ""


def crop_rows(folder: Path, labels: Sequence[dict[str, str]]) -> Iterable[Row]:
    for label in labels:
        width, height = size_of(folder / label["file"])
        w, h = width / MARGIN, height / MARGIN
        yield label["file"], (width - w) / 2, (height - h) / 2, w, h, label["text"]


def test_the_detector_finds_nine_of_ten_plates_in_photos_it_never_saw(shared_data: Path, tmp_path: Path) -> None:
    det = shared_data / "plates" / "det"
    photos = det / "images" / "val"
    measured = evaluate(photos, photo_rows(photos, det / "labels" / "val"), tmp_path / "gt.csv")

    assert measured["images"] == 67
    assert measured["detection"]["recall"] >= RECALL


def test_the_recogniser_reads_four_of_five_real_plates_whole(shared_data: Path, tmp_path: Path) -> None:
    ocr = shared_data / "plates" / "ocr"
    with (ocr / "labels.csv").open(encoding="utf-8") as file:
        labels = list(csv.DictReader(file))
    measured = evaluate(ocr, crop_rows(ocr, labels), tmp_path / "gt.csv")

    assert measured["images"] == len(labels) == 102
    assert measured["text"]["exact"] >= EXACT


def test_the_real_clip_shows_one_passage_with_the_right_plate(shared_data: Path, tmp_path: Path) -> None:
    clip = shared_data / "clips" / "checkpoint_b678xy178.mp4"
    answer = plateflow("run", str(clip), "--out", str(tmp_path / "out"), "--json")

    assert answer["recordings"] == 1
    assert [passage["plate"] for passage in answer["passages"]] == ["B678XY178"]
