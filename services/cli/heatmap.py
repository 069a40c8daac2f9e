"""`plateflow heatmap`: draws a camera's heatmap from the Parquet that the aggregator or `plateflow run` wrote.

Whole hours in the cells that the aggregator counted come from its heatmap files; another cell size or another time is
counted anew from the sightings (`services.cli.redraw`).

Exit codes: 0 drawn; 1 nothing to draw, no picture is written; 2 a mistake in the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from services.aggregator import picture
from services.aggregator.core.grid import HOUR_MS
from services.aggregator.picture import Heatmap, Measure, NothingToDraw, Plane
from services.aggregator.tables import BadFile
from services.cli.background import NoPicture, Picture, read_background
from services.cli.redraw import heatmap_of_sightings, no_ground
from services.cli.times import parse_time
from services.contracts.kerberos import MAX_TIME_MS

Weight = Literal["sightings", "passages", "seconds"]
MEASURES: dict[Weight, Measure] = {"sightings": "count", "passages": "passages", "seconds": "dwell_ms"}

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command()
def heatmap(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Data folder of the aggregator, or results of `plateflow run`.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="The picture to write.")],
    plane: Annotated[Plane, typer.Option(help="The camera's image, or the plan of the ground.")] = "image",
    camera: Annotated[
        str | None, typer.Option(help="Name of the camera; may be left out where there is only one.")
    ] = None,
    cell: Annotated[
        float | None, typer.Option(help="Side of a cell, in pixels or plan units. Else: as the aggregator counted.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="ISO|MS", help="Event time to begin with: 2026-06-16T07:00:00Z, or in ms."),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ISO|MS", help="Event time to end before.")] = None,
    weight: Annotated[Weight, typer.Option(help="What colours stand for.")] = "sightings",
    background: Annotated[
        Path | None, typer.Option(metavar="IMAGE|VIDEO", help="Drawn below: a frame of the camera, or the plan.")
    ] = None,
) -> None:
    """Draw where number plates were seen, or where vehicles were on the ground, as a PNG.

    Examples:

    - `plateflow heatmap results --out heat.png`
    - `plateflow heatmap plateflow-data --camera site/gate --plane ground --from 2026-06-16T07:30:00Z --out ground.png`
    """
    _check(source, out, cell, plane)
    times = range(
        0 if from_ is None else parse_time(from_, "--from"), MAX_TIME_MS + 1 if to is None else parse_time(to, "--to")
    )
    if not times:
        raise typer.BadParameter("--from must lie before --to", param_hint="--from")
    try:
        drawn = _load(source, _camera(source, camera), plane, times, cell)
        if not _total(drawn, MEASURES[weight]):
            raise NothingToDraw(f"the {plane} plane of {drawn.camera} has no {weight} in that time")
        picture.draw_heatmap(drawn, out, measure=MEASURES[weight], background=_picture(background))
    except (NothingToDraw, BadFile) as error:
        typer.echo(f"plateflow heatmap: nothing drawn: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(_said(drawn, out))


def _check(source: Path, out: Path, cell: float | None, plane: Plane) -> None:
    if not (source / "heatmap").is_dir():
        raise typer.BadParameter(
            f"{source} holds no heatmap/: name the folder of PLATEFLOW_DATA, or --out of `plateflow run`",
            param_hint="FOLDER",
        )
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} does not end in .png", param_hint="--out")
    if cell is not None and not (cell >= 1 and cell == round(cell) if plane == "image" else cell > 0):
        raise typer.BadParameter("must be whole pixels from 1, or plan units above 0", param_hint="--cell")


def _camera(source: Path, wanted: str | None) -> str:
    """The camera to draw. BadParameter where there are several and none is named."""
    known = picture.cameras(source)
    if wanted is not None:
        return wanted
    if len(known) > 1:
        raise typer.BadParameter(f"there are several, name one: {', '.join(known)}", param_hint="--camera")
    if not known:
        raise NothingToDraw("there is no camera with a heatmap in this folder")
    return known[0]


def _load(source: Path, camera: str, plane: Plane, times: range, cell: float | None) -> Heatmap:
    """From the heatmap files, or from the sightings where those cannot tell."""
    if camera not in picture.cameras(source):
        return picture.load(source, camera)  # raises, and says which cameras there are
    if cell is not None or any(edge % HOUR_MS for edge in (times.start, times.stop) if edge <= MAX_TIME_MS):
        return heatmap_of_sightings(source, camera, plane, times, cell)
    try:
        return picture.load(source, camera, plane=plane, hours=times)
    except NothingToDraw:
        raise NothingToDraw(_why_nothing(source, camera, plane)) from None


def _why_nothing(source: Path, camera: str, plane: Plane) -> str:
    try:
        picture.load(source, camera, plane=plane)
    except NothingToDraw:
        return no_ground(camera)
    return f"no sighting of {camera} in that time"


def _picture(background: Path | None) -> Picture | None:
    if background is None:
        return None
    try:
        return read_background(background)
    except NoPicture as error:
        raise typer.BadParameter(str(error), param_hint="--background") from error


def _total(drawn: Heatmap, measure: Measure) -> int:
    column = ("count", "passages", "dwell_ms").index(measure)
    return sum(tally[column] for tally in drawn.cells.values())


def _said(drawn: Heatmap, out: Path) -> str:
    count = _total(drawn, "count")
    off = f", {drawn.off_plan:,} more lie off the plan" if drawn.off_plan else ""
    return f"{count:,} sighting{'' if count == 1 else 's'} of {drawn.camera} drawn{off}: {out}"
