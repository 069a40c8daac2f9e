"""One heatmap out of `Files`: from the hourly cells where those can tell, else counted anew from the sightings.

In: which camera, plane, class, time, cell size. Out: a `Heatmap`; of whole hours in the cells that the aggregator
counted nothing is counted anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import typer

from services.aggregator import picture
from services.aggregator.core import grid
from services.aggregator.core.grid import HOUR_MS
from services.aggregator.picture import Heatmap, Measure, NothingToDraw, Plane
from services.cli.heatmap_files import Files
from services.cli.redraw import heatmap_of_sightings, no_ground, sightings_of
from services.contracts.kerberos import MAX_TIME_MS

EVER = range(MAX_TIME_MS + 1)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be counted."""

    camera: str | None = None
    """None: the only one."""
    plane: Plane = "image"
    label: str | None = None
    """Class of objects; None: plates, else the only one."""
    times: range = EVER
    cell: float | None = None
    """None: as the aggregator counted."""
    measure: Measure = "count"


def load(files: Files, asked: Question) -> Heatmap:
    """Raises NothingToDraw, BadFile; BadParameter where the question does not fit."""
    camera, label = chosen(files, asked)
    found = _counted(files, camera, label, asked)
    check_cell(found, asked)
    if not found.vehicles and (seen := sightings_of(files.sightings_of(camera, asked.times), asked.times, label)):
        vehicles, times = len(set(seen["passage_id"].to_pylist())), seen["time_ms"]
        found = replace(found, vehicles=vehicles, first_ms=times[0].as_py(), end_ms=times[-1].as_py())
    if not total(found, asked.measure):
        what = {"count": "sightings", "passages": "passages", "dwell_ms": "seconds"}[asked.measure]
        raise NothingToDraw(f"the {asked.plane} plane of {camera} has no {what} in that time")
    return found


def chosen(files: Files, asked: Question) -> tuple[str, str]:
    """The camera and the class that are asked for. Raises NothingToDraw, BadFile, BadParameter."""
    camera = _camera(files, asked.camera)
    return camera, _label(files, camera, asked.label)


def check_cell(found: Heatmap, asked: Question) -> None:
    """BadParameter where a cell is larger than all that is drawn."""
    most = min(found.width, found.height)
    if asked.cell is not None and asked.cell > most:
        raise typer.BadParameter(
            f"{asked.cell:g} is larger than the {found.width:g}×{found.height:g} of the "
            f"{'frame' if asked.plane == 'image' else 'plan'}: at most {most:g}",
            param_hint="--cell",
        )


def total(heatmap: Heatmap, measure: Measure = "count") -> int:
    column = ("count", "passages", "dwell_ms").index(measure)
    return sum(tally[column] for tally in heatmap.cells.values())


def _counted(files: Files, camera: str, label: str, asked: Question) -> Heatmap:
    hourly = not any(edge % HOUR_MS for edge in (asked.times.start, asked.times.stop) if edge <= MAX_TIME_MS)
    there = any(one.camera == camera for one in files.cells)
    if asked.cell is None and hourly and there:
        cells = files.cells_of(camera, asked.plane, label, asked.times)
        if not cells:
            raise NothingToDraw(_why_nothing(files, camera, label, asked.plane))
        version = cells[-1].version
        same = [(one.hour_ms, one.path) for one in cells if one.version == version]
        return picture.add_up(camera, asked.plane, version, same)
    if not any(one.camera == camera for one in files.sightings):
        raise typer.BadParameter(
            "these files hold only cells of whole hours: another cell size or time needs the sightings",
            param_hint="--cell" if asked.cell is not None else "--from, --to",
        )
    paths = files.sightings_of(camera, asked.times)
    return heatmap_of_sightings(paths, camera, asked.plane, asked.times, asked.cell, label)


def _why_nothing(files: Files, camera: str, label: str, plane: Plane) -> str:
    if files.cells_of(camera, plane, label, EVER):
        return f"no sighting of {camera} in that time"
    return no_ground(camera)


def _camera(files: Files, wanted: str | None) -> str:
    known = files.cameras
    if wanted in known:
        return str(wanted)
    if wanted is not None:
        raise NothingToDraw(f"nothing of {wanted}; there are: {', '.join(known) or 'none'}")
    if len(known) > 1:
        raise typer.BadParameter(f"there are several, name one: {', '.join(known)}", param_hint="--camera")
    if not known:
        raise NothingToDraw("there is no camera with a heatmap in this folder")
    return known[0]


def _label(files: Files, camera: str, wanted: str | None) -> str:
    known = files.labels(camera)
    if wanted is not None and wanted not in known:
        raise NothingToDraw(f"nothing of class {wanted!r} at {camera}; there are: {', '.join(known) or 'none'}")
    if wanted is not None or grid.PLATE in known or not known:
        return wanted or grid.PLATE
    if len(known) > 1:
        raise typer.BadParameter(f"there are several, name one: {', '.join(known)}", param_hint="--class")
    return known[0]
