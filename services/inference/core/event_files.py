"""Reads lists of vehicles and of events: CSV text in, `Vehicle`s and `Event`s out. Pure.

Vehicles (a reference): `time_start;time_end;plate_num`, by choice also `time_detect`, `is_vehicle` (rows with 0 are
left out) and `file`. Events: `time;plate_num`, by choice `time_end` and `file`. Columns in any order, between them `;`
or `,`; `file` is needed as soon as there is more than one clip. A time is `MM:SS.cc` or `HH:MM:SS.cc` from the start of
the clip, or seconds; with a frame rate, the part after the point of `MM:SS.ff` is the number of the frame.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from services.inference.core.events import Event, Vehicle
from services.inference.core.truth import TruthError, normalise

REFERENCE = ("time_start", "time_end", "plate_num")
EVENTS = ("time", "plate_num")
_CLOCK = re.compile(r"(?:(?:([0-9]{1,6}):)?([0-9]{1,6}):)?([0-9]{1,9})(?:\.([0-9]{1,9}))?")


def parse_vehicles(lines: Iterable[str], name: str, frame_rate: float = 0.0) -> list[Vehicle]:
    """``name``: the file's, for error texts. TruthError names the line."""
    vehicles = []
    for number, row in _rows(lines, name, REFERENCE):
        if row.get("is_vehicle", "1") == "0":
            continue
        with _Line(name, number):
            start, end = (parse_clock(row[column], frame_rate) for column in ("time_start", "time_end"))
            if end < start:
                raise ValueError(f"time_end {row['time_end']} lies before time_start {row['time_start']}")
            if not normalise(row["plate_num"]):
                raise ValueError("plate_num is empty; write what the plate says, # for what nobody can read")
            detect = parse_clock(row["time_detect"], frame_rate) if row.get("time_detect") else None
            vehicles.append(Vehicle(start, end, normalise(row["plate_num"]), detect, clip_name(row.get("file", ""))))
    if not vehicles:
        raise TruthError(f"{name}: no vehicles are named; add rows of {';'.join(REFERENCE)}")
    return vehicles


def parse_events(lines: Iterable[str], name: str) -> list[Event]:
    """No rows: a system that saw nothing. TruthError names the line."""
    events = []
    for number, row in _rows(lines, name, EVENTS):
        with _Line(name, number):
            start = parse_clock(row["time"])
            end = parse_clock(row["time_end"]) if row.get("time_end") else start
            events.append(Event(start, max(start, end), normalise(row["plate_num"]), clip_name(row.get("file", ""))))
    return events


def parse_clock(text: str, frame_rate: float = 0.0) -> int:
    """Milliseconds of `MM:SS.cc`, `HH:MM:SS.cc` or seconds. ValueError says what is expected."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time, as 01:23.45 or 83.45")
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3])
    fraction = found[4] or "0"
    part_s = int(fraction) / frame_rate if frame_rate else int(fraction) / 10.0 ** len(fraction)
    return (hours * 3600 + minutes * 60 + seconds) * 1000 + round(part_s * 1000)


def clip_name(file: str) -> str:
    """By which rows of one clip are known: its file name without folders and ending."""
    return PurePath(file.replace("\\", "/")).stem


class _Line:
    """Within it, a ValueError becomes a TruthError that names file and line."""

    def __init__(self, name: str, number: int) -> None:
        self._place = f"{name}, line {number}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ValueError):
            raise TruthError(f"{self._place}: {error}") from error


def _rows(lines: Iterable[str], name: str, needed: Sequence[str]) -> Iterable[tuple[int, dict[str, str]]]:
    texts = list(lines)
    head = texts[0] if texts else ""
    reader = csv.DictReader(texts, delimiter=";" if ";" in head else ",", strict=True)
    try:
        missing = [column for column in needed if column not in (reader.fieldnames or ())]
        if missing:
            raise TruthError(f"{name}, line 1: column {', '.join(missing)} missing; write {';'.join(needed)}")
        for row in reader:
            if None in row or None in row.values():
                raise TruthError(f"{name}, line {reader.line_num}: the row has more or fewer fields than the header")
            yield reader.line_num, {key: (value or "").strip() for key, value in row.items()}
    except csv.Error as error:
        raise TruthError(f"{name}, line {reader.line_num + 1}: {error}") from error
