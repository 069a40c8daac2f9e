"""`plateflow evaluate plates`: the arithmetic on cases worked out by hand, and what bad input is answered
with."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from services.cli.evaluate import app
from services.inference.core.evaluation import (
    Found,
    PictureResult,
    edit_distance,
    evaluate,
    match,
    read_report,
)
from services.inference.core.shares import wilson
from services.inference.core.truth import TruePlate, TruthError, normalise, parse_truth
from services.inference.models import rapid_recogniser
from services.inference.models.recogniser import WEIGHTS
from services.inference.training.plates import render_plate
from services.inference.training.truth import crop_texts, detection_rows, recognition_rows, yolo_box

HEADER = "file,x,y,w,h,text"
words = st.text("ABC1", max_size=8)


def parse(*rows: str) -> dict[str, list[TruePlate]]:
    return parse_truth([HEADER, *rows], "gt.csv")


# ---- truth files -----------------------------------------------------------------


def test_several_plates_of_a_picture_are_rows_of_one_file() -> None:
    truth = parse("a.jpg,1,2,30,10,A 123-bc 77", "b.jpg,,,,,", "a.jpg,50,2,30,10,")

    assert truth == {
        "a.jpg": [TruePlate((1, 2, 30, 10), "A123BC77"), TruePlate((50, 2, 30, 10), "")],
        "b.jpg": [],
    }


def test_columns_may_come_in_any_order_and_with_others() -> None:
    truth = parse_truth(["text,h,w,y,x,file,note", "X1,4,3,2,1,a.jpg,blurred"], "gt.csv")

    assert truth == {"a.jpg": [TruePlate((1, 2, 3, 4), "X1")]}


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["file,x,y,w,text", "a,1,2,3,T"], "gt.csv, line 1: column h missing"),
        ([], "gt.csv, line 1: column file, x, y, w, h, text missing"),
        ([HEADER], "gt.csv: no pictures are named"),
        ([HEADER, "a,1,2,3,4,T", "b,1,2,3"], "gt.csv, line 3: the row has more or fewer fields"),
        ([HEADER, "a,1,2,3,4,T,U"], "gt.csv, line 2: the row has more or fewer fields"),
        ([HEADER, "a,1,2,x,4,T"], "gt.csv, line 2: x,y,w,h must be four numbers"),
        ([HEADER, "a,1,2,,4,T"], "gt.csv, line 2: x,y,w,h must be four numbers"),
        ([HEADER, "a,1,2,0,4,T"], "gt.csv, line 2: x,y,w,h must be finite and w,h positive"),
        ([HEADER, "a,1,nan,3,4,T"], "gt.csv, line 2: x,y,w,h must be finite"),
        ([HEADER, ",1,2,3,4,T"], "gt.csv, line 2: file is empty"),
        ([HEADER, "a,,,,,T"], "gt.csv, line 2: a text without a box"),
        ([HEADER, 'a,1,2,3,4,"T'], "gt.csv, line 2"),
    ],
)
def test_a_broken_truth_file_is_an_error_that_names_file_and_line(lines: list[str], complaint: str) -> None:
    with pytest.raises(TruthError) as error:
        parse_truth(lines, "gt.csv")

    assert complaint in str(error.value)


def test_a_label_in_parts_of_the_picture_becomes_pixels() -> None:
    assert yolo_box("0 0.5 0.25 0.2 0.1", width=200, height=100) == (80, 20, 40, 10)


def test_truth_is_made_of_labels_and_of_labelled_crops(tmp_path: Path) -> None:
    for name in ("one", "none"):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "one.txt").write_text("0 0.5 0.25 0.2 0.1\n")
    (tmp_path / "labels.csv").write_text("file,text,split,width,height\nc/1.jpg,A1,val,90,20\n")

    assert list(detection_rows(tmp_path, tmp_path)) == [
        ("none.jpg", "", "", "", "", ""),
        ("one.jpg", 80, 20, 40, 10, ""),
    ]
    (tmp_path / "crops.csv").write_text("file,text,split,width,height\nc/one_0.jpg,A1,val,40,10\n")
    with_text = detection_rows(tmp_path, tmp_path, crop_texts(tmp_path / "crops.csv"))
    assert list(with_text)[1] == ("one.jpg", 80, 20, 40, 10, "A1")
    assert list(recognition_rows(tmp_path / "labels.csv")) == [("c/1.jpg", 0, 0, "90", "20", "A1")]


# ---- arithmetic ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        # Worked out from the formula with z = 1.96: 9 of 10, 0 of 10, 10 of 10, 1 of 2.
        (9, 10, 0.5958, 0.9821),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 2, 0.0945, 0.9055),
    ],
)
def test_wilson_intervals_are_those_of_the_formula(part: int, whole: int, low: float, high: float) -> None:
    assert wilson(part, whole) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 300), st.data())
def test_a_wilson_interval_holds_its_share_and_mirrors(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    low, high = wilson(part, whole)

    assert 0 <= low <= part / whole <= high <= 1
    assert wilson(whole - part, whole) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("", "", 0),
        ("A1", "", 2),
        ("A123BC77", "A128BC77", 1),
        ("A123BC77", "A123BC177", 1),
        ("ABC", "CAB", 2),
    ],
)
def test_edits_are_counted(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b) == distance


@given(words, words, words)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def test_the_surer_detection_takes_the_plate_and_the_other_is_false() -> None:
    found = [Found((0, 0, 100, 20), 0.5), Found((4, 0, 100, 20), 0.9)]

    assert match([(0, 0, 100, 20)], found) == [1]


def test_a_detection_finds_one_plate_only_and_the_best_fitting() -> None:
    plates = [(0.0, 0.0, 100.0, 20.0), (10.0, 0.0, 100.0, 20.0)]

    assert match(plates, [Found((9, 0, 100, 20), 0.9)]) == [None, 0]
    assert match(plates, []) == [None, None]
    assert match([], [Found((9, 0, 100, 20), 0.9)]) == []


def test_half_overlap_is_enough_and_less_is_not() -> None:
    # 100 x 20 against 50 x 20 inside it: IoU exactly 0.5; against 49 x 20: 0.49.
    assert match([(0, 0, 100, 20)], [Found((0, 0, 50, 20), 0.9)]) == [0]
    assert match([(0, 0, 100, 20)], [Found((0, 0, 49, 20), 0.9)]) == [None]


def test_a_worked_example_gives_every_figure() -> None:
    here, there = (0.0, 0.0, 100.0, 20.0), (0.0, 50.0, 100.0, 20.0)
    pictures = [
        # One plate found and read right, one missed (right on its true box), one false alarm.
        PictureResult(
            [TruePlate(here, "A123BC77"), TruePlate(there, "B456")],
            ["A123BC77", "B456"],
            [Found(here, 0.9, "A123BC77"), Found((300, 0, 50, 20), 0.8, "TAXI")],
        ),
        # A plate that nobody can read counts for detection only; the other is misread by one character.
        PictureResult(
            [TruePlate(here, ""), TruePlate(there, "C78")],
            ["Q", "C7B"],
            [Found(here, 0.9, "Q"), Found(there, 0.7, "C78")],
        ),
        PictureResult([], [], []),
    ]

    report = evaluate(pictures).as_json()

    assert report["images"] == 3
    assert report["detection"]["recall_counts"] == [3, 4]
    assert report["detection"]["precision_counts"] == [3, 4]
    assert report["detection"]["recall"] == 0.75
    assert report["detection"]["recall_interval"] == pytest.approx([0.3006, 0.9544], abs=1e-4)
    assert report["text"]["exact_counts"] == [2, 3]
    assert report["text"]["cer"] == round(1 / 15, 4)
    assert report["end_to_end"]["exact_counts"] == [2, 3]
    assert report["end_to_end"]["cer"] == round(4 / 15, 4)


def test_where_there_is_nothing_to_measure_the_figures_are_null() -> None:
    report = evaluate([PictureResult([], [], [])]).as_json()

    assert report["detection"]["recall"] is None
    assert report["detection"]["precision_interval"] is None
    assert report["text"]["exact"] is report["text"]["cer"] is report["text"]["cer_interval"] is None


def test_the_error_rate_interval_is_the_same_each_time_and_holds_the_rate() -> None:
    pairs = [("A123", "A123"), ("B456", "B45"), ("C789", "C789"), ("D000", "E000")] * 5

    first, second = read_report(pairs), read_report(pairs)

    assert first == second
    assert first.cer == 10 / 80
    assert first.cer_interval is not None
    assert 0 < first.cer_interval[0] < 0.125 < first.cer_interval[1] < 0.3


def test_texts_that_are_all_right_have_no_errors_in_any_resample() -> None:
    assert read_report([("A1", "a 1"), ("B2", "B-2")]).cer_interval == (0, 0)


def test_separators_and_case_do_not_matter() -> None:
    assert normalise(" ab-12.c·d ") == "AB12CD"


# ---- the command -----------------------------------------------------------------


def run(images: Path, truth: Path, *options: str) -> Result:
    arguments = ["plates", "--images", str(images), "--truth", str(truth), "--device", "cpu", *options]
    return CliRunner().invoke(app, arguments)


def write_scene(path: Path, plate_width: int) -> tuple[int, int, int, int]:
    """A dark body with a drawn plate on a grey ground; gives the plate's box."""
    frame = np.full((480, 640, 3), 90, np.uint8)
    frame[120:440, 140:500] = (60, 40, 30)
    plate = render_plate("A123BC77", height=112).image
    tall = round(plate_width * plate.shape[0] / plate.shape[1])
    frame[300 : 300 + tall, 240 : 240 + plate_width] = cv2.resize(plate, (plate_width, tall))
    cv2.imwrite(str(path), frame)
    return 240, 300, plate_width, tall


def test_a_picture_with_a_drawn_plate_is_measured_and_reported_as_json(tmp_path: Path) -> None:
    box = write_scene(tmp_path / "a.png", 160)
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((480, 640, 3), 90, np.uint8))
    truth = tmp_path / "gt.csv"
    truth.write_text(f"{HEADER}\na.png,{','.join(map(str, box))},\nempty.png,,,,,\n")

    result = run(tmp_path, truth, "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["images"] == 2
    assert report["unreadable"] == 0
    assert report["detection"]["recall_counts"] == [1, 1]
    assert report["text"]["plates"] == 0


def test_the_text_of_a_drawn_plate_is_read_on_its_true_box_and_end_to_end(tmp_path: Path) -> None:
    box = write_scene(tmp_path / "a.png", 200)
    truth = tmp_path / "gt.csv"
    truth.write_text(f"{HEADER}\na.png,{','.join(map(str, box))},A123BC77\n")

    result = run(tmp_path, truth, "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["text"]["exact_counts"] == [1, 1]
    assert report["end_to_end"]["exact_counts"] == [1, 1]


@pytest.mark.skipif(not rapid_recogniser.available(), reason="rapidocr is not installed")
def test_another_engine_is_measured_by_the_same_command(tmp_path: Path) -> None:
    box = write_scene(tmp_path / "a.png", 200)
    truth = tmp_path / "gt.csv"
    truth.write_text(f"{HEADER}\na.png,{','.join(map(str, box))},A123BC77\n")

    result = run(tmp_path, truth, "--json", "--engine", "rapidocr")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["text"]["exact_counts"] == [1, 1]
    assert "rapid" not in result.stderr.lower()


def test_our_weights_for_another_engine_end_the_command_with_one_line_and_code_2(tmp_path: Path) -> None:
    truth = tmp_path / "gt.csv"
    truth.write_text(f"{HEADER}\na.png,1,1,9,9,A123BC77\n")

    result = run(tmp_path, truth, "--engine", "rapidocr", "--recogniser", str(WEIGHTS))

    assert result.exit_code == 2
    assert "brings its own weights" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_picture_that_does_not_decode_is_named_and_counted_and_the_rest_is_measured(tmp_path: Path) -> None:
    box = write_scene(tmp_path / "a.png", 160)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    truth = tmp_path / "gt.csv"
    truth.write_text(f"{HEADER}\nbroken.png,1,1,9,9,\na.png,{','.join(map(str, box))},\nmissing.png,,,,,\n")

    result = run(tmp_path, truth, "--json")

    assert result.exit_code == 2
    report = json.loads(result.stdout.splitlines()[-1])
    assert (report["images"], report["unreadable"]) == (1, 2)
    assert report["detection"]["recall_counts"] == [1, 1]
    flat = result.stderr.replace("\n", "")
    assert "broken.png" in flat
    assert "missing.png" in flat


@pytest.mark.parametrize("content", ["file,x\n", f"{HEADER}\na.png,1\n", ""])
def test_a_bad_truth_file_ends_the_command_with_one_line_and_code_2(tmp_path: Path, content: str) -> None:
    truth = tmp_path / "gt.csv"
    truth.write_text(content)

    result = run(tmp_path, truth)

    assert result.exit_code == 2
    assert "gt.csv" in result.stderr
    assert "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1


def test_folders_files_and_bytes_that_are_not_there_or_not_text_are_named(tmp_path: Path) -> None:
    truth = tmp_path / "gt.csv"
    truth.write_bytes(b"\xff\xfe\x00")

    assert "not UTF-8" in run(tmp_path, truth).stderr
    assert "--truth" in run(tmp_path, tmp_path / "none.csv").stderr
    assert "--images" in run(tmp_path / "none", truth).stderr
