"""`plateflow heatmap`: a data folder in, a picture of one camera out; recounted from the sightings where need be."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator import picture
from services.aggregator.analysis import load_sightings
from services.aggregator.core.config import Camera, Config
from services.aggregator.local import LocalAggregator
from services.aggregator.picture import Heatmap, Plane
from services.cli.background import read_background
from services.cli.heatmap_files import in_folder
from services.cli.redraw import heatmap_of_sightings
from services.cli.zones import gate_of
from services.contracts.gates import holds
from services.contracts.kerberos import MAX_TIME_MS
from services.contracts.messages import Box
from tests.aggregator.build import HOUR_MS, NOON_MS, track
from tests.aggregator.test_aggregate import GROUND
from tests.cli.command import Plateflow
from tests.support.video import write_clip

CAMERA, OTHER = "site/north gate", "site/yard"
EVER = range(MAX_TIME_MS + 1)


def write(folder: Path, cameras: tuple[str, ...] = (CAMERA,), ground: bool = True) -> Path:
    """An hour and a bit: every two minutes a vehicle that is seen ten times, four times a second, on its way right."""
    aggregator = LocalAggregator(folder, Config(default=Camera(ground=GROUND if ground else None)))
    for number in range(40):
        for camera in cameras:
            start_ms = NOON_MS + 120_000 * number
            times = [start_ms + 250 * i for i in range(10)]
            boxes: list[Box] = [(120.0 * i, 10.0 * number, 60.0, 20.0) for i in range(10)]
            aggregator.add(
                track(times, f"A{number:03}BC77", recording=f"r{number}", run=number, camera=camera, boxes=boxes)
            )
    aggregator.close()
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("two"), (CAMERA, OTHER), ground=False)


def total(heatmap: Heatmap, column: int = 0) -> int:
    return sum(tally[column] for tally in heatmap.cells.values())


def anew(data: Path, plane: Plane, times: range, cell: float | None = None) -> Heatmap:
    return heatmap_of_sightings(in_folder(data).sightings_of(CAMERA, times), CAMERA, plane, times, cell)


# ---- counting anew -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("plane", ["image", "ground"])
def test_sightings_counted_anew_into_the_same_cells_give_the_same_counts(data: Path, plane: Plane) -> None:
    counted, again = picture.load(data, CAMERA, plane=plane), anew(data, plane, EVER)

    assert (again.version, again.k, again.width, again.height, again.off_plan) == (
        counted.version, counted.k, counted.width, counted.height, counted.off_plan,
    )  # fmt: skip
    # No observation was suppressed here, so passages and dwell agree, too; a cell that holds the last observation of
    # a track alone has no dwell in either.
    assert again.cells == {cell: tally for cell, tally in counted.cells.items() if any(tally)}


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 800))
def test_any_cell_size_holds_every_sighting(data: Path, cell: int) -> None:
    heatmap = anew(data, "image", EVER, cell)

    assert total(heatmap) == 400
    assert total(heatmap, 2) == 40 * 9 * 250
    assert np.nansum(picture.matrix(heatmap)) == 400


def test_one_cell_over_everything_holds_each_passage_once(data: Path) -> None:
    assert anew(data, "image", EVER, 2000).cells == {(0, 0): [400, 40, 90_000]}


@settings(max_examples=15, deadline=None)
@given(st.integers(-1000, 2 * HOUR_MS))
def test_two_times_that_meet_hold_everything_once(data: Path, after_ms: int) -> None:
    def count(times: range) -> int:
        try:
            return total(anew(data, "image", times))
        except picture.NothingToDraw:
            return 0

    cut = NOON_MS + after_ms
    assert count(range(cut)) + count(range(cut, MAX_TIME_MS)) == 400


def test_a_time_range_begins_with_its_start_and_ends_before_its_end(data: Path) -> None:
    assert (
        total(
            heatmap_of_sightings(
                in_folder(data).sightings_of(CAMERA, EVER), CAMERA, "image", range(NOON_MS + 250, NOON_MS + 1000)
            )
        )
        == 3
    )


# ---- the command -------------------------------------------------------------------------------------------
def test_the_only_camera_need_not_be_named_and_the_number_of_sightings_is_told(
    data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    out = tmp_path / "pictures" / "heat.png"

    assert plateflow("heatmap", data, "--out", out) == 0
    assert plateflow.out == f"400 sightings of {CAMERA} drawn: {out}\n"
    image = cv2.imread(str(out))
    assert image is not None and image.shape[0] > 400 and image.shape[1] > 600


@pytest.mark.parametrize(
    ("options", "sightings"),
    [
        (("--from", str(NOON_MS + HOUR_MS)), 100),
        (("--to", str(NOON_MS + HOUR_MS)), 300),
        (("--from", "2023-11-14T22:02:00Z", "--to", "2023-11-14T22:02:01+00:00", "--weight", "seconds"), 4),
        (("--from", "2023-11-14T22:02", "--cell", "7", "--weight", "passages"), 390),
        (("--plane", "ground", "--cell", "2.5"), None),
    ],
)
def test_times_cells_and_weights_can_be_chosen(
    options: tuple[str, ...], sightings: int | None, data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", data, "--out", tmp_path / "heat.png", *options) == 0
    assert (tmp_path / "heat.png").is_file()
    if sightings is None:
        ground = picture.load(data, CAMERA, plane="ground")
        sightings = total(ground)
        assert f"{ground.off_plan} more lie off the plan" in plateflow.out
    assert plateflow.out.startswith(f"{sightings} sightings of {CAMERA} drawn")


def test_a_background_shows_through(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[:, 640:] = 255
    cv2.imwrite(str(tmp_path / "frame.jpg"), frame)

    assert plateflow("heatmap", data, "--out", tmp_path / "a.png") == 0
    assert plateflow("heatmap", data, "--out", tmp_path / "b.png", "--background", tmp_path / "frame.jpg") == 0
    plain, over = (cv2.imread(str(tmp_path / name)) for name in ("a.png", "b.png"))
    assert plain is not None and over is not None
    row = over[int(over.shape[0] * 0.8)].mean(axis=1)  # below the vehicles
    assert row[over.shape[1] // 4] < 150 < row[over.shape[1] * 2 // 3]
    assert abs(plain[int(plain.shape[0] * 0.8)].mean(axis=1)[plain.shape[1] // 4] - row[over.shape[1] // 4]) > 50


def test_of_several_cameras_one_must_be_named(two_cameras: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "heat.png"

    assert plateflow("heatmap", two_cameras, "--out", out) == 2
    assert f"name one: {CAMERA}, {OTHER}" in plateflow.complaint
    assert plateflow("heatmap", two_cameras, "--out", out, "--camera", OTHER) == 0
    assert f"400 sightings of {OTHER}" in plateflow.out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--camera", "site/none"), f"there are: {CAMERA}, {OTHER}"),
        (("--camera", OTHER, "--plane", "ground"), "has no ground plane"),
        (("--camera", OTHER, "--plane", "ground", "--cell", "3"), "has no ground plane"),
        (("--camera", OTHER, "--from", "2030-01-01T00:00:00Z"), "no sighting of site/yard in that time"),
        (("--camera", OTHER, "--to", "2020-01-01T00:00:01Z"), "no sighting of site/yard in that time"),
    ],
)
def test_nothing_to_draw_is_told_and_no_picture_is_written(
    options: tuple[str, ...], reason: str, two_cameras: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", two_cameras, "--out", tmp_path / "heat.png", *options) == 3
    assert reason in plateflow.complaint
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_told_by_its_name(tmp_path: Path, plateflow: Plateflow) -> None:
    folder = write(tmp_path / "data")
    for path in folder.rglob("*.parquet"):
        path.write_bytes(b"PAR1 cut off")

    for options in ((), ("--cell", "10")):
        assert plateflow("heatmap", folder, "--out", tmp_path / "heat.png", *options) == 1
        assert "Parquet" in plateflow.complaint
        assert "Traceback" not in plateflow.err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--cell", "0"), "--cell"),
        (("--cell", "2.5"), "whole pixels"),
        (("--cell", "nan", "--plane", "ground"), "--cell"),
        (("--from", "noon"), "'noon' is no time"),
        (("--from", "2023-11-15", "--to", "2023-11-14"), "--from must lie before --to"),
        (("--weight", "tons"), "--weight"),
        (("--background", "nowhere.png"), "nowhere.png: no such file"),
        (("--background", __file__), "neither an image nor a video"),
    ],
)
def test_a_mistake_in_the_command_is_told(
    options: tuple[str, ...], complaint: str, data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", data, "--out", tmp_path / "heat.png", *options) == 2
    assert complaint in plateflow.complaint
    assert not list(tmp_path.iterdir())


def test_a_folder_without_results_is_told(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("heatmap", tmp_path, "--out", tmp_path / "heat.png") == 2
    assert "holds no heatmap/" in plateflow.complaint


def test_a_picture_of_another_kind_is_refused(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("heatmap", data, "--out", tmp_path / "heat.jpg") == 2
    assert "does not end in .png" in plateflow.complaint


@pytest.mark.parametrize("plane", ["image", "ground"])
def test_a_cell_larger_than_the_picture_is_refused(
    plane: str, data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", data, "--out", tmp_path / "heat.png", "--plane", plane, "--cell", "5000") == 2
    assert "5000 is larger than" in plateflow.complaint
    assert not list(tmp_path.iterdir())


def test_the_area_is_told_as_a_polygon_such_as_zones_are(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("heatmap", data, "--out", tmp_path / "heat.png", "--area", "0.8") == 0
    told = json.loads((tmp_path / "heat.area.json").read_text())

    (left, top), _, (right, bottom), _ = told["polygon"]
    assert (left, top) == (told["relative"]["x"], told["relative"]["y"])
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def test_the_smallest_shape_is_a_file_that_plateflow_run_takes_as_zones(
    data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", data, "--out", tmp_path / "heat.png", "--area", "0.8") == 0
    gate = gate_of([str(tmp_path / "heat.zones.json")], [])
    sightings = load_sightings(data, camera=CAMERA)
    within = [
        any(holds(zone, x / 1280, y / 720) for zone in gate.zones)
        for x, y in zip(sightings["center_x"], sightings["center_y"], strict=True)
    ]

    assert sum(within) >= 0.8 * len(within)
    assert f"{sum(within) / len(within):.0%} lie within {len(gate.zones)} polygons" in plateflow.out


def test_areas_of_the_plan_are_no_zones_of_the_image(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("heatmap", data, "--plane", "ground", "--out", tmp_path / "heat.png", "--area", "0.8") == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == ["heat.area.json", "heat.png"]
    told = json.loads((tmp_path / "heat.area.json").read_text())
    assert "polygon" not in told and told["shape"]["held"] >= 0.8
    with pytest.raises(typer.BadParameter, match="holds no polygon"):
        gate_of([str(tmp_path / "heat.area.json")], [])


def test_a_dark_picture_of_any_width_can_be_had(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    for sheet in ((), ("--sheet", "20,40")):
        out = tmp_path / "heat.png"
        assert plateflow("heatmap", data, "--out", out, "--style", "dark", "--width", "600", *sheet) == 0
        image = cv2.imread(str(out))
        assert image is not None and abs(image.shape[1] - 600) <= 1 and image[:5].mean() < 60
    assert plateflow("heatmap", data, "--out", tmp_path / "heat.png", "--width", "20") == 2


def test_no_vehicle_that_drives_by_stands_in_the_background_made_of_a_video(tmp_path: Path) -> None:
    frames = [np.full((96, 160, 3), 90, np.uint8) for _ in range(30)]
    for index, frame in enumerate(frames):
        frame[30:60, 5 * index : 5 * index + 20] = 250
    write_clip(tmp_path / "clip.mp4", [(200 * index, frame) for index, frame in enumerate(frames)])

    background = read_background(tmp_path / "clip.mp4")

    assert background.shape == (96, 160, 3)
    assert np.abs(background.astype(int) - 90).max() < 25  # what the codec makes of grey; the vehicle is 160 brighter


def test_another_scale_of_colours_is_drawn_and_one_that_there_is_not_is_told_with_some_that_there_are(
    tmp_path: Path, data: Path, plateflow: Plateflow
) -> None:
    pictures = {}
    for colours in ("viridis", "Greys"):
        out = tmp_path / f"{colours}.png"
        assert plateflow("heatmap", data, "--out", out, "--colours", colours) == 0
        picture = cv2.imread(str(out))
        assert picture is not None
        pictures[colours] = picture
    greys = pictures["Greys"].astype(int)
    assert not np.array_equal(pictures["viridis"], pictures["Greys"])
    assert np.abs(greys[..., 0] - greys[..., 2]).max() < 60, "but for the ink, which is a little blue"

    assert plateflow("heatmap", data, "--out", tmp_path / "no.png", "--colours", "virids") == 2
    assert "viridis" in plateflow.err
    assert not (tmp_path / "no.png").exists()
