"""The Parquet of the aggregator: paths, columns, footers; rows to bytes and back.

A file's footer (schema metadata, key ``plateflow``, JSON) says up to which offset of which log it holds
everything, so a replay can leave out what is in it already; the sightings file of an hour also holds the
ledger of its recordings. Columns never have the names of the folders (results, plane, version, camera, date,
hour), which readers add.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from services.aggregator.core.config import Camera, Options
from services.aggregator.core.grid import Cells, Layer
from services.contracts.messages import Plate, Run

FORMAT = 1
KEY = b"plateflow"

CELLS = pa.schema(
    [
        ("bucket_ms", pa.int64()),  # start of the hour, event time
        ("gx", pa.int32()),
        ("gy", pa.int32()),
        ("x0", pa.float64()),  # corner of the cell: pixels, or plan units
        ("y0", pa.float64()),
        ("k", pa.float64()),  # side of the cell
        ("count", pa.int64()),
        ("passages", pa.int64()),
        ("dwell_ms", pa.int64()),
    ]
)
SIGHTINGS = pa.schema(
    [
        ("time", pa.timestamp("ms", "UTC")),
        ("time_ms", pa.int64()),
        ("plate", pa.string()),
        ("raw", pa.string()),
        ("confidence", pa.float64()),
        ("detection", pa.float64()),
        ("x", pa.float64()),  # box, pixels
        ("y", pa.float64()),
        ("width", pa.float64()),
        ("height", pa.float64()),
        ("center_x", pa.float64()),
        ("center_y", pa.float64()),
        ("frame_width", pa.int32()),
        ("frame_height", pa.int32()),
        ("ground_x", pa.float64()),  # plan units; null without a homography or off the plan
        ("ground_y", pa.float64()),
        ("ground_version", pa.string()),
        ("off_plan", pa.bool_()),
        ("label", pa.string()),
        ("sighting_id", pa.string()),
        ("passage_id", pa.string()),
        ("track_id", pa.string()),
        ("recording_id", pa.string()),
        ("key", pa.string()),
        ("best_path", pa.string()),
        ("trace_id", pa.string()),
        ("run_topic", pa.string()),
        ("run_partition", pa.int32()),
        ("run_offset", pa.int64()),
        ("country", pa.string()),  # null where the reading tells none; files of version 0.1 have no such column
    ]
)


class Origin(msgspec.Struct, frozen=True):
    """The log that a file is made from."""

    cluster_id: str
    topic_id: str
    topic: str
    partition: int


class Footer(msgspec.Struct, kw_only=True):
    origin: Origin
    next_offset: int
    """F: the file holds all that comes of the offsets below."""
    camera: Camera
    """Configuration in force when it was written."""
    options: Options
    off_plan: int = 0
    """Ground plane: sightings of the hour that are in no cell."""
    ledger: dict[str, Run] = {}
    """Sightings: the run that counts, of each recording that starts in this hour."""
    format: int = FORMAT


class BadFile(Exception):
    """A file of ours cannot be read, or a newer version wrote it."""


@functools.lru_cache(maxsize=4096)
def heatmap_path(results: int, layer: Layer, camera: str, hour_ms: int) -> str:
    return (
        f"heatmap/results={results}/plane={layer.plane}/version={layer.version}/{_where(camera, hour_ms)}/cells.parquet"
    )


@functools.lru_cache(maxsize=4096)
def sightings_path(results: int, camera: str, hour_ms: int) -> str:
    return f"sightings/results={results}/{_where(camera, hour_ms)}/sightings.parquet"


def _where(camera: str, hour_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(hour_ms / 1000, datetime.UTC)
    return f"camera={encoded(camera)}/date={at:%Y-%m-%d}/hour={at:%H}"


def encoded(camera: str) -> str:
    """A camera's name as one folder's name."""
    return quote(camera, safe="")


def cells_to_bytes(cells: Cells, hour_ms: int, k: float, footer: Footer) -> bytes:
    """One row per cell with anything in it, in order of gy, gx."""
    places = _rows(cells, 2)  # (n, 2): gx, gy
    values = _rows(cells.values(), 3)  # (n, 3): count, passages, dwell_ms
    filled = np.flatnonzero(values.any(axis=1))
    order = filled[np.lexsort(places[filled].T)]
    places, values = places[order], values[order]
    n = len(order)
    columns = [
        np.full(n, hour_ms),
        places[:, 0].astype(np.int32),
        places[:, 1].astype(np.int32),
        places[:, 0] * float(k),
        places[:, 1] * float(k),
        np.full(n, float(k)),
        *values.T,
    ]
    # A grid is written again every half minute: a quarter of the processor time is worth a twentieth more bytes.
    return _to_bytes(pa.table([pa.array(column) for column in columns], schema=CELLS), footer, "snappy")


def _rows(numbers: Collection[Iterable[int]], width: int) -> NDArray[np.int64]:
    """(len(numbers), width); twice as fast as an array of a list of lists."""
    return np.fromiter(chain.from_iterable(numbers), np.int64, len(numbers) * width).reshape(-1, width)


def cells_of(data: bytes) -> Cells:
    """The cells of a heatmap file. Raises BadFile."""
    table = _table(data)
    columns = (table.column(name).to_pylist() for name in ("gx", "gy", "count", "passages", "dwell_ms"))
    return {(gx, gy): [count, n, dwell] for gx, gy, count, n, dwell in zip(*columns, strict=True)}


def sightings_to_bytes(before: bytes | None, plates: Sequence[Plate], footer: Footer) -> bytes:
    """The rows of the former file, if any, and one more per plate."""
    new = pa.Table.from_pylist([_row(plate) for plate in plates], schema=SIGHTINGS)
    if before is None:
        return _to_bytes(new, footer)
    old = _table(before).replace_schema_metadata(None)
    return _to_bytes(pa.concat_tables([old, new], promote_options="default"), footer)


def footer_of(data: bytes) -> Footer:
    """Raises BadFile."""
    try:
        footer = msgspec.json.decode(pq.read_schema(pa.BufferReader(data)).metadata[KEY], type=Footer)
    except (pa.ArrowException, msgspec.DecodeError, TypeError, KeyError) as error:
        raise BadFile(f"no Parquet file of plateflow: {error}") from error
    if footer.format > FORMAT:
        raise BadFile(f"format {footer.format} is newer than this version reads ({FORMAT}): upgrade plateflow")
    return footer


def _table(data: bytes) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(data))
    except pa.ArrowException as error:
        raise BadFile(f"no readable Parquet: {error}") from error


def _to_bytes(table: pa.Table, footer: Footer, compression: str = "zstd") -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({KEY: msgspec.json.encode(footer)}), sink, compression=compression)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _row(plate: Plate) -> dict[str, Any]:
    ground = plate.ground
    x, y, width, height = plate.box
    return {
        "time": plate.time_ms,
        "time_ms": plate.time_ms,
        "plate": plate.plate,
        "raw": plate.raw,
        "confidence": plate.confidence,
        "detection": plate.detection,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "center_x": plate.center[0],
        "center_y": plate.center[1],
        "frame_width": plate.frame_width,
        "frame_height": plate.frame_height,
        "ground_x": ground.x if ground else None,
        "ground_y": ground.y if ground else None,
        "ground_version": ground.version if ground else None,
        "off_plan": plate.off_plan,
        "label": plate.label,
        "sighting_id": plate.id,
        "passage_id": plate.passage_id,
        "track_id": plate.track_id,
        "recording_id": plate.recording_id,
        "key": plate.key,
        "best_path": plate.best.path if plate.best else None,
        "trace_id": plate.trace_id,
        "run_topic": plate.run.topic,
        "run_partition": plate.run.partition,
        "run_offset": plate.run.offset,
        "country": plate.country or None,
    }
