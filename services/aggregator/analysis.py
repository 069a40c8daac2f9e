"""The Parquet of the aggregator as pandas tables, for notebooks: sightings, passages, heatmap cells.

In: the data folder (PLATEFLOW_DATA, or results of `plateflow run`), which camera, which times. Out: DataFrames in order
of time, with the same columns also where there is nothing. `docs/analysis.md` shows what to do with them.

Rules
- Only the current results version is read, or the one that is named, never two at once.
- Times are UTC; a range holds its start and not its end, so ranges that meet count nothing twice.
- Nothing is written, and files may be written meanwhile: a reader sees a whole file or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from services.aggregator import tables
from services.aggregator.core.grid import HOUR_MS
from services.aggregator.core.passages import TIMED_MS
from services.aggregator.picture import Plane, current, hour_of, version_of
from services.aggregator.tables import BadFile

Time = str | datetime | pd.Timestamp
"""As pandas understands it; UTC where no zone is named."""

CELLS = pa.schema([("time", pa.timestamp("ms", "UTC")), ("version", pa.string()), *tables.CELLS])
SIGHTINGS = pa.schema([*tables.SIGHTINGS, ("metres_per_unit", pa.float64())])
PASSAGES = [
    "camera", "plate", "first_seen", "last_seen", "duration_s", "sightings", "confidence",
    "first_x", "first_y", "last_x", "last_y", "speed_mps", "label", "passage_id", "recording_id", "key", "best_path",
    "country",
]  # fmt: skip
LONGEST = pd.Timedelta(hours=1)
"""No passage lasts longer; its recording does not."""


class NoData(FileNotFoundError):
    """The folder holds no Parquet of plateflow. Says what to name instead."""


def load_sightings(
    data: Path | str,
    *,
    camera: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
    results: int | None = None,
) -> pd.DataFrame:
    """A row per sighting: the columns of the Parquet, ``camera``, and ``metres_per_unit`` of its plan (or nan).

    ``results``: the current ones, where none are named. Raises NoData, BadFile.
    """
    folder, first, last = _folder(data, "sightings", results), _time(start), _time(end)
    found = pd.concat(
        [_frame(SIGHTINGS.empty_table(), ""), *(_sightings(path) for path in _files(folder, "", camera, first, last))],
        ignore_index=True,
    )
    return _within(found, "time", first, last).sort_values(["time", "sighting_id"], ignore_index=True)


def load_heatmap(
    data: Path | str,
    *,
    camera: str | None = None,
    plane: Plane = "image",
    start: Time | None = None,
    end: Time | None = None,
    results: int | None = None,
) -> pd.DataFrame:
    """A row per camera, hour (``time``, its start) and cell, with ``count``, ``passages`` and ``dwell_ms``.

    Cells of one ``version`` (frame size or homography, cell size) can be added; of several, each is a map of its own.
    A range takes the hours that begin in it. Raises NoData, BadFile.
    """
    folder, first, last = _folder(data, "heatmap", results), _time(start), _time(end)
    found = pd.concat(
        [
            _frame(CELLS.empty_table(), ""),
            *(_cells(path) for path in _files(folder, f"plane={plane}/version=*/", camera, first, last)),
        ],
        ignore_index=True,
    )
    return _within(found, "time", first, last).sort_values(["time", "camera", "version", "gy", "gx"], ignore_index=True)


def load_passages(
    data: Path | str,
    *,
    camera: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
    results: int | None = None,
) -> pd.DataFrame:
    """A row per passage that begins in the range: one vehicle in one recording, put together from its sightings.

    ``first_x`` ... ``last_y``: centres of the first and last box, pixels. ``speed_mps``: along the straight line
    between the first and last point on the plan; nan without a plan in metres. A vehicle that
    crosses from one recording into the next has a passage in each. Raises NoData, BadFile.
    """
    first, last = _time(start), _time(end)
    around = (first - LONGEST if first is not None else None, last + LONGEST if last is not None else None)
    seen = load_sightings(data, camera=camera, start=around[0], end=around[1], results=results)
    return _within(_passages(seen), "first_seen", first, last).sort_values(
        ["first_seen", "passage_id"], ignore_index=True
    )


def _folder(data: Path | str, kind: str, results: int | None) -> Path:
    data = Path(data)
    if not (data / kind).is_dir():
        raise NoData(f"{data} holds no {kind}/: name the folder of PLATEFLOW_DATA, or --out of `plateflow run`")
    return data / kind / f"results={current(data) if results is None else results}"


def _time(time: Time | None) -> pd.Timestamp | None:
    if time is None:
        return None
    at = pd.Timestamp(time)
    return at.tz_localize("UTC") if at.tzinfo is None else at.tz_convert("UTC")


def _files(
    folder: Path, between: str, camera: str | None, start: pd.Timestamp | None, end: pd.Timestamp | None
) -> Iterator[Path]:
    """The files whose hours touch the range."""
    name = "*" if camera is None else tables.encoded(camera)
    for path in sorted(folder.glob(f"{between}camera={name}/date=*/hour=*/*.parquet")):
        hour = pd.Timestamp(hour_of(path), unit="ms", tz="UTC")
        if (start is None or hour + pd.Timedelta(HOUR_MS, "ms") > start) and (end is None or hour < end):
            yield path


def _sightings(path: Path) -> pd.DataFrame:
    data = path.read_bytes()
    table, ground = _table(path, data), tables.footer_of(data).camera.ground
    metres = ground.metres_per_unit if ground is not None else None
    column = pa.array([metres] * len(table), pa.float64())
    return _frame(table.append_column("metres_per_unit", column), _camera(path))


def _cells(path: Path) -> pd.DataFrame:
    table = _table(path, path.read_bytes())
    time = table["bucket_ms"].cast(pa.timestamp("ms", "UTC"))
    version = pa.array([version_of(path)] * len(table), pa.string())
    return _frame(table.add_column(0, "version", version).add_column(0, "time", time), _camera(path))


def _table(path: Path, data: bytes) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)
    except pa.ArrowException as error:
        raise BadFile(f"{path}: no readable Parquet: {error}") from error


def _frame(table: pa.Table, camera: str) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    frame.insert(0, "camera", pd.Series([camera] * len(frame), dtype="str"))
    return frame


def _camera(path: Path) -> str:
    return unquote(path.parts[-4].removeprefix("camera="))


def _within(frame: pd.DataFrame, column: str, start: pd.Timestamp | None, end: pd.Timestamp | None) -> pd.DataFrame:
    inside = pd.Series(True, index=frame.index)
    if start is not None:
        inside &= frame[column] >= start
    if end is not None:
        inside &= frame[column] < end
    return frame[inside]


def _passages(seen: pd.DataFrame) -> pd.DataFrame:
    """Passages from their sightings, which are in order of time."""
    first, last = _ends(seen)
    return pd.DataFrame(
        {
            **{name: first[name] for name in ("camera", "plate", "confidence", "label", "recording_id", "key")},
            "passage_id": first.index.to_series(),
            "first_seen": first["time"],
            "last_seen": last["time"],
            "duration_s": (last["time_ms"] - first["time_ms"]) / 1000,
            "sightings": seen["passage_id"].value_counts().reindex(first.index),
            "first_x": first["center_x"],
            "first_y": first["center_y"],
            "last_x": last["center_x"],
            "last_y": last["center_y"],
            "speed_mps": _speeds(seen).reindex(first.index),
            "best_path": first["best_path"],
            "country": first["country"],
        }
    ).reset_index(drop=True)[PASSAGES]


def _speeds(seen: pd.DataFrame) -> pd.Series[float]:
    """By passage id, those alone that a speed can be told of."""
    first, last = _ends(seen[seen["ground_x"].notna() & seen["metres_per_unit"].notna()])
    way = np.hypot(last["ground_x"] - first["ground_x"], last["ground_y"] - first["ground_y"])
    elapsed_ms = (last["time_ms"] - first["time_ms"]).astype("float64")
    speeds: pd.Series[float] = way * first["metres_per_unit"] * 1000 / elapsed_ms.where(elapsed_ms >= TIMED_MS)
    return speeds.round(2)


def _ends(seen: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """First and last sighting of each passage, by passage id."""
    first, last = (seen.drop_duplicates("passage_id", keep=end).set_index("passage_id") for end in ("first", "last"))
    return first, last.reindex(first.index)
