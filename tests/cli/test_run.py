"""`plateflow run`: files in, a folder of results and one JSON object out.

With the shipped models on a rendered recording and on the real clip; with stand-in networks, which read coloured
rectangles, where it is about files, times, faults and Ctrl+C.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import duckdb
import pytest

from services.aggregator.files import LocalFiles
from services.cli import reading
from services.cli.interrupt import Interrupt
from services.contracts.codec import decode
from services.contracts.messages import Models, Passage, Plate, RecordingDone
from services.inference.build import Inference
from services.inference.core.motion import Place
from services.inference.decode import Decoder
from services.inference.models.detector import Detection
from services.inference.pipeline import Pipeline
from services.simulator.clips import camera_file, encode, key_of, truth_of
from services.simulator.scene import PassageTruth, Recording
from services.simulator.traffic import timetable
from tests.cli.command import Plateflow
from tests.support.plates import BLUE, RED, ColourDetector, ColourReader, scene
from tests.support.video import Image, road, write_clip, write_sound


# ---- the shipped models, the real thing --------------------------------------------------------------------
@dataclass(frozen=True)
class Done:
    """A finished ``run --json`` in a process of its own."""

    out: Path
    stdout: str
    stderr: str
    truth: PassageTruth
    recording: Recording

    @property
    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.stdout)
        return answer

    def lines(self, name: str) -> list[bytes]:
        return (self.out / name).read_bytes().splitlines()


def number(out: Path, question: str) -> int:
    """The one number that answers an SQL question about the Parquet in ``out``; a path in it begins with OUT."""
    ((answer,),) = duckdb.connect().execute(question.replace("OUT", str(out))).fetchall()
    return int(answer)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Ten frames of a calibrated camera in which one car comes near."""
    folder = tmp_path_factory.mktemp("run")
    whole = next(one for one in timetable() if one.camera.name == "yard_west")
    recording = dataclasses.replace(whole, frame_ms=whole.frame_ms[:12])
    encode(recording, folder / "clips" / key_of(recording))
    (folder / "cameras.yaml").write_text(camera_file([recording.camera]))
    command = ["run", str(folder / "clips"), "--out", str(folder / "out"), "--json"]
    command += ["--cameras", str(folder / "cameras.yaml"), "--device", "cpu"]
    ran = subprocess.run([sys.executable, "-m", "services.cli", *command], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return Done(folder / "out", ran.stdout, ran.stderr, truth_of([recording], 1).recordings[0].passages[0], recording)


def test_the_json_object_is_all_of_stdout_and_tells_the_passage(done: Done) -> None:
    answer = done.answer

    assert list(answer) == ["recordings", "frames", "seconds", "passages"]
    assert (answer["recordings"], answer["frames"]) == (1, 12)
    (passage,) = answer["passages"]
    assert passage["plate"] == done.truth.plate
    assert passage["camera"] == "demo/yard_west"
    assert done.truth.first_ms <= passage["first_seen"] <= done.truth.readable_first_ms
    assert passage["last_seen"] == done.truth.last_ms
    assert 0.5 < passage["confidence"] <= 1


def test_the_messages_are_those_of_the_topics(done: Done) -> None:
    (passage,) = [decode(line, Passage) for line in done.lines("passages.jsonl")]
    plates = [decode(line, Plate) for line in done.lines("plates.jsonl")]
    (recording,) = [decode(line, RecordingDone) for line in done.lines("recordings.jsonl")]

    assert passage.key == recording.key == key_of(done.recording)
    assert passage.sightings == len(plates)
    assert {plate.passage_id for plate in plates} == {passage.id}
    assert recording.start_ms == done.recording.start_ms
    assert passage.direction == "approaching"


def test_the_table_for_spreadsheets_says_the_same(done: Done) -> None:
    with (done.out / "passages.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)

    (passage,) = done.answer["passages"]
    assert (row["plate"], row["camera"]) == (passage["plate"], passage["camera"])
    assert (int(row["first_seen_ms"]), int(row["last_seen_ms"])) == (passage["first_seen"], passage["last_seen"])
    assert row["first_seen"].startswith("2026-06-16T") and row["first_seen"].endswith("Z")
    assert float(row["confidence"]) == passage["confidence"]
    assert row["country"] == passage["country"] == "RU"


def test_every_sighting_is_in_the_parquet_of_both_planes(done: Done) -> None:
    plates = len(done.lines("plates.jsonl"))

    assert number(done.out, "SELECT sum(count) FROM 'OUT/heatmap/results=1/plane=image/**/*.parquet'") == plates
    assert number(done.out, "SELECT count(*) FROM 'OUT/sightings/**/*.parquet'") == plates
    ground = number(done.out, "SELECT sum(count) FROM 'OUT/heatmap/results=1/plane=ground/**/*.parquet'")
    off_plan = number(done.out, "SELECT count(*) FROM 'OUT/sightings/**/*.parquet' WHERE off_plan")
    assert ground + off_plan == plates


def test_there_is_a_picture_of_each_plane_and_the_best_shot_where_the_message_says(done: Done) -> None:
    passage = decode(done.lines("passages.jsonl")[0], Passage)

    assert passage.best is not None
    for picture in ("heatmap-demo%2Fyard_west.png", "heatmap-demo%2Fyard_west-ground.png", passage.best.path):
        image = cv2.imread(str(done.out / picture))
        assert image is not None, picture
        assert float(image.std()) > 5, f"{picture} is blank"


def test_progress_and_table_go_to_stderr_as_plain_lines(done: Done) -> None:
    assert "1/1" in done.stderr and "12 frames, 1 passage" in done.stderr
    assert done.truth.plate in done.stderr
    assert "\x1b" not in done.stderr


def test_how_well_the_ground_is_known_is_told(done: Done) -> None:
    assert "demo/yard_west: ground plane from 8 of 8 point pairs, rms error" in done.stderr


def test_the_real_clip_shows_one_passage(shared_data: Path, tmp_path: Path, plateflow: Plateflow) -> None:
    clip = shared_data / "clips" / "checkpoint_b678xy178.mp4"

    assert plateflow("run", clip, "--out", tmp_path / "out", "--json", "--device", "cpu") == 0
    (passage,) = plateflow.answer["passages"]
    assert (passage["plate"], passage["camera"]) == ("B678XY178", "checkpoint_b678xy178")


# ---- stand-in networks -------------------------------------------------------------------------------------
@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Iterator[ColourDetector]:
    """The command reads coloured rectangles, by real decoding, tracking, voting and aggregation."""
    detector = ColourDetector()
    decoder = Decoder(threads=1)

    def build(_settings: object) -> Inference:
        reader = ColourReader()
        return Inference(Pipeline(detector, reader, decoder), decoder, Models("stand-in", "stand-in"), reader)

    monkeypatch.setattr(reading, "build_inference", build)
    yield detector
    decoder.close()


def clip(path: Path, colour: tuple[int, int, int] = BLUE, frames: int = 8) -> Path:
    """A rectangle that moves to the right, four frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, [(k * 250, scene((colour, 40 + 30 * k, 100))) for k in range(frames)])


def seen(answer: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    return [(one["plate"], one["camera"], one["first_seen"], one["last_seen"]) for one in answer["passages"]]


@pytest.mark.usefixtures("detector")
def test_plain_files_of_one_camera_follow_each_other_and_none_suppresses_another(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    files = [clip(tmp_path / "a" / "gate.mp4"), clip(tmp_path / "b" / "gate.mp4"), clip(tmp_path / "yard.mp4", RED)]

    assert plateflow("run", *files, "--out", tmp_path / "out", "--json") == 0
    assert seen(plateflow.answer) == [
        ("A123BC77", "gate", 0, 1750),
        ("A123BC77", "gate", 2000, 3750),
        ("K777KK77", "yard", 0, 1750),
    ]
    assert len((tmp_path / "out" / "plates.jsonl").read_text().splitlines()) == 24


@pytest.mark.usefixtures("detector")
def test_the_table_of_passages_says_of_which_country_a_plate_is(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("run", clip(tmp_path / "gate.mp4")) == 0

    heading, row = (line.split() for line in plateflow.out.splitlines() if "plate" in line or "A123BC77" in line)
    assert (heading[-2], row[-2]) == ("country", "RU")


@pytest.mark.usefixtures("detector")
def test_a_table_of_a_version_that_knew_no_countries_is_continued(tmp_path: Path, plateflow: Plateflow) -> None:
    out, first, second = tmp_path / "out", clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", RED)
    assert plateflow("run", first, "--out", out) == 0
    table = out / "passages.csv"
    table.write_bytes(b"".join(line.rpartition(b",")[0] + b"\r\n" for line in table.read_bytes().splitlines()))

    assert plateflow("run", second, "--out", out, "--append") == 0
    with table.open(encoding="utf-8", newline="") as file:
        assert [(row["plate"], row["country"]) for row in csv.DictReader(file)] == [
            ("A123BC77", ""),
            ("K777KK77", "RU"),
        ]


@pytest.mark.usefixtures("detector")
def test_start_and_camera_can_be_told(tmp_path: Path, plateflow: Plateflow) -> None:
    files = [clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", RED)]
    told = ("--camera", "site/gate", "--start", "2023-11-14T22:13:20+00:00")

    assert plateflow("run", *files, "--out", tmp_path / "out", "--json", *told) == 0
    assert seen(plateflow.answer) == [
        ("A123BC77", "site/gate", 1_700_000_000_000, 1_700_000_001_750),
        ("K777KK77", "site/gate", 1_700_000_002_000, 1_700_000_003_750),
    ]


@pytest.mark.usefixtures("detector")
def test_one_bad_file_does_not_keep_the_others_from_being_read(tmp_path: Path, plateflow: Plateflow) -> None:
    clip(tmp_path / "in" / "good.mp4")
    (tmp_path / "in" / "broken.mp4").write_bytes(b"<html>not found</html>")
    (tmp_path / "in" / "empty.mp4").touch()
    write_sound(tmp_path / "in" / "sound.mp4")
    (tmp_path / "none").mkdir()
    wrong: list[str | Path] = [tmp_path / "missing.mp4", tmp_path / "none", str(tmp_path / "*.avi")]

    assert plateflow("run", tmp_path / "in", *wrong, "--out", tmp_path / "out", "--json") == 1
    assert [plate for plate, *_ in seen(plateflow.answer)] == ["A123BC77"]
    assert plateflow.answer["recordings"] == 1
    for line in (
        "missing.mp4: no such file or folder", "none: no video file or photo in this folder", "*.avi: nothing matches",
        "broken.mp4: ", "empty.mp4: ", "sound.mp4: the clip has no video stream", "could not be read: 6",
    ):  # fmt: skip
        assert line in plateflow.err
    assert "Traceback" not in plateflow.err


@pytest.mark.usefixtures("detector")
def test_a_recording_without_plates_is_done_and_says_so(tmp_path: Path, plateflow: Plateflow) -> None:
    write_clip(tmp_path / "road.mp4", [(k * 250, road()) for k in range(4)])

    assert plateflow("run", tmp_path / "road.mp4", "--out", tmp_path / "out") == 0
    assert "no number plate was read" in plateflow.out
    assert len((tmp_path / "out" / "recordings.jsonl").read_text().splitlines()) == 1
    assert not list((tmp_path / "out").glob("*.png"))


@pytest.mark.usefixtures("detector")
def test_the_same_files_give_the_same_bytes_and_replace_the_earlier_results(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    command = ("run", clip(tmp_path / "in" / "gate.mp4"), "--out", tmp_path / "out")
    names = ("plates.jsonl", "passages.jsonl", "passages.csv", "current.json")

    assert plateflow(*command) == 0
    first = [(tmp_path / "out" / name).read_bytes() for name in names]
    assert plateflow(*command) == 0

    assert [(tmp_path / "out" / name).read_bytes() for name in names] == first
    assert "earlier run" in plateflow.err
    assert number(tmp_path / "out", "SELECT count(*) FROM 'OUT/sightings/**/*.parquet'") == 8


class InterruptedDetector(ColourDetector):
    """Somebody presses Ctrl+C when the so-and-so-many-th batch comes."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def detect(self, frames: Sequence[Image], places: Sequence[Place | None] = ()) -> list[list[Detection]]:
        if len(self.batches) == self._at:
            signal.raise_signal(signal.SIGINT)
        return super().detect(frames, places)


def test_ctrl_c_keeps_what_is_done_also_of_the_recording_at_hand(
    tmp_path: Path, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4"), clip(tmp_path / "c.mp4")]
    with Decoder(threads=1) as decoder:
        pipeline = Pipeline(InterruptedDetector(at=2), ColourReader(), decoder)  # two batches a clip
        built = Inference(pipeline, decoder, Models("stand-in", "stand-in"), ColourReader())
        monkeypatch.setattr(reading, "build_inference", lambda _settings: built)

        assert plateflow("run", *files, "--out", tmp_path / "out", "--json") == 130

    assert [(camera, last) for _, camera, _, last in seen(plateflow.answer)] == [("a", 1750), ("b", 750)]
    assert len((tmp_path / "out" / "passages.jsonl").read_text().splitlines()) == 2
    assert number(tmp_path / "out", "SELECT sum(count) FROM 'OUT/heatmap/**/*.parquet'") == 12
    assert (tmp_path / "out" / "heatmap-a.png").is_file()
    assert "what was read before is kept" in plateflow.err


def test_ctrl_c_while_something_is_written_waits_for_its_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)  # no exception here
        with pytest.raises(KeyboardInterrupt), interrupt.allowed():
            raise AssertionError("this must not begin any more")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("detector")
def test_a_camera_file_for_other_cameras_is_told(tmp_path: Path, plateflow: Plateflow) -> None:
    (tmp_path / "cameras.yaml").write_text("site/gate: {cell: 20}\n")
    told = ("--cameras", tmp_path / "cameras.yaml")

    assert plateflow("run", clip(tmp_path / "gate.mp4"), "--out", tmp_path / "out", *told) == 0
    assert "knows none of these cameras: gate" in plateflow.err


# ---- folders that are not for us, wrong options ------------------------------------------------------------
@pytest.mark.usefixtures("detector")
def test_a_folder_with_somebody_elses_files_is_refused_and_left_alone(tmp_path: Path, plateflow: Plateflow) -> None:
    other = tmp_path / "photos" / "heatmap" / "holiday.jpg"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"a picture")

    assert plateflow("run", clip(tmp_path / "gate.mp4"), "--out", tmp_path / "photos") == 2
    assert "holds what no earlier run put there" in plateflow.err
    assert [path.name for path in tmp_path.joinpath("photos").rglob("*")] == ["heatmap", "holiday.jpg"]


@pytest.mark.usefixtures("detector")
def test_results_to_which_somebody_added_a_file_are_not_replaced(tmp_path: Path, plateflow: Plateflow) -> None:
    command = ("run", clip(tmp_path / "gate.mp4"), "--out", tmp_path / "out")
    assert plateflow(*command) == 0
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = (tmp_path / "out" / "plates.jsonl").read_bytes()

    assert plateflow(*command) == 2
    assert "notes.txt" in plateflow.err
    assert (tmp_path / "out" / "plates.jsonl").read_bytes() == before


@pytest.mark.usefixtures("detector")
def test_the_folder_of_an_aggregator_is_refused(tmp_path: Path, plateflow: Plateflow) -> None:
    claim = LocalFiles(tmp_path / "data").claim("plateflow.tracks-0")
    LocalFiles(tmp_path / "data").write("heatmap/cells.parquet", b"precious", claim)

    assert plateflow("run", clip(tmp_path / "gate.mp4"), "--out", tmp_path / "data") == 2
    assert (tmp_path / "data" / "heatmap" / "cells.parquet").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--start", "yesterday"], "'yesterday' is no time from 1970 to 9999"),
        (["--start", "-5"], "'-5' is no time"),
        (["--camera", "a\nb"], "--camera"),
        (["--fps", "500"], "--fps"),
        (["--crop-margin", "0.6"], "--crop-margin"),
        (["--device", "tpu"], "--device"),
        (["--cameras", "nowhere.yaml"], "cannot read nowhere.yaml"),
    ],
)
def test_a_wrong_option_is_told_and_nothing_is_written(
    options: list[str], complaint: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("run", tmp_path, "--out", tmp_path / "out", *options) == 2
    assert complaint in plateflow.complaint
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_read_the_json_object_says_zero_and_no_folder_is_made(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("run", tmp_path / "missing.mp4", "--out", tmp_path / "out", "--json") == 1
    assert plateflow.answer | {"seconds": 0} == {"recordings": 0, "frames": 0, "seconds": 0, "passages": []}
    assert not (tmp_path / "out").exists()


def test_a_wrong_setting_is_told_by_its_name(
    tmp_path: Path, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATEFLOW_AGGREGATOR_WINDOW_MS", "soon")

    assert plateflow("run", tmp_path, "--out", tmp_path / "out") == 2
    assert "PLATEFLOW_AGGREGATOR_WINDOW_MS" in plateflow.err


def test_models_that_are_not_there_are_told_and_earlier_results_stay(
    tmp_path: Path, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_clip(tmp_path / "road.mp4", [(k * 250, road()) for k in range(2)])
    assert plateflow("run", video, "--out", tmp_path / "out", "--device", "cpu") == 0
    before = (tmp_path / "out" / "recordings.jsonl").read_bytes()
    (tmp_path / "weights.onnx").write_bytes(b"no weights")
    monkeypatch.setenv("PLATEFLOW_DETECTOR_WEIGHTS", str(tmp_path / "weights.onnx"))

    assert plateflow("run", video, "--out", tmp_path / "out", "--device", "cpu") == 2
    assert "weights.onnx" in plateflow.err and "Traceback" not in plateflow.err
    assert (tmp_path / "out" / "recordings.jsonl").read_bytes() == before


def test_help_teaches_by_examples(plateflow: Plateflow) -> None:
    assert plateflow("run", "--help") == 0
    assert plateflow.out.count("plateflow run ") >= 5
    for group in ("What to read", "How to look", "Results", "More files", "Other objects", "While it runs"):
        assert group in plateflow.out
