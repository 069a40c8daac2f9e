"""`plateflow evaluate plates`: the models on pictures whose plates are known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.cli.contact_sheet import Cell, Group, Picture, contact_sheet, save
from services.contracts.formats import BadFormats, choose, shipped
from services.contracts.messages import Reading
from services.inference.core.evaluation import Found, PictureResult, Report, TextReport, evaluate, match
from services.inference.core.shares import Interval, Share
from services.inference.core.stitch import KeepOptions, keep
from services.inference.core.truth import Box, TruePlate, TruthError, normalise, parse_truth
from services.inference.core.vote import VoteOptions
from services.inference.follow import MOST_MARGIN, alone
from services.inference.models.detector import CONFIDENCE, INPUT_SIZE, Detector, Frame
from services.inference.models.factory import Device, Engine, Runtime, create_detector, create_recogniser
from services.inference.models.recogniser import MARGIN, Recogniser, crop_place, crop_plate
from services.runtime.errors import Stop

_SURROUNDINGS = 0.25
"""Of a box, on each side of its picture on the contact sheet."""


def plates(
    images: Annotated[Path, typer.Option(help="Folder that holds the pictures.")],
    truth: Annotated[Path, typer.Option(help="CSV with the columns file,x,y,w,h,text.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    failures: Annotated[
        Path | None, typer.Option(help="Picture file (.png, .jpg) to write: every failure, to be looked at.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the detector runs.")] = "auto",
    detector: Annotated[Path | None, typer.Option(help="Other detector weights.")] = None,
    recogniser: Annotated[Path | None, typer.Option(help="Other recogniser weights.")] = None,
    engine: Annotated[Engine, typer.Option(help="What reads: our recogniser, or RapidOCR's.")] = "plateflow",
    confidence: Annotated[float, typer.Option(min=0.0, max=1.0, help="Least detection score.")] = CONFIDENCE,
    input_size: Annotated[int, typer.Option(help="Longest side of the detector's input.")] = INPUT_SIZE,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the detector; 0: all cores.")] = 0,
    runtime: Annotated[Runtime, typer.Option(help="What runs the networks on the CPU.")] = "auto",
    crop_margin: Annotated[
        float,
        typer.Option(min=0.0, max=MOST_MARGIN, help="Of a box, how much of what surrounds it is read on each side."),
    ] = MARGIN,
    formats: Annotated[
        str, typer.Option(help="National formats that may settle characters: names, countries; none: none.")
    ] = "",
) -> None:
    """Detection recall and precision, exact plates and character error rate, each with a 95 % interval.

    A plate is read as `plateflow run` reads one that is seen once: national formats settle near-tied characters, and a
    character that stays undecided is `#`, which counts as wrong. Pictures without any plate (a row with the file name
    alone) say how many false plates would be published.
    """
    try:
        known = _read_truth(images, truth)
        find = create_detector(device, detector, threads, confidence, input_size=input_size, runtime=runtime)
        options = VoteOptions(formats=choose(shipped(), formats))
        load = partial(create_recogniser, recogniser, runtime=runtime, engine=engine)
        read = _reader(known, options, load, crop_margin)
    except (Stop, TruthError, BadFormats, ValueError) as error:
        typer.echo(f"plateflow evaluate: {error}", err=True)
        raise typer.Exit(2) from error
    started = time.monotonic()
    measured = _measure(images, known, find, read, failures is not None)
    report = evaluate(measured.results)
    Console().print(_table(report))
    if failures is not None:
        _write(measured.sheet, failures)
    unreadable = len(known) - len(measured.results)
    if as_json:
        seconds = round(time.monotonic() - started, 2)
        typer.echo(json.dumps(report.as_json() | {"unreadable": unreadable, "seconds": seconds}))
    raise typer.Exit(2 if unreadable else 0)


Read = Callable[[Frame, Sequence[Box]], list[Reading]]
"""What the boxes of a picture say, one reading per box."""
_NOTHING = Reading("", "", 0.0)


@dataclass(slots=True)
class _Sheet:
    """Pictures of what went wrong."""

    misread: list[Cell] = field(default_factory=list)
    missed: list[Cell] = field(default_factory=list)
    false: list[Cell] = field(default_factory=list)

    def add(self, file: str, frame: Frame, result: PictureResult) -> None:
        found_by = match([plate.box for plate in result.plates], result.found)
        for plate, read, index in zip(result.plates, result.read_on_truth, found_by, strict=True):
            picture = _around(frame, plate.box)
            if plate.text and read != normalise(plate.text):
                self.misread.append(Cell(picture, file, normalise(plate.text), read))
            if index is None:
                self.missed.append(Cell(picture, file, normalise(plate.text), note=f"{plate.box[2]:.0f} px wide"))
        for index, one in enumerate(result.found):
            if index not in found_by:
                cell = Cell(_around(frame, one.box), file, read=one.text, note=f"score {one.score:.2f}")
                self.false.append(cell)

    @property
    def groups(self) -> list[Group]:
        return [
            Group("Misread in their true boxes", self.misread),
            Group("Plates not found", self.missed),
            Group("Found where no plate is labelled", self.false),
        ]


@dataclass(slots=True)
class _Measured:
    results: list[PictureResult] = field(default_factory=list)
    sheet: _Sheet = field(default_factory=_Sheet)


def _read_truth(images: Path, truth: Path) -> dict[str, list[TruePlate]]:
    if not images.is_dir():
        raise TruthError(f"{images} is not a folder; name the one that holds the pictures with --images")
    return parse_truth(read_lines(truth, "--truth"), str(truth))


def read_lines(path: Path, option: str) -> list[str]:
    """The lines of a CSV file. TruthError says what is wrong with it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return list(lines)
    except OSError as error:
        raise TruthError(f"cannot read {path}: {error.strerror}; name a CSV file with {option}") from error
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8") from error


def _reader(
    known: dict[str, list[TruePlate]], options: VoteOptions, load: Callable[[], Recogniser], margin: float = MARGIN
) -> Read:
    """Where all there is to say is which boxes are plates, no recogniser is loaded."""
    if all(plates and not any(plate.text for plate in plates) for plates in known.values()):
        return lambda _frame, boxes: [_NOTHING] * len(boxes)
    model = load()

    def read(frame: Frame, boxes: Sequence[Box]) -> list[Reading]:
        crops = [crop_plate(frame, box, margin) for box in boxes]
        return [alone(one, options) for one in model.read(crops)] if crops else []

    return read


def _measure(
    images: Path, known: dict[str, list[TruePlate]], detector: Detector, read: Read, pictures: bool
) -> _Measured:
    measured = _Measured()
    errors = Console(stderr=True)
    for file, plates in track(known.items(), "measuring", console=errors, transient=True):
        frame = cv2.imread(str(images / file), cv2.IMREAD_COLOR)
        if frame is None:
            errors.print(f"{images / file} is missing or no picture that decodes: left out", markup=False)
            continue
        image = np.asarray(frame, dtype=np.uint8)
        result = _measure_one(image, plates, detector, read)
        measured.results.append(result)
        if pictures:
            measured.sheet.add(file, image, result)
    return measured


def _measure_one(frame: Frame, plates: list[TruePlate], detector: Detector, read: Read) -> PictureResult:
    (detections,) = detector.detect([frame])
    boxes: list[Box] = [(one.x, one.y, one.w, one.h) for one in detections]
    readings = read(frame, [plate.box for plate in plates] + boxes)
    on_truth, on_found = readings[: len(plates)], readings[len(plates) :]
    found = [
        Found(box, one.score, reading.text, keep(reading, [one.score], KeepOptions()))
        for box, one, reading in zip(boxes, detections, on_found, strict=True)
    ]
    return PictureResult(plates, [one.text for one in on_truth], found, [one.confidence for one in on_truth])


def _around(frame: Frame, box: Box) -> Picture:
    x0, y0, x1, y1 = crop_place(frame, box, _SURROUNDINGS)
    return frame[y0:y1, x0:x1].copy()


def _write(sheet: _Sheet, out: Path) -> None:
    groups = sheet.groups
    if not any(group.cells for group in groups):
        typer.echo(f"no failures: {out} is not written", err=True)
        return
    try:
        save(contact_sheet("What went wrong", groups), out)
    except (OSError, ValueError) as error:
        typer.echo(
            f"plateflow evaluate: cannot write {out}: {error}; name a .png or .jpg in a folder of yours", err=True
        )
        raise typer.Exit(2) from error
    typer.echo(f"failures drawn in {out}", err=True)


def _table(report: Report) -> Table:
    table = Table(title=f"{report.images} pictures", title_justify="left")
    for heading in ("measure", "value", "95 % interval", "counts"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    table.add_row("detection recall, IoU 0.5", *share_cells(report.recall))
    table.add_row("detection precision, IoU 0.5", *share_cells(report.precision))
    free = report.plate_free
    if free.pictures:
        rate = f"{1000 * free.published / free.pictures:.1f}"
        table.add_row("false plates per 1,000 plate-free pictures", rate, "–", f"{free.published} / {free.pictures}")
    if not report.text.exact.whole:
        return table
    for name, text in (("on true boxes", report.text), ("end to end", report.end_to_end)):
        table.add_row(f"exact plates, {name}", *share_cells(text.exact))
        table.add_row(f"character error rate, {name}", *_rate_cells(text))
    sure = report.confidence
    table.add_row("right at stated confidence 0.95 or more", *share_cells(sure.stated))
    table.add_row("expected calibration error", number(sure.ece), "–", "–")
    return table


def share_cells(share: Share) -> tuple[str, str, str]:
    """Value, interval and counts, as they stand in a table."""
    return number(share.value), interval_cell(share.interval), f"{share.part} / {share.whole}"


def _rate_cells(text: TextReport) -> tuple[str, str, str]:
    return number(text.cer), interval_cell(text.cer_interval), f"{text.exact.whole} plates"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def interval_cell(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4f} … {interval[1]:.4f}"
