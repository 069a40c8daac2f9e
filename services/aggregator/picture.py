"""The heatmap of one camera as a PNG, drawn from the aggregator's Parquet.

In: the data folder. Out: a picture of the image plane (y downwards, over a frame of the camera if one is given) or of
the plan. How it looks: `services.aggregator.chart`.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import msgspec
import numpy as np
import numpy.typing as npt

from services.aggregator import tables
from services.aggregator.chart import Chart, Grid, Look, Marks, draw
from services.aggregator.core import grid
from services.aggregator.core.area import SHARE, Area, most_significant
from services.aggregator.core.config import Geo
from services.aggregator.core.grid import HOUR_MS, Cells
from services.aggregator.core.outline import Shape, smallest_shape
from services.aggregator.partition import POINTER, Pointer
from services.aggregator.style import LIGHT

Plane = Literal["image", "ground"]
Measure = Literal["count", "passages", "dwell_ms"]
Floats = npt.NDArray[np.float64]

LABELS: dict[str, str] = {
    "count": "sightings per cell",
    "passages": "vehicles per cell",
    "dwell_ms": "seconds of presence per cell",
}
INK, PALE_INK, PAPER = LIGHT.ink, LIGHT.pale_ink, LIGHT.paper
YEAR_MS = 365 * 86_400_000


class NothingToDraw(ValueError):
    """No cell for that camera, plane and time. Says what there is."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Cells of one camera and plane, added up over the hours asked for."""

    camera: str
    plane: Plane
    version: str
    k: float
    width: float
    """Of the frame in pixels, or of the plan in its units."""
    height: float
    cells: Cells
    first_ms: int
    """Start of the first hour with anything in it."""
    end_ms: int
    """End of the last."""
    off_plan: int = 0
    vehicles: int = 0
    """Distinct passages, where that is known."""
    metres_per_unit: float | None = None
    geo: Geo | None = None
    """Where the plan lies on the earth."""


def cameras(data: Path) -> list[str]:
    """Names of the cameras that have a heatmap."""
    names = {unquote(p.name.removeprefix("camera=")) for p in (data / "heatmap").glob("*/*/*/camera=*")}
    return sorted(names)


def load(
    data: Path,
    camera: str,
    *,
    plane: Plane = "image",
    results: int | None = None,
    hours: range | None = None,
    label: str = grid.PLATE,
) -> Heatmap:
    """A camera's heatmap. ``hours``: event time in ms, from start to stop; ``results``: the current ones; ``label``:
    the class of the detector that was counted.

    Where cells were made under several versions (frame size, cell size, homography), the one with the newest hour.
    Raises NothingToDraw.
    """
    results = current(data) if results is None else results
    where = f"results={results}/plane={plane}/version=*/camera={tables.encoded(camera)}/date=*/hour=*/*.parquet"
    files = [(hour_of(path), path) for path in sorted((data / "heatmap").glob(where))]
    files = [(hour, path) for hour, path in files if hours is None or hours.start - HOUR_MS < hour < hours.stop]
    files = [(hour, path) for hour, path in files if grid.label_of(version_of(path)) == label]
    if not files:
        raise NothingToDraw(f"no {plane}-plane heatmap of {camera}; there are: {', '.join(cameras(data)) or 'none'}")
    _, version = max((hour, version_of(path)) for hour, path in files)
    return add_up(camera, plane, version, [(hour, path) for hour, path in files if version_of(path) == version])


def add_up(camera: str, plane: Plane, version: str, files: list[tuple[int, Path]]) -> Heatmap:
    """The cells of one version, added up. ``files``: start of the hour in ms, and path. Raises NothingToDraw."""
    cells: Cells = {}
    off_plan = 0
    used: list[int] = []
    size = (0.0, 0.0)
    metres: float | None = None
    geo: Geo | None = None
    for hour, path in files:
        data = path.read_bytes()
        footer = tables.footer_of(data)
        found = tables.cells_of(data)
        grid.add(cells, found)
        off_plan += footer.off_plan
        used += [hour] if found else []
        ground = footer.camera.ground
        if plane == "ground" and ground is not None:
            size, metres, geo = (ground.width, ground.height), ground.metres_per_unit, ground.geo
    if not used:
        raise NothingToDraw(f"the {plane}-plane heatmap of {camera} is empty")
    name, _, k = version.rpartition("-k")
    if plane == "image":
        width, _, height = name.rpartition("@")[2].partition("x")
        size = (float(width), float(height))
    return Heatmap(
        camera, plane, version, float(k), *size, cells, min(used), max(used) + HOUR_MS, off_plan, 0, metres, geo
    )


def current(data: Path) -> int:
    """The results version that the pointer names; 1 where there is no pointer."""
    try:
        return msgspec.json.decode((data / POINTER).read_bytes(), type=Pointer).results
    except FileNotFoundError:
        return 1


def hour_of(path: Path) -> int:
    """Start of the hour that a file's folders name, in ms."""
    date, hour = path.parts[-3].removeprefix("date="), path.parts[-2].removeprefix("hour=")
    at = datetime.datetime.fromisoformat(f"{date}T{hour}:00:00+00:00")
    return int(at.timestamp()) * 1000


def version_of(path: Path) -> str:
    return path.parts[-5].removeprefix("version=")


def matrix(heatmap: Heatmap, measure: Measure = "count") -> npt.NDArray[np.float64]:
    """Shape (rows, columns) over the whole frame or plan; nan where a cell holds nothing."""
    column = ("count", "passages", "dwell_ms").index(measure)
    shape = (int(np.ceil(heatmap.height / heatmap.k)), int(np.ceil(heatmap.width / heatmap.k)))
    values = np.full(shape, np.nan)
    for (gx, gy), tally in heatmap.cells.items():
        if tally[column] and gy < shape[0] and gx < shape[1]:
            values[gy, gx] = tally[column] / (1000 if measure == "dwell_ms" else 1)
    return values


def grid_of(heatmap: Heatmap, measure: Measure = "count") -> tuple[Floats, Floats, Floats]:
    """The measure per cell (rows, columns), and the edges of columns and rows, which end with the frame or plan."""
    values = np.nan_to_num(matrix(heatmap, measure))
    rows, columns = values.shape
    x = np.minimum(np.arange(columns + 1) * heatmap.k, heatmap.width)
    y = np.minimum(np.arange(rows + 1) * heatmap.k, heatmap.height)
    return values, x, y


def area_of(heatmap: Heatmap, measure: Measure = "count", share: float = SHARE) -> Area:
    """The smallest rectangle of cells that holds ``share`` of the measure. ValueError where nothing is counted."""
    return most_significant(*grid_of(heatmap, measure), share)


def shape_of(heatmap: Heatmap, measure: Measure = "count", share: float = SHARE) -> Shape:
    """The smallest set of cells that holds ``share`` of the measure. ValueError where nothing is counted."""
    return smallest_shape(*grid_of(heatmap, measure), share)


def draw_heatmap(
    heatmap: Heatmap,
    out: Path,
    *,
    measure: Measure = "count",
    background: npt.NDArray[np.uint8] | None = None,
    marks: Marks | None = None,
    look: Look | None = None,
) -> Path:
    """Writes a PNG. ``background``: a frame of the camera, or the plan, RGB (height, width, 3)."""
    look = look or Look()
    title, facts = titles(heatmap, look.zone)
    return draw(Chart(chart_grid(heatmap, measure), title, facts, background, marks or Marks()), out, look)


def chart_grid(heatmap: Heatmap, measure: Measure = "count") -> Grid:
    """A heatmap as `services.aggregator.chart` draws it."""
    return Grid(
        *grid_of(heatmap, measure),
        LABELS[measure],
        length_of(heatmap),
        whole=measure != "dwell_ms",
        metres_per_unit=heatmap.metres_per_unit,
    )


def length_of(heatmap: Heatmap) -> str:
    """The unit of positions."""
    if heatmap.plane == "image":
        return "pixels"
    return "metres" if heatmap.metres_per_unit == 1 else "plan units"


def titles(heatmap: Heatmap, zone: datetime.tzinfo = datetime.UTC) -> tuple[str, list[str]]:
    """What is shown, and the facts about it."""
    counts = np.array(list(heatmap.cells.values())).sum(axis=0)
    facts = [
        span(heatmap.first_ms, heatmap.end_ms, zone),
        f"{counts[0]:,} sighting{'' if counts[0] == 1 else 's'}",
        *([f"{heatmap.vehicles:,} vehicle{'' if heatmap.vehicles == 1 else 's'}"] if heatmap.vehicles else []),
        f"cells {heatmap.k:g} × {heatmap.k:g} {length_of(heatmap)}",
    ]
    if heatmap.off_plan:
        facts.append(f"{heatmap.off_plan:,} off the plan")
    return f"{heatmap.camera}: {subject(heatmap)}", facts


def subject(heatmap: Heatmap) -> str:
    """What was counted where, as a headline says it."""
    label = grid.label_of(heatmap.version)
    if label != grid.PLATE:
        return f"where “{label}” was seen{'' if heatmap.plane == 'image' else ', on the plan'}"
    return "where number plates were seen" if heatmap.plane == "image" else "where vehicles were, on the plan"


def span(first_ms: int, end_ms: int, zone: datetime.tzinfo = datetime.UTC) -> str:
    """ "2023-11-14 21:00 to 23:00 UTC"; with seconds where it does not begin and end with a minute. Of files whose date
    nobody knows, so that their time counts from 0: "0:00:00 to 0:01:30 from the beginning"."""
    if end_ms < YEAR_MS:
        clocks = [f"{ms // 3_600_000}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}" for ms in (first_ms, end_ms)]
        return f"{clocks[0]} to {clocks[1]} from the beginning"
    first = datetime.datetime.fromtimestamp(first_ms // 1000, zone)
    end = datetime.datetime.fromtimestamp(end_ms // 1000, zone)
    clock = "%H:%M:%S" if first.second or end.second else "%H:%M"
    until = end.strftime(clock if first.date() == end.date() else f"%Y-%m-%d {clock}")
    return f"{first:%Y-%m-%d} {first.strftime(clock)} to {until} {end:%Z}"
