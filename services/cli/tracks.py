"""`plateflow tracks`: the ways of vehicles over the camera's image or over the plan, with directions and speeds.

In: sightings Parquet, as `plateflow heatmap` takes it. Out: a PNG; with ``--csv``, a line per track. Positions are
centres of boxes in the image, and points on the plan as the camera's anchor says. Where frame sizes or homographies
changed, only sightings of the newest one are drawn, and how many were left out is told.

Exit codes: 0 drawn; 1 a damaged Parquet file; 2 a mistake in the command; 3 nothing to draw, and no picture is written.
"""

from __future__ import annotations

import csv
import fnmatch
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from services.aggregator.core.config import Camera
from services.aggregator.core.trajectories import KMH, Trajectory, trajectories
from services.aggregator.picture import NothingToDraw, Plane, span
from services.aggregator.style import NARROWEST, STYLES, WIDEST, Tone
from services.aggregator.tables import BadFile
from services.cli.background import NoPicture, read_background
from services.cli.heatmap_files import Files, Unusable, expand, in_folder, of_files
from services.cli.heatmap_load import Question, chosen
from services.cli.redraw import newest_of, sightings_of
from services.cli.times import parse_time, parse_zone
from services.cli.tracks_picture import TracksPicture, draw
from services.contracts.kerberos import MAX_TIME_MS

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command()
def tracks(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER|FILE.parquet…", help="Data folder, results of `plateflow run`, or sightings files."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="The picture to write.")],
    plane: Annotated[Plane, typer.Option(help="The camera's image, or the plan of the ground.")] = "image",
    camera: Annotated[
        str | None, typer.Option(help="Name of the camera; may be left out where there is only one.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--class", help="What objects to draw, as car. Else plates, or what there is.")
    ] = None,
    plate: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only this plate; * stands for any characters: A158*.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="ISO|MS", help="Event time to begin with: 2026-06-16T07:00:00, or in ms."),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ISO|MS", help="Event time to end before.")] = None,
    time_zone: Annotated[
        str, typer.Option(metavar="ZONE", help="For times that name no zone, and titles: Europe/Berlin, UTC.")
    ] = "UTC",
    background: Annotated[
        Path | None, typer.Option(metavar="IMAGE|VIDEO", help="Drawn below: a frame of the camera, or the plan.")
    ] = None,
    points: Annotated[bool, typer.Option("--points/--no-points", help="Mark every position.")] = True,
    lines: Annotated[bool, typer.Option("--lines/--no-lines", help="Draw the ways with their arrows.")] = True,
    plates: Annotated[bool, typer.Option("--plates", help="Write each plate beside its way.")] = False,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE.csv", help="Write a line per track: plate, times, speed.")
    ] = None,
    style: Annotated[Tone, typer.Option(help="A light or a dark page.")] = "light",
    width: Annotated[
        int | None, typer.Option(min=NARROWEST, max=WIDEST, help="Pixels across; text stays readable at any.")
    ] = None,
) -> None:
    """Draw the ways that vehicles took, with arrows, and how fast they were where the camera is calibrated.

    Examples:

    - `plateflow tracks results --out tracks.png --background clip.mp4`
    - `plateflow tracks plateflow-data --camera site/gate --plane ground --background yard.png --out plan.png`
    """
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} does not end in .png", param_hint="--out")
    if not (points or lines):
        raise typer.BadParameter("neither is drawn: leave one out", param_hint="--no-points --no-lines")
    zone = parse_zone(time_zone, "--time-zone")
    times = range(
        0 if from_ is None else parse_time(from_, "--from", zone),
        MAX_TIME_MS + 1 if to is None else parse_time(to, "--to", zone),
    )
    if not times:
        raise typer.BadParameter("--from must lie before --to", param_hint="--from")
    try:
        below = read_background(background) if background is not None else None
        files = _files(source, camera)
        name, kind = chosen(files, Question(camera, plane, label, times))
        paths = files.sightings_of(name, times)
        seen = sightings_of(paths, times, kind)
        if plate is not None:
            seen = seen.filter([fnmatch.fnmatchcase(one or "", plate.upper()) for one in seen["plate"].to_pylist()])
        if not seen.num_rows:
            raise NothingToDraw(f"no sighting of {plate or kind} at {name} in that time")
        found, size, left_out, metres = _ways(seen, newest_of(paths), plane, name)
    except (NoPicture, Unusable) as error:
        raise typer.BadParameter(str(error)) from error
    except (NothingToDraw, BadFile) as error:
        typer.echo(f"plateflow tracks: nothing drawn: {error}", err=True)
        raise typer.Exit(3 if isinstance(error, NothingToDraw) else 1) from error
    period = span(min(int(one.times_ms[0]) for one in found), max(int(one.times_ms[-1]) for one in found) + 1, zone)
    draw(
        TracksPicture(name, plane, found, size, period, left_out, metres, below, points, lines, plates),
        out,
        STYLES[style],
        width,
    )
    if table is not None:
        _write(table, found, name)
    typer.echo(_summary(found, out, left_out))


def _files(source: Sequence[str], camera: str | None) -> Files:
    paths = expand(source)
    if len(paths) == 1 and paths[0].is_dir():
        return in_folder(paths[0])
    return of_files(paths, camera)


def _ways(
    seen: pa.Table, camera: Camera, plane: Plane, name: str
) -> tuple[list[Trajectory], tuple[float, float], int, float | None]:
    """The tracks, the size of what they lie on, how many sightings were left out, and the plan's metres."""
    frames = np.stack([np.asarray(seen[one], np.float64) for one in ("frame_width", "frame_height")], axis=1)
    on_image = np.stack([np.asarray(seen[one], np.float64) for one in ("center_x", "center_y")], axis=1)
    on_plan = np.stack([seen[one].to_numpy().astype(np.float64) for one in ("ground_x", "ground_y")], axis=1)
    plan = camera.ground
    old = np.array([plan is None or one != plan.version for one in seen["ground_version"].to_pylist()])
    on_plan[old] = np.nan
    if plane == "ground":
        if plan is None:
            raise NothingToDraw(f"{name} is not calibrated, so it has no plan: plateflow calibrate --help")
        points, size = on_plan, (plan.width, plan.height)
    else:
        points = np.where((frames == frames[-1]).all(axis=1)[:, None], on_image, np.nan)
        size = (float(frames[-1, 0]), float(frames[-1, 1]))
    metres = plan.metres_per_unit if plan is not None else None
    tracks_, plates = seen["track_id"].to_pylist(), [one or "" for one in seen["plate"].to_pylist()]
    found = trajectories(tracks_, plates, np.asarray(seen["time_ms"], np.int64), points, on_plan, metres)
    if not found:
        raise NothingToDraw(f"no sighting of {name} lies on the plan")
    return found, size, int((~np.isfinite(points).all(axis=1)).sum()), metres


def _write(path: Path, found: Sequence[Trajectory], camera: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "camera",
                "track_id",
                "plate",
                "first_seen",
                "last_seen",
                "positions",
                "length_m",
                "speed_mps",
                "speed_kmh",
            ]
        )
        for one in found:
            first, last = (datetime.fromtimestamp(at / 1000, UTC).isoformat() for at in one.times_ms[[0, -1]].tolist())
            speeds = (one.length_m, one.speed_mps, one.speed_mps * KMH if one.speed_mps is not None else None)
            told = ["" if number is None else f"{number:.2f}" for number in speeds]
            writer.writerow([camera, one.track_id, one.plate, first, last, len(one.points), *told])


def _summary(found: Sequence[Trajectory], out: Path, left_out: int) -> str:
    speeds = [one.speed_mps for one in found if one.speed_mps is not None]
    said = [f"{out}: {len(found)} track{'' if len(found) == 1 else 's'}"]
    if speeds:
        middle = float(np.median(speeds))
        said.append(f"median speed {middle:.1f} m/s = {middle * KMH:.0f} km/h")
    if left_out:
        said.append(f"{left_out} sightings left out: off the plan, or of an older frame size or homography")
    return ", ".join(said)
