"""Gates: which plates count at a camera, why others do not, and where that is said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.cameras import BadCameras
from services.aggregator.cameras import read as read_geometry
from services.aggregator.core.config import Options
from services.cli.zones import gate_of
from services.contracts.gates import OPEN, BadGate, Gate, check, holds
from services.inference.core.gates import BOX_REASONS, refused
from services.inference.core.motion import Place
from services.inference.core.stitch import TRACK_REASONS
from services.inference.decode import Decoder
from services.inference.gates import Gates, read
from services.inference.models.detector import Detection
from services.inference.pipeline import Pipeline, PipelineOptions
from services.inference.result import RecordingResult
from services.runtime import metric_labels, metrics
from services.runtime.errors import SettingsError
from tests.support.plates import BLUE, RED, ColourDetector, ColourReader, scene
from tests.support.video import Image, write_clip

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
START = 1_700_000_000_000
shares = st.floats(0, 1, width=16)
polygons = st.lists(st.tuples(shares, shares), min_size=3, max_size=7).map(tuple)


# ---- the rule --------------------------------------------------------------------


@given(polygons, shares, shares)
def test_a_point_lies_in_a_polygon_where_another_program_says_so_too(
    polygon: tuple[tuple[float, float], ...], x: float, y: float
) -> None:
    around = np.array(polygon, np.float32).reshape(-1, 1, 2)
    other = cv2.pointPolygonTest(around, (x, y), True)

    if abs(other) > 1e-3:  # on the edge both may be right
        assert holds(polygon, x, y) == (other > 0)


@given(polygons, shares, shares, st.integers(0, 6))
def test_neither_the_first_corner_nor_the_direction_matters(
    polygon: tuple[tuple[float, float], ...], x: float, y: float, turn: int
) -> None:
    turned = polygon[turn % len(polygon) :] + polygon[: turn % len(polygon)]

    assert holds(turned, x, y) == holds(polygon, x, y)
    if abs(cv2.pointPolygonTest(np.array(polygon, np.float32).reshape(-1, 1, 2), (x, y), True)) > 1e-3:
        assert holds(polygon[::-1], x, y) == holds(polygon, x, y)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (OPEN, ""),
        (Gate(min_width=41), "small"),
        (Gate(min_height=11), "small"),
        (Gate(min_width=10), ""),
        (Gate(min_score=0.8), "low-score"),
        (Gate(min_score=0.7), ""),
        (Gate(zones=(LEFT,)), ""),
        (Gate(masks=(LEFT,)), "masked"),
        (Gate(zones=(((0.5, 0.0), (1.0, 0.0), (1.0, 1.0)),)), "outside"),
        (Gate(zones=(((0.5, 0.0), (1.0, 0.0), (1.0, 1.0)), LEFT)), ""),
        (Gate(zones=(LEFT,), masks=(LEFT,)), "masked"),
    ],
)
def test_a_box_of_40_by_10_pixels_in_the_left_half_counts_or_is_refused_for_a_reason(gate: Gate, reason: str) -> None:
    assert refused((60, 50, 40, 10), 0.7, (200, 100), gate, (20, 6)) == reason


def test_a_plate_counts_where_its_middle_lies_in_a_vehicle_if_anybody_looks_for_vehicles() -> None:
    box = (60.0, 50.0, 40.0, 10.0)

    assert refused(box, 0.7, (200, 100), OPEN, (20, 6), None) == ""
    assert refused(box, 0.7, (200, 100), OPEN, (20, 6), ()) == "no-vehicle"
    assert refused(box, 0.7, (200, 100), OPEN, (20, 6), [(0, 0, 79, 100), (70, 0, 20, 100)]) == ""
    assert refused(box, 0.7, (200, 100), OPEN, (20, 6), [(0, 0, 79, 100)]) == "no-vehicle"


@pytest.mark.parametrize(
    ("gate", "complaint"),
    [
        (Gate(zones=(((0, 0), (1, 1)),)), "zone 1: a polygon needs three corners, this has 2"),
        (Gate(masks=(LEFT, ((0, 0), (1, 0), (1, 1.5)))), "mask 2: corners are parts of the frame, from 0 to 1"),
        (Gate(zones=(((0, 0), (0.5, 0.5), (1, 1)),)), "zone 1: its corners lie on a line"),
        (Gate(zones=(((0, 0), (float("nan"), 0), (1, 1)),)), "zone 1: corners are parts"),
        (Gate(min_width=0), "min_width must be 1 pixel or more, not 0"),
        (Gate(min_height=float("inf")), "min_height must be 1 pixel or more, not inf"),
        (Gate(min_score=1.5), "min_score must be between 0 and 1, not 1.5"),
        (Gate(min_confidence=-1), "min_confidence must be between 0 and 1, not -1"),
    ],
)
def test_a_bad_gate_says_what_is_wrong(gate: Gate, complaint: str) -> None:
    with pytest.raises(BadGate, match=complaint.replace("(", r"\(")):
        check(gate)


# ---- where it is said ------------------------------------------------------------


def test_each_camera_has_its_gate_and_others_the_default(tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text(
        "site/gate: {recognise: {min_width: 40}}\nsite/yard: {cell: 20}\ndefault: {recognise: {min_score: 0.5}}\n"
    )
    gates = Gates(file)

    assert gates.of("site/gate") == Gate(min_width=40)
    assert gates.of("site/yard") == OPEN
    assert gates.of("site/new") == Gate(min_score=0.5)
    assert read_geometry(file, Options()).camera("site/yard").cell == 20, "the aggregator reads the same file"


def test_a_bad_section_stops_a_start_and_changes_nothing_later(tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("site/gate: {recognise: {zones: [[[0, 0], [1, 1]]]}}\n")
    with pytest.raises(SettingsError, match="PLATEFLOW_CAMERAS: site/gate: recognise: zone 1: a polygon needs three"):
        Gates(file)
    with pytest.raises(BadCameras, match="site/gate: zone 1"):
        read_geometry(file, Options())

    file.write_text("site/gate: {recognise: {min_width: 40}}\n")
    gates = Gates(file)
    file.write_text("site/gate: {recognise: {least_width: 41}}\n")
    assert gates._file is not None
    gates._file.poll(0.0)
    assert gates._file.value == {"site/gate": Gate(min_width=40)}
    file.write_text("site/gate: {recognise: {min_width: 44.5}}\n")
    gates._file.poll(9.0)
    assert gates.of("site/gate") == Gate(min_width=44.5)


@pytest.mark.parametrize(
    "content", ["- a\n", "a: [\n", "1: {}\n", "a: {recognise: 3}\n", "a: {recognise: {zones: 3}}\n"]
)
def test_a_file_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "cameras.yaml").write_text(content)

    with pytest.raises(BadGate):
        read(tmp_path / "cameras.yaml")


def test_zones_are_given_by_corners_or_by_a_file_that_the_heatmap_wrote(tmp_path: Path) -> None:
    area, several = tmp_path / "heat.area.json", tmp_path / "several.json"
    area.write_text(json.dumps({"held": 0.8, "polygon": LEFT}))
    several.write_text(json.dumps([LEFT, LEFT]))

    assert gate_of(["0,0 0.5,0 0.5,1 0,1"], []).zones == gate_of([str(area)], []).zones == (LEFT,)
    assert gate_of([], [str(several)]).masks == (LEFT, LEFT)
    assert Gates(also=gate_of([str(area)], [])).of("any").zones == (LEFT,)


@pytest.mark.parametrize("text", ["0,0 1,1", "nowhere.json", "0,0 2,0 0,2", "0,0 nan,0 1,1"])
def test_what_is_no_zone_is_told_with_its_option(text: str) -> None:
    with pytest.raises(typer.BadParameter) as error:
        gate_of([text], [])
    assert error.value.param_hint == "--zone"


# ---- through the pipeline --------------------------------------------------------


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


class Cars:
    """Sees a car in the left half of each frame."""

    def parts(self, width: int, height: int) -> Sequence[tuple[int, int]]:
        return ()

    def detect(self, frames: Sequence[Image], places: Sequence[Place | None] = ()) -> list[list[Detection]]:
        return [[Detection(0, 0, frame.shape[1] / 2, frame.shape[0], 0.9, "car")] for frame in frames]


def look(decoder: Decoder, folder: Path, gate: Gate, vehicles: Cars | None = None) -> RecordingResult:
    """A blue plate on the left and a red one on the right, four frames."""
    frames = [(k * 250, scene((BLUE, 60 + 10 * k, 100), (RED, 230 + 10 * k, 100))) for k in range(4)]
    pipeline = Pipeline(ColourDetector(), ColourReader(), decoder, PipelineOptions(), vehicles)
    return pipeline.process(write_clip(folder / "clip.mp4", frames), START, gate)


def test_only_plates_in_the_zone_are_followed_and_the_others_are_counted(decoder: Decoder, tmp_path: Path) -> None:
    result = look(decoder, tmp_path, Gate(zones=(LEFT,)))

    assert [track.reading.text for track in result.tracks] == ["A123BC77"]
    assert result.rejected == {"outside": 4}
    assert result.detections == 8


def test_plates_outside_of_vehicles_do_not_count_where_these_are_looked_for(decoder: Decoder, tmp_path: Path) -> None:
    result = look(decoder, tmp_path, OPEN, Cars())

    assert [track.reading.text for track in result.tracks] == ["A123BC77"]
    assert result.rejected == {"no-vehicle": 4}


def test_a_gate_on_confidence_drops_what_is_less_sure(decoder: Decoder, tmp_path: Path) -> None:
    assert len(look(decoder, tmp_path, OPEN).tracks) == 2
    result = look(decoder, tmp_path, Gate(min_confidence=1.0))

    assert (result.tracks, result.rejected, result.dropped) == ((), {"unsure": 2}, 2)


def test_every_reason_is_shown_from_the_start() -> None:
    metric_labels.start_at_zero("inference")

    shown = {sample.labels["reason"] for family in metrics.REJECTIONS.collect() for sample in family.samples}
    assert set(BOX_REASONS) | set(TRACK_REASONS) <= shown
