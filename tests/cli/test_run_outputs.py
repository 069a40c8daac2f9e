"""What `plateflow run` writes beside its folder: each file as the older programs wrote it, without their mistakes."""

from __future__ import annotations

import csv
import dataclasses
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator import picture
from services.cli.inputs import Source
from services.cli.live import Live
from services.cli.outputs_crops import Crops
from services.cli.outputs_port import Done, Sheet, free, mm_ss
from services.cli.outputs_text import events
from services.cli.quad_file import read_quads
from services.contracts.messages import Observation, Passage, Reading, Run
from services.inference.decode import DecodedFrame
from services.inference.models.detector import Detection
from services.inference.models.recogniser import CharacterReading
from services.inference.result import Shot, TrackResult
from tests.cli.command import Plateflow
from tests.support.plates import BLUE, GREEN, RED, TEXTS, ColourDetector, ColourReader, scene
from tests.support.video import Image, write_clip


def drive(path: Path) -> Path:
    """Blue from left to right, then red, later green; four frames a second."""
    pictures = [(k * 250, scene((BLUE, 40 + 30 * k, 60))) for k in range(8)]
    pictures += [(2000 + k * 250, scene((RED, 40 + 30 * k, 120), (GREEN, 60 + 30 * k, 200))) for k in range(8)]
    return write_clip(path, pictures)


def rows(path: Path, delimiter: str = ";") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


# ---- events ------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("colours")
def test_the_event_table_has_a_row_for_each_vehicle_in_order_of_time(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("run", drive(tmp_path / "a.mp4"), "--csv", tmp_path / "out.csv") == 0

    table = (tmp_path / "out.csv").read_bytes()
    assert table.startswith(b"time;plate_num\n") and b"\r" not in table
    found = rows(tmp_path / "out.csv")[1:]
    assert sorted(plate for _, plate in found) == ["A123BC77", "K777KK77", "M555MM99"]
    assert all(re.fullmatch(r"\d\d:\d\d\.\d\d", time) for time, _ in found)
    assert [time for time, _ in found] == sorted(time for time, _ in found)
    assert found[0] == ["00:00.00", "A123BC77"]


@pytest.mark.usefixtures("colours")
def test_a_second_run_replaces_the_table_and_append_continues_it(tmp_path: Path, plateflow: Plateflow) -> None:
    first, second = drive(tmp_path / "a.mp4"), drive(tmp_path / "b.mp4")
    files = ("--csv", tmp_path / "t.csv", "--positions", tmp_path / "p.csv", "--out", tmp_path / "out")

    assert plateflow("run", first, *files) == 0
    once = [(tmp_path / name).read_text() for name in ("t.csv", "p.csv")]
    assert plateflow("run", first, *files) == 0
    assert [(tmp_path / name).read_text() for name in ("t.csv", "p.csv")] == once
    assert plateflow("run", first, second, *files, "--append") == 0
    assert "a.mp4: read by an earlier run" in plateflow.err
    assert [len((tmp_path / name).read_text().splitlines()) for name in ("t.csv", "p.csv")] == [7, 48]


def passage(plate: str, at: int, continues: str | None = None) -> tuple[Passage, TrackResult]:
    seen = (Observation(at, 0, (0, 0, 60, 16), 0.9, plate),)
    one = Passage(
        id=f"{plate}{at}", results=1, recording_id="r", camera="c", key="k", run=Run("t", 0, 0), track_id="t",
        plate=plate, raw=plate, confidence=0.9, confidences=(), first_seen_ms=at, last_seen_ms=at, observations=1,
        sightings=1, first_box=(0, 0, 60, 16), last_box=(0, 0, 60, 16), continues=continues,
    )  # fmt: skip
    return one, TrackResult(0, "plate", Reading(plate, plate, 0.9), seen, Shot(b"", at, (0, 0, 60, 16)))


def test_a_plate_counts_once_within_the_window_and_the_fuller_reading_stands() -> None:
    found = [passage("A1##BC77", 1000), passage("A123BC77", 1150), passage("A123BC77", 1400), passage("K777KK77", 1100)]

    assert events(found, 200) == [(1000, "A123BC77"), (1100, "K777KK77"), (1400, "A123BC77")]
    assert len(events(found, 0)) == 4
    assert events([passage("A123BC77", 1000), passage("A123BC77", 5000, continues="x")], 200) == [(1000, "A123BC77")]


def test_what_is_no_plate_makes_no_event() -> None:
    assert events([passage("", 1000)], 200) == []


@given(st.lists(st.tuples(st.sampled_from(["A123BC77", "K777KK77"]), st.integers(0, 5000)), max_size=20))
def test_events_are_in_order_of_time_and_no_plate_twice_within_the_window(seen: list[tuple[str, int]]) -> None:
    found = events([passage(plate, at) for plate, at in seen], 200)

    assert [at for at, _ in found] == sorted(at for at, _ in found)
    for name in ("A123BC77", "K777KK77"):
        times = [at for at, plate in found if plate == name]
        assert all(b - a >= 200 for a, b in pairwise(times))


@given(st.integers(0, 10_000_000))
def test_minutes_may_exceed_59(time_ms: int) -> None:
    minutes, seconds = mm_ss(time_ms).split(":")
    assert abs(int(minutes) * 60_000 + float(seconds) * 1000 - time_ms) < 10.01


@pytest.mark.usefixtures("colours")
def test_events_scroll_by_as_they_come_and_latency_is_told(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("run", drive(tmp_path / "a.mp4"), "--events", "--latency") == 0

    lines = [line for line in plateflow.err.splitlines() if line.startswith(("EMIT", "OK", "SKIP", "UPDATE"))]
    assert any(re.fullmatch(r"EMIT    00:00.00 -> 00:01.75  A123BC77  conf=[01]\.\d\d", line) for line in lines)
    assert lines[-1].startswith("OK ") and lines[-1].endswith("(3 rows)")
    assert re.search(r"latency_ms avg=\d+\.\d max=\d+\.\d \(frames=16\)", plateflow.out)


@pytest.mark.usefixtures("colours")
def test_the_log_goes_to_a_file_and_has_no_plate(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("run", drive(tmp_path / "a.mp4"), "--events", "--log-file", tmp_path / "logs" / "run.log") == 0

    log = (tmp_path / "logs" / "run.log").read_text()
    assert "16 frames, 3 passages" in log
    assert "A123BC77" not in log


# ---- corners -----------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("colours")
def test_corners_are_written_as_the_older_program_reads_them(tmp_path: Path, plateflow: Plateflow) -> None:
    video = drive(tmp_path / "my gate 1.mp4")

    assert plateflow("run", video, "--quads", tmp_path / "quads") == 0
    path = tmp_path / "quads" / "my gate 1.txt"
    lines = path.read_text().splitlines()
    assert lines[0].startswith("320 240 my gate 1 ")
    assert all(re.fullmatch(r"(\d+\.\d{6} ){7}\d+\.\d{6}", line) for line in lines[1:])
    file = read_quads(path)
    assert (file.width, file.height, file.name) == (320, 240, "my gate 1")
    assert len(file.quads) == 24
    top_left, top_right, bottom_right, bottom_left = file.quads.transpose(1, 0, 2)
    assert (top_left[:, 0] < top_right[:, 0]).all() and (top_left[:, 1] < bottom_left[:, 1]).all()
    assert (bottom_right[:, 0] > bottom_left[:, 0]).all() and (top_right[:, 1] < bottom_right[:, 1]).all()


def test_corners_that_were_read_replace_upright_boxes_once_their_recording_is_done(
    tmp_path: Path, plateflow: Plateflow, colours: ColourDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    slanted = np.array([(0.1, 0.0), (1.0, 0.2), (0.9, 1.0), (0.0, 0.8)], np.float32)
    read = ColourReader.read

    def with_corners(reader: ColourReader, crops: list[Image]) -> list[CharacterReading]:
        return [dataclasses.replace(one, corners=slanted) for one in read(reader, crops)]

    monkeypatch.setattr(ColourReader, "read", with_corners)
    videos = [drive(tmp_path / "a.mp4"), drive(tmp_path / "b.mp4")]
    assert plateflow("run", *videos, "--quads", tmp_path / "quads") == 0
    for name in ("a", "b"):
        quads = read_quads(tmp_path / "quads" / f"{name}.txt").quads
        assert len(quads) == 24
        assert (quads[:, 0, 1] < quads[:, 1, 1]).all()  # the right end hangs lower, in every frame
        assert (quads[:, 3, 0] < quads[:, 0, 0]).all()


def test_what_turned_out_to_be_no_plate_leaves_no_corners(
    tmp_path: Path, plateflow: Plateflow, colours: ColourDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ColourReader.read

    def blind_for_red(reader: ColourReader, crops: list[Image]) -> list[CharacterReading]:
        blank = np.zeros((0, 36), np.float32)
        return [
            one if one.text != TEXTS[RED] else dataclasses.replace(one, text="", probabilities=blank)
            for one in read(reader, crops)
        ]

    monkeypatch.setattr(ColourReader, "read", blind_for_red)
    assert plateflow("run", drive(tmp_path / "a.mp4"), "--quads", tmp_path / "q.txt") == 0
    quads = read_quads(tmp_path / "q.txt").quads
    assert len(quads) == 16
    assert not ((quads[:, 0, 1] > 110) & (quads[:, 0, 1] < 130)).any()


@pytest.mark.usefixtures("colours")
def test_a_frame_rate_is_not_cut_off(tmp_path: Path, plateflow: Plateflow) -> None:
    path = tmp_path / "ntsc.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(scene((BLUE, 60 + 10 * k, 100)), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    assert plateflow("run", path, "--quads", tmp_path / "q.txt") == 0
    assert read_quads(tmp_path / "q.txt").fps == 29.97


@pytest.mark.usefixtures("colours")
def test_several_inputs_need_a_folder_for_their_corners(tmp_path: Path, plateflow: Plateflow) -> None:
    videos = [drive(tmp_path / "a.mp4"), drive(tmp_path / "b.mp4")]

    assert plateflow("run", *videos, "--quads", tmp_path / "quads") == 0
    assert sorted(path.name for path in (tmp_path / "quads").iterdir()) == ["a.txt", "b.txt"]
    (tmp_path / "q.txt").touch()
    assert plateflow("run", *videos, "--quads", tmp_path / "q.txt") == 2
    assert "name a folder" in plateflow.err


# ---- positions ---------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("colours")
def test_positions_are_those_of_objects_in_the_picture_and_no_others(tmp_path: Path, plateflow: Plateflow) -> None:
    """An object that is not seen has no position: nothing stale is written on."""
    pictures = [(k * 250, scene((BLUE, 40 + 10 * k, 60)) if k < 4 else scene()) for k in range(12)]
    write_clip(tmp_path / "a.mp4", pictures)

    assert plateflow("run", tmp_path / "a.mp4", "--positions", tmp_path / "cords.csv") == 0
    found = rows(tmp_path / "cords.csv", ",")
    assert [one[0] for one in found] == ["0"] * 4
    places = [(float(x), float(y)) for _, x, y in found]
    assert np.allclose(places, [(40 + 10 * k, 68) for k in range(4)], atol=2)


@pytest.mark.usefixtures("colours")
def test_numbers_of_objects_go_on_from_one_recording_to_the_next(tmp_path: Path, plateflow: Plateflow) -> None:
    videos = [drive(tmp_path / "a.mp4"), drive(tmp_path / "b.mp4")]

    assert plateflow("run", *videos, "--positions", tmp_path / "cords.csv") == 0
    assert {one[0] for one in rows(tmp_path / "cords.csv", ",")} == {"0", "1", "2", "3", "4", "5"}


@pytest.mark.usefixtures("colours")
def test_positions_lie_on_the_plan_of_a_calibrated_camera_and_none_off_it(tmp_path: Path, plateflow: Plateflow) -> None:
    pairs = "[[[0, 0], [0, 0]], [[320, 0], [32, 0]], [[320, 240], [32, 24]], [[0, 240], [0, 24]]]"
    (tmp_path / "cameras.yaml").write_text(f"a: {{pairs: {pairs}, plan: {{width: 16, height: 24}}}}\n")
    write_clip(tmp_path / "a.mp4", [(k * 250, scene((BLUE, 63 + 30 * k, 100))) for k in range(8)])

    options = ("--cameras", tmp_path / "cameras.yaml", "--positions", tmp_path / "cords.csv")
    assert plateflow("run", tmp_path / "a.mp4", *options) == 0
    found = [(float(x), float(y)) for _, x, y in rows(tmp_path / "cords.csv", ",")]
    assert np.allclose(found, [(6.3 + 3 * k, 10) for k in range(4)], atol=0.2)
    assert "4 positions, 4 off the plan left out" in plateflow.out
    assert any(x != int(x) for x, _ in found), "nothing is cut to whole numbers"


# ---- pictures ----------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("colours")
def test_the_best_crop_of_each_passage_is_kept_with_a_manifest_and_never_overwritten(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    command = ("run", drive(tmp_path / "a.mp4"), "--crops", tmp_path / "crops", "--frames", tmp_path / "frames")

    assert plateflow(*command) == 0
    manifest = rows(tmp_path / "crops" / "manifest.csv")
    assert manifest[0] == ["filename", "plate_num", "conf", "time_start", "time_detect", "time_end", "source"]
    assert {one[1] for one in manifest[1:]} == {"A123BC77", "K777KK77", "M555MM99"}
    names = [one[0] for one in manifest[1:]]
    assert "00-00.00_A123BC77_0000.jpg" in names
    (row,) = [one for one in manifest if one[1] == "A123BC77"]
    assert 0.9 < float(row[2]) <= 1
    assert row[3:] == ["00:00.00", "00:00.00", "00:01.75", str(tmp_path / "a.mp4")]
    shot = cv2.imread(str(tmp_path / "crops" / names[0]))
    assert shot is not None and shot.shape[1] > 60
    frames = [cv2.imread(str(path)) for path in (tmp_path / "frames").iterdir()]
    assert [frame.shape for frame in frames if frame is not None] == [(240, 320, 3)] * 3

    before = (tmp_path / "crops" / names[0]).read_bytes()
    assert plateflow(*command) == 0
    assert len(list((tmp_path / "crops").glob("*.jpg"))) == 6
    assert (tmp_path / "crops" / names[0].replace(".jpg", "_01.jpg")).exists()
    assert (tmp_path / "crops" / names[0]).read_bytes() == before
    assert len(rows(tmp_path / "crops" / "manifest.csv")) == 7, "one heading"


@pytest.mark.usefixtures("colours")
def test_crops_can_be_few(tmp_path: Path, plateflow: Plateflow) -> None:
    video = drive(tmp_path / "a.mp4")

    assert plateflow("run", video, "--crops", tmp_path / "few", "--crops-limit", "2") == 0
    assert len(list((tmp_path / "few").glob("*.jpg"))) == 2


@pytest.mark.parametrize(("least", "kept"), [(0.85, 1), (0.95, 0)])
def test_crops_can_be_only_sure_ones(least: float, kept: int, tmp_path: Path) -> None:
    sheet = Sheet(Source(tmp_path / "a.mp4", "a.mp4", "gate", 0), 0, 0, 0, frames=None)  # type: ignore[arg-type]
    crops = Crops(tmp_path / "crops", least)
    crops.done(Done(sheet, None, [passage("A123BC77", 1000)], again=list))  # type: ignore[arg-type]  # not asked for
    crops.close()

    assert len(list((tmp_path / "crops").glob("*.jpg"))) == kept


def test_a_free_name_is_found_whatever_is_there(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = free(tmp_path / "a.b.jpg")
        path.touch()
        names.append(path.name)

    assert names == ["a.b.jpg", "a.b_01.jpg", "a.b_02.jpg"]


def changed(a: Any, b: Any) -> float:
    return float((np.abs(a.astype(int) - b).max(axis=2) > 40).mean())


@pytest.mark.usefixtures("colours")
def test_an_annotated_video_has_each_frame_at_its_time_with_boxes(tmp_path: Path, plateflow: Plateflow) -> None:
    video = drive(tmp_path / "a.mp4")

    assert plateflow("run", video, "--annotate", tmp_path / "drawn") == 0
    with av.open(str(tmp_path / "drawn" / "a.mp4")) as container:
        shown = [(round(frame.time * 1000), frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
    assert [time for time, _ in shown] == [k * 250 for k in range(16)]
    plain = scene((BLUE, 40 + 30 * 2, 60))
    assert changed(shown[2][1], plain) > 0.03, "a box, a label and a line are on it"
    assert changed(shown[2][1][180:, 200:], plain[180:, 200:]) < 0.01, "and nowhere else"
    assert plateflow("run", video, "--annotate", tmp_path / "drawn") == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.mp4", "a_01.mp4"]


@pytest.mark.usefixtures("colours")
def test_no_car_stands_in_the_scene_below_the_heatmap(
    tmp_path: Path, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes: list[Any] = []
    monkeypatch.setattr(picture, "draw_heatmap", lambda *_, background: scenes.append(background))

    assert plateflow("run", drive(tmp_path / "a.mp4"), "--out", tmp_path / "out") == 0
    assert [one.shape for one in scenes] == [(240, 320, 3)]
    assert (np.ptp(scenes[0].astype(int), axis=2) < 20).all(), "grey road and no plate in any colour"


@pytest.mark.usefixtures("colours")
def test_annotated_photos_keep_their_names_and_sizes_also_odd_ones(tmp_path: Path, plateflow: Plateflow) -> None:
    (tmp_path / "in").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"photo {k}.png"), scene((BLUE, 60 + 30 * k, 100), width=321, height=241))
    write_clip(tmp_path / "odd.mkv", [(k * 250, scene((BLUE, 60, 100), width=321, height=241)) for k in range(3)],
               codec="ffv1", pixels="bgr0", encoder={"crf": "0"})  # fmt: skip

    assert plateflow("run", tmp_path / "in", tmp_path / "odd.mkv", "--annotate", tmp_path / "drawn") == 0
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == ["odd.mp4", "photo 0.jpg", "photo 1.jpg", "photo 2.jpg"]
    drawn = cv2.imread(str(tmp_path / "drawn" / "photo 1.jpg"))
    assert drawn is not None and drawn.shape == (241, 321, 3)


# ---- every reading -----------------------------------------------------------------------------------------
@pytest.mark.usefixtures("colours")
def test_every_box_of_every_frame_can_be_looked_at(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("run", drive(tmp_path / "a.mp4"), "--debug", tmp_path / "debug.csv") == 0

    heading, *found = rows(tmp_path / "debug.csv")
    assert len(found) == 24
    first = dict(zip(heading, found[0], strict=True))
    assert (first["frame"], first["time"], first["track"], first["raw_text"]) == ("0", "00:00.00", "0", "A123BC77")
    assert len(first["char_probs"].split()) == 8


@pytest.mark.usefixtures("colours")
@pytest.mark.parametrize(("options", "size"), [([], (68, 18)), (["--crop-margin", "0.25"], (90, 24))])
def test_so_much_of_what_surrounds_a_plate_is_read_as_is_wished(
    options: list[str], size: tuple[int, int], tmp_path: Path, plateflow: Plateflow, reader: ColourReader
) -> None:
    video = write_clip(tmp_path / "a.mp4", [(k * 250, scene((BLUE, 150, 100))) for k in range(4)])

    assert plateflow("run", video, *options, "--debug", tmp_path / "debug.csv") == 0
    assert np.abs(np.array(list(reader.sizes)) - size).max() <= 3


# ---- what is shown meanwhile -------------------------------------------------------------------------------
def test_the_rate_is_told_from_the_second_frame_on_and_traces_end(tmp_path: Path) -> None:
    shown: list[Image] = []
    live = Live(ColourReader(), shown.append)
    source = Source(tmp_path / "a.mp4", "a.mp4", "gate", 0)
    live.begin(Sheet(source, 0, 0, 0, frames=None))  # type: ignore[arg-type]  # it asks for none
    plain = scene((BLUE, 100, 100))
    for k in range(40):
        found = [(0, Detection(70.0 + k, 92.0, 60.0, 16.0, 0.9)), (None, Detection(10.0, 200.0, 40.0, 12.0, 0.3))]
        live.frame(DecodedFrame(k, k * 250, scene((BLUE, 100 + k, 100))), found)

    assert len(shown) == 40 and changed(shown[1], plain) > 0.03
    assert live._rate() > 0
    assert len(live._tracks[0].trace) <= 21, "five seconds, whatever the length of the video"
    assert live._tracks[0].text == "A123BC77"
