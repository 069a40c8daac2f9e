"""`plateflow data import|export|add`: other people's folders and zips into our layout, and back."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data_common import Folder, Out, clear_errors, counting, finish, fresh, opened
from services.inference.datasets.archives import unpacked
from services.inference.datasets.checks import compiled
from services.inference.datasets.layout import DataError, Source, save
from services.inference.datasets.own import CROP, add_crops
from services.inference.datasets.read import READERS, import_folder
from services.inference.datasets.write import WRITERS, export_folder

Kind = StrEnum("Kind", {name: name for name in READERS})  # type: ignore[misc]
Format = StrEnum("Format", {name: name for name in WRITERS})  # type: ignore[misc]


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
    app.command("export")(export)
    app.command("add")(add)


def import_(
    kind: Annotated[Kind, typer.Argument(help="What the source is.")],
    source: Annotated[Path, typer.Argument(metavar="FOLDER|ZIP", help="Their folder or zip (zips in it are opened).")],
    out: Out,
    name: Annotated[str, typer.Option(help="Short name of the source; else that of the folder.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the pictures, as CC-BY-4.0.")] = "",
    commercial: Annotated[str, typer.Option(metavar="yes|no", help="Whether commercial use is allowed.")] = "",
    url: Annotated[str, typer.Option(help="Where the pictures are from.")] = "",
    label: Annotated[
        list[str], typer.Option(metavar="CLASS", help="Only this class is a plate; may be repeated. Else: all.")
    ] = [],  # noqa: B006 -- typer copies it
) -> None:
    """Bring what others wrote into our layout.

    Kinds: `yolo` (also with four key points or corners), `kitti`, `voc`, `ibm` (Cloud Annotations), `via` (nomeroff's
    detector sets), `nomeroff` (its OCR sets, ann/ and img/), `labels` (labels.tsv, labels.csv, annotations.txt),
    `names` (crops whose names begin with the plate), `folders` (crops in folders named after the plate).

    Nothing is downloaded: fetch a public set by hand, for example the YOLO zips of AY000554/Car_plate_detecting_dataset
    (`plateflow data import yolo FOLDER_OF_ZIPS`) or those of AY000554/Car_plate_OCR_dataset (`labels`, or `names` where
    they have no manifest).
    """
    if commercial not in ("", "yes", "no"):
        raise typer.BadParameter("is yes or no", param_hint="--commercial")
    about = Source(name or source.stem, licence, commercial, url)
    with clear_errors(), unpacked(source) as folder:
        fresh(out)
        with counting("importing") as told:
            dataset = import_folder(kind.value, folder, out, about, frozenset(label), told)
        save(dataset, out)
    plates = sum(len(picture.plates) for picture in dataset.pictures)
    typer.echo(f"{len(dataset.pictures)} pictures with {plates} plates in {out}, from {about.name}")
    if not licence:
        typer.echo("no licence named (--licence): write it into sources.csv before you train on these", err=True)
    finish([fault.replace(f"{folder}/", "") for fault in dataset.faults])


def export(kind: Annotated[Format, typer.Argument(help="What to write.")], folder: Folder, out: Out) -> None:
    """Write a folder of ours as others want it: yolo, kitti, voc, ibm, via, nomeroff, labels (labels.tsv), truth."""
    dataset = opened(folder)
    with clear_errors():
        fresh(out)
        with counting("exporting", len(dataset.pictures)) as told:
            faults = export_folder(kind.value, dataset, folder, out, told)
    typer.echo(f"{len(dataset.pictures) - len(faults)} pictures as {kind.value} in {out}")
    finish(dataset.faults + faults)


def add(
    folder: Folder,
    crops: Annotated[Path, typer.Argument(metavar="CROPS", help="Folder with one folder of crops per plate text.")],
    split: Annotated[str, typer.Option(metavar="train|val|test", help="Split that they belong to.")] = "train",
    pattern: Annotated[str, typer.Option(metavar="REGEX", help="What a plate's text must match as a whole.")] = CROP,
    name: Annotated[str, typer.Option(help="Name of the source.")] = "own",
    licence: Annotated[str, typer.Option(help="Licence of the pictures.")] = "own pictures",
) -> None:
    """Add your own crops, in folders that are named after the plate. Invalid names and duplicates are left out."""
    if split not in ("train", "val", "test"):
        raise typer.BadParameter("is train, val or test", param_hint="--split")
    dataset = opened(folder)
    with clear_errors(), counting("adding") as told:
        if not crops.is_dir():
            raise DataError(f"{crops} is not a folder; name the one that holds a folder per plate")
        (checked,) = compiled([pattern])
        counts = add_crops(dataset, folder, crops, split, checked, Source(name, licence), told)
        save(dataset, folder)
    typer.echo(
        f"{counts.added} added, {counts.duplicates} there before, {counts.invalid} invalid, {counts.broken} broken"
    )
    finish(counts.faults)


def split_pattern(pattern: str) -> str:
    """BadParameter for what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise typer.BadParameter(f"{pattern!r} is no regular expression: {error}") from error
    return pattern
