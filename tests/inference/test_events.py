"""`plateflow evaluate events` and `tracks`: pairing of vehicles and events, the lists they come from, the commands."""

from __future__ import annotations

import json
import random
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from services.cli.evaluate import app
from services.inference.core.event_files import parse_clock, parse_events, parse_vehicles
from services.inference.core.events import Event, Vehicle, alike, compare
from services.inference.core.truth import TruthError
from services.simulator.clips import render
from services.simulator.traffic import timetable

REFERENCE = "time_start;time_detect;time_end;plate_num;is_vehicle"
texts = st.text("A1#", min_size=1, max_size=3)
times = st.integers(0, 12)
vehicles = st.lists(st.builds(lambda a, b, t: Vehicle(min(a, b), max(a, b), t), times, times, texts), max_size=5)
events = st.lists(st.builds(lambda a, t: Event(a, a, t), times, texts), max_size=5)


# ---- pairing ---------------------------------------------------------------------


def test_an_event_is_right_within_the_time_of_a_vehicle_with_its_text() -> None:
    seen = [Vehicle(1000, 2000, "A123BC77"), Vehicle(5000, 6000, "B456DE99")]
    report = compare(seen, [Event(1000, 1000, "A123BC77"), Event(6001, 6001, "B456DE99")])

    assert [one.text for one, _ in report.pairs] == ["A123BC77"]
    assert report.missed == (seen[1],)
    assert report.false == (Event(6001, 6001, "B456DE99"),)
    assert report.repeated == ()
    assert len(compare(seen, list(report.events), slack_ms=1).pairs) == 2


def test_a_second_right_event_of_a_vehicle_is_false_and_called_repeated() -> None:
    report = compare([Vehicle(0, 9, "A1")], [Event(1, 1, "A1"), Event(2, 2, "A1"), Event(3, 3, "B1")])

    assert len(report.pairs) == 1
    assert {one.text for one in report.false} == {"A1", "B1"}
    assert [one.text for one in report.repeated] == ["A1"]


def test_an_event_that_fits_two_vehicles_leaves_the_other_event_to_the_other_vehicle() -> None:
    report = compare([Vehicle(0, 9, "A##"), Vehicle(0, 9, "A12")], [Event(1, 1, "A12"), Event(1, 1, "A34")])

    assert len(report.pairs) == 2


def test_events_of_another_clip_never_fit() -> None:
    assert not compare([Vehicle(0, 9, "A1", clip="one")], [Event(1, 1, "A1", "two")]).pairs


def test_unread_characters_stand_for_any_one_character_and_count_as_wrong_ones() -> None:
    assert alike("A123BC77", "A1#3BC77")
    assert alike("A#", "a-1")
    assert not alike("A123BC77", "A1#BC77")
    report = compare([Vehicle(0, 9, "A123")], [Event(1, 1, "A1#3")])
    assert (len(report.pairs), report.cer) == (1, 0.25)


def test_characters_of_a_vehicle_without_any_event_in_its_time_are_all_wrong() -> None:
    report = compare([Vehicle(0, 9, "A123"), Vehicle(20, 29, "B456")], [Event(1, 1, "A129")])

    assert report.cer == 5 / 8


def test_time_is_compared_with_the_moment_from_which_on_the_plate_could_be_read() -> None:
    seen = [Vehicle(0, 9000, "A1", detect_ms=2000), Vehicle(0, 9000, "B1")]

    assert compare(seen, [Event(2500, 3000, "A1"), Event(1, 1, "B1")]).timing_ms == 500
    assert compare(seen[1:], [Event(1, 1, "B1")]).timing_ms is None


@given(vehicles, events)
def test_no_pairing_has_more_pairs_than_the_one_that_counts(seen: list[Vehicle], told: list[Event]) -> None:
    def right(vehicle: Vehicle, event: Event) -> bool:
        return vehicle.start_ms <= event.start_ms <= vehicle.end_ms and alike(vehicle.text, event.text)

    short, long, turned = (seen, told, False) if len(seen) <= len(told) else (told, seen, True)
    best = max(
        sum(right(b, a) if turned else right(a, b) for a, b in zip(short, order, strict=True))  # type: ignore[arg-type]
        for order in permutations(long, len(short))
    )

    report = compare(seen, told)
    assert len(report.pairs) == best
    assert len(report.pairs) + len(report.missed) == len(seen)
    assert len(report.pairs) + len(report.false) == len(told)


@given(vehicles, events, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_figure(seen: list[Vehicle], told: list[Event], chance: random.Random) -> None:
    first = compare(seen, told)
    chance.shuffle(seen)
    chance.shuffle(told)
    second = compare(seen, told)

    assert (first.recall, first.precision, first.f1) == (second.recall, second.precision, second.f1)


# ---- the lists -------------------------------------------------------------------


def test_a_reference_is_read_with_its_times_and_without_what_is_no_vehicle() -> None:
    rows = [REFERENCE, "00:40.13;00:41.12;00:48.22;P069XO73;1", "01:00.00;;01:01.00;A111AA77;0", "1:02:03;;3723.5;k#;1"]

    assert parse_vehicles(rows, "ref.csv") == [
        Vehicle(40_130, 48_220, "P069XO73", 41_120),
        Vehicle(3_723_000, 3_723_500, "K#"),
    ]


def test_with_a_frame_rate_the_part_behind_the_point_is_a_frame() -> None:
    assert parse_clock("00:41.12", frame_rate=25) == 41_480
    assert parse_clock("00:41.12") == 41_120


def test_columns_may_be_parted_by_commas_and_name_the_clip() -> None:
    (event,) = parse_events(["file,time,plate_num", "cam/one.mp4,1.5,a 1"], "out.csv")

    assert event == Event(1500, 1500, "A1", "one")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "ref.csv, line 1: column time_start, time_end, plate_num missing"),
        ([REFERENCE], "ref.csv: no vehicles are named"),
        ([REFERENCE, "1;2;3;A1"], "ref.csv, line 2: the row has more or fewer fields"),
        ([REFERENCE, "1;2;3;A1;1", "3;;2;A1;1"], "ref.csv, line 3: time_end 2 lies before time_start 3"),
        ([REFERENCE, "x;;2;A1;1"], "ref.csv, line 2: 'x' is no time, as 01:23.45 or 83.45"),
        ([REFERENCE, "-1;;2;A1;1"], "ref.csv, line 2: '-1' is no time"),
        ([REFERENCE, "1;;2;;1"], "ref.csv, line 2: plate_num is empty"),
        ([REFERENCE, '1;;2;"A1;1'], "ref.csv, line 2"),
    ],
)
def test_a_broken_reference_is_an_error_that_names_file_and_line(lines: list[str], complaint: str) -> None:
    with pytest.raises(TruthError) as error:
        parse_vehicles(lines, "ref.csv")

    assert complaint in str(error.value)


@given(st.text("0123456789:.;x", max_size=12))
def test_any_text_is_a_time_or_a_clear_complaint(text: str) -> None:
    try:
        assert parse_clock(text, 25) >= 0
    except ValueError as error:
        assert "is no time" in str(error)


# ---- the commands ----------------------------------------------------------------


def evaluate(*options: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in options])


def test_events_are_compared_with_a_reference_and_reported_as_json(tmp_path: Path) -> None:
    truth, found = tmp_path / "ref.csv", tmp_path / "out.csv"
    truth.write_text(f"{REFERENCE}\n00:01.00;00:01.50;00:04.00;A123BC77;1\n00:09.00;;00:12.00;B456DE99;1\n")
    found.write_text("time;plate_num\n00:01.75;A1#3BC77\n00:03.00;A123BC77\n00:30.00;X999XX99\n")

    result = evaluate("events", "--events", found, "--truth", truth, "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert (report["vehicles"], report["events"], report["true_positives"]) == (2, 3, 1)
    assert (report["missed"], report["false"], report["repeated"]) == (1, 2, 1)
    assert report["recall_counts"] == [1, 2]
    assert report["f1"] == 0.4
    assert "X999XX99" in result.stdout


def test_a_list_that_is_not_there_or_broken_is_one_line_and_code_2(tmp_path: Path) -> None:
    broken = tmp_path / "ref.csv"
    broken.write_text("time_start\n")

    for result in (
        evaluate("events", "--events", tmp_path / "none.csv", "--truth", broken),
        evaluate("tracks", "--clips", tmp_path, "--truth", broken),
        evaluate("tracks", "--clips", tmp_path / "none", "--truth", tmp_path / "none.csv"),
    ):
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 1
        assert "Traceback" not in result.output


def test_clips_with_known_vehicles_are_measured_and_a_broken_one_is_left_out(tmp_path: Path) -> None:
    recordings = [one for one in timetable(1, 1) if one.vehicles][:1]
    truth = render(recordings, tmp_path, 1, workers=1)
    (tmp_path / "broken.mp4").write_bytes(b"no clip")

    result = evaluate("tracks", "--clips", tmp_path, "--truth", tmp_path / "truth.csv", "--json")

    assert result.exit_code == 2
    assert "broken.mp4" in result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    expected = len(truth.recordings[0].passages)
    assert expected > 0
    assert report["recall_counts"] == [expected, expected]
    assert (report["clips"], report["unreadable"], report["false"]) == (1, 1, 0)
