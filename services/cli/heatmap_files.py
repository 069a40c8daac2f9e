"""The Parquet that `plateflow heatmap` draws from, however it is named: a data folder, files, a pattern.

In: names as a person types them. Out: `Files`, heatmap cells and sightings apart, each with its camera and hour.

Rules
- A folder gives its current results version. Of files, all must be of one results version.
- What a file holds is told by its columns; camera, plane and version by the folders that it lies in. A file that was
  taken out of them belongs to the camera that is named, else to one of its own name; its frame is what its cells fill.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.aggregator import tables
from services.aggregator.core import grid
from services.aggregator.core.grid import HOUR_MS
from services.aggregator.picture import Plane, current, hour_of
from services.aggregator.tables import BadFile


class Unusable(ValueError):
    """Nothing can be drawn from what is named. Says why."""


@dataclass(frozen=True, slots=True)
class CellFile:
    """Heatmap cells of an hour."""

    path: Path
    camera: str
    hour_ms: int
    plane: Plane
    version: str
    """As `services.aggregator.core.grid` names it: class, frame or homography, cell size."""


@dataclass(frozen=True, slots=True)
class SightingFile:
    """Sightings of an hour."""

    path: Path
    camera: str
    hour_ms: int


@dataclass(frozen=True, slots=True)
class Files:
    """What there is to draw from, in order of time."""

    cells: tuple[CellFile, ...] = ()
    sightings: tuple[SightingFile, ...] = ()

    @property
    def cameras(self) -> list[str]:
        return sorted({one.camera for one in self.cells} | {one.camera for one in self.sightings})

    def cells_of(self, camera: str, plane: Plane, label: str, times: range) -> list[CellFile]:
        """Those whose hour touches ``times``."""
        return [
            one
            for one in self.cells
            if (one.camera, one.plane, grid.label_of(one.version)) == (camera, plane, label)
            and _touches(one.hour_ms, times)
        ]

    def sightings_of(self, camera: str, times: range) -> list[Path]:
        """Those whose hour touches ``times``."""
        return [one.path for one in self.sightings if one.camera == camera and _touches(one.hour_ms, times)]

    def labels(self, camera: str) -> list[str]:
        """Classes of objects that were counted. Raises BadFile."""
        found = {grid.label_of(one.version) for one in self.cells if one.camera == camera}
        if not found:
            for one in self.sightings:
                if one.camera == camera:
                    found |= set(pc.unique(_columns(one.path, ["label"])["label"]).to_pylist())
        return sorted(found)


def in_folder(data: Path) -> Files:
    """The current results of a data folder. Raises Unusable."""
    if not (data / "heatmap").is_dir() and not (data / "sightings").is_dir():
        raise Unusable(
            f"{data} holds no heatmap/: name the folder of PLATEFLOW_DATA, or --out of `plateflow run`, a Parquet file,"
            " a video, or a text file of quads"
        )
    where = f"*/results={current(data)}"
    return _sorted([_of_layout(path) for path in data.glob(f"{where}/**/*.parquet")])


def expand(names: Sequence[str]) -> list[Path]:
    """What names and patterns stand for. Raises Unusable for one that stands for nothing."""
    paths: dict[Path, None] = {}
    for name in names:
        found = [name] if Path(name).exists() or not glob.has_magic(name) else sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - absolute ones, too
        if not found:
            raise Unusable(f"nothing matches {name}")
        paths |= dict.fromkeys(map(Path, found))
    for path in paths:
        if not path.exists():
            raise Unusable(f"{path}: no such file or folder")
    return list(paths)


def of_files(paths: Sequence[Path], camera: str | None = None) -> Files:
    """Parquet files. ``camera``: whose they are, where their folders do not say it. Raises Unusable, BadFile."""
    results = {_parts(path).get("results", "") for path in paths}
    if len(results) > 1:
        named = ", ".join(sorted(filter(None, results)))
        raise Unusable(f"the files are of several results versions ({named}), which show the same traffic: name one")
    found = [_of_layout(path) if "date" in _parts(path) else _alone(path, camera) for path in paths]
    alone = [one for one in found if isinstance(one, CellFile) and "version" not in _parts(one.path)]
    frames = {one: _frame(one.path) for one in alone if one.plane == "image"}
    for k in {k for _, _, k in frames.values()}:
        same = {one: size for one, size in frames.items() if size[2] == k}
        width, height = (max(size[axis] for size in same.values()) for axis in (0, 1))
        version = grid.image_version(width, height, k)
        found = [replace(one, version=version) if isinstance(one, CellFile) and one in same else one for one in found]
    return _sorted(found)


def _sorted(found: Sequence[CellFile | SightingFile]) -> Files:
    found = sorted(found, key=lambda one: (one.hour_ms, str(one.path)))
    return Files(
        tuple(one for one in found if isinstance(one, CellFile)),
        tuple(one for one in found if isinstance(one, SightingFile)),
    )


def _of_layout(path: Path) -> CellFile | SightingFile:
    """A file where the aggregator put it."""
    parts = _parts(path)
    camera, hour_ms = unquote(parts["camera"]), hour_of(path)
    if "plane" in parts:
        return CellFile(path, camera, hour_ms, "ground" if parts["plane"] == "ground" else "image", parts["version"])
    return SightingFile(path, camera, hour_ms)


def _alone(path: Path, camera: str | None) -> CellFile | SightingFile:
    """A file that was taken out of its folders. Raises Unusable, BadFile."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise BadFile(f"{path}: no readable Parquet: {error}") from error
    name = camera or path.stem
    if "center_x" in names:
        first = pc.min(_columns(path, ["time_ms"])["time_ms"]).as_py() or 0
        return SightingFile(path, name, first - first % HOUR_MS)
    if "gx" not in names:
        raise Unusable(f"{path} holds neither sightings nor a heatmap: its columns are {', '.join(names[:8])}")
    known, found = tables.footer_of(path.read_bytes()).camera, _columns(path, ["bucket_ms", "k"])
    hour_ms, k = (pc.min(found[column]).as_py() or 0 for column in ("bucket_ms", "k"))
    ground = known.ground
    if ground is not None and k == ground.cell and k != known.cell:
        return CellFile(path, name, hour_ms, "ground", grid.ground_layer(ground.version, k).version)
    return CellFile(path, name, hour_ms, "image", "")


def _frame(path: Path) -> tuple[int, int, int]:
    """Width, height and cell size of the frame that the cells fill, pixels."""
    found = _columns(path, ["gx", "gy", "k"])
    right, below, k = (int(pc.max(found[column]).as_py() or 0) for column in ("gx", "gy", "k"))
    return (right + 1) * k, (below + 1) * k, k


def _columns(path: Path, names: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=names, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise BadFile(f"{path}: no readable Parquet: {error}") from error


def _touches(hour_ms: int, times: range) -> bool:
    return times.start - HOUR_MS < hour_ms < times.stop


def _parts(path: Path) -> dict[str, str]:
    """What the folders say, as ``camera=site%2Fgate``."""
    return dict(part.split("=", 1) for part in path.absolute().parts[:-1] if "=" in part)
