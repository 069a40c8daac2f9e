"""`plateflow data check|stats`: what is wrong with a set of pictures, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.cli.data_common import SHOWN, AsJson, Folder, clear_errors, each, finish, opened
from services.inference.datasets.checks import NAMED, compiled, statistics, warnings, wrong_texts
from services.inference.datasets.layout import IMAGES, DataError, Dataset, Picture, Plate
from services.inference.datasets.pictures import Unreadable, pictures_below, read_picture
from services.inference.datasets.read import label_rows
from services.inference.datasets.split import leaks

Patterns = Annotated[
    list[str], typer.Option("--pattern", metavar="REGEX", help="What a text must match as a whole; may be repeated.")
]
Formats = Annotated[
    list[str], typer.Option("--format", metavar="NAME", help=f"A known format: {', '.join(NAMED)}; may be repeated.")
]


def register(app: typer.Typer) -> None:
    app.command()(check)
    app.command()(stats)


def check(
    source: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A folder of ours, or a file of labels.")],
    pattern: Patterns = [],  # noqa: B006 -- typer copies it
    format: Formats = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Check texts against formats, and that no vehicle is in two splits. Exit code 1 where something is wrong.

    A file of labels is labels.tsv, labels.csv or annotations.txt. `#` in a text stands for an undecided character.
    """
    with clear_errors():
        patterns = known_patterns(pattern, format)
        dataset = opened(source) if source.is_dir() else _labels(source)
    wrong = wrong_texts(dataset.pictures, patterns) if patterns else []
    torn = leaks(dataset.pictures)
    texts = sum(bool(plate.text) for picture in dataset.pictures for plate in picture.plates)
    for file, text in wrong[:SHOWN]:
        typer.echo(f"{file}: {text} matches no format")
    if len(wrong) > SHOWN:
        typer.echo(f"and {len(wrong) - SHOWN} more")
    for sentence in torn[:SHOWN]:
        typer.echo(sentence)
    against = f"{len(wrong)} match none of {len(patterns)} formats" if patterns else "no --pattern, no --format named"
    typer.echo(f"{texts} texts, {against}; {len(torn)} vehicles in more than one split")
    if as_json:
        typer.echo(json.dumps({"texts": texts, "wrong": len(wrong), "torn": len(torn), "faults": len(dataset.faults)}))
    finish(dataset.faults)
    raise typer.Exit(1 if wrong or torn else 0)


def known_patterns(patterns: list[str], formats: list[str]) -> list[Any]:
    """ValueError for a format that is not known, or what is no regular expression."""
    unknown = [name for name in formats if name not in NAMED]
    if unknown:
        raise ValueError(f"--format {unknown[0]} is not known; there are {', '.join(NAMED)}, or name a --pattern")
    return compiled([*patterns, *(one for name in formats for one in NAMED[name])])


def stats(folder: Folder, as_json: AsJson = False) -> None:
    """Count pictures, plates, sizes, shapes, lengths and characters; name broken pictures and what to look at."""
    dataset = opened(folder)
    sizes: dict[str, tuple[int, int]] = {}
    for picture in each(dataset.pictures, "looking"):
        try:
            image = read_picture(folder / IMAGES / picture.file)
            sizes[picture.file] = (image.shape[1], image.shape[0])
        except Unreadable as error:
            dataset.faults.append(str(error))
    figures = statistics(dataset.pictures, sizes)
    figures["unlisted"] = _unlisted(folder, dataset)
    figures["broken"] = len(dataset.pictures) - len(sizes)
    figures["licences"] = {
        name: dataset.sources[name].licence or "not named" if name in dataset.sources else "not named"
        for name in figures["sources"]
    }
    Console().print(_table(figures))
    for warning in warnings(dataset.pictures, figures):
        typer.echo(f"look at this: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps(figures))
    finish(dataset.faults)


def _unlisted(folder: Path, dataset: Dataset) -> int:
    """Pictures in images/ that no row names."""
    known = {picture.file for picture in dataset.pictures}
    images = folder / IMAGES
    return sum(path.relative_to(images).as_posix() not in known for path in pictures_below(images))


def _labels(path: Path) -> Dataset:
    if not path.is_file():
        raise DataError(f"{path} is not there; name a folder of ours or a file of labels")
    faults: list[str] = []
    pictures = [Picture(file, (Plate((0, 0, 1, 1), text),)) for _, file, text in label_rows(path, faults)]
    return Dataset(pictures, {}, faults)


def _table(figures: Mapping[str, Any]) -> Table:
    table = Table(title=f"{figures['pictures']} pictures", title_justify="left", show_header=False)
    for name, value in figures.items():
        if name == "pictures":
            continue
        if isinstance(value, dict) and value and name.endswith(("width", "height")):
            shown = "{least:g} … {quarter:g} … {median:g} … {three_quarters:g} … {most:g}".format(**value)
        elif isinstance(value, dict):
            shown = ", ".join(f"{key} {count}" for key, count in value.items())
        else:
            shown = str(value)
        table.add_row(name.replace("_", " "), shown or "–")
    return table
