"""`plateflow evaluate events`: a list of events against a list of the vehicles that really came by."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli.evaluate_plates import interval_cell, number, read_lines, share_cells
from services.inference.core.event_files import parse_events, parse_vehicles
from services.inference.core.events import Event, EventReport, Vehicle, compare
from services.inference.core.truth import TruthError

_LISTED = 20
FrameRate = Annotated[
    float, typer.Option(min=0, help="The truth's times are MM:SS.ff with frame numbers at this rate; 0: they are not.")
]


def events(
    found: Annotated[Path, typer.Option("--events", help="CSV: time;plate_num, as `plateflow run --csv` writes it.")],
    truth: Annotated[Path, typer.Option(help="CSV: time_start;time_end;plate_num, perhaps time_detect, file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    slack: Annotated[float, typer.Option(min=0, help="Seconds that an event may lie outside its vehicle's time.")] = 0,
    frame_rate: FrameRate = 0,
) -> None:
    """One right event per vehicle, no false one: precision, recall, F1, characters, time.

    An event is right if its time lies within a vehicle's and its text is the vehicle's; `#`, on either side, stands for
    any character. A second right event of the same vehicle is false.
    """
    started = time.monotonic()
    try:
        vehicles = parse_vehicles(read_lines(truth, "--truth"), str(truth), frame_rate)
        seen = parse_events(read_lines(found, "--events"), str(found))
    except TruthError as error:
        typer.echo(f"plateflow evaluate: {error}", err=True)
        raise typer.Exit(2) from error
    report = compare(vehicles, seen, round(slack * 1000))
    show(report, Console())
    if as_json:
        typer.echo(json.dumps(report.as_json() | {"seconds": round(time.monotonic() - started, 2)}))


def show(report: EventReport, console: Console) -> None:
    """The figures as a table, then what was missed and what is false, one by one."""
    table = Table(title=f"{len(report.vehicles)} vehicles, {len(report.events)} events", title_justify="left")
    for heading in ("measure", "value", "95 % interval", "counts"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    table.add_row("vehicles with their event (recall)", *share_cells(report.recall))
    table.add_row("events that are right (precision)", *share_cells(report.precision))
    table.add_row("F1", number(report.f1), "–", "–")
    table.add_row("repeated events of one vehicle", str(len(report.repeated)), "–", "–")
    table.add_row("character error rate", number(report.cer), interval_cell(report.cer_interval), "–")
    if report.timing_ms is not None:
        table.add_row("seconds from time_detect, mean", f"{report.timing_ms / 1000:.2f}", "–", "–")
    console.print(table)
    _list("missed", [_vehicle(one) for one in report.missed], console)
    _list("false", [_event(one, one in report.repeated) for one in report.false], console)


def _list(name: str, lines: list[str], console: Console) -> None:
    for line in lines[:_LISTED]:
        console.print(f"{name:8} {line}", markup=False, highlight=False)
    if len(lines) > _LISTED:
        console.print(f"{name:8} and {len(lines) - _LISTED} more")


def _vehicle(one: Vehicle) -> str:
    return f"{_clock(one.start_ms)} - {_clock(one.end_ms)}  {one.text:10}  {one.clip}".rstrip()


def _event(one: Event, repeated: bool) -> str:
    again = "  (repeated)" if repeated else ""
    return f"{_clock(one.start_ms)} - {_clock(one.end_ms)}  {one.text:10}  {one.clip}".rstrip() + again


def _clock(time_ms: int) -> str:
    return f"{time_ms // 60_000:02}:{time_ms % 60_000 / 1000:05.2f}"
