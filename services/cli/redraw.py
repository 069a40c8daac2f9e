"""Heatmaps made anew from the sightings Parquet: any cell size, any time range, nothing detected again.

In: sightings files, a camera, a plane, a class of objects. Out: a `Heatmap` for `services.aggregator.picture`.

A sighting is what deduplication left of a vehicle's observations, so here
- ``count`` is exact: sightings;
- ``passages`` counts a passage once in each cell that holds one of its sightings, and again where it continues one
  of another recording;
- ``dwell_ms`` runs from each sighting to the next of its track, at most a second, and is short of the last stretch.
Where frames have several sizes, or the ground several versions, those of the newest sighting count, as in `picture`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.aggregator import tables
from services.aggregator.core import grid
from services.aggregator.core.config import Camera, Ground, Options
from services.aggregator.core.grid import Cell, Cells
from services.aggregator.picture import Heatmap, NothingToDraw, Plane

COLUMNS = [
    "time_ms", "passage_id", "track_id", "plate", "center_x", "center_y", "frame_width", "frame_height", "ground_x",
    "ground_y", "ground_version", "off_plan", "label",
]  # fmt: skip
DWELL_CAP_MS = Options().dwell_cap_ms


def heatmap_of_sightings(
    paths: Sequence[Path],
    camera: str,
    plane: Plane,
    times: range,
    cell: float | None = None,
    label: str = grid.PLATE,
) -> Heatmap:
    """Counts the sightings of ``label`` with ``times.start <= time_ms < times.stop`` into cells of ``cell`` (None: as
    configured). ``paths``: all of one camera, in order of time.

    Raises NothingToDraw, BadFile.
    """
    sightings = sightings_of(paths, times, label)
    if not sightings.num_rows:
        raise NothingToDraw(f"no sighting of {camera} in that time")
    return counted(camera, sightings, newest_of(paths), plane, cell, label)


def newest_of(paths: Sequence[Path]) -> Camera:
    """The configuration of the newest file. Raises BadFile."""
    return tables.footer_of(paths[-1].read_bytes()).camera


def counted(camera: str, sightings: pa.Table, newest: Camera, plane: Plane, cell: float | None, label: str) -> Heatmap:
    """Of sightings in order of time, at least one, as `sightings_of` gives them. Raises NothingToDraw."""
    if plane == "image":
        return _on_image(camera, sightings, round(cell or newest.cell), label)
    if newest.ground is None:
        raise NothingToDraw(no_ground(camera))
    return _on_ground(camera, sightings, newest.ground, cell or newest.ground.cell, label)


def no_ground(camera: str) -> str:
    return f"{camera} has no ground plane: the camera file must name point pairs and the plan"


def sightings_of(paths: Iterable[Path], times: range, label: str) -> pa.Table:
    """The sightings of those times and that class, in order of time: `COLUMNS`. Raises BadFile."""
    wanted = (pc.field("time_ms") >= times.start) & (pc.field("time_ms") < times.stop) & (pc.field("label") == label)
    parts = [_read(path).filter(wanted) for path in paths]
    return pa.concat_tables(parts).sort_by("time_ms") if parts else pa.table({name: [] for name in COLUMNS})


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, columns=COLUMNS, partitioning=None).replace_schema_metadata(None)
    except pa.ArrowException as error:
        raise tables.BadFile(f"{path}: no readable Parquet: {error}") from error


def _on_image(camera: str, sightings: pa.Table, k: int, label: str) -> Heatmap:
    widths, heights = _floats(sightings, "frame_width"), _floats(sightings, "frame_height")
    width, height = int(widths[-1]), int(heights[-1])
    same = ((widths == width) & (heights == height)).tolist()
    cells = grid.image_cells(_floats(sightings, "center_x"), _floats(sightings, "center_y"), width, height, k)
    counted = _count(sightings, [cell if so else None for cell, so in zip(cells, same, strict=True)])
    vehicles = len({one for one, so in zip(sightings["passage_id"].to_pylist(), same, strict=True) if so})
    layer = grid.image_version(width, height, k, label)
    return Heatmap(camera, "image", layer, k, width, height, *counted, vehicles=vehicles)


def _on_ground(camera: str, sightings: pa.Table, ground: Ground, k: float, label: str) -> Heatmap:
    on_plan = np.array([version == ground.version for version in sightings["ground_version"].to_pylist()])
    off_plan = pc.sum(sightings["off_plan"]).as_py()
    if not on_plan.any():
        raise NothingToDraw(f"no sighting of {camera} in that time lies on the plan ({off_plan} off it)")
    cells = grid.ground_cells(_floats(sightings, "ground_x"), _floats(sightings, "ground_y"), on_plan, k)
    version = grid.ground_layer(ground.version, k, label).version
    vehicles = len({one for one, on in zip(sightings["passage_id"].to_pylist(), on_plan.tolist(), strict=True) if on})
    return Heatmap(
        camera, "ground", version, k, ground.width, ground.height, *_count(sightings, cells), off_plan, vehicles,
        ground.metres_per_unit, ground.geo,
    )  # fmt: skip


def _count(sightings: pa.Table, cells: Sequence[Cell | None]) -> tuple[Cells, int, int]:
    """What each cell holds, and the first time and the last; None: in no cell. ``sightings`` are in order of time."""
    times, tracks, passages = (sightings[name].to_pylist() for name in ("time_ms", "track_id", "passage_id"))
    counted: Cells = {}
    came: set[tuple[Cell, str]] = set()
    latest: dict[str, tuple[int, Cell | None]] = {}
    for time_ms, track, passage, cell in zip(times, tracks, passages, cells, strict=True):
        before_ms, before = latest.get(track, (time_ms, None))
        if before is not None:
            counted[before][2] += min(time_ms - before_ms, DWELL_CAP_MS)
        latest[track] = (time_ms, cell)
        if cell is not None:
            entry = counted.setdefault(cell, [0, 0, 0])
            entry[0] += 1
            entry[1] += (cell, passage) not in came
            came.add((cell, passage))
    placed = [time_ms for time_ms, cell in zip(times, cells, strict=True) if cell is not None]
    return counted, placed[0], placed[-1]


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
