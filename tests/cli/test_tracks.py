"""`plateflow tracks`: ways of vehicles over the image and over the plan, with directions and speeds."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.core.config import Camera, Config
from services.aggregator.core.trajectories import speed, trajectories
from services.aggregator.local import LocalAggregator
from services.cli.tracks_picture import arrows
from services.contracts.messages import Box
from tests.aggregator.build import NOON_MS, track
from tests.aggregator.test_aggregate import GROUND
from tests.cli.command import Plateflow

METRIC = msgspec.structs.replace(GROUND, matrix=(0.1, 0, 0, 0, 0.1, 0, 0, 0, 1), metres_per_unit=0.5)
"""A pixel is a tenth of a plan unit, which is half a metre."""


def written(folder: Path, camera: Camera) -> Path:
    """Two vehicles to the right, 100 and 200 pixels a second (5 and 10 m/s), and one upwards (5 m/s), at the yard."""
    aggregator = LocalAggregator(folder, Config(default=camera))
    for number, (step_x, step_y) in enumerate([(25.0, 0.0), (50.0, 0.0), (0.0, -25.0)]):
        times = [NOON_MS + 60_000 * number + 250 * i for i in range(17)]
        boxes: list[Box] = [
            (200.0 + step_x * i, 500.0 + 60 * number + step_y * i, 60.0, 20.0) for i in range(len(times))
        ]
        aggregator.add(
            track(times, f"A{number}BC77", recording=f"r{number}", run=number, camera="site/yard", boxes=boxes)
        )
    aggregator.close()
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("metric"), Camera(ground=METRIC))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_way_is_drawn_on_both_planes_and_its_speed_is_told(
    data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    for plane in ("image", "ground"):
        out, table = tmp_path / f"{plane}.png", tmp_path / f"{plane}.csv"
        assert plateflow("tracks", data, "--plane", plane, "--out", out, "--csv", table) == 0
        assert "3 tracks, median speed 5.0 m/s = 18 km/h" in plateflow.out
        rows = read(table)
        assert [(row["plate"], row["speed_mps"], row["speed_kmh"]) for row in rows] == [
            ("A0BC77", "5.00", "18.00"), ("A1BC77", "10.00", "36.00"), ("A2BC77", "5.00", "18.00")
        ]  # fmt: skip
        assert [float(row["length_m"]) for row in rows] == pytest.approx([20, 40, 20], abs=0.1)
        image = cv2.imread(str(out))
        assert image is not None and min(image.shape[:2]) > 300


@pytest.mark.parametrize("width", [400, 2000])
def test_the_picture_is_as_wide_as_asked(width: int, data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    for plane in ("image", "ground"):
        assert plateflow("tracks", data, "--plane", plane, "--width", str(width), "--out", tmp_path / "t.png") == 0
        image = cv2.imread(str(tmp_path / "t.png"))
        assert image is not None and abs(image.shape[1] - width) <= 1


def test_plates_and_times_choose_what_is_drawn(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    out, table = tmp_path / "t.png", tmp_path / "t.csv"

    assert plateflow("tracks", data, "--plate", "a1*", "--out", out, "--csv", table, "--plates") == 0
    assert [row["plate"] for row in read(table)] == ["A1BC77"]
    assert plateflow("tracks", data, "--from", str(NOON_MS + 30_000), "--out", out, "--csv", table) == 0
    assert [row["plate"] for row in read(table)] == ["A1BC77", "A2BC77"]
    assert plateflow("tracks", data, "--from", str(NOON_MS), "--to", str(NOON_MS + 9), "--out", out) == 0
    assert "1 track" in plateflow.out and "speed" not in plateflow.out


def test_files_of_sightings_are_drawn_without_their_folder(data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    (path,) = data.glob("sightings/**/*.parquet")
    copy = tmp_path / "mine.parquet"
    copy.write_bytes(path.read_bytes())

    assert plateflow("tracks", copy, "--camera", "site/yard", "--out", tmp_path / "t.png") == 0
    assert "3 tracks" in plateflow.out


def test_the_ways_lie_over_the_background_where_the_vehicles_were(
    data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    below = tmp_path / "frame.png"
    cv2.imwrite(str(below), np.full((720, 1280, 3), 128, np.uint8))
    options = ("--background", below, "--no-points")

    shares = []
    for plate in ("A0BC77", "A2BC77"):
        out = tmp_path / f"{plate}.png"
        assert plateflow("tracks", data, "--plate", plate, "--out", out, *options) == 0
        image = cv2.imread(str(out))
        assert image is not None
        coloured = np.ptp(image[:, : int(image.shape[1] * 0.9)].astype(int), axis=2) > 80  # without the colour bar
        rows, columns = np.nonzero(coloured)
        shares.append(float(np.ptp(columns)) / max(float(np.ptp(rows)), 1.0))
    assert shares[0] > 4  # to the right
    assert shares[1] < 0.25  # upwards


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (("--out", "t.jpg"), 2, "does not end in .png"),
        (("--out", "t.png", "--width", "20"), 2, "--width"),
        (("--out", "t.png", "--no-points", "--no-lines"), 2, "neither is drawn"),
        (("--out", "t.png", "--from", "2000", "--to", "1000"), 2, "--from must lie before"),
        (("--out", "t.png", "--background", "none.png"), 2, "no such file"),
        (("--out", "t.png", "--plate", "Z*"), 3, "no sighting of Z*"),
        (("--out", "t.png", "--camera", "site/other"), 3, "there are: site/yard"),
        (("--out", "t.png", "--class", "person"), 3, "nothing of class"),
    ],
)
def test_what_cannot_be_drawn_is_told_and_no_picture_is_written(
    options: tuple[str, ...], code: int, complaint: str, data: Path, plateflow: Plateflow, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    assert plateflow("tracks", data, *options) == code
    assert complaint in plateflow.complaint
    assert list(tmp_path.iterdir()) == []


def test_a_camera_without_a_plan_has_ways_in_its_image_alone(tmp_path: Path, plateflow: Plateflow) -> None:
    folder = written(tmp_path / "plain", Camera())

    assert plateflow("tracks", folder, "--out", tmp_path / "image.png") == 0
    assert "3 tracks" in plateflow.out and "speed" not in plateflow.out
    assert plateflow("tracks", folder, "--plane", "ground", "--out", tmp_path / "plan.png") == 3
    assert "not calibrated" in plateflow.complaint
    assert not (tmp_path / "plan.png").exists()


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 40), st.floats(0, 6.3), st.integers(0, 19), st.floats(5, 50))
def test_one_misplaced_position_does_not_change_the_speed(mps: float, way: float, at: int, off: float) -> None:
    times = np.arange(20, dtype=np.int64) * 250
    metres = np.outer(times / 1000 * mps, [np.cos(way), np.sin(way)])
    metres[at] += off

    assert speed(times, metres) == pytest.approx(mps, rel=0.01)


def test_a_curve_is_no_slower_than_a_straight_way_and_a_moment_has_no_speed() -> None:
    times = np.arange(40, dtype=np.int64) * 200
    turn = times / 1000 * 10 / 30  # 10 m/s round a circle of 30 m

    assert speed(times, 30 * np.column_stack([np.cos(turn), np.sin(turn)])) == pytest.approx(10, rel=0.02)
    assert speed(times[:2], np.zeros((2, 2))) is None
    assert speed(times[:0], np.zeros((0, 2))) is None


def test_tracks_are_put_in_order_whatever_the_order_of_their_sightings() -> None:
    times = np.array([300, 100, 200, 150], np.int64)
    points = np.array([[3.0, 0], [1, 0], [2, 0], [np.nan, 0]])

    (found,) = trajectories(["t"] * 4, ["A", "B", "C", "D"], times, points, np.full((4, 2), np.nan), None)

    assert found.times_ms.tolist() == [100, 200, 300] and found.points[:, 0].tolist() == [1, 2, 3]
    assert (found.plate, found.speed_mps, found.length_m) == ("A", None, None)


def test_arrows_lead_where_the_vehicle_went_and_a_parked_one_has_none() -> None:
    way = np.array([[0.0, 0], [100, 0], [100, 0], [100, 300]])

    found = arrows(way, (1000.0, 500.0))

    assert [end for _, end in found][-1] == (100, 300)
    assert all(begin[0] < end[0] or begin[1] < end[1] for begin, end in found) and len(found) == 3
    assert arrows(np.array([[5.0, 5], [6, 5], [5, 5]]), (1000.0, 500.0)) == []
