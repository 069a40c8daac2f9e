"""What the demo shows while it runs: live bars on a terminal, plain lines elsewhere (or with NO_COLOR set)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from services.cli.demo_check import Row, Verdict


class Show:
    """One bar for each step; `say` prints a line above the bars."""

    def __init__(self, to_stderr: bool) -> None:
        self._console = Console(stderr=to_stderr, highlight=False)
        self._live = self._console.is_terminal and "NO_COLOR" not in os.environ
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._step: TaskID | None = None
        self._text, self._done, self._total = "", 0, 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, text: str, total: int) -> None:
        """The step that begins now, in ``total`` parts."""
        self._text, self._done, self._total = text, 0, total
        self._step = self._progress.add_task(text, total=total)
        if not self._live:
            self._console.print(f"{text} ({total}) ...", markup=False)

    def advance(self, by: int = 1) -> None:
        self._done += by
        if self._step is not None:
            self._progress.advance(self._step, by)

    def say(self, text: str, style: str = "") -> None:
        self._progress.console.print(Text(text, style=style), soft_wrap=True)

    def passages(self, verdict: Verdict) -> None:
        """The table of expected passages and what became of them."""
        table = Table(box=box.SIMPLE_HEAD, title="every vehicle of every recording", title_justify="left")
        for heading in ("camera", "plate", "read as", "in view", "speed", "off by"):
            table.add_column(heading, no_wrap=True)
        for row in verdict.rows:
            table.add_row(*_cells(row), style="" if row.exact else "red")
        self._console.print(table)
        self._console.print(
            "speed: measured, and true; off by: how far the worst position on the plan is off", style="dim"
        )

    def places(self, places: dict[str, Path]) -> None:
        """Where everything is."""
        width = max(map(len, places))
        for name, path in places.items():
            self._console.print(Text(f"  {name:<{width}}  {path}"), soft_wrap=True)


def _cells(row: Row) -> list[str]:
    passage, truth = row.passage, row.truth
    camera = row.clip.camera.rpartition("/")[2]
    if passage is None:
        return [camera, truth.plate, "nothing", "", "", ""]
    start = row.clip.start_ms
    seen = f"{(passage.first_seen_ms - start) / 1000:.1f} to {(passage.last_seen_ms - start) / 1000:.1f} s"
    speed = f"{passage.speed_mps:.1f}, {truth.speed_mps:.1f} m/s" if passage.speed_mps is not None else "–"
    position = f"{row.worst_m:.2f} m" if row.worst_m is not None else "–"
    mark = "✓" if row.exact else "✗"
    return [camera, truth.plate, f"{mark} {passage.plate}", seen, speed, position]
