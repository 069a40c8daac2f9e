"""Defects of the older programs that concern `plateflow run`, each with the test that shows it is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

INPUTS, OUTPUTS, WHOLE = "cli/test_run_inputs.py", "cli/test_run_outputs.py", "cli/test_run_whole.py"
LIVE, PIPELINE, OTHERS = (
    "inference/test_decode_live.py",
    "inference/test_pipeline.py",
    "inference/test_other_objects.py",
)
DEFECTS = {
    "A.5.1 no is yes": (INPUTS, "test_a_mistake_is_told_in_a_sentence"),
    "A.5.2 order of corners": (OUTPUTS, "test_corners_are_written_as_the_older_program_reads_them"),
    "A.5.7 names with blanks": (OUTPUTS, "test_corners_are_written_as_the_older_program_reads_them"),
    "A.5.8 rate cut off": (OUTPUTS, "test_a_frame_rate_is_not_cut_off"),
    "A.5.9 a crash loses all": (WHOLE, "test_a_kill_loses_the_recording_at_hand_at_most_and_append_makes_it_whole"),
    "A.5.10 no reconnect, lag": (LIVE, "test_a_stream_is_sampled_by_the_clock_and_never_lags"),
    "A.5.11 Ctrl+C while reading": (LIVE, "test_whoever_stops_a_stream_has_its_frames_and_its_end"),
    "K.4.2 ghosts": (OUTPUTS, "test_positions_are_those_of_objects_in_the_picture_and_no_others"),
    "K.4.5 appended unasked": (OUTPUTS, "test_a_second_run_replaces_the_table_and_append_continues_it"),
    "K.4.7 endless traces, K.4.9 rate 0": (OUTPUTS, "test_the_rate_is_told_from_the_second_frame_on_and_traces_end"),
    "K.4.10 cut to integers, off the map": (
        OUTPUTS, "test_positions_lie_on_the_plan_of_a_calibrated_camera_and_none_off_it",
    ),
    "V.5.2 first reading locks": (PIPELINE, "test_a_wrong_first_reading_is_out_voted"),
    "V.5.4 equal text only": (OUTPUTS, "test_a_plate_counts_once_within_the_window_and_the_fuller_reading_stands"),
    "V.5.7 rows out of order": (OUTPUTS, "test_the_event_table_has_a_row_for_each_vehicle_in_order_of_time"),
    "V.5.8 time by frame count": (INPUTS, "test_a_variable_frame_rate_keeps_the_times_of_the_frames"),
    "V.5.9 any object a plate": (OTHERS, "test_persons_and_cars_are_followed_and_not_read"),
    "V.5.10 a gap is a new vehicle": (PIPELINE, "test_a_vehicle_hidden_for_some_seconds_is_still_one_track"),
    "V.5.12 no stream, video": (WHOLE, "test_a_stream_is_read_until_it_is_told_to_end_through_a_cut"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_test_stands_against_each_defect(defect: str) -> None:
    file, name = DEFECTS[defect]
    assert f"def {name}(" in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
