"""`plateflow evaluate`: measures the models on pictures whose plates are known.

Exit codes: 0 done; 2 a mistake in the command or the data. Where single pictures were missing or did not decode
(named on stderr, counted as `unreadable`, left out of every figure), the rest is measured, and the code is 2 as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.inference.core.evaluation import (
    Found,
    Interval,
    PictureResult,
    Report,
    Share,
    TextReport,
    evaluate,
)
from services.inference.core.truth import Box, TruePlate, TruthError, parse_truth
from services.inference.models.detector import CONFIDENCE, INPUT_SIZE, Detector, Frame
from services.inference.models.factory import Device, create_detector
from services.inference.models.recogniser import OnnxRecogniser, crop_plate
from services.runtime.errors import Stop

app = typer.Typer(
    help="Measure the models on pictures whose plates are known.", no_args_is_help=True, add_completion=False
)


@app.callback()
def evaluate_group() -> None:
    """Measure the models on pictures whose plates are known."""


@app.command()
def plates(
    images: Annotated[Path, typer.Option(help="Folder that holds the pictures.")],
    truth: Annotated[Path, typer.Option(help="CSV with the columns file,x,y,w,h,text.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    device: Annotated[Device, typer.Option(help="Where the detector runs.")] = "auto",
    detector: Annotated[Path | None, typer.Option(help="Other detector weights.")] = None,
    recogniser: Annotated[Path | None, typer.Option(help="Other recogniser weights.")] = None,
    confidence: Annotated[float, typer.Option(min=0.0, max=1.0, help="Least detection score.")] = CONFIDENCE,
    input_size: Annotated[int, typer.Option(help="Longest side of the detector's input.")] = INPUT_SIZE,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the detector; 0: all cores.")] = 0,
) -> None:
    """Detection recall and precision, exact plates and character error rate, each with a 95 % interval."""
    try:
        known = _read_truth(images, truth)
        find = create_detector(device, detector, threads, confidence, input_size=input_size)
        read = _reader(known, recogniser)
    except (Stop, TruthError, ValueError) as error:
        typer.echo(f"plateflow evaluate: {error}", err=True)
        raise typer.Exit(2) from error
    started = time.monotonic()
    results, unreadable = _measure(images, known, find, read)
    report = evaluate(results)
    Console().print(_table(report))
    if as_json:
        seconds = round(time.monotonic() - started, 2)
        typer.echo(json.dumps(report.as_json() | {"unreadable": unreadable, "seconds": seconds}))
    raise typer.Exit(2 if unreadable else 0)


Read = Callable[[Frame, Sequence[Box]], list[str]]
"""What the boxes of a picture say, one text per box."""


def _read_truth(images: Path, truth: Path) -> dict[str, list[TruePlate]]:
    if not images.is_dir():
        raise TruthError(f"{images} is not a folder; name the one that holds the pictures with --images")
    try:
        with truth.open(encoding="utf-8-sig", newline="") as lines:
            return parse_truth(lines, str(truth))
    except OSError as error:
        raise TruthError(f"cannot read {truth}: {error.strerror}; name a CSV file with --truth") from error
    except UnicodeDecodeError as error:
        raise TruthError(f"{truth} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8") from error


def _reader(known: dict[str, list[TruePlate]], weights: Path | None) -> Read:
    """Without a single text in the truth there is nothing to compare, so no recogniser is loaded."""
    if not any(plate.text for plates in known.values() for plate in plates):
        return lambda _frame, boxes: [""] * len(boxes)
    model = OnnxRecogniser(weights) if weights else OnnxRecogniser()

    def read(frame: Frame, boxes: Sequence[Box]) -> list[str]:
        return [one.text for one in model.read([crop_plate(frame, box) for box in boxes])] if boxes else []

    return read


def _measure(
    images: Path, known: dict[str, list[TruePlate]], detector: Detector, read: Read
) -> tuple[list[PictureResult], int]:
    results: list[PictureResult] = []
    errors = Console(stderr=True)
    for file, plates in track(known.items(), "measuring", console=errors, transient=True):
        frame = cv2.imread(str(images / file), cv2.IMREAD_COLOR)
        if frame is None:
            errors.print(f"{images / file} is missing or no picture that decodes: left out", markup=False)
            continue
        results.append(_measure_one(np.asarray(frame, dtype=np.uint8), plates, detector, read))
    return results, len(known) - len(results)


def _measure_one(frame: Frame, plates: list[TruePlate], detector: Detector, read: Read) -> PictureResult:
    (detections,) = detector.detect([frame])
    boxes: list[Box] = [(one.x, one.y, one.w, one.h) for one in detections]
    texts = read(frame, [plate.box for plate in plates] + boxes)
    found = [
        Found(box, one.score, text) for box, one, text in zip(boxes, detections, texts[len(plates) :], strict=True)
    ]
    return PictureResult(plates, texts[: len(plates)], found)


def _table(report: Report) -> Table:
    table = Table(title=f"{report.images} pictures", title_justify="left")
    for heading in ("measure", "value", "95 % interval", "counts"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    table.add_row("detection recall, IoU 0.5", *_share_cells(report.recall))
    table.add_row("detection precision, IoU 0.5", *_share_cells(report.precision))
    if not report.text.exact.whole:
        return table
    for name, text in (("on true boxes", report.text), ("end to end", report.end_to_end)):
        table.add_row(f"exact plates, {name}", *_share_cells(text.exact))
        table.add_row(f"character error rate, {name}", *_rate_cells(text))
    return table


def _share_cells(share: Share) -> tuple[str, str, str]:
    return _number(share.value), _range(share.interval), f"{share.part} / {share.whole}"


def _rate_cells(text: TextReport) -> tuple[str, str, str]:
    return _number(text.cer), _range(text.cer_interval), f"{text.exact.whole} plates"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _range(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4f} … {interval[1]:.4f}"
