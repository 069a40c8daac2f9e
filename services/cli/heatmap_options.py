"""What is said on the command line of `plateflow heatmap`, checked: each of these raises BadParameter.

In: options as text, paths. Out: values that the drawing takes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo
from difflib import get_close_matches
from pathlib import Path

import matplotlib as mpl
import typer

from services.aggregator import cameras as camera_files
from services.aggregator.cameras import BadCameras
from services.aggregator.core.config import Ground, Options
from services.aggregator.picture import Plane
from services.aggregator.style import STYLES, Style, Tone
from services.cli import heatmap_files, heatmap_quads
from services.cli.background import NoPicture, Picture, read_background
from services.cli.heatmap_files import Unusable
from services.cli.heatmap_video import is_video
from services.cli.sheet import parse_cells
from services.cli.times import parse_time
from services.contracts.kerberos import MAX_TIME_MS


def source_paths(sources: list[str]) -> list[Path]:
    """Files of one kind, or one folder. BadParameter."""
    try:
        paths = heatmap_files.expand(sources)
    except Unusable as error:
        raise typer.BadParameter(str(error), param_hint="SOURCE") from error
    if len(paths) > 1 and len({kind_of(path) for path in paths}) > 1:
        raise typer.BadParameter("name files of one kind: Parquet, or videos and photos", param_hint="SOURCE")
    if len(paths) > 1 and kind_of(paths[0]) in ("folder", "text"):
        raise typer.BadParameter(f"name one {kind_of(paths[0])} at a time", param_hint="SOURCE")
    return paths


def kind_of(path: Path) -> str:
    if path.is_dir():
        return "folder"
    return "Parquet" if path.suffix.lower() == ".parquet" else "video" if is_video(path) else "text"


def is_text(path: Path) -> bool:
    return kind_of(path) == "text"


def grounds_of(cameras: Path) -> dict[str, Ground]:
    """The plans of a camera file. BadParameter."""
    try:
        content = camera_files.read(cameras, Options())
    except BadCameras as error:
        raise typer.BadParameter(str(error), param_hint="--cameras") from error
    return {name: camera.ground for name, camera in content.cameras.items() if camera.ground is not None}


def check_kinds(kinds: dict[str, bool], beside: bool) -> None:
    """BadParameter where several pictures are asked for at once."""
    named = [option for option, wanted in kinds.items() if wanted]
    if len(named) > 1:
        raise typer.BadParameter("each is a picture of its own: choose one", param_hint=" ".join(named))
    if named and beside:
        raise typer.BadParameter("of one heatmap alone: leave out --area, --csv and --export", param_hint=named[0])


def times_of(from_: str | None, to: str | None, zone: tzinfo, option: str = "--") -> range:
    times = range(
        0 if from_ is None else parse_time(from_, f"{option}from", zone),
        MAX_TIME_MS + 1 if to is None else parse_time(to, f"{option}to", zone),
    )
    if not times:
        raise typer.BadParameter(f"{option}from must lie before {option}to", param_hint=f"{option}from")
    return times


def cells_of(sheet: str | None, share: float | None, cell: float | None, csv: Path | None) -> list[float]:
    """The cell sizes of a sheet; none where one picture is asked for. BadParameter."""
    if share is not None and not 0 < share <= 1:
        raise typer.BadParameter("must be above 0 and at most 1, as 0.8", param_hint="--area")
    if sheet is None:
        return []
    if cell is not None or share is not None or csv is not None:
        raise typer.BadParameter("draws several cell sizes: leave out --cell, --area and --csv", param_hint="--sheet")
    return parse_cells(sheet)


def check_quads(other: bool) -> None:
    """``other``: an option was given that a text file of quads has no answer to."""
    if other:
        raise typer.BadParameter(
            "a text file of quads has no cameras, classes, times, tracks or plan: "
            "leave out --camera, --class, --plane, --weight, --export, --week, --from, --to and --against-…",
            param_hint="FILE.txt",
        )


def pixels_of(cell: float | None) -> int:
    if cell is not None and not cell.is_integer():
        raise typer.BadParameter("must be whole pixels", param_hint="--k")
    return heatmap_quads.K if cell is None else int(cell)


def check(out: Path, cell: float | None, plane: Plane) -> None:
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} does not end in .png", param_hint="--out")
    if cell is not None and not (cell >= 1 and cell == round(cell) if plane == "image" else cell > 0):
        raise typer.BadParameter("must be whole pixels from 1, or plan units above 0", param_hint="--cell")


def picture_of(background: Path | None) -> Picture | None:
    if background is None:
        return None
    try:
        return read_background(background)
    except NoPicture as error:
        raise typer.BadParameter(str(error), param_hint="--background") from error


def behind(video: Path) -> Picture | None:
    """What the video shows where nothing moves."""
    try:
        return read_background(video)
    except NoPicture:
        return None


def style_of(tone: Tone, colours: str | None) -> Style:
    """The page's style, with other colours where they are named. BadParameter."""
    if colours is None:
        return STYLES[tone]
    if colours not in mpl.colormaps:
        near = get_close_matches(colours, list(mpl.colormaps), n=3, cutoff=0.4) or ["viridis", "magma", "Greys"]
        raise typer.BadParameter(f"matplotlib has no {colours!r}; it has {', '.join(near)}", param_hint="--colours")
    return replace(STYLES[tone], colours=mpl.colormaps[colours])
