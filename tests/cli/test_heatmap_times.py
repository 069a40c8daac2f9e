"""`plateflow heatmap` by time: time zones, weekdays and hours, two times or cameras compared."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import pytest

from services.aggregator.chart import Look
from services.aggregator.core.config import Camera, Config
from services.aggregator.local import LocalAggregator
from services.aggregator.picture import Measure
from services.cli import heatmap_compare
from services.cli.heatmap_compare import compare
from services.cli.heatmap_files import in_folder
from services.cli.heatmap_load import EVER, Question
from services.cli.heatmap_week import Week, week_of
from services.cli.redraw import sightings_of
from services.cli.sheet import Panel
from services.contracts.messages import Box
from tests.aggregator.build import HOUR_MS, track
from tests.aggregator.test_aggregate import GROUND
from tests.cli.command import Plateflow

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY_MS = 1_781_481_600_000
"""2026-06-15T00:00:00Z, 02:00 in Berlin."""
BOXES: list[Box] = [(120.0 * i, 40.0, 60.0, 20.0) for i in range(10)]


def at(folder: Path, hours: list[float], cameras: tuple[str, ...] = ("site/gate",)) -> Path:
    """A vehicle with ten sightings, 250 ms apart, so many hours after that Monday began."""
    aggregator = LocalAggregator(folder, Config(default=Camera(ground=GROUND)))
    for camera in cameras:
        for number, hour in enumerate(hours):
            times = [MONDAY_MS + round(hour * HOUR_MS) + 250 * i for i in range(10)]
            name = f"{camera}-{number}"
            aggregator.add(track(times, f"A{number:03}BC77", recording=name, run=number, camera=camera, boxes=BOXES))
    aggregator.close()
    return folder


def week(folder: Path, measure: Measure, zone: ZoneInfo = BERLIN) -> Week:
    paths = in_folder(folder).sightings_of("site/gate", EVER)
    return week_of(sightings_of(paths, EVER, "plate"), measure, zone)


# ---- weekdays and hours ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("measure", "each"), [("count", 10), ("passages", 1), ("dwell_ms", 2.25)])
def test_weekday_and_hour_are_those_of_the_time_zone(measure: Measure, each: float, tmp_path: Path) -> None:
    found = week(at(tmp_path, [5.5, 5.6, 23.0]), measure)  # 7:30, 7:36 and 1:00 the day after, in Berlin

    expected = np.zeros((7, 24))
    expected[0, 7], expected[1, 1] = 2 * each, each
    assert np.allclose(found.values, expected)


def test_a_weekday_that_the_time_holds_twice_counts_half(tmp_path: Path) -> None:
    found = week(at(tmp_path, [6.0, 7 * 24 + 6.0, 7 * 24 + 6.1]), "passages")

    assert found.days.tolist() == [2, 1, 1, 1, 1, 1, 1]
    assert found.values[0, 8] == 1.5


def test_the_sheet_of_a_week_is_drawn(tmp_path: Path, plateflow: Plateflow) -> None:
    data = at(tmp_path / "data", [6.0, 30.0, 31.0])

    for options in ((), ("--plane", "ground", "--weight", "passages", "--width", "500"), ("--style", "dark")):
        out = tmp_path / "week.png"
        assert plateflow("heatmap", data, "--week", "--time-zone", "Europe/Berlin", "--out", out, *options) == 0
        assert "30 sightings of site/gate drawn by weekday and hour" in plateflow.out
        assert cv2.imread(str(out)) is not None


# ---- time zones --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("zone", "begin", "sightings"),
    [
        ("Europe/Berlin", "2026-06-15T08:00", 20),
        ("UTC", "2026-06-15T08:00", 10),
        ("Europe/Berlin", "2026-06-15T08:00Z", 10),
    ],
)
def test_a_time_without_a_zone_is_of_the_time_zone(
    zone: str, begin: str, sightings: int, tmp_path: Path, plateflow: Plateflow
) -> None:
    data = at(tmp_path / "data", [5.0, 6.5, 8.5])

    assert plateflow("heatmap", data, "--time-zone", zone, "--from", begin, "--out", tmp_path / "a.png") == 0
    assert plateflow.out.startswith(f"{sightings} sightings")


def test_an_hour_that_a_clock_shows_twice_is_told_apart_by_its_offset(tmp_path: Path, plateflow: Plateflow) -> None:
    autumn = (datetime(2026, 10, 25, 0, tzinfo=ZoneInfo("UTC")).timestamp() * 1000 - MONDAY_MS) / HOUR_MS
    data = at(tmp_path / "data", [autumn + 0.5, autumn + 1.5])  # 2:30 in summer time, an hour later 2:30 again

    for begin, sightings in (("2026-10-25T02:00+02:00", 20), ("2026-10-25T02:00+01:00", 10)):
        assert plateflow("heatmap", data, "--from", begin, "--out", tmp_path / "a.png") == 0
        assert plateflow.out.startswith(f"{sightings} sightings")


def test_a_time_zone_that_is_none_is_told(tmp_path: Path, plateflow: Plateflow) -> None:
    for name in ("Mars/Olympus", "../passwd", ""):
        assert plateflow("heatmap", at(tmp_path, [1.0]), "--time-zone", name, "--out", tmp_path / "a.png") == 2
        assert "is no time zone, as Europe/Berlin" in plateflow.complaint


# ---- two compared ------------------------------------------------------------------------------------------
@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[Panel]:
    """What is drawn."""
    drawn: list[Panel] = []
    monkeypatch.setattr(heatmap_compare, "draw_sheet", lambda panels, *_: drawn.extend(panels))
    return drawn


def hours(begin: float, end: float) -> range:
    return range(MONDAY_MS + round(begin * HOUR_MS), MONDAY_MS + round(end * HOUR_MS))


def test_the_difference_of_two_times_is_first_less_second_per_cell(tmp_path: Path, panels: list[Panel]) -> None:
    files = in_folder(at(tmp_path, [1.0, 1.1, 1.2, 2.1]))
    compare(files, Question(times=hours(1, 2)), Question(times=hours(2, 3)), tmp_path / "a.png", Look(), None)

    one, two, less = (panel.grid for panel in panels)
    assert (one.values.sum(), two.values.sum(), less.values.sum()) == (30, 10, 20)
    assert less.values.max() == 2 and less.difference and less.unit == "sightings per cell"
    assert panels[0].scale is panels[1].scale is not None


def test_times_of_different_length_are_compared_per_hour(tmp_path: Path, panels: list[Panel]) -> None:
    files = in_folder(at(tmp_path, [1.0, 2.0, 2.1, 3.0]))
    compare(files, Question(times=hours(1, 2)), Question(times=hours(2, 4)), tmp_path / "a.png", Look(), None)

    assert [panel.grid.values.sum() for panel in panels] == [10, 15, -5]
    assert {panel.grid.unit for panel in panels} == {"sightings per cell and hour"}


def test_two_times_and_two_cameras_are_drawn_side_by_side(tmp_path: Path, plateflow: Plateflow) -> None:
    data, out = at(tmp_path / "data", [1.0, 2.0], ("site/gate", "site/yard")), tmp_path / "a.png"
    one = ("heatmap", data, "--camera", "site/gate", "--out", out)

    assert plateflow(*one, "--against-camera", "site/yard", "--style", "dark") == 0
    assert "20 and 20 sightings compared" in plateflow.out
    assert plateflow(*one, "--to", "2026-06-15T01:30", "--against-from", "2026-06-15T01:30", "--plane", "ground") == 0
    assert cv2.imread(str(out)) is not None


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (("--against-camera", "site/none"), 3, "nothing of site/none"),
        (("--against-from", "2030-01-01"), 3, "in that time"),
        (("--against-from", "2026-06-16", "--against-to", "2026-06-15"), 2, "--against-from must lie before"),
        (("--against-from", "noon"), 2, "'noon' is no time"),
        (("--week", "--sheet", "20"), 2, "choose one"),
        (("--week", "--area", "0.8"), 2, "of one heatmap alone"),
        (("--week", "--cell", "5000"), 2, "larger than"),
    ],
)
def test_what_cannot_be_compared_is_told(
    options: tuple[str, ...], code: int, complaint: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    data = at(tmp_path / "data", [1.0])

    assert plateflow("heatmap", data, "--out", tmp_path / "a.png", *options) == code
    assert complaint in plateflow.complaint
    assert not (tmp_path / "a.png").exists()
