"""Is it a whole MP4? Told by its boxes alone."""

import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.container import BadContainer, Layout, check, is_fragmented
from tests.support.recordings import box, fragmented_mp4, mp4
from tests.support.video import road, write_clip


def layout(data: bytes) -> Layout:
    return check(io.BytesIO(data), len(data))


def reason(data: bytes) -> str:
    with pytest.raises(BadContainer) as caught:
        layout(data)
    return caught.value.reason


def test_progressive_and_fragmented_files_are_told_apart() -> None:
    assert layout(mp4()) == Layout(fragmented=False)
    assert layout(fragmented_mp4()) == Layout(fragmented=True)


@pytest.mark.parametrize(
    ("options", "fragmented"),
    [({}, False), ({"movflags": "frag_keyframe+empty_moov"}, True), ({"movflags": "faststart"}, False)],
)
def test_what_a_real_muxer_writes_is_whole(options: dict[str, str], fragmented: bool, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", ((time, road(64, 48)) for time in range(0, 400, 40)), options=options)

    assert layout(clip.read_bytes()) == Layout(fragmented)
    assert is_fragmented(clip) is fragmented


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "HTML"),
        (b'{"data": "account was not found"}', "JSON"),
        (b"Salted__12345678" + bytes(64), "encrypted"),
        (bytes(64), "something else"),
        (b"RIFF\0\0\0\0AVI LIST", "something else"),
        (b"", "something else"),
        (b"\0\0\0\x18fty", "something else"),
    ],
)
def test_what_is_no_mp4_says_what_it_looks_like_and_never_its_content(data: bytes, told: str) -> None:
    assert reason(data) == "not-a-video"
    with pytest.raises(BadContainer, match=told) as caught:
        layout(data)
    assert "account" not in str(caught.value)


@pytest.mark.parametrize("whole", [mp4(), fragmented_mp4(2)], ids=["progressive", "fragmented"])
def test_a_file_cut_anywhere_within_a_box_is_truncated(whole: bytes) -> None:
    kept = [12, 40, len(whole) // 2, len(whole) - 1]

    assert {reason(whole[:size]) for size in kept} == {"truncated"}


@given(st.integers(min_value=8, max_value=len(mp4()) - 1))
def test_no_beginning_of_a_progressive_file_passes_for_the_whole(size: int) -> None:
    assert reason(mp4()[:size]) == "truncated"


def test_a_recording_that_was_never_finished_has_no_moov() -> None:
    assert reason(box(b"ftyp", b"isom") + box(b"mdat", bytes(100))) == "truncated"
    assert reason(box(b"ftyp", b"isom") + box(b"moov", bytes(100))) == "truncated"


def test_long_lengths_and_a_last_box_to_the_end_are_understood() -> None:
    start = box(b"ftyp", b"isom") + box(b"moov")
    large = (1).to_bytes(4) + b"mdat" + (16 + 100).to_bytes(8) + bytes(100)
    to_the_end = (0).to_bytes(4) + b"mdat" + bytes(100)

    assert layout(start + large + box(b"free")) == layout(start + to_the_end) == Layout(fragmented=False)
    assert reason(start + large[:-1]) == "truncated"
    assert reason(start + (1).to_bytes(4) + b"mdat") == "truncated"
    assert reason(start + (7).to_bytes(4) + b"mdat") == "truncated"


@given(st.binary(max_size=200), st.sampled_from([b"", b"\0\0\0\x08ftyp"]))
def test_any_bytes_have_a_layout_or_one_kind_of_error(data: bytes, start: bytes) -> None:
    with suppress(BadContainer):
        layout(start + data)
