"""`plateflow heatmap --follow`: draws again whenever the Parquet has grown, until Ctrl+C.

The picture is replaced in one go, so that who shows it never sees half of one. Ctrl+C lets a picture at hand be
finished.
Files that come, go or are not there yet are waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import typer

from services.aggregator.picture import NothingToDraw
from services.aggregator.tables import BadFile
from services.cli.heatmap_files import Files, Unusable
from services.cli.interrupt import Interrupt

LOOK_EVERY_S = 1.0
Mark = tuple[tuple[str, int, int], ...]


def follow(find: Callable[[], Files], draw: Callable[[Files], str], every_s: float = LOOK_EVERY_S) -> None:
    """Returns at Ctrl+C. ``find`` may raise Unusable, BadFile; ``draw`` NothingToDraw, BadFile; each is told once."""
    seen: Mark | None = None
    said = ""
    with Interrupt() as interrupt:
        while not interrupt.asked:
            try:
                files = find()
                mark = _mark(files)
                if mark != seen:
                    typer.echo(draw(files))
                    seen, said = mark, ""
            except (NothingToDraw, Unusable, BadFile, FileNotFoundError) as error:
                if str(error) != said:
                    typer.echo(f"waiting: {error}", err=True)
                    said = str(error)
            try:
                with interrupt.allowed():
                    time.sleep(every_s)
            except KeyboardInterrupt:
                break
    typer.echo("stopped: the last picture stays", err=True)


def _mark(files: Files) -> Mark:
    """Changes with any file."""
    paths = [one.path for one in files.cells] + [one.path for one in files.sightings]
    return tuple((str(path), (stat := path.stat()).st_mtime_ns, stat.st_size) for path in paths)
