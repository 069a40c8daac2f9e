"""What all `plateflow data` commands share: folders in our layout, progress, and how faults are told.

Exit codes: 0 done; 2 a mistake in the command or the data. Where single pictures or lines are at fault, each is named
on stderr, all the rest is done, and the code is 2 as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, track

from services.inference.datasets.layout import DataError, Dataset, load

T = TypeVar("T")
SHOWN = 50
"""Faults that are told one by one."""
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder in our layout: images/ and plates.csv.")]
Out = Annotated[Path, typer.Option(help="Folder to write; it must not hold anything yet.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def fail(problem: object) -> NoReturn:
    """One sentence, exit code 2."""
    typer.echo(f"plateflow data: {problem}", err=True)
    raise typer.Exit(2)


@contextmanager
def clear_errors() -> Iterator[None]:
    """What can be wrong with data and disks, in one line. Ctrl+C keeps what is written, and leaves with 130."""
    try:
        yield
    except (DataError, ValueError) as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
    except KeyboardInterrupt:
        typer.echo("stopped; what was written before is kept", err=True)
        raise typer.Exit(130) from None


def opened(folder: Path) -> Dataset:
    with clear_errors():
        return load(folder)


def fresh(out: Path) -> Path:
    """The folder, made where it is missing. DataError where something is in it."""
    if out.is_file():
        raise DataError(f"--out {out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"--out {out} is not empty; name another folder, or remove it first")
    out.mkdir(parents=True, exist_ok=True)
    return out


def finish(faults: Sequence[str]) -> None:
    """Tells the faults; exit code 2 where there is one."""
    for fault in faults[:SHOWN]:
        typer.echo(fault, err=True)
    if len(faults) > SHOWN:
        typer.echo(f"and {len(faults) - SHOWN} more of the kind", err=True)
    if faults:
        typer.echo(f"{len(faults)} could not be used, see above; the rest is done", err=True)
        raise typer.Exit(2)


def each(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, with a bar on stderr."""
    yield from track(items, what, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A bar on stderr that moves on with each call of what this gives."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task: Any = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
