"""The decoder on real clips, rendered here: what is sampled, what is rejected, and what happens when its
child dies."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.core.sampling import Sampler, relative_ms
from services.inference.decode import DecodedFrame, Decoder
from services.inference.decode_wire import Limits
from services.runtime.errors import Reject
from tests.support.video import number_of, numbered, road, write_clip, write_sound


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


def times(frames: list[DecodedFrame]) -> list[int]:
    return [frame.time_ms for frame in frames]


def numbers_shown(frames: list[DecodedFrame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def reason(decoder: Decoder, path: Path) -> str:
    with pytest.raises(Reject) as rejection:
        list(decoder.open(path))
    return rejection.value.reason


def children() -> set[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return {int(line.split()[0]) for line in found.stdout.splitlines() if "decode_child" in line}


# ---- sampling
# ------------------------------------------------------------------------------------------------


def sampled(times_ms: list[int], fps: float) -> list[int]:
    sampler = Sampler(fps)
    return [time_ms for time_ms in times_ms if sampler.takes(time_ms)]


@pytest.mark.parametrize("rate", [4, 5, 7.5, 10, 12.5, 15])
def test_a_clip_no_faster_than_the_sampling_rate_gives_every_frame(rate: float) -> None:
    clip = [round(k * 1000 / rate) for k in range(60)]

    assert sampled(clip, 15) == clip


@pytest.mark.parametrize("rate", [20, 24, 25, 29.97, 30, 50, 59.94, 60, 120])
def test_a_faster_clip_gives_15_frames_a_second_evenly(rate: float) -> None:
    chosen = sampled([round(k * 1000 / rate) for k in range(int(10 * rate))], 15)

    assert abs(len(chosen) - 150) <= 1
    assert max(b - a for a, b in pairwise(chosen)) <= 1000 / 15 + 1000 / rate + 1


def test_30_fps_at_15_is_every_other_frame() -> None:
    clip = [round(k * 1000 / 30) for k in range(300)]

    assert sampled(clip, 15) == clip[::2]


@given(st.lists(st.integers(0, 20_000)), st.sampled_from([1, 4, 15, 25.0]))
def test_chosen_times_rise_and_are_at_most_the_rate_in_any_second(clip: list[int], fps: float) -> None:
    chosen = sampled(clip, fps)

    assert chosen == sorted(set(chosen))
    for start in chosen:
        assert sum(start <= one < start + 1000 for one in chosen) <= fps + 1


def test_rate_0_takes_every_frame_but_repeated_times() -> None:
    assert sampled([0, 1, 1, 2, 1, 50], 0) == [0, 1, 2, 50]


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(1, 9))
def test_every_nth_frame_is_taken_whatever_its_time(gaps: list[int], nth: int) -> None:
    clip = [0, *accumulate(gaps)]
    sampler = Sampler(15, nth)

    assert [time_ms for time_ms in clip if sampler.takes(time_ms)] == clip[::nth]


def test_time_counts_from_the_first_frame_in_whole_milliseconds() -> None:
    assert relative_ms(90_000 + 3003, 90_000, Fraction(1, 90_000)) == 33


@pytest.mark.parametrize("choice", [{"fps": 5.0}, {"fps": 5.0, "nth": 3}])
def test_a_clip_that_is_taken_up_again_goes_on_with_the_frames_of_one_go(
    decoder: Decoder, tmp_path: Path, choice: dict[str, Any]
) -> None:
    path = write_clip(tmp_path / "c.mp4", numbered(40, 40))
    whole = times(list(decoder.open(path, **choice)))

    for from_ms in (1, 81, 641, 1400):
        assert times(list(decoder.open(path, from_ms=from_ms, **choice))) == [one for one in whole if one >= from_ms]


# ---- clips that are fine
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("plain.mp4", "libx264", {}),
        ("fragmented.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
        ("hevc.mp4", "libx265", {}),
        ("hevc-fragmented.mp4", "libx265", {"movflags": "frag_keyframe+empty_moov"}),
        ("clip.mkv", "libx264", {}),
        ("clip.ts", "libx264", {}),
    ],
)
def test_a_4_fps_clip_gives_every_frame_with_its_time(
    decoder: Decoder, tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    clip = decoder.open(write_clip(tmp_path / name, numbered(12, 250), codec, options=options))
    frames = list(clip)

    assert times(frames) == [k * 250 for k in range(12)]
    assert numbers_shown(frames) == list(range(12))
    assert [frame.index for frame in frames] == list(range(12))
    assert clip.end is not None
    assert (clip.end.decoded, clip.end.note) == (12, "")


def test_a_25_fps_clip_is_sampled_at_15(decoder: Decoder, tmp_path: Path) -> None:
    frames = list(decoder.open(write_clip(tmp_path / "c.mp4", numbered(50, 40)), fps=15))

    assert len(frames) == 30
    assert times(frames)[:4] == [0, 80, 120, 200]
    assert numbers_shown(frames)[:4] == [0, 2, 3, 5]


def test_variable_frame_rate_goes_by_presentation_time(decoder: Decoder, tmp_path: Path) -> None:
    shown = [0, 40, 80, 120, 900, 1900, 1910, 1920, 1930, 2400]
    clip = [(time_ms, image) for time_ms, (_, image) in zip(shown, numbered(10, 1), strict=True)]

    frames = list(decoder.open(write_clip(tmp_path / "vfr.mp4", clip), fps=15))

    assert times(frames) == [0, 80, 120, 900, 1900, 1920, 2400]
    assert numbers_shown(frames) == [0, 2, 3, 4, 5, 7, 9]


def test_time_starts_at_the_first_frame_wherever_the_recorder_began_to_count(decoder: Decoder, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "late.mkv", numbered(4, 250), first_pts=7_200_000)

    assert times(list(decoder.open(clip))) == [0, 250, 500, 750]


def test_duration_reaches_to_the_end_of_the_last_frame(decoder: Decoder, tmp_path: Path) -> None:
    clip = decoder.open(write_clip(tmp_path / "c.mkv", numbered(8, 250)))
    list(clip)

    assert clip.end is not None
    assert clip.end.duration_ms == 2000


@pytest.mark.parametrize("pixels", ["yuv444p", "yuvj420p", "gray"])
def test_odd_sizes_and_other_pixel_formats_become_bgr(decoder: Decoder, tmp_path: Path, pixels: str) -> None:
    width, height = (321, 243) if pixels == "yuv444p" else (322, 244)
    clip = decoder.open(write_clip(tmp_path / "c.mp4", numbered(3, 100, width, height), pixels=pixels))
    frames = list(clip)

    assert frames[0].image.shape == (height, width, 3)
    assert numbers_shown(frames) == [0, 1, 2]
    assert clip.info is not None
    assert (clip.info.width, clip.info.height) == (width, height)


def test_colours_come_as_blue_green_red(decoder: Decoder, tmp_path: Path) -> None:
    image = road()
    image[:] = (200, 60, 20)

    frame = next(iter(decoder.open(write_clip(tmp_path / "blue.mp4", [(0, image), (100, image)]))))

    np.testing.assert_allclose(frame.image.reshape(-1, 3).mean(axis=0), (200, 60, 20), atol=8)


def test_a_clip_marked_as_rotated_is_turned_upright(decoder: Decoder, tmp_path: Path) -> None:
    image = road(320, 240)
    image[:60, :80] = 255  # top left
    path = write_clip(tmp_path / "r.mp4", [(0, image), (100, image)])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    struct.pack_into(">9i", data, matrix, 0, one, 0, -one, 0, 0, 240 * one, 0, 1 << 30)  # a quarter turn clockwise
    path.write_bytes(data)

    frame = next(iter(decoder.open(path)))

    assert frame.image.shape == (320, 240, 3)
    assert frame.image[:60, -50:].mean() > 230  # top right


# ---- clips that are not
# ------------------------------------------------------------------------------------------


def test_sound_alone_is_no_video(decoder: Decoder, tmp_path: Path) -> None:
    assert reason(decoder, write_sound(tmp_path / "sound.mp4")) == "no-video"


@pytest.mark.parametrize(
    "content", [b"", b"<html><body>404</body></html>", b"\0" * 5000, b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"]
)
def test_what_is_no_video_file_is_undecodable(decoder: Decoder, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)

    assert reason(decoder, path) == "undecodable"


def test_a_clip_without_its_index_is_undecodable(decoder: Decoder, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.mp4", numbered(20, 100))
    path.write_bytes(path.read_bytes()[:1500])

    assert reason(decoder, path) == "undecodable"


def test_a_cut_off_fragmented_clip_gives_the_frames_it_has_and_says_so(decoder: Decoder, tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    pictures = [(k * 100, noise.integers(0, 255, (240, 320, 3), np.uint8)) for k in range(40)]
    whole = write_clip(
        tmp_path / "c.mp4", pictures, options={"movflags": "frag_keyframe+empty_moov"}, encoder={"g": "10"}
    )
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])

    clip = decoder.open(whole)
    frames = list(clip)

    assert 15 <= len(frames) < 30
    assert clip.end is not None


def test_a_cut_off_clip_with_its_index_in_front_notes_where_it_ends(decoder: Decoder, tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    pictures = [(k * 100, noise.integers(0, 255, (240, 320, 3), np.uint8)) for k in range(40)]
    whole = write_clip(tmp_path / "c.mp4", pictures, options={"movflags": "faststart"}, encoder={"g": "10"})
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])

    clip = decoder.open(whole)
    frames = list(clip)

    assert 15 <= len(frames) < 35
    assert clip.end is not None
    assert "ends after" in clip.end.note


def test_a_missing_file_is_the_callers_mistake(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decoder.open(tmp_path / "nothing.mp4")


def test_a_clip_beyond_a_limit_is_rejected_with_the_limit(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.mp4", numbered(20, 250))
    for limits, expected in (
        (Limits(max_pixels=100 * 100), "too-large"),
        (Limits(max_seconds=2), "too-long"),
        (Limits(max_frames=10), "too-long"),
    ):
        with Decoder(limits, threads=1) as decoder:
            assert reason(decoder, path) == expected


# ---- the child
# -----------------------------------------------------------------------------------------------------


def test_one_child_serves_clip_after_clip_also_after_a_bad_one(tmp_path: Path) -> None:
    good, bad = write_clip(tmp_path / "good.mp4", numbered(4, 250)), tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with Decoder(threads=1) as decoder:
        before = children()
        list(decoder.open(good))
        first = children() - before
        assert reason(decoder, bad) == "undecodable"
        list(decoder.open(good))

        assert children() - before == first
        assert len(first) == 1
    assert not first & children()


def test_a_child_killed_in_the_middle_is_replaced_and_no_frame_is_lost_or_doubled(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", numbered(40, 250))
    with Decoder(threads=1, slots=2) as decoder:
        before = children()
        frames = []
        for frame in decoder.open(clip):
            frames.append(frame)
            if frame.index == 5:
                (child,) = children() - before
                os.kill(child, signal.SIGKILL)

    assert numbers_shown(frames) == list(range(40))
    assert times(frames) == [k * 250 for k in range(40)]


def test_a_clip_that_kills_its_child_twice_is_undecodable(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", numbered(40, 250))
    with Decoder(threads=1, slots=2) as decoder:
        before = children()
        with pytest.raises(Reject, match="failed twice") as rejection:
            for _ in decoder.open(clip):
                for child in children() - before:
                    os.kill(child, signal.SIGKILL)
        assert rejection.value.reason == "undecodable"
        assert len(list(decoder.open(clip))) == 40


def test_a_clip_that_keeps_its_reader_waiting_too_long_is_undecodable(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", numbered(40, 250))
    with Decoder(Limits(wait_seconds=0.0), threads=1) as decoder:
        assert reason(decoder, clip) == "undecodable"


def test_a_clip_that_needs_more_memory_than_allowed_is_undecodable(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", numbered(10, 250, 1920, 1080))
    with Decoder(Limits(max_pixels=1920 * 1080, memory_mb=8), threads=1, slots=2) as decoder:
        assert reason(decoder, clip) == "undecodable"


def test_a_reader_that_leaves_early_leaves_nothing_running(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", numbered(40, 250))
    with Decoder(threads=1, slots=2) as decoder:
        before = children()
        for _ in decoder.open(clip):
            break
        assert len(list(decoder.open(clip))) == 40
        assert len(children() - before) == 1


def test_two_clips_at_a_time_do_not_mix(decoder: Decoder, tmp_path: Path) -> None:
    first = write_clip(tmp_path / "a.mp4", numbered(20, 250))
    second = write_clip(tmp_path / "b.mp4", list(numbered(20, 250, 160, 120)))

    pairs = list(zip(decoder.open(first), decoder.open(second), strict=True))

    assert [number_of(one.image) for one, _ in pairs] == list(range(20))
    assert {other.image.shape for _, other in pairs} == {(120, 160, 3)}


_PARENT = """
import os, signal, sys
from pathlib import Path
from typing import Any
from services.inference.decode import Decoder
for frame in Decoder(threads=1, slots=2).open(Path(sys.argv[1])):
    print("frame", flush=True)
    signal.pause()
"""


def test_the_child_of_a_killed_parent_ends_and_leaves_no_shared_memory(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", numbered(40, 250))
    before = set(Path("/dev/shm").iterdir()) if Path("/dev/shm").exists() else set()
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(clip)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"frame\n"
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent.pid)], capture_output=True, text=True, check=False)
    child = int(found.stdout)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    for _ in range(500):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            break
        time.sleep(0.01)
    else:
        pytest.fail("the child outlived its parent by five seconds")
    if before:
        assert set(Path("/dev/shm").iterdir()) <= before


def test_the_child_knows_no_secret_of_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_SECRET", "hidden-from-the-child")
    with Decoder(threads=1) as decoder:
        before = children()
        list(decoder.open(write_clip(tmp_path / "c.mp4", numbered(3, 250))))
        (child,) = children() - before

        assert b"hidden-from-the-child" not in Path(f"/proc/{child}/environ").read_bytes()
