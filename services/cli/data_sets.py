"""`plateflow data merge|split|sources`: whole sets of pictures."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli.data_common import AsJson, Folder, Out, clear_errors, counting, finish, fresh, opened
from services.inference.datasets.duplicates import NEAR
from services.inference.datasets.layout import SPLITS, DataError, Source, save, write_table
from services.inference.datasets.merge import merge
from services.inference.datasets.split import assigned, leaks, vehicles


def register(app: typer.Typer) -> None:
    app.command("merge")(merge_)
    app.command()(split)
    app.command()(sources)


def merge_(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders in our layout.")],
    out: Out,
    near: Annotated[
        int, typer.Option(min=0, max=16, help="Bits of 64 in which the hashes of duplicates differ at most.")
    ] = NEAR,
    as_json: AsJson = False,
) -> None:
    """Join folders, each picture once: duplicates are found by perceptual hash, counted, listed in duplicates.csv."""
    with clear_errors():
        fresh(out)
        with counting("comparing") as told:
            merged = merge(folders, out, near, told)
        save(merged.dataset, out)
        write_table(out / "duplicates.csv", ("stays", "dropped", "bits"), merged.duplicates)
    for name, count in merged.counts.items():
        typer.echo(f"{count} pictures in {name}")
    kept, dropped = len(merged.dataset.pictures), len(merged.duplicates)
    typer.echo(f"{kept} pictures in {out}; {dropped} duplicates left out, see duplicates.csv")
    if as_json:
        typer.echo(json.dumps({"sets": merged.counts, "pictures": kept, "duplicates": dropped}))
    finish(merged.dataset.faults)


def split(
    folder: Folder,
    shares: Annotated[str, typer.Option(metavar="A,B,C", help="Shares of train, val and test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(help="Another seed is another split.")] = 0,
    by: Annotated[
        str, typer.Option(metavar="REGEX", help="Files in which its first group is the same stay together.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Split into train, val and test by vehicle: no plate or group is in two of them. Rewrites plates.csv."""
    wanted = _shares(shares)
    dataset = opened(folder)
    with clear_errors():
        if dataset.faults:  # rewriting the table would lose the broken lines
            raise DataError(f"{dataset.faults[0]}; mend plates.csv first")
        _checked(by)
        dataset.pictures = assigned(dataset.pictures, wanted, seed, by)
        torn = leaks(dataset.pictures, by)
        if torn:
            raise AssertionError(torn[0])
        save(dataset, folder)
    counts = Counter(picture.split for picture in dataset.pictures)
    together = len(vehicles(dataset.pictures, by))
    for name in wanted:
        typer.echo(f"{name}: {counts[name]} pictures ({counts[name] / max(1, len(dataset.pictures)):.1%})")
    typer.echo(f"{together} vehicles or single pictures, none in two parts")
    if as_json:
        typer.echo(
            json.dumps({"vehicles": together, "pictures": {name: counts[name] for name in wanted}, "seed": seed})
        )


def sources(folder: Folder, as_json: AsJson = False) -> None:
    """Where the pictures are from, under which licences, and whether these allow commercial use."""
    dataset = opened(folder)
    counts = Counter(picture.source for picture in dataset.pictures)
    table = Table(title=f"{len(dataset.pictures)} pictures", title_justify="left")
    for heading in ("source", "pictures", "licence", "commercial use", "address"):
        table.add_column(heading, justify="right" if heading == "pictures" else "left")
    known = [dataset.sources.get(name, Source(name)) for name in sorted({*counts, *dataset.sources})]
    for one in known:
        use = one.commercial or "not said"
        table.add_row(one.name or "unknown", str(counts[one.name]), one.licence or "not named", use, one.url)
    Console().print(table)
    if as_json:
        rows = [
            {"source": one.name, "pictures": counts[one.name], "licence": one.licence, "commercial": one.commercial}
            for one in known
        ]
        typer.echo(json.dumps({"sources": rows}))
    finish(dataset.faults)


def _shares(text: str) -> dict[str, float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if not 2 <= len(values) <= 3 or min(values) < 0 or not 0 < sum(values) < float("inf"):
        raise typer.BadParameter("two or three numbers, as 0.8,0.1,0.1 for train, val and test", param_hint="--shares")
    return {name: value for name, value in zip(SPLITS, values, strict=False) if value > 0}


def _checked(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise DataError(f"--by {pattern!r} is no regular expression: {error}") from error
