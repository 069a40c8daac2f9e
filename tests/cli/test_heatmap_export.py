"""`plateflow heatmap --export`: tables and layers of a map, each read by the program that it is for."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from services.aggregator.core.config import Camera, Config, Geo
from services.aggregator.core.geo import affine
from services.aggregator.local import LocalAggregator
from services.contracts.messages import Box
from tests.aggregator.build import NOON_MS, track
from tests.aggregator.test_aggregate import GROUND
from tests.cli.command import Plateflow

GEO = Geo(59.9386, 30.3141, 15.0)
PLACED = msgspec.structs.replace(GROUND, metres_per_unit=0.5, geo=GEO)
BOXES: list[Box] = [(20.0 * i, 90.0, 60.0, 20.0) for i in range(9)]
AT = affine(GEO, 0.5)


def write(folder: Path, placed: bool = True) -> Path:
    ground = PLACED if placed else msgspec.structs.replace(GROUND, metres_per_unit=0.5)
    aggregator = LocalAggregator(folder, Config(default=Camera(ground=ground)))
    aggregator.add(track([NOON_MS + 250 * i for i in range(9)], boxes=BOXES))
    aggregator.close()
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("placed"))


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("nowhere"), placed=False)


def test_tables_have_a_row_per_cell_with_the_coordinates_of_its_middle(
    data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    one, two = tmp_path / "cells.csv", tmp_path / "cells.parquet"
    options = ("--plane", "ground", "--export", one, "--export", two)

    assert plateflow("heatmap", data, "--out", tmp_path / "a.png", *options) == 0
    with one.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{name: str(value) for name, value in row.items()} for row in pq.read_table(two).to_pylist()]
    assert sum(int(row["count"]) for row in rows) == 9
    assert sum(float(row["seconds"]) for row in rows) == 2.0
    for row in rows:
        lon, lat = AT.at(*((float(row[f"{axis}0"]) + float(row[f"{axis}1"])) / 2 for axis in "xy"))
        assert (float(row["lon"]), float(row["lat"])) == pytest.approx((lon, lat), abs=1e-8)


def test_the_camera_image_has_tables_without_coordinates(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "cells.csv"

    assert plateflow("heatmap", data, "--out", tmp_path / "a.png", "--export", out, "--cell", "50") == 0
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["count"]) for row in rows) == 9 and "lat" not in rows[0]
    assert {float(row["x1"]) - float(row["x0"]) for row in rows} == {50.0}


@pytest.mark.parametrize("share", [(), ("--area", "0.8")])
def test_geojson_has_closed_rings_against_the_clock_in_longitude_and_latitude(
    share: tuple[str, ...], data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    out = tmp_path / "gate.geojson"

    assert plateflow("heatmap", data, "--plane", "ground", "--out", tmp_path / "a.png", "--export", out, *share) == 0
    content = json.loads(out.read_text())
    kinds = [feature["properties"]["kind"] for feature in content["features"]]
    assert sum(feature["properties"].get("count", 0) for feature in content["features"]) == 9
    assert ("smallest rectangle" in kinds) == ("smallest shape" in kinds) == bool(share)
    for feature in content["features"]:
        geometry = feature["geometry"]
        for (ring,) in geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]:
            points = np.array(ring)
            assert ring[0] == ring[-1] and len(ring) >= 5
            assert np.abs(points - [GEO.lon, GEO.lat]).max() < 0.01
            x, y = (points - points[0]).T
            assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0, "clockwise"


def test_the_world_file_puts_the_middle_of_each_cell_where_it_lies(
    data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    layer = tmp_path / "layer.png"

    assert plateflow("heatmap", data, "--plane", "ground", "--out", tmp_path / "a.png", "--export", layer) == 0
    a, d, b, e, c, f = (float(line) for line in (tmp_path / "layer.pgw").read_text().split())
    image = cv2.imread(str(layer), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.shape[2] == 4
    side = image.shape[1] // 20  # 200 plan units, cells of 10
    for column, row in ((0, 0), (7, 3), (19, 9)):
        x, y = (column + 0.5) * side - 0.5, (row + 0.5) * side - 0.5  # of the middle of a pixel
        assert (a * x + b * y + c, d * x + e * y + f) == pytest.approx(AT.at(column * 10 + 5, row * 10 + 5), abs=1e-9)
    alpha = image[side // 2 :: side, side // 2 :: side, 3]
    assert 0 < (alpha == 255).sum() <= 9 and ((alpha == 0) | (alpha == 255)).all()
    assert "WGS_1984" in (tmp_path / "layer.prj").read_text()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--export", "gate.geojson"), "the camera's image has no coordinates"),
        (("--plane", "ground", "--export", "gate.geojson"), "needs plan.geo: {lat: …, lon: …, rotation: …}"),
        (("--plane", "ground", "--export", "gate.png"), "needs plan.geo"),
        (("--export", "gate.shp"), "ends in none of .csv, .parquet, .geojson, .png"),
        (("--export", "gate.csv", "--sheet", "20,40"), "leave out"),
    ],
)
def test_a_map_of_what_lies_nowhere_is_refused_and_nothing_is_written(
    options: tuple[str, ...], complaint: str, nowhere: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", nowhere, "--out", tmp_path / "a.png", *options) == 2
    assert complaint in plateflow.complaint
    assert not list(tmp_path.iterdir())


def test_a_camera_file_says_where_the_plan_of_older_data_lies(
    nowhere: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    pairs = [[[0, 0], [0, 0]], [[400, 0], [200, 0]], [[400, 200], [200, 100]], [[0, 200], [0, 100]]]
    plan = {"width": 200, "height": 100, "metres_per_unit": 0.5, "geo": {"lat": GEO.lat, "lon": GEO.lon}}
    file, out = tmp_path / "cameras.yaml", tmp_path / "gate.geojson"
    command = ("heatmap", nowhere, "--plane", "ground", "--out", tmp_path / "a.png", "--export", out)

    file.write_text(json.dumps({"site/gate": {"pairs": pairs, "plan": plan}}))
    assert plateflow(*command, "--cameras", file) == 0
    assert json.loads(out.read_text())["features"]
    file.write_text(json.dumps({"site/gate": {"pairs": pairs, "plan": {**plan, "width": 300}}}))
    assert plateflow(*command, "--cameras", file) == 2
    assert "its plan of site/gate is 300×100, this heatmap's 200×100" in plateflow.complaint
    file.write_text("site/gate: {plan: 3}")
    assert plateflow(*command, "--cameras", file) == 2
