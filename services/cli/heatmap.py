"""`plateflow heatmap`: draws a camera's heatmap from the Parquet that the aggregator or `plateflow run` wrote, or from
a detection file of heatmap-location-car-plates (`services.cli.heatmap_quads`).

Whole hours in the cells that the aggregator counted come from its heatmap files; another cell size or another time is
counted anew from the sightings (`services.cli.redraw`).

Exit codes: 0 drawn; 1 a damaged file; 2 a mistake in the command, or in a detection file; 3 nothing to draw. No picture
is written but with 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.aggregator import picture
from services.aggregator.core.grid import HOUR_MS
from services.aggregator.picture import Heatmap, Measure, NothingToDraw, Plane
from services.aggregator.tables import BadFile
from services.cli import area_file, heatmap_quads
from services.cli.background import NoPicture, Picture, read_background
from services.cli.redraw import heatmap_of_sightings, no_ground, vehicles
from services.cli.sheet import Panel, draw_sheet, parse_cells
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
        Path,
        typer.Argument(
            metavar="FOLDER|FILE.txt",
            help="Data folder of the aggregator, results of `plateflow run`, or a text file of quads.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE.png|FOLDER", help="The picture to write; of a text file, the folder for it.")
    ],
    plane: Annotated[Plane, typer.Option(help="The camera's image, or the plan of the ground.")] = "image",
    camera: Annotated[
        str | None, typer.Option(help="Name of the camera; may be left out where there is only one.")
    ] = None,
    cell: Annotated[
        float | None,
        typer.Option(
            "--cell", "--k", help="Side of a cell, in pixels or plan units. Else: as the aggregator counted, or 40."
        ),
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
    share: Annotated[
        float | None,
        typer.Option(
            "--area",
            metavar="SHARE",
            help="Mark the smallest rectangle with this share, as 0.8; written beside as JSON.",
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the bare grid of the weight, the top row of the picture first."),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(metavar="K,K,…", help="Compare several cell sizes in one picture, as 20,30,40,60.")
    ] = None,
    compatible: Annotated[
        bool,
        typer.Option("--compatible", help="Of a text file: 15 points a plate, as heatmap-location-car-plates counts."),
    ] = False,
) -> None:
    """Draw where number plates were seen, or where vehicles were on the ground, as a PNG.

    Examples:

    - `plateflow heatmap results --out heat.png`
    - `plateflow heatmap plateflow-data --camera site/gate --plane ground --from 2026-06-16T07:30:00Z --out ground.png`
    - `plateflow heatmap plates.txt --k 20 --area 0.8 --out pictures --csv counts.csv`
    """
    cells = _cells(sheet, share, cell, csv)
    if source.is_file():
        _check_quads(camera, plane, from_ or to, weight)
        wanted = heatmap_quads.Wanted(out, _pixels(cell), compatible, csv, share, background, tuple(cells))
        _draw_quads(source, wanted)
        return
    if compatible:
        raise typer.BadParameter("only of a text file of quads", param_hint="--compatible")
    sizes: list[float | None] = [*cells] or [cell]
    for one in sizes:
        _check(source, out, one, plane)
    asked = Asked(source, out, camera, plane, _times(from_, to), weight, cell, cells, share, csv)
    try:
        typer.echo((_draw_sheet if cells else _draw_one)(asked, _picture(background)))
    except (NothingToDraw, BadFile) as error:
        raise _nothing(error) from error


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for of a data folder."""

    source: Path
    out: Path
    camera: str | None
    plane: Plane
    times: range
    weight: Weight
    cell: float | None
    cells: list[float]
    """Several cell sizes in one picture, where there are any."""
    share: float | None
    csv: Path | None

    def load(self, cell: float | None) -> Heatmap:
        """Raises NothingToDraw, BadFile."""
        drawn = _load(self.source, _camera(self.source, self.camera), self.plane, self.times, cell)
        if cell is not None and cell > min(drawn.width, drawn.height):
            raise typer.BadParameter(
                f"{cell:g} is larger than the {drawn.width:g}×{drawn.height:g} of the "
                f"{'frame' if self.plane == 'image' else 'plan'}: at most {min(drawn.width, drawn.height):g}",
                param_hint="--cell",
            )
        if not drawn.vehicles:
            drawn = replace(drawn, vehicles=vehicles(self.source, drawn.camera, self.times))
        if not _total(drawn, MEASURES[self.weight]):
            raise NothingToDraw(f"the {self.plane} plane of {drawn.camera} has no {self.weight} in that time")
        return drawn


def _draw_one(asked: Asked, background: Picture | None) -> str:
    drawn, measure = asked.load(asked.cell), MEASURES[asked.weight]
    area = None if asked.share is None else picture.area_of(drawn, measure, asked.share)
    picture.draw_heatmap(drawn, asked.out, measure=measure, background=background, area=area)
    if asked.csv is not None:
        heatmap_quads.write_grid(picture.grid_of(drawn, measure)[0], asked.csv)
    said = _said(drawn, asked.out)
    return said if area is None else f"{said}\n{area_file.write(area, asked.out)}"


def _draw_sheet(asked: Asked, background: Picture | None) -> str:
    measure = MEASURES[asked.weight]
    found = [asked.load(cell) for cell in asked.cells]
    panels = [
        Panel(f"cells {drawn.k:g} × {drawn.k:g}: {picture.LABELS[measure]}", *picture.grid_of(drawn, measure))
        for drawn in found
    ]
    drawn = found[0]
    draw_sheet(panels, f"{drawn.camera}: {picture.span(drawn.first_ms, drawn.end_ms)}", asked.out, background)
    return f"{_said(drawn, asked.out)}, {len(panels)} cell sizes"


def _cells(sheet: str | None, share: float | None, cell: float | None, csv: Path | None) -> list[float]:
    """The cell sizes of a sheet; none where one picture is asked for. BadParameter."""
    if share is not None and not 0 < share <= 1:
        raise typer.BadParameter("must be above 0 and at most 1, as 0.8", param_hint="--area")
    if sheet is None:
        return []
    if cell is not None or share is not None or csv is not None:
        raise typer.BadParameter("draws several cell sizes: leave out --cell, --area and --csv", param_hint="--sheet")
    return parse_cells(sheet)


def _times(from_: str | None, to: str | None) -> range:
    times = range(
        0 if from_ is None else parse_time(from_, "--from"), MAX_TIME_MS + 1 if to is None else parse_time(to, "--to")
    )
    if not times:
        raise typer.BadParameter("--from must lie before --to", param_hint="--from")
    return times


def _nothing(error: NothingToDraw | BadFile) -> typer.Exit:
    typer.echo(f"plateflow heatmap: nothing drawn: {error}", err=True)
    return typer.Exit(3 if isinstance(error, NothingToDraw) else 1)


def _check_quads(camera: str | None, plane: Plane, time: str | None, weight: Weight) -> None:
    if camera or time or plane != "image" or weight != "sightings":
        raise typer.BadParameter(
            "a text file of quads has no cameras, times, tracks or plan: "
            "leave out --camera, --plane, --from, --to and --weight",
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
