"""`plateflow data frames|crops|resize|draw`: pictures out of videos and pictures."""

from __future__ import annotations

import csv
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data_common import Folder, Out, clear_errors, each, fail, finish, fresh, opened
from services.cli.inputs import VIDEO_SUFFIXES
from services.inference.datasets.layout import IMAGES, Dataset, Picture, Plate, save
from services.inference.datasets.pictures import (
    Image,
    Unreadable,
    crop,
    draw,
    fitted,
    read_picture,
    resized,
    scaled,
    write_picture,
)
from services.inference.decode import Decoder
from services.runtime.errors import Reject

FRAMES = "frames.csv"


def register(app: typer.Typer) -> None:
    app.command()(frames)
    app.command()(crops)
    app.command()(resize)
    app.command("draw")(draw_)


def frames(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Video files, or folders of them.")],
    out: Out,
    fps: Annotated[float, typer.Option(min=0, max=240, help="Frames per second of the video; 0: all.")] = 1.0,
    width: Annotated[int, typer.Option(min=0, help="Widest picture; 0: as the video is.")] = 0,
    png: Annotated[bool, typer.Option("--png", help="Lossless pictures instead of JPEG.")] = False,
) -> None:
    """Take frames out of videos: images/VIDEO/VIDEO_MILLISECONDS.jpg, and frames.csv with file, group and time.

    There is no plates.csv yet, since nobody has looked for plates in them: label the boxes with a tool of your choice
    and bring them back with `plateflow data import`.
    """
    faults: list[str] = []
    with clear_errors(), closing(Decoder()) as decoder:
        fresh(out)
        taken = 0
        with (out / FRAMES).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("file", "group", "time_ms"))
            for video in each(_videos(videos), "taking frames"):
                try:
                    taken += _take(decoder, video, out, fps, width, ".png" if png else ".jpg", table)
                except (Reject, OSError) as error:
                    faults.append(f"{video}: {error.detail if isinstance(error, Reject) else error}")
                file.flush()
    typer.echo(f"{taken} frames in {out}")
    finish(faults)


def crops(
    folder: Folder,
    out: Out,
    margin: Annotated[float, typer.Option(min=0, max=1, help="Part of the box added on each side.")] = 0.06,
    grey: Annotated[bool, typer.Option("--grey", help="Grey pictures.")] = False,
) -> None:
    """Cut every plate out: NAME_0.png, NAME_1.png, … with the texts, in our layout again."""
    made = Dataset(sources=(dataset := opened(folder)).sources, faults=dataset.faults)
    with clear_errors():
        fresh(out)
        for picture in each(dataset.pictures, "cutting"):
            image = _image(folder, picture, made) if picture.plates else None
            for index, plate in enumerate(picture.plates):
                if image is not None:
                    made.pictures.append(_cut(image, picture, plate, index, margin, grey, out))
        save(made, out)
    typer.echo(f"{len(made.pictures)} crops in {out}")
    finish(made.faults)


def resize(
    folder: Folder,
    out: Out,
    width: Annotated[int, typer.Option(min=0, max=20_000, help="0: follows from the height.")] = 0,
    height: Annotated[int, typer.Option(min=0, max=20_000, help="0: follows from the width.")] = 0,
    exact: Annotated[bool, typer.Option("--exact", help="Exactly this size: pictures lose their shape.")] = False,
) -> None:
    """Make pictures fit a size, boxes and corners with them. Their shape is kept, unless --exact is given."""
    if not (width or height) or (exact and not (width and height)):
        fail("name --width or --height; with --exact both")
    made = Dataset(sources=(dataset := opened(folder)).sources, faults=dataset.faults)
    with clear_errors():
        fresh(out)
        for picture in each(dataset.pictures, "resizing"):
            image = _image(folder, picture, made)
            if image is not None:
                old = (image.shape[1], image.shape[0])
                new = fitted(old, width, height, exact)
                write_picture(out / IMAGES / picture.file, resized(image, new))
                made.pictures.append(scaled(picture, new[0] / old[0], new[1] / old[1]))
        save(made, out)
    typer.echo(f"{len(made.pictures)} pictures in {out}")
    finish(made.faults)


def draw_(
    folder: Folder,
    out: Out,
    most: Annotated[int, typer.Option(min=0, help="Only so many pictures, spread evenly; 0: all.")] = 0,
) -> None:
    """Draw boxes, corners and texts on copies of the pictures, to be looked at."""
    dataset = opened(folder)
    shown = Dataset(faults=dataset.faults)
    step = max(1.0, len(dataset.pictures) / most) if most else 1.0
    chosen = [dataset.pictures[int(index * step)] for index in range(int(len(dataset.pictures) / step))]
    with clear_errors():
        fresh(out)
        for picture in each(chosen, "drawing"):
            image = _image(folder, picture, shown)
            if image is not None:
                write_picture(out / picture.file, draw(image, picture.plates))
                shown.pictures.append(picture)
    typer.echo(f"{len(shown.pictures)} pictures with their annotations in {out}")
    finish(shown.faults)


def _image(folder: Path, picture: Picture, made: Dataset) -> Image | None:
    try:
        return read_picture(folder / IMAGES / picture.file)
    except Unreadable as error:
        made.faults.append(str(error))
        return None


def _cut(image: Image, picture: Picture, plate: Plate, index: int, margin: float, grey: bool, out: Path) -> Picture:
    cut = crop(image, plate, margin, grey)
    file = f"{Path(picture.file).with_suffix('')}_{index}.png"
    write_picture(out / IMAGES / file, cut)
    whole = replace(plate, box=(0.0, 0.0, float(cut.shape[1]), float(cut.shape[0])), corners=())
    return replace(picture, file=file, plates=(whole,), group=picture.group or plate.text)


def _videos(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.suffix.lower() in VIDEO_SUFFIXES) if path.is_dir() else []
        found += inside or [path]
    return found


def _take(decoder: Decoder, video: Path, out: Path, fps: float, width: int, suffix: str, table: object) -> int:
    """The frames of one video; how many."""
    name = re.sub(r"[^\w.-]", "_", video.stem)
    count = 0
    for frame in decoder.open(video, fps, max_width=width):
        file = f"{name}/{name}_{frame.time_ms:08d}{suffix}"
        write_picture(out / IMAGES / file, frame.image)
        table.writerow((file, name, frame.time_ms))  # type: ignore[attr-defined]
        count += 1
    return count
