"""What `plateflow run` takes names for: which files, whose camera, which start."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.inputs import Found, Source, Starts, expand, find

NEW = "1700000000_3-250_gate_north_402-263-405-280_2906_4500.mp4"
OLD = "1600000000_6-967003_gate_north_200-200-400-400_24_769.mp4"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(folder: Path, found: Found) -> list[str]:
    return [str(source.path.relative_to(folder)) for source in found.sources]


def reasons(found: Found) -> list[str]:
    return [fault.reason for fault in found.faults]


def test_a_folder_gives_all_videos_below_in_order_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a/z.mkv", "a/b/c.ts", "a.avi", "notes.txt", "a/x.mov", "x.m4v", "y.webm", "z.mp3")

    assert names(tmp_path, find([str(tmp_path)])) == [
        "a/b/c.ts", "a/x.mov", "a/z.mkv", "a.avi", "b.MP4", "x.m4v", "y.webm",
    ]  # fmt: skip


def test_a_pattern_is_expanded_also_across_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/c/2.mp4", "b/3.txt", "b/5.txt", "4.mp4")

    assert names(tmp_path, find([f"{tmp_path}/**/*"])) == ["4.mp4", "a/1.mp4", "b/c/2.mp4"]
    assert names(tmp_path, find([f"{tmp_path}/b/*"])) == ["b/c/2.mp4"]
    assert reasons(find([f"{tmp_path}/*.mov"])) == ["nothing matches"]
    assert "no video file or photo matches" in reasons(find([f"{tmp_path}/[b]*/*.tx[t]*", f"{tmp_path}/4.mp4"]))[0]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "clip [1].mp4", "clip 1.mp4")

    assert expand(f"{tmp_path}/clip [1].mp4") == [tmp_path / "clip [1].mp4"]


def test_a_file_that_is_named_is_tried_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path, "recording.dat")

    assert names(tmp_path, find([f"{tmp_path}/recording.dat"])) == ["recording.dat"]


def test_what_is_not_there_is_told_and_the_rest_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "none").mkdir()

    found = find([f"{tmp_path}/missing.mp4", f"{tmp_path}/none", f"{tmp_path}/a.mp4"])

    assert names(tmp_path, found) == ["a.mp4"]
    assert reasons(found)[0] == "no such file or folder"
    assert "no video file or photo in this folder" in reasons(found)[1]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")

    assert len(find([f"{tmp_path}/a.mp4", str(tmp_path), f"{tmp_path}/*.mp4"]).sources) == 1


def test_a_file_named_as_kerberos_does_tells_camera_and_start_and_is_its_own_key(tmp_path: Path) -> None:
    touch(tmp_path, f"site/{NEW}")

    (source,) = find([str(tmp_path)]).sources

    assert source == Source(tmp_path / "site" / NEW, f"site/{NEW}", "site/gate_north", 1_700_000_000_250)


def test_recordings_come_in_order_of_their_start_after_plain_files(tmp_path: Path) -> None:
    touch(tmp_path, f"site/{NEW}", f"site/{OLD}", "zebra.mp4")

    assert names(tmp_path, find([str(tmp_path)])) == ["zebra.mp4", f"site/{OLD}", f"site/{NEW}"]


def test_the_same_recording_in_two_places_is_read_once_and_told(tmp_path: Path) -> None:
    touch(tmp_path, f"one/site/{NEW}", f"two/site/{NEW}")

    found = find([str(tmp_path)])

    assert names(tmp_path, found) == [f"one/site/{NEW}"]
    assert "the same recording" in found.notes[0]


def test_what_vault_made_of_a_recording_is_left_out_of_a_folder_and_told(tmp_path: Path) -> None:
    touch(tmp_path, f"site/{NEW}", f"site/{NEW[:-4]}_redacted.mp4")

    found = find([str(tmp_path)])

    assert names(tmp_path, found) == [f"site/{NEW}"]
    assert "redacted" in found.notes[0]
    assert len(find([f"{tmp_path}/site/{NEW[:-4]}_redacted.mp4"]).sources) == 1, "named itself, it is wanted"


def test_plain_files_of_one_name_are_one_camera_but_different_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "x/day/gate.mp4", "y/day/gate.mp4")

    sources = find([str(tmp_path)]).sources

    assert [source.camera for source in sources] == ["gate", "gate"]
    assert [source.key for source in sources] == ["day/gate.mp4", "y/day/gate.mp4"]


def test_a_camera_that_is_told_is_the_camera_of_everything(tmp_path: Path) -> None:
    touch(tmp_path, f"site/{NEW}", "a.mp4")

    sources = find([str(tmp_path)], camera="yard").sources

    assert [(source.camera, source.start_ms) for source in sources] == [("yard", None), ("yard", 1_700_000_000_250)]


@pytest.mark.parametrize(("told", "start_ms"), [(True, 1_700_000_000_000), (False, None)])
def test_a_time_at_the_beginning_of_a_plain_name_is_its_start_unless_another_is_told(
    told: bool, start_ms: int | None, tmp_path: Path
) -> None:
    touch(tmp_path, "1700000000 holiday.mp4")

    (source,) = find([str(tmp_path)], times_in_names=told).sources

    assert source.start_ms == start_ms


def test_a_name_with_a_line_break_is_refused_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "a\nb.mp4", "c.mp4")

    found = find([str(tmp_path)])

    assert names(tmp_path, found) == ["c.mp4"]
    assert "\n" not in found.faults[0].name and "rename it" in found.faults[0].reason


@given(st.integers(0, 10**13), st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 10**7)), max_size=12))
def test_plain_files_of_a_camera_never_overlap(first_ms: int, clips: list[tuple[str, int]]) -> None:
    starts = Starts(first_ms)
    ends = {"a": first_ms, "b": first_ms}
    for camera, duration_ms in clips:
        source = Source(Path("x.mp4"), "x.mp4", camera, None)
        start_ms = starts.of(source)
        assert start_ms == ends[camera]
        ends[camera] = start_ms + duration_ms
        starts.ended(source, ends[camera])
