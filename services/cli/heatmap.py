"""`plateflow heatmap`: draws a camera's heatmap from the Parquet that the aggregator or `plateflow run` wrote, straight
from videos (`services.cli.heatmap_video`), or from a detection file of heatmap-location-car-plates
(`services.cli.heatmap_quads`).

Whole hours in the cells that the aggregator counted come from its heatmap files; another cell size or another time is
counted anew from the sightings (`services.cli.heatmap_load`).

Exit codes: 0 drawn; 1 a damaged file, or a video that cannot be read; 2 a mistake in the command, or in a detection
file; 3 nothing to draw, and no picture is written; 130 Ctrl+C, which ends `--follow`; of a video, what was seen until
then is drawn.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from services.aggregator.chart import Look
from services.aggregator.picture import NothingToDraw, Plane
from services.aggregator.style import NARROWEST, WIDEST, Tone
from services.aggregator.tables import BadFile
from services.cli import heatmap_export, heatmap_files, heatmap_follow, heatmap_quads
from services.cli.background import Picture
from services.cli.heatmap_draw import MEASURES, Asked, Weight, draw
from services.cli.heatmap_files import Files, Unusable
from services.cli.heatmap_load import Question
from services.cli.heatmap_options import (
    behind,
    cells_of,
    check,
    check_kinds,
    check_quads,
    grounds_of,
    is_text,
    kind_of,
    picture_of,
    pixels_of,
    source_paths,
    style_of,
    times_of,
)
from services.cli.heatmap_video import is_video, read_videos
from services.cli.times import parse_zone

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)


WHAT, OTHERS, LOOKS, FILES = "What to draw", "Other kinds of picture", "How it looks", "More files"


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
    plane: Annotated[
        Plane, typer.Option(help="The camera's image, or the plan of the ground.", rich_help_panel=WHAT)
    ] = "image",
    camera: Annotated[
        str | None,
        typer.Option(help="Name of the camera; may be left out where there is only one.", rich_help_panel=WHAT),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--class", help="What objects to draw, as car. Else plates, or what there is.", rich_help_panel=WHAT
        ),
    ] = None,
    cell: Annotated[
        float | None,
        typer.Option(
            "--cell",
            "--k",
            help="Side of a cell, in pixels or plan units. Else: as the aggregator counted, or 40.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ISO|MS",
            help="Event time to begin with: 2026-06-16T07:00:00, or in ms.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="ISO|MS", help="Event time to end before.", rich_help_panel=WHAT)
    ] = None,
    time_zone: Annotated[
        str,
        typer.Option(
            metavar="ZONE",
            help="For times that name no zone, for titles and --week: Europe/Berlin, UTC.",
            rich_help_panel=WHAT,
        ),
    ] = "UTC",
    against_camera: Annotated[
        str | None, typer.Option(metavar="NAME", help="Compare with another camera.", rich_help_panel=OTHERS)
    ] = None,
    against_from: Annotated[
        str | None,
        typer.Option(metavar="ISO|MS", help="Compare with another time, from here ...", rich_help_panel=OTHERS),
    ] = None,
    against_to: Annotated[
        str | None, typer.Option(metavar="ISO|MS", help="... and before here.", rich_help_panel=OTHERS)
    ] = None,
    week: Annotated[
        bool, typer.Option("--week", help="By weekday and time of day, as a table and as maps.", rich_help_panel=OTHERS)
    ] = False,
    weight: Annotated[Weight, typer.Option(help="What colours stand for.", rich_help_panel=WHAT)] = "sightings",
    background: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGE|VIDEO", help="Drawn below: a frame of the camera, or the plan.", rich_help_panel=LOOKS
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            "--area",
            metavar="SHARE",
            help="Mark the smallest rectangle and the smallest shape with this share, as 0.8; written beside as JSON.",
            rich_help_panel=LOOKS,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write the bare grid of the weight, the top row of the picture first.",
            rich_help_panel=FILES,
        ),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="K,K,…", help="Compare several cell sizes in one picture, as 20,30,40,60.", rich_help_panel=OTHERS
        ),
    ] = None,
    export: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Write the cells as .csv, .parquet, .geojson or a map's layer .png with .pgw; may be given again.",
            rich_help_panel=FILES,
        ),
    ] = None,
    style: Annotated[Tone, typer.Option(help="A light or a dark page.", rich_help_panel=LOOKS)] = "light",
    colours: Annotated[
        str | None,
        typer.Option(
            help="Another scale of colours, by matplotlib's name: viridis, magma, Greys, …", rich_help_panel=LOOKS
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=NARROWEST, max=WIDEST, help="Pixels across; text stays readable at any.", rich_help_panel=LOOKS
        ),
    ] = None,
    cameras: Annotated[
        Path | None,
        typer.Option(
            help="The camera file: of videos for the ground, of Parquet for where plans lie.",
            envvar="PLATEFLOW_CAMERAS",
            rich_help_panel=FILES,
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Of videos: keep what was read, to draw from it again.", rich_help_panel=FILES
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Draw again whenever the Parquet grows, until Ctrl+C.", rich_help_panel=OTHERS),
    ] = False,
    compatible: Annotated[
        bool,
        typer.Option(
            "--compatible",
            help="Of a text file: 15 points a plate, as heatmap-location-car-plates counts.",
            rich_help_panel=OTHERS,
        ),
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
    cells = cells_of(sheet, share, cell, csv)
    zone = parse_zone(time_zone, "--time-zone")
    look = Look(style_of(style, colours), width, zone)
    paths = source_paths(sources)
    if follow and kind_of(paths[0]) in ("text", "video"):
        raise typer.BadParameter("only of a data folder or Parquet files, which grow", param_hint="--follow")
    if len(paths) == 1 and is_text(paths[0]):
        given = [camera, label, from_, to, against_camera, against_from, against_to, export, week]
        check_quads(any(given) or plane != "image" or weight != "sightings")
        wanted = heatmap_quads.Wanted(out, pixels_of(cell), compatible, csv, share, background, tuple(cells), look)
        _draw_quads(paths[0], wanted)
        return
    if compatible:
        raise typer.BadParameter("only of a text file of quads", param_hint="--compatible")
    sizes: list[float | None] = [*cells] or [cell]
    for one in sizes:
        check(out, one, plane)
    question = Question(camera, plane, label, times_of(from_, to, zone), cell, MEASURES[weight])
    second = None
    if against_camera or against_from or against_to:
        times = times_of(against_from, against_to, zone, "--against-") if against_from or against_to else question.times
        second = replace(question, camera=against_camera or camera, times=times)
    exports = tuple(export or ())
    kinds = {"--sheet": bool(cells), "--week": week, "--against-…": second is not None}
    check_kinds(kinds, share is not None or csv is not None or bool(exports))
    heatmap_export.check(exports)
    grounds = grounds_of(cameras) if exports and cameras is not None and not is_video(paths[0]) else {}
    asked = Asked(question, out, tuple(cells), share, csv, exports, grounds, look, second, week)
    over = picture_of(background)
    if is_video(paths[0]):
        with read_videos(paths, results, cameras, camera) as (folder, code):
            if over is None and len(paths) == 1 and plane == "image":
                over = behind(paths[0])
            _draw(_files([folder], None), asked, over)
        raise typer.Exit(code)
    if follow:
        heatmap_follow.follow(lambda: _found(source_paths(sources), camera), lambda files: draw(files, asked, over))
        raise typer.Exit(130)
    _draw(_files(paths, camera), asked, over)


def _draw(files: Files, asked: Asked, background: Picture | None) -> None:
    try:
        typer.echo(draw(files, asked, background))
    except (NothingToDraw, BadFile) as error:
        raise _nothing(error) from error


def _found(paths: list[Path], camera: str | None) -> Files:
    """Raises Unusable, BadFile."""
    if paths[0].is_dir():
        return heatmap_files.in_folder(paths[0])
    return heatmap_files.of_files(paths, camera)


def _files(paths: list[Path], camera: str | None) -> Files:
    """BadParameter where there is nothing to draw from; Exit where a file is damaged."""
    try:
        return _found(paths, camera)
    except Unusable as error:
        raise typer.BadParameter(str(error), param_hint="SOURCE") from error
    except BadFile as error:
        raise _nothing(error) from error


def _nothing(error: NothingToDraw | BadFile) -> typer.Exit:
    typer.echo(f"plateflow heatmap: nothing drawn: {error}", err=True)
    return typer.Exit(3 if isinstance(error, NothingToDraw) else 1)


def _draw_quads(source: Path, wanted: heatmap_quads.Wanted) -> None:
    try:
        typer.echo(heatmap_quads.draw(source, wanted))
    except NothingToDraw as error:
        raise _nothing(error) from error
