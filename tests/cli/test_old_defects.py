"""Every defect known of three older programs, each with the tests that show it is not ours.

A is heatmap-location-car-plates, K kerberos-io/heatmap, V volga-anpr. The tests stand where their subject is; those
that concern no single part are below.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from typer.main import get_command

from services.cli import run as run_command
from services.cli import serve as serve_command
from services.cli.__main__ import COMMANDS, load
from services.inference.core.tracker import TrackBox, Tracker
from services.inference.settings import PipelineSettings
from tests.cli.command import Plateflow
from tests.support.cache import REPOSITORY
from tests.support.plates import BLUE, GREEN, RED, scene
from tests.support.video import road, write_clip

HERE, RUN, INPUTS = "cli/test_old_defects.py", "cli/test_run.py", "cli/test_run_inputs.py"
OUTPUTS, WHOLE, MAIN = "cli/test_run_outputs.py", "cli/test_run_whole.py", "cli/test_main.py"
HEATMAP, QUAD_FILES, CALIBRATE = "cli/test_heatmap.py", "cli/test_heatmap_quads.py", "cli/test_calibrate.py"
QUADS, AGGREGATE, HOMOGRAPHY = (
    "aggregator/test_quads.py",
    "aggregator/test_aggregate.py",
    "aggregator/test_homography.py",
)
DECODE, LIVE, PHOTOS = "inference/test_decode.py", "inference/test_decode_live.py", "inference/test_decode_photos.py"
PIPELINE, TRACKER, VOTE = "inference/test_pipeline.py", "inference/test_tracker.py", "inference/test_vote.py"
RERANK, DETECTOR, READER = "inference/test_rerank.py", "inference/test_detector.py", "inference/test_recogniser.py"
OTHERS, STREAMS = "inference/test_other_objects.py", "cli/test_run_streams.py"

DEFECTS: dict[str, list[tuple[str, str]]] = {
    "A.5.1 no is yes": [
        (INPUTS, "test_a_mistake_is_told_in_a_sentence"),
        (QUAD_FILES, "test_a_switch_takes_no_word_that_would_turn_it_on"),
    ],
    "A.5.2 the order of corners decides": [
        (OUTPUTS, "test_corners_are_written_as_the_older_program_reads_them"),
        (QUADS, "test_the_density_does_not_depend_on_the_order_of_the_corners"),
        (QUADS, "test_thin_quads_and_those_outside_the_frame_are_left_out_and_counted"),
    ],
    "A.5.3 a parked car is the hottest": [
        (HERE, "test_a_parked_car_is_one_vehicle_and_need_not_be_the_hottest"),
        (AGGREGATE, "test_a_cell_counts_sightings_vehicles_and_dwell"),
    ],
    "A.5.4 cells that are not k": [
        (QUADS, "test_cells_are_squares_of_k_pixels_but_for_those_that_end_with_the_frame"),
        (QUADS, "test_a_cell_that_fits_in_no_frame_is_refused_with_what_would"),
        (QUAD_FILES, "test_a_mistake_in_the_command_is_told"),
    ],
    "A.5.5 holes at small k": [
        (QUADS, "test_a_plate_leaves_no_holes_however_small_the_cells"),
        (QUADS, "test_what_the_cells_hold_is_the_area_within_the_frame"),
    ],
    "A.5.6 no scene below, upside down": [
        (HEATMAP, "test_a_background_shows_through"),
        (QUAD_FILES, "test_ours_may_be_named_and_lie_over_a_frame"),
        (QUAD_FILES, "test_the_first_line_of_the_grid_is_the_top_of_the_picture_in_either_mode"),
    ],
    "A.5.7 names with blanks, addresses": [
        (OUTPUTS, "test_corners_are_written_as_the_older_program_reads_them"),
        (QUAD_FILES, "test_a_name_with_blanks_and_a_broken_frame_rate_are_kept_as_they_are"),
        (QUAD_FILES, "test_a_video_whose_name_is_an_address_leads_to_files_in_the_folder"),
        (STREAMS, "test_a_stream_is_read_until_it_is_told_to_end_through_a_cut"),
    ],
    "A.5.8 rate cut off": [(OUTPUTS, "test_a_frame_rate_is_not_cut_off")],
    "A.5.9 a crash loses all, no going on": [
        (WHOLE, "test_a_kill_loses_the_recording_at_hand_at_most_and_append_makes_it_whole"),
    ],
    "A.5.10 no reconnect, lag, no times": [
        (LIVE, "test_a_stream_is_sampled_by_the_clock_and_never_lags"),
        (LIVE, "test_a_stream_that_is_cut_off_goes_on_when_it_is_there_again"),
        (STREAMS, "test_a_stream_is_read_until_it_is_told_to_end_through_a_cut"),
    ],
    "A.5.11 time of a failed read, Ctrl+C while reading": [
        (LIVE, "test_whoever_stops_a_stream_has_its_frames_and_its_end"),
        (DECODE, "test_duration_reaches_to_the_end_of_the_last_frame"),
        (DECODE, "test_a_cut_off_clip_with_its_index_in_front_notes_where_it_ends"),
        (RUN, "test_ctrl_c_keeps_what_is_done_also_of_the_recording_at_hand"),
    ],
    "A.5.12 models by import, by network, of no version": [
        (HERE, "test_a_first_run_asks_no_network"),
        (MAIN, "test_help_loads_no_command"),
        (DETECTOR, "test_shipped_weights_that_differ_from_their_card_are_refused"),
        (READER, "test_weights_that_are_not_the_cards_are_refused"),
    ],
    "A.5.13 no area, no figures": [
        (QUAD_FILES, "test_the_most_significant_area_is_marked_told_and_exported"),
        (QUAD_FILES, "test_the_grid_of_sightings_is_exported_as_well"),
    ],
    "K.4.1 a crash at the end of every video": [
        (INPUTS, "test_each_of_seven_kinds_of_video_is_read"),
        (DECODE, "test_a_cut_off_fragmented_clip_gives_the_frames_it_has_and_says_so"),
    ],
    "K.4.2 ghosts": [(OUTPUTS, "test_positions_are_those_of_objects_in_the_picture_and_no_others")],
    "K.4.3 newcomers not taken, leavers not aged": [
        (HERE, "test_a_newcomer_is_taken_whoever_else_is_there"),
        (HERE, "test_who_has_left_is_forgotten_however_many_come"),
        (TRACKER, "test_the_gap_is_time_and_not_a_number_of_frames"),
    ],
    "K.4.4 a bad homography, unchecked": [
        (CALIBRATE, "test_the_older_programs_pairs_are_told_to_be_bad_and_which_to_drop"),
        (HOMOGRAPHY, "test_a_wrong_pair_is_left_out_and_reported"),
        (RUN, "test_how_well_the_ground_is_known_is_told"),
    ],
    "K.4.5 appended unasked": [(OUTPUTS, "test_a_second_run_replaces_the_table_and_append_continues_it")],
    "K.4.6 all fixed in the code, runs by import": [
        (HERE, "test_to_import_a_command_runs_nothing"),
        (WHOLE, "test_persons_and_cars_get_tracks_positions_and_a_heatmap_each"),
        (OUTPUTS, "test_positions_lie_on_the_plan_of_a_calibrated_camera_and_none_off_it"),
    ],
    "K.4.7 endless traces": [(OUTPUTS, "test_the_rate_is_told_from_the_second_frame_on_and_traces_end")],
    "K.4.8 suppression by place": [
        (DETECTOR, "test_suppression_keeps_the_best_of_overlapping_boxes"),
        (DETECTOR, "test_suppressed_boxes_overlap_a_better_kept_one"),
        (DETECTOR, "test_no_frames_give_no_answers"),
    ],
    "K.4.9 rate 0": [(OUTPUTS, "test_the_rate_is_told_from_the_second_frame_on_and_traces_end")],
    "K.4.10 cut to integers, off the map": [
        (OUTPUTS, "test_positions_lie_on_the_plan_of_a_calibrated_camera_and_none_off_it"),
    ],
    "V.5.1 the page says other than the code, a run needs the internet": [
        (HERE, "test_the_pages_name_only_options_that_there_are"),
        (HERE, "test_help_names_the_defaults_that_hold"),
        (HERE, "test_a_first_run_asks_no_network"),
    ],
    "V.5.2 the first reading locks": [(PIPELINE, "test_a_wrong_first_reading_is_out_voted")],
    "V.5.3 another length throws votes away": [
        (VOTE, "test_a_missed_character_does_not_shift_the_others"),
        (VOTE, "test_a_character_that_most_did_not_see_is_left_out"),
        (VOTE, "test_readings_of_two_lengths_keep_all_their_votes"),
    ],
    "V.5.4 equal text only": [
        (OUTPUTS, "test_a_plate_counts_once_within_the_window_and_the_fuller_reading_stands"),
    ],
    "V.5.5 anything is a plate, rows of nothing": [
        (HERE, "test_what_was_not_read_is_no_row_of_hashes"),
        (PIPELINE, "test_tracks_that_are_not_worth_publishing_are_counted"),
        (OUTPUTS, "test_what_is_no_plate_makes_no_event"),
    ],
    "V.5.6 guesses are written as certain": [
        (RERANK, "test_a_sure_character_is_never_rewritten"),
        (RERANK, "test_equal_evidence_within_a_format_stays_undecided"),
        (RERANK, "test_a_near_tied_look_alike_is_settled_by_the_format_and_raw_keeps_what_led"),
    ],
    "V.5.7 rows out of order, fields left out": [
        (OUTPUTS, "test_the_event_table_has_a_row_for_each_vehicle_in_order_of_time"),
        (RUN, "test_the_table_for_spreadsheets_says_the_same"),
    ],
    "V.5.8 time by frame count": [
        (INPUTS, "test_a_variable_frame_rate_keeps_the_times_of_the_frames"),
        (TRACKER, "test_the_gap_is_time_and_not_a_number_of_frames"),
    ],
    "V.5.9 any object a plate": [(OTHERS, "test_persons_and_cars_are_followed_and_not_read")],
    "V.5.10 a gap is a new vehicle": [
        (PIPELINE, "test_a_vehicle_hidden_for_some_seconds_is_still_one_track"),
        (TRACKER, "test_a_plate_keeps_its_number_at_4_fps_where_its_boxes_never_overlap"),
    ],
    "V.5.11 small plates dropped in silence, one format": [
        (HERE, "test_a_small_plate_is_followed_and_too_small_ones_are_told"),
        (READER, "test_clean_plates_of_two_rows_are_read_from_above"),
        (READER, "test_clean_plates_of_every_style_of_one_row_are_read_nearly_all"),
        (RERANK, "test_formats_change_only_what_is_near_tied"),
    ],
    "V.5.12 no stream, video, JSON": [
        (STREAMS, "test_a_stream_is_read_until_it_is_told_to_end_through_a_cut"),
        (OUTPUTS, "test_an_annotated_video_has_each_frame_at_its_time_with_boxes"),
        (RUN, "test_the_json_object_is_all_of_stdout_and_tells_the_passage"),
    ],
}
LISTS = {"A.5": 13, "K.4": 10, "V.5": 12}
"""How many defects each of the lists has."""


@pytest.mark.parametrize("defect", DEFECTS)
def test_tests_stand_against_each_defect(defect: str) -> None:
    for file, name in DEFECTS[defect]:
        assert f"def {name}(" in (Path(__file__).parents[1] / file).read_text(encoding="utf-8"), (file, name)


def test_no_defect_is_left_out() -> None:
    numbers = [defect.split()[0] for defect in DEFECTS]

    assert numbers == [f"{which}.{k}" for which, count in LISTS.items() for k in range(1, count + 1)]


# ---- heat --------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("colours")
def test_a_parked_car_is_one_vehicle_and_need_not_be_the_hottest(tmp_path: Path, plateflow: Plateflow) -> None:
    """One stands for ten seconds, two drive by one after the other along another line."""
    parked = (BLUE, 60, 60)
    driving = [(RED, 40 + 20 * k, 180) for k in range(13)] + [(GREEN, 40 + 20 * k, 180) for k in range(13)]
    frames = [(k * 400, scene(parked, one)) for k, one in enumerate(driving)]
    write_clip(tmp_path / "gate.mp4", frames)
    (tmp_path / "cameras.yaml").write_text("gate: {cell: 40}\n")

    assert plateflow("run", tmp_path / "gate.mp4", "--cameras", tmp_path / "cameras.yaml", "--out", tmp_path / "o") == 0
    hottest = "SELECT gy, {0} FROM '{1}/heatmap/**/*.parquet' ORDER BY {0} DESC, gy"

    def cells(weight: str) -> list[tuple[int, int]]:
        return duckdb.connect().execute(hottest.format(weight, tmp_path / "o")).fetchall()

    assert cells("count")[0] == (1, len(frames)), "by sightings the parked car's cell leads"
    assert cells("passages")[0] == (4, 2), "by vehicles the lane does"
    assert (1, 1) in cells("passages"), "in which the parked car is one"


# ---- tracks ------------------------------------------------------------------------------------------------
def place(x: float, y: float) -> TrackBox:
    return TrackBox(x, y, 100, 22, 0.9)


def test_a_newcomer_is_taken_whoever_else_is_there() -> None:
    """Three stand there; two of them are hidden when a fourth comes: fewer boxes than tracks."""
    tracker = Tracker()
    three = [place(100, 100), place(100, 300), place(100, 500)]
    for time_ms in (0, 250, 500):
        assert tracker.update(time_ms, three) == [0, 1, 2]

    assert tracker.update(750, [three[0], place(1500, 900)]) == [0, 3]


def test_who_has_left_is_forgotten_however_many_come() -> None:
    """One stands there and leaves while two others come: more boxes than tracks."""
    tracker = Tracker()
    for time_ms in (0, 250, 500):
        tracker.update(time_ms, [place(100, 100)])
    come = [place(900, 500), place(900, 900)]
    for time_ms in range(750, 20_000, 250):
        assert tracker.update(time_ms, come) == [1, 2]

    assert set(tracker.living()) == {1, 2}


# ---- readings ----------------------------------------------------------------------------------------------
def test_what_was_not_read_is_no_row_of_hashes(tmp_path: Path, plateflow: Plateflow) -> None:
    """With the shipped networks: what looks like a plate from afar and has no letters, seen to the end of the video."""
    image = road(640, 360)
    image[170:192, 250:350] = 250
    write_clip(tmp_path / "blank.mp4", [(k * 250, image) for k in range(8)])

    assert plateflow("run", tmp_path / "blank.mp4", "--csv", tmp_path / "t.csv", "--device", "cpu", "--json") == 0
    assert (tmp_path / "t.csv").read_text() == "time;plate_num\n"
    assert plateflow.answer["passages"] == []


@pytest.mark.usefixtures("colours")
def test_a_small_plate_is_followed_and_too_small_ones_are_told(
    tmp_path: Path, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_clip(tmp_path / "a.mp4", [(k * 250, scene((BLUE, 100 + 20 * k, 100))) for k in range(8)])
    half = ("run", video, "--max-width", "160", "--json")

    assert plateflow(*half) == 0
    assert [one["plate"] for one in plateflow.answer["passages"]] == ["A123BC77"], "30 x 8 pixels"
    monkeypatch.setenv("PLATEFLOW_MIN_PLATE_WIDTH", "40")
    assert plateflow(*half) == 0
    assert plateflow.answer["passages"] == []
    assert "8 boxes too small to read" in plateflow.err


# ---- the whole ---------------------------------------------------------------------------------------------
OFFLINE = """
import sys
def offline(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect" and isinstance(arguments[1], tuple):
        print("asked the network:", arguments, file=sys.stderr, flush=True)
        raise OSError("there is no network here")
sys.addaudithook(offline)
"""
"""Every Python of a run begins with it, the decoder's child too."""


def test_a_first_run_asks_no_network(tmp_path: Path) -> None:
    """With an empty home and no network at all: the models are there and no other is asked for."""
    write_clip(tmp_path / "road.mp4", [(k * 250, road()) for k in range(4)])
    (tmp_path / "sitecustomize.py").write_text(OFFLINE)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)}
    environment["PYTHONPATH"] += f"{os.pathsep}{REPOSITORY}"
    command = ["-m", "services.cli", "run", str(tmp_path / "road.mp4"), "--out", str(tmp_path / "out"), "--json"]

    proof = subprocess.run(
        [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "there is no network here" in proof.stderr
    ran = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "asked the network" not in ran.stderr
    assert '"frames": 4' in ran.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_to_import_a_command_runs_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    load(name)
    assert capsys.readouterr() == ("", "")


def test_the_pages_name_only_options_that_there_are() -> None:
    names = [name for one in get_command(run_command.app).params for name in (*one.opts, *one.secondary_opts)]
    assert len(names) == len(set(names)), "no option stands for two things"
    served = [name for one in get_command(serve_command.app).params for name in one.opts]
    options = {name for name in (*names, *served) if name.startswith("--")}
    page = (REPOSITORY / "docs" / "run.md").read_text(encoding="utf-8")

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert named - options == {"--help"}
    assert options - named == set(), "each option has its place on the page"


def test_help_names_the_defaults_that_hold(plateflow: Plateflow) -> None:
    assert plateflow("run", "--help") == 0
    told = " ".join(re.sub(r"[│╭╮╰╯─\n]", " ", plateflow.out).split())

    assert f"0: all. Else {PipelineSettings().sample_fps:g}." in told
    assert "each time. Else 200." in told
