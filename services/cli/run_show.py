"""What `plateflow run` shows: a bar on stderr (plain lines where there is no terminal, or with NO_COLOR), a table.

Everything a person reads goes to stderr but the table of passages, which is the result; with ``--json`` that, too.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from services.contracts.cloudevents import rfc3339
from services.contracts.messages import Passage
from services.inference.core.gates import SMALL
from services.inference.models.detector import is_plate
from services.inference.pipeline import Progress as ClipProgress
from services.inference.result import RecordingResult

SHOWN = 40
"""Passages in the table at most; all are in the files."""
NAME = 36
"""Letters of a name beside the bar at most."""
WIDE = 160
"""Columns where there is no terminal to ask."""
TELL_S = 10.0
"""How often the state is told where there is no terminal."""
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # or, where there is no log, logging itself would say on stderr what we have said
_YEAR_MS = 365 * 86_400_000


class RunShow:
    """The progress of a run; call `begin` once it is known how many recordings there are."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal and "NO_COLOR" not in os.environ
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[count]}  {task.fields[name]}", markup=False),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[media]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[found]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._done = self._total = self._passages = 0
        self._began_s = self._told_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, total: int) -> None:
        self._total = total
        self._task = self._progress.add_task(
            "", total=total, count=f"0/{total}", name="loading the models", found="", media=""
        )
        self._progress.start()

    def start(self, name: str) -> None:
        """Another recording is at hand."""
        self._progress.update(self._task, count=f"{self._done + 1}/{self._total}", name=_short(name))

    def last(self, what: str) -> None:
        """What is done once all recordings are read."""
        self._progress.update(self._task, count="", name=_short(what))

    def progress(self, clip: ClipProgress) -> None:
        part = min(clip.done_ms / clip.duration_ms, 1.0) if clip.duration_ms else 0.0
        media = _of(clip.done_ms, clip.duration_ms)
        self._progress.update(self._task, completed=self._done + part, media=media)
        self._tell(f"{media}, {_count(clip.frames, 'frame')}")

    def drawing(self, done_ms: int, duration_ms: int) -> None:
        """The recording at hand is read; pictures are made of its frames once more."""
        media = _of(done_ms, duration_ms)
        self._progress.update(self._task, name="drawing", media=media)
        self._tell(f"{media} drawn")

    def _tell(self, what: str) -> None:
        now_s = time.monotonic()
        if not self._live and now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            self.say(f"{what}, {now_s - self._began_s:.0f} s since the start")

    def finish(self, name: str, result: RecordingResult, passages: int, whole: bool = True) -> None:
        """The recording at hand is read; ``whole``: so is its input."""
        self._passages += passages
        self._advance(whole)
        if not self._live:
            seen = f"{_count(result.frames, 'frame')}, {_count(passages, 'passage')}"
            self.say(f"{self._done}/{self._total}  {name}: {seen}")
        if small := result.rejected.get(SMALL, 0):
            boxes = f"{small:,} {'box' if small == 1 else 'boxes'} too small to read"
            self.say(f"{name}: {boxes} (PLATEFLOW_MIN_PLATE_WIDTH, PLATEFLOW_MIN_PLATE_HEIGHT)")
        if result.note:
            self.say(f"{name}: {result.note}", "yellow")

    def skip(self, text: str) -> None:
        """The input at hand needs no reading."""
        self._advance()
        self.say(text)

    def event(self, text: str) -> None:
        """A line about a plate: to a log only where plates may be."""
        log.debug("%s", text)
        self._console.print(Text(text), soft_wrap=True)

    def fail(self, name: str, reason: str) -> None:
        """The recording at hand cannot be read."""
        self._advance()
        self.fault(name, reason)

    def fault(self, name: str, reason: str) -> None:
        self.say(f"{name}: {reason}", "red")

    def say(self, text: str, style: str = "") -> None:
        """A line above the bar."""
        log.log(logging.WARNING if style else logging.INFO, "%s", text)
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _advance(self, whole: bool = True) -> None:
        self._done = min(self._done + whole, self._total)
        self._progress.update(self._task, completed=self._done, found=_count(self._passages, "passage"))


def print_table(passages: Sequence[Passage], out: Path | None, to_stderr: bool) -> None:
    """Plate, camera, first and last seen, confidence, one row for each passage; its country, where any has one."""
    on_terminal = (sys.stderr if to_stderr else sys.stdout).isatty()
    console = Console(stderr=to_stderr, highlight=False, width=None if on_terminal else WIDE)
    if passages:
        table = Table(title=_count(len(passages), "passage"), title_justify="left", title_style="bold")
        for heading in ("plate", "camera", "first seen", "last seen"):
            table.add_column(heading, no_wrap=heading != "camera", overflow="fold")
        table.add_column("confidence", justify="right")
        countries = any(one.country for one in passages[:SHOWN])
        if countries:
            table.add_column("country")
        for one in passages[:SHOWN]:
            table.add_row(*map(Text, (*_cells(one), one.country) if countries else _cells(one)))
        console.print(table)
    else:
        console.print("no number plate was read")
    if len(passages) > SHOWN:
        where = f" in {out / 'passages.csv'}" if out is not None else ""
        console.print(f"and {_count(len(passages) - SHOWN, 'more passage')}{where}", markup=False)


def clock(time_ms: int) -> str:
    """Date and time in UTC; of files whose start nobody knows, hours, minutes and seconds from the beginning."""
    if time_ms >= _YEAR_MS:
        return rfc3339(time_ms)[:-1].replace("T", " ")
    minutes, ms = divmod(time_ms, 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{ms / 1000:06.3f}"


def _minutes(time_ms: int) -> str:
    return f"{time_ms // 60_000}:{time_ms // 1000 % 60:02}"


def _of(done_ms: int, duration_ms: int) -> str:
    return f"{_minutes(done_ms)} of {_minutes(duration_ms)}" if duration_ms else _minutes(done_ms)


def _cells(one: Passage) -> tuple[str, ...]:
    return (
        one.plate or one.label,
        one.camera,
        clock(one.first_seen_ms),
        clock(one.last_seen_ms),
        f"{one.confidence:.2f}" if is_plate(one.label) else "",
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[1 - NAME // 2 :]}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
