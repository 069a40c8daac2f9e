"""`plateflow heatmap`: draws a camera's heatmap from the Parquet that the aggregator or `plateflow run` wrote, straight
from videos (`services.cli.heatmap_video`), or from a detection file of heatmap-location-car-plates
(`services.cli.heatmap_quads`).

Whole hours in the cells that the aggregator counted come from its heatmap files; another cell size or another time is
counted anew from the sightings (`services.cli.heatmap_load`).

Exit codes: 0 drawn; 1 a damaged file, or a video that cannot be read; 2 a mistake in the command, or in a detection
file; 3 nothing to draw; 130 Ctrl+C while a video was read: what was seen until then is drawn. Nothing to draw leaves no
picture.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Annotated

import typer

from services.aggregator.chart import Look
from services.aggregator.picture import NothingToDraw, Plane
from services.aggregator.style import NARROWEST, STYLES, WIDEST, Tone
from services.aggregator.tables import BadFile
from services.cli import heatmap_files, heatmap_quads
from services.cli.background import NoPicture, Picture, read_background
from services.cli.heatmap_draw import MEASURES, Asked, Weight, draw
from services.cli.heatmap_files import Files, Unusable
from services.cli.heatmap_load import Question
from services.cli.heatmap_video import is_video, read_videos
from services.cli.sheet import parse_cells
from services.cli.times import parse_time, parse_zone
from services.contracts.kerberos import MAX_TIME_MS

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command()
def heatmap(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="Data folder of the aggregator, results of `plateflow run`, Parquet files, videos or photos, patterns "
            "in quotes of such files, or a text file of quads.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE.png|FOLDER", help="The picture to write; of a text file, the folder for it.")
    ],
    plane: Annotated[Plane, typer.Option(help="The camera's image, or the plan of the ground.")] = "image",
    camera: Annotated[
        str | None, typer.Option(help="Name of the camera; may be left out where there is only one.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--class", help="What objects to draw, as car. Else plates, or what there is."),
    ] = None,
    cell: Annotated[
        float | None,
        typer.Option(
            "--cell", "--k", help="Side of a cell, in pixels or plan units. Else: as the aggregator counted, or 40."
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="ISO|MS", help="Event time to begin with: 2026-06-16T07:00:00, or in ms."),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ISO|MS", help="Event time to end before.")] = None,
    time_zone: Annotated[
        str,
        typer.Option(metavar="ZONE", help="For times that name no zone, for titles and --week: Europe/Berlin, UTC."),
    ] = "UTC",
    against_camera: Annotated[str | None, typer.Option(metavar="NAME", help="Compare with another camera.")] = None,
    against_from: Annotated[
        str | None, typer.Option(metavar="ISO|MS", help="Compare with another time, from here ...")
    ] = None,
    against_to: Annotated[str | None, typer.Option(metavar="ISO|MS", help="... and before here.")] = None,
    week: Annotated[bool, typer.Option("--week", help="By weekday and time of day, as a table and as maps.")] = False,
    weight: Annotated[Weight, typer.Option(help="What colours stand for.")] = "sightings",
    background: Annotated[
        Path | None, typer.Option(metavar="IMAGE|VIDEO", help="Drawn below: a frame of the camera, or the plan.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            "--area",
            metavar="SHARE",
            help="Mark the smallest rectangle and the smallest shape with this share, as 0.8; written beside as JSON.",
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the bare grid of the weight, the top row of the picture first."),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(metavar="K,K,…", help="Compare several cell sizes in one picture, as 20,30,40,60.")
    ] = None,
    style: Annotated[Tone, typer.Option(help="A light or a dark page.")] = "light",
    width: Annotated[
        int | None,
        typer.Option(min=NARROWEST, max=WIDEST, help="Pixels across; text stays readable at any."),
    ] = None,
    cameras: Annotated[
        Path | None,
        typer.Option(help="Of videos: the camera file with point pairs and plans.", envvar="PLATEFLOW_CAMERAS"),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of videos: keep what was read, to draw from it again.")
    ] = None,
    compatible: Annotated[
        bool,
        typer.Option("--compatible", help="Of a text file: 15 points a plate, as heatmap-location-car-plates counts."),
    ] = False,
) -> None:
    """Draw where number plates were seen, or where vehicles were on the ground, as a PNG.

    Examples:

    - `plateflow heatmap results --out heat.png`
    - `plateflow heatmap street.mp4 --out street.png`
    - `plateflow heatmap 'archive/**/sightings.parquet' --camera site/gate --cell 20 --out gate.png`
    - `plateflow heatmap plateflow-data --camera site/gate --plane ground --from 2026-06-16T07:30:00Z --out ground.png`
    - `plateflow heatmap plates.txt --k 20 --area 0.8 --out pictures --csv counts.csv`

    All about it: docs/heatmaps.md.
    """
    cells = _cells(sheet, share, cell, csv)
    zone = parse_zone(time_zone, "--time-zone")
    look = Look(STYLES[style], width, zone)
    paths = _paths(sources)
    if len(paths) == 1 and _is_text(paths[0]):
        _check_quads(camera, plane, from_ or to or label, weight)
        wanted = heatmap_quads.Wanted(out, _pixels(cell), compatible, csv, share, background, tuple(cells), look)
        _draw_quads(paths[0], wanted)
        return
    if compatible:
        raise typer.BadParameter("only of a text file of quads", param_hint="--compatible")
    sizes: list[float | None] = [*cells] or [cell]
    for one in sizes:
        _check(out, one, plane)
    question = Question(camera, plane, label, _times(from_, to, zone), cell, MEASURES[weight])
    second = None
    if against_camera or against_from or against_to:
        times = _times(against_from, against_to, zone, "--against-") if against_from or against_to else question.times
        second = replace(question, camera=against_camera or camera, times=times)
    _check_kinds({"--sheet": bool(cells), "--week": week, "--against-…": second is not None}, share, csv)
    asked = Asked(question, out, tuple(cells), share, csv, look, second, week)
    over = _picture(background)
    if is_video(paths[0]):
        with read_videos(paths, results, cameras, camera) as (folder, code):
            if over is None and len(paths) == 1 and plane == "image":
                over = _behind(paths[0])
            _draw(_files([folder], None), asked, over)
        raise typer.Exit(code)
    _draw(_files(paths, camera), asked, over)


def _draw(files: Files, asked: Asked, background: Picture | None) -> None:
    try:
        typer.echo(draw(files, asked, background))
    except (NothingToDraw, BadFile) as error:
        raise _nothing(error) from error


def _paths(sources: list[str]) -> list[Path]:
    """Files of one kind, or one folder. BadParameter."""
    try:
        paths = heatmap_files.expand(sources)
    except Unusable as error:
        raise typer.BadParameter(str(error), param_hint="SOURCE") from error
    if len(paths) > 1 and len({_kind(path) for path in paths}) > 1:
        raise typer.BadParameter("name files of one kind: Parquet, or videos and photos", param_hint="SOURCE")
    if len(paths) > 1 and _kind(paths[0]) in ("folder", "text"):
        raise typer.BadParameter(f"name one {_kind(paths[0])} at a time", param_hint="SOURCE")
    return paths


def _kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    return "Parquet" if path.suffix.lower() == ".parquet" else "video" if is_video(path) else "text"


def _is_text(path: Path) -> bool:
    return _kind(path) == "text"


def _files(paths: list[Path], camera: str | None) -> Files:
    """BadParameter where there is nothing to draw from; Exit where a file is damaged."""
    try:
        if paths[0].is_dir():
            return heatmap_files.in_folder(paths[0])
        return heatmap_files.of_files(paths, camera)
    except Unusable as error:
        raise typer.BadParameter(str(error), param_hint="SOURCE") from error
    except BadFile as error:
        raise _nothing(error) from error


def _behind(video: Path) -> Picture | None:
    """What the video shows where nothing moves."""
    try:
        return read_background(video)
    except NoPicture:
        return None


def _cells(sheet: str | None, share: float | None, cell: float | None, csv: Path | None) -> list[float]:
    """The cell sizes of a sheet; none where one picture is asked for. BadParameter."""
    if share is not None and not 0 < share <= 1:
        raise typer.BadParameter("must be above 0 and at most 1, as 0.8", param_hint="--area")
    if sheet is None:
        return []
    if cell is not None or share is not None or csv is not None:
        raise typer.BadParameter("draws several cell sizes: leave out --cell, --area and --csv", param_hint="--sheet")
    return parse_cells(sheet)


def _check_kinds(kinds: dict[str, bool], share: float | None, csv: Path | None) -> None:
    """BadParameter where several pictures are asked for at once."""
    named = [option for option, wanted in kinds.items() if wanted]
    if len(named) > 1:
        raise typer.BadParameter("each is a picture of its own: choose one", param_hint=" ".join(named))
    if named and (share is not None or csv is not None):
        raise typer.BadParameter("of one heatmap alone: leave out --area and --csv", param_hint=named[0])


def _times(from_: str | None, to: str | None, zone: tzinfo, option: str = "--") -> range:
    times = range(
        0 if from_ is None else parse_time(from_, f"{option}from", zone),
        MAX_TIME_MS + 1 if to is None else parse_time(to, f"{option}to", zone),
    )
    if not times:
        raise typer.BadParameter(f"{option}from must lie before {option}to", param_hint=f"{option}from")
    return times


def _nothing(error: NothingToDraw | BadFile) -> typer.Exit:
    typer.echo(f"plateflow heatmap: nothing drawn: {error}", err=True)
    return typer.Exit(3 if isinstance(error, NothingToDraw) else 1)


def _check_quads(camera: str | None, plane: Plane, other: str | None, weight: Weight) -> None:
    if camera or other or plane != "image" or weight != "sightings":
        raise typer.BadParameter(
            "a text file of quads has no cameras, classes, times, tracks or plan: "
            "leave out --camera, --class, --plane, --from, --to and --weight",
            param_hint="FILE.txt",
        )


def _pixels(cell: float | None) -> int:
    if cell is not None and not cell.is_integer():
        raise typer.BadParameter("must be whole pixels", param_hint="--k")
    return heatmap_quads.K if cell is None else int(cell)


def _draw_quads(source: Path, wanted: heatmap_quads.Wanted) -> None:
    try:
        typer.echo(heatmap_quads.draw(source, wanted))
    except NothingToDraw as error:
        raise _nothing(error) from error


def _check(out: Path, cell: float | None, plane: Plane) -> None:
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} does not end in .png", param_hint="--out")
    if cell is not None and not (cell >= 1 and cell == round(cell) if plane == "image" else cell > 0):
        raise typer.BadParameter("must be whole pixels from 1, or plan units above 0", param_hint="--cell")


def _picture(background: Path | None) -> Picture | None:
    if background is None:
        return None
    try:
        return read_background(background)
    except NoPicture as error:
        raise typer.BadParameter(str(error), param_hint="--background") from error
