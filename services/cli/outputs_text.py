"""Tables and text files of `plateflow run`: events, plate corners, ground positions, every single reading.

| class | file |
|---|---|
| `EventTable` | ``time;plate_num``, a row for each vehicle, in order of time within its recording (volga-anpr's) |
| `QuadFiles` | ``W H name fps``, then ``x1 .. x4 y1 .. y4`` for each box of a frame (heatmap-location-car-plates') |
| `Positions` | ``id,x,y`` for each object in each frame in which it is seen (kerberos-io/heatmap's) |
| `EveryReading` | each box of each frame with what it reads by itself, for whoever looks into a wrong reading |
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from services.aggregator.core.config import Config
from services.aggregator.core.homography import ground_points
from services.aggregator.core.readings import UNDECIDED, same_plate
from services.cli.outputs_port import Done, Found, Output, Sheet, base_name, detected_ms, mm_ss, writing
from services.contracts.messages import Box, Passage, Quad
from services.inference.core.corners import corners_of
from services.inference.core.vote import Read, vote
from services.inference.decode import DecodedFrame
from services.inference.follow import Followed
from services.inference.models.detector import is_plate
from services.inference.models.recogniser import ALPHABET, MARGIN, Recogniser, crop_plate
from services.inference.result import TrackResult
from services.runtime.errors import SettingsError

EVENTS = "time;plate_num"


class EventTable(Output):
    """Rows appear as soon as a plate has been read; once its recording is done, they are those that stand, in order."""

    def __init__(self, path: Path, window_ms: int, append: bool = False) -> None:
        self._path, self._window_ms = path, window_ms
        self._rows = 0
        self._file = writing(path, append)
        if self._file.tell() == 0:
            self._file.write(f"{EVENTS}\n")

    def begin(self, sheet: Sheet) -> None:
        self._sheet, self._stands = sheet, self._file.tell()

    def read(self, track: Followed) -> None:
        if track.reading.text and track.best is not None:
            self._write(track.best.shot.time_ms, track.reading.text)

    def done(self, done: Done) -> None:
        self._file.seek(self._stands)
        self._file.truncate()
        for time_ms, plate in events(done.passages, self._window_ms):
            self._write(time_ms, plate)
            self._rows += 1

    def close(self) -> str:
        self._file.close()
        return f"{self._path}: {self._rows} events"

    def _write(self, time_ms: int, plate: str) -> None:
        self._file.write(f"{mm_ss(time_ms - self._sheet.origin_ms)};{plate}\n")


def events(passages: Sequence[tuple[Passage, TrackResult]], window_ms: int) -> list[tuple[int, str]]:
    """(event time, plate) of each vehicle, in order of time: links of a chain and repeats in the window make none."""
    found: list[tuple[int, str]] = []
    for passage, track in passages:
        if passage.plate and passage.continues is None:
            found.append((detected_ms(track), passage.plate))
    kept: list[tuple[int, str]] = []
    for time_ms, plate in sorted(found):
        near = [k for k, (at, other) in enumerate(kept) if time_ms - at < window_ms and same_plate(other, plate)]
        if not near:
            kept.append((time_ms, plate))
        elif plate.count(UNDECIDED) < kept[near[-1]][1].count(UNDECIDED):
            kept[near[-1]] = (kept[near[-1]][0], plate)
    return kept


@dataclass(slots=True)
class _Lines:
    """What a recording has in a file: where it begins there, and frame and box of each line."""

    begins: int
    boxes: list[tuple[int, Box]] = field(default_factory=list)


class QuadFiles(Output):
    """A file for each input: ``path`` itself, or, where that is a folder or has no suffix, one in it that is named
    after the input. Boxes stand upright while they come; once their recording is done, those of its tracks stand, with
    the corners that were read."""

    def __init__(self, path: Path, inputs: int, append: bool = False) -> None:
        self._folder = path.is_dir() or not path.suffix or inputs > 1
        if self._folder and path.is_file():
            raise SettingsError(f"--quads: {path} is a file, and there are {inputs} inputs: name a folder for theirs")
        self._path, self._append = path, append
        self._files: dict[tuple[str, int, int], TextIO] = {}
        self._lines: dict[TextIO, _Lines] = {}
        self._plates = 0

    def begin(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._lines = {}

    def frame(self, frame: DecodedFrame, found: Found) -> None:
        file = self._of(frame)
        lines = self._lines.setdefault(file, _Lines(file.tell()))
        for number, one in found:
            if number is not None:
                box = one.x, one.y, one.w, one.h
                lines.boxes.append((frame.index, box))
                _write_quad(file, _upright(box))

    def done(self, done: Done) -> None:
        stand = {
            (one.frame, one.box): quad
            for track in done.result.tracks
            for one, quad in zip(track.observations, corners_of(track.observations), strict=True)
        }
        for file, lines in self._lines.items():
            file.seek(lines.begins)
            file.truncate()
            for frame, box in lines.boxes:
                if (frame, box) in stand:
                    _write_quad(file, stand[frame, box] or _upright(box))
                    self._plates += 1

    def close(self) -> str:
        for file in self._files.values():
            file.close()
        return f"{self._path}: corners of {self._plates} boxes in {len(self._files)} files"

    def _of(self, frame: DecodedFrame) -> TextIO:
        """The file for frames of this size of the input at hand, with its header."""
        height, width = frame.image.shape[:2]
        key = self._sheet.source.key, width, height
        if key not in self._files:
            path = self._new_path()
            there = self._append and path.exists()
            self._files[key] = writing(path, self._append)
            info = self._sheet.frames.info
            if not there:
                fps = round(info.fps, 2) if info is not None else 0
                self._files[key].write(f"{width} {height} {base_name(self._sheet.source)} {fps:g}\n")
        return self._files[key]

    def _new_path(self) -> Path:
        plain = self._path / f"{base_name(self._sheet.source)}.txt" if self._folder else self._path
        taken = {file.name for file in self._files.values()}
        number, path = 1, plain
        while str(path) in taken:
            number += 1
            path = plain.with_name(f"{plain.stem}_{number}{plain.suffix}")
        return path


def _upright(box: Box) -> Quad:
    x, y, w, h = box
    return (x, y), (x + w, y), (x + w, y + h), (x, y + h)


def _write_quad(file: TextIO, quad: Quad) -> None:
    numbers = [corner[axis] for axis in (0, 1) for corner in quad]
    file.write(" ".join(f"{value:f}" for value in numbers) + "\n")


class Positions(Output):
    """In plan units where the camera is calibrated, else in pixels: of the point of the box that stands for it."""

    def __init__(self, path: Path, config: Config, append: bool = False) -> None:
        self._path, self._config = path, config
        self._file = writing(path, append)
        self._written = self._off_plan = 0

    def begin(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def frame(self, frame: DecodedFrame, found: Found) -> None:
        seen = [(number, one) for number, one in found if number is not None]
        if not seen:
            return
        boxes = np.array([(one.x, one.y, one.w, one.h) for _, one in seen], np.float64)
        x, y, on = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3], np.ones(len(boxes), np.bool_)
        ground = self._config.camera(self._sheet.source.camera).ground
        if ground is not None:
            x, y, on = ground_points(ground, boxes, frame.image.shape[1], frame.image.shape[0])
        for (number, _), px, py, is_on in zip(seen, x.tolist(), y.tolist(), on.tolist(), strict=True):
            if is_on:
                self._file.write(f"{self._sheet.first_id + number},{round(px, 2):g},{round(py, 2):g}\n")
        self._written += int(on.sum())
        self._off_plan += int((~on).sum())

    def close(self) -> str:
        self._file.close()
        off = f", {self._off_plan} off the plan left out" if self._off_plan else ""
        return f"{self._path}: {self._written} positions{off}"


class EveryReading(Output):
    """Reads each box by itself, which takes time; the results are not made of these readings alone."""

    COLUMNS = (
        "input", "frame", "time", "time_ms", "track", "label", "x", "y", "width", "height", "detection",
        "raw_text", "text", "char_probs",
    )  # fmt: skip

    def __init__(self, path: Path, recogniser: Recogniser, margin: float = MARGIN, append: bool = False) -> None:
        self._path, self._recogniser, self._margin = path, recogniser, margin
        self._file = writing(path, append)
        self._rows = csv.writer(self._file, delimiter=";", lineterminator="\n")
        self._written = 0
        if self._file.tell() == 0:
            self._rows.writerow(self.COLUMNS)

    def begin(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def frame(self, frame: DecodedFrame, found: Found) -> None:
        plates = [one for _, one in found if is_plate(one.label)]
        crops = [crop_plate(frame.image, (p.x, p.y, p.w, p.h), self._margin) for p in plates]
        readings = iter(self._recogniser.read(crops))
        for number, one in found:
            raw, text, sure = "", "", ""
            if is_plate(one.label):
                reading = next(readings)
                raw = reading.text
                text = vote([Read(raw, reading.probabilities, 1.0)], ALPHABET).text
                sure = " ".join(f"{value:.3f}" for value in reading.confidences)
            track = "" if number is None else self._sheet.first_id + number
            time_ms = self._sheet.start_ms + frame.time_ms
            place = (one.x, one.y, one.w, one.h, one.score)
            when = (mm_ss(time_ms - self._sheet.origin_ms), time_ms)
            self._rows.writerow(
                (self._sheet.source.name, frame.index, *when, track, one.label, *place, raw, text, sure)
            )
            self._written += 1

    def close(self) -> str:
        self._file.close()
        return f"{self._path}: {self._written} boxes"
