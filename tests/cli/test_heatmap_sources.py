"""`plateflow heatmap` from whatever a person has: single Parquet files, patterns, videos; of one class of objects."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from services.aggregator import picture
from services.aggregator.core.config import Camera, Config
from services.aggregator.local import LocalAggregator
from services.aggregator.picture import Heatmap
from services.contracts.messages import Box, Reading
from services.inference.core.motion import Place
from services.inference.models.detector import Detection
from tests.aggregator.build import HOUR_MS, NOON_MS, track
from tests.cli.command import Plateflow
from tests.cli.test_heatmap import CAMERA, OTHER, write
from tests.support.plates import ColourDetector
from tests.support.video import Image, write_clip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three plates, and five cars that nobody reads."""
    folder = tmp_path_factory.mktemp("mixed")
    aggregator = LocalAggregator(folder, Config(default=Camera()))
    boxes: list[Box] = [(120.0 * i, 40.0, 60.0, 20.0) for i in range(10)]
    for number in range(8):
        times = [NOON_MS + 60_000 * number + 250 * i for i in range(10)]
        one = track(times, f"A{number:03}BC77", recording=f"r{number}", run=number, camera=CAMERA, boxes=boxes)
        if number >= 3:
            one = msgspec.structs.replace(one, label="car", reading=Reading("", "", 0.0, ()))
        aggregator.add(one)
    aggregator.close()
    return folder


def hours(data: Path, kind: str) -> list[Path]:
    return sorted((data / kind).rglob("*.parquet"))


# ---- classes -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("label", "vehicles"), [("plate", 3), ("car", 5)])
@pytest.mark.parametrize("cell", [(), ("--cell", "20")])
def test_sightings_and_vehicles_of_a_class_hold_no_other_class(
    cell: tuple[str, ...],
    label: str,
    vehicles: int,
    mixed: Path,
    tmp_path: Path,
    plateflow: Plateflow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Heatmap] = []

    def draw(heatmap: Heatmap, *_: object, **__: object) -> None:
        drawn.append(heatmap)

    monkeypatch.setattr(picture, "draw_heatmap", draw)

    assert plateflow("heatmap", mixed, "--class", label, "--out", tmp_path / "a.png", *cell) == 0
    assert plateflow.out.startswith(f"{10 * vehicles} sightings")
    assert [one.vehicles for one in drawn] == [vehicles]


def test_without_a_class_plates_are_drawn(mixed: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("heatmap", mixed, "--out", tmp_path / "a.png") == 0
    assert plateflow.out.startswith("30 sightings")


def test_a_class_that_nobody_saw_is_told_with_those_there_are(
    mixed: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", mixed, "--class", "boat", "--out", tmp_path / "a.png") == 3
    assert "nothing of class 'boat'" in plateflow.complaint and "there are: car, plate" in plateflow.complaint


# ---- single files and patterns -----------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["sightings", "heatmap"])
def test_one_hours_file_is_drawn_by_itself(kind: str, data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    for path, count in zip([p for p in hours(data, kind) if "plane=ground" not in str(p)], (300, 100), strict=True):
        assert plateflow("heatmap", path, "--out", tmp_path / "a.png") == 0
        assert plateflow.out.startswith(f"{count} sightings of {CAMERA} drawn")


@pytest.mark.parametrize("kind", ["sightings", "heatmap"])
def test_a_file_that_was_copied_elsewhere_is_drawn_under_its_own_name(
    kind: str, data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    shutil.copy(hours(data, kind)[0 if kind == "sightings" else -1], tmp_path / "monday.parquet")

    assert plateflow("heatmap", tmp_path / "monday.parquet", "--out", tmp_path / "a.png") == 0
    assert "sightings of monday drawn" in plateflow.out
    assert plateflow("heatmap", tmp_path / "monday.parquet", "--camera", "gate", "--out", tmp_path / "a.png") == 0
    assert "sightings of gate drawn" in plateflow.out


@pytest.mark.parametrize("kind", ["sightings", "heatmap"])
def test_the_ground_is_drawn_of_single_files_too(kind: str, data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    ground = "ground" if kind == "heatmap" else ""
    path = next(path for path in hours(data, kind) if ground in str(path))
    shutil.copy(path, tmp_path / "monday.parquet")

    for one in (path, tmp_path / "monday.parquet"):
        assert plateflow("heatmap", one, "--plane", "ground", "--out", tmp_path / "a.png") == 0, plateflow.err


def test_a_pattern_adds_up_what_it_matches(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    for pattern in ("sightings/**/*.parquet", "heatmap/*/plane=image/**/*.parquet", "**/*.parquet"):
        assert plateflow("heatmap", f"{data}/{pattern}", "--out", tmp_path / "a.png") == 0
        assert plateflow.out.startswith(f"400 sightings of {CAMERA}")


def test_files_of_a_heatmap_alone_cannot_be_counted_anew(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    files = hours(data, "heatmap")

    for options in (("--cell", "20"), ("--from", str(NOON_MS + 1))):
        assert plateflow("heatmap", *files, "--out", tmp_path / "a.png", *options) == 2
        assert "needs the sightings" in plateflow.complaint
    assert plateflow("heatmap", *files, "--from", str(NOON_MS + HOUR_MS), "--out", tmp_path / "a.png") == 0
    assert plateflow.out.startswith("100 sightings")


def test_files_of_two_results_versions_are_refused_since_they_show_the_same(
    data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    shutil.copytree(data / "sightings" / "results=1", tmp_path / "sightings" / "results=1")
    shutil.copytree(data / "sightings" / "results=1", tmp_path / "sightings" / "results=2")

    assert plateflow("heatmap", f"{tmp_path}/**/*.parquet", "--out", tmp_path / "a.png") == 2
    assert "several results versions (1, 2)" in plateflow.complaint


def test_files_of_several_cameras_ask_for_one(tmp_path: Path, plateflow: Plateflow) -> None:
    write(tmp_path / "two", (CAMERA, OTHER), ground=False)

    assert plateflow("heatmap", f"{tmp_path}/two/sightings/**/*.parquet", "--out", tmp_path / "a.png") == 2
    assert f"name one: {CAMERA}, {OTHER}" in plateflow.complaint


@pytest.mark.parametrize(
    ("name", "content", "code", "complaint"),
    [
        ("none.parquet", None, 2, "no such file"),
        ("*.parquet", None, 2, "nothing matches"),
        ("cut.parquet", b"PAR1 cut off", 1, "no readable Parquet"),
        ("clip.mp4", b"no video", 1, ""),
    ],
)
def test_a_source_that_is_none_is_told(
    name: str, content: bytes | None, code: int, complaint: str, tmp_path: Path, plateflow: Plateflow,
    colours: ColourDetector,
) -> None:  # fmt: skip
    if content is not None:
        (tmp_path / name).write_bytes(content)

    assert plateflow("heatmap", tmp_path / name, "--out", tmp_path / "a.png") == code
    assert complaint in plateflow.complaint and "Traceback" not in plateflow.err
    assert not (tmp_path / "a.png").exists()


def test_two_folders_or_two_kinds_at_once_are_refused(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    (tmp_path / "plates.txt").write_text("640 480 gate 25\n")

    assert plateflow("heatmap", data, data.parent, "--out", tmp_path / "a.png") == 2
    assert "one folder at a time" in plateflow.complaint
    assert plateflow("heatmap", data, tmp_path / "plates.txt", "--out", tmp_path / "a.png") == 2
    assert "files of one kind" in plateflow.complaint


# ---- videos ------------------------------------------------------------------------------------------------
def clip(path: Path, moving: bool = True) -> Path:
    frames = [np.full((120, 200, 3), 60, np.uint8) for _ in range(20)]
    for index, frame in enumerate(frames if moving else []):
        frame[40:60, 10 + 4 * index : 50 + 4 * index] = (0, 0, 255)
    write_clip(path, [(100 * index, frame) for index, frame in enumerate(frames)])
    return path


def test_a_video_is_read_and_drawn_over_what_stands_still_in_it(
    tmp_path: Path, plateflow: Plateflow, colours: ColourDetector
) -> None:
    assert plateflow("heatmap", clip(tmp_path / "street.mp4"), "--out", tmp_path / "a.png") == 0, plateflow.err
    assert "sightings of street drawn" in plateflow.out
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "street.mp4"]


def test_what_was_read_of_a_video_can_be_kept_and_drawn_again(
    tmp_path: Path, plateflow: Plateflow, colours: ColourDetector
) -> None:
    made, again = tmp_path / "a.png", tmp_path / "b.png"

    assert plateflow("heatmap", clip(tmp_path / "street.mp4"), "--results", tmp_path / "kept", "--out", made) == 0
    said = plateflow.out
    assert plateflow("heatmap", tmp_path / "kept", "--out", again) == 0
    assert plateflow.out == said.replace("a.png", "b.png")


def test_ctrl_c_ends_the_reading_of_a_video_and_what_was_seen_is_drawn(
    tmp_path: Path, plateflow: Plateflow, colours: ColourDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect = colours.detect

    def press_ctrl_c_in_the_third_batch(
        frames: Sequence[Image], places: Sequence[Place | None] = ()
    ) -> list[list[Detection]]:
        if len(colours.batches) == 2:
            signal.raise_signal(signal.SIGINT)
        return detect(frames, places)

    monkeypatch.setattr(colours, "detect", press_ctrl_c_in_the_third_batch)

    assert plateflow("heatmap", clip(tmp_path / "street.mp4"), "--out", tmp_path / "a.png") == 130
    assert "stopped: what was read before is kept" in plateflow.err
    sightings = int(plateflow.out.split()[0])
    assert 0 < sightings < 20, "not all of the 20 frames"
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "street.mp4"]


def test_a_video_without_plates_gives_a_sentence_and_no_picture(
    tmp_path: Path, plateflow: Plateflow, colours: ColourDetector
) -> None:
    assert plateflow("heatmap", clip(tmp_path / "empty.mp4", moving=False), "--out", tmp_path / "a.png") == 3
    assert "no number plate was seen" in plateflow.complaint
    assert not (tmp_path / "a.png").exists()
