"""A heatmap as a file for other programs: a table of its cells, or a layer of a map.

| file | what it is |
|---|---|
| .csv, .parquet | a row per cell that holds anything; with the coordinates of its middle, where the plan has any |
| .geojson | the same as polygons in longitude and latitude (WGS 84, RFC 7946), and the areas that were marked |
| .png | the cells alone, coloured; a world file (.pgw) and the coordinate system (.prj) beside it |

The last two need a plan that lies on the earth: `plan.geo` of the camera file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from PIL import Image

from services.aggregator import picture
from services.aggregator.chart import Look, Marks
from services.aggregator.core.geo import Affine, affine
from services.aggregator.picture import Heatmap, Measure

COLUMNS = ("gx", "gy", "x0", "y0", "x1", "y1", "count", "passages", "seconds")
SIDE = 2048
"""Pixels of a map's layer along its longer side, about."""
DIGITS = 8
"""Of a coordinate: a millimetre."""
WGS84 = (
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)


def check(paths: Sequence[Path]) -> None:
    """BadParameter for a file of no kind that we write."""
    for path in paths:
        if path.suffix.lower() not in WRITERS:
            raise typer.BadParameter(f"{path} ends in none of {', '.join(WRITERS)}", param_hint="--export")


def check_place(paths: Sequence[Path], drawn: Heatmap) -> None:
    """BadParameter where a map is wanted of what lies nowhere."""
    wanted = [path for path in paths if path.suffix.lower() in (".geojson", ".png")]
    if not wanted or place_of(drawn) is not None:
        return
    if drawn.plane == "image":
        reason = "the camera's image has no coordinates: draw the ground, with --plane ground"
    elif drawn.metres_per_unit is None:
        reason = f"the plan of {drawn.camera} has no metres: its camera file needs plan.metres_per_unit and plan.geo"
    else:
        reason = (
            f"the plan of {drawn.camera} has no coordinates: its camera file needs "
            "plan.geo: {lat: …, lon: …, rotation: …}; name the file with --cameras"
        )
    raise typer.BadParameter(f"{wanted[0]}: {reason}", param_hint="--export")


def place_of(drawn: Heatmap) -> Affine | None:
    """How the plan lies on the earth, where that is known."""
    if drawn.plane != "ground" or drawn.geo is None or drawn.metres_per_unit is None:
        return None
    return affine(drawn.geo, drawn.metres_per_unit)


def write(path: Path, drawn: Heatmap, measure: Measure, marks: Marks, look: Look) -> str:
    """Writes one file; says so, after a line break. `check` and `check_place` have agreed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"\n{WRITERS[path.suffix.lower()](path, drawn, measure, marks, look)}"


def rows(drawn: Heatmap) -> list[dict[str, Any]]:
    """The cells that hold anything, row by row from the top. Pixels or plan units; ``lat``, ``lon``: of the middle."""
    place = place_of(drawn)
    found = []
    for (gx, gy), (count, passages, dwell_ms) in sorted(drawn.cells.items(), key=lambda one: one[0][::-1]):
        x0, y0 = round(gx * drawn.k, 9), round(gy * drawn.k, 9)
        x1, y1 = min(round((gx + 1) * drawn.k, 9), drawn.width), min(round((gy + 1) * drawn.k, 9), drawn.height)
        row = dict(zip(COLUMNS, (gx, gy, x0, y0, x1, y1, count, passages, dwell_ms / 1000), strict=True))
        if place is not None:
            lon, lat = place.at((x0 + x1) / 2, (y0 + y1) / 2)
            row |= {"lat": round(lat, DIGITS), "lon": round(lon, DIGITS)}
        found.append(row)
    return found


def _csv(path: Path, drawn: Heatmap, *_: object) -> str:
    found = rows(drawn)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return f"{len(found)} cells: {path}"


def _parquet(path: Path, drawn: Heatmap, *_: object) -> str:
    found = rows(drawn)
    about = {
        "camera": drawn.camera, "plane": drawn.plane, "version": drawn.version,
        "first_ms": str(drawn.first_ms), "end_ms": str(drawn.end_ms), "cell": f"{drawn.k:g}",
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist(found).replace_schema_metadata(about), path, compression="zstd")
    return f"{len(found)} cells: {path}"


def _geojson(path: Path, drawn: Heatmap, _: Measure, marks: Marks, __: Look) -> str:
    found = rows(drawn)
    features = []
    for row in found:
        x0, y0, x1, y1 = (row[name] for name in ("x0", "y0", "x1", "y1"))
        facts = {name: row[name] for name in ("gx", "gy", "count", "passages", "seconds")}
        features.append(_feature(drawn, [((x0, y0), (x1, y0), (x1, y1), (x0, y1))], {"kind": "cell"} | facts))
    if (area := marks.area) is not None:
        ring = ((area.left, area.top), (area.right, area.top), (area.right, area.bottom), (area.left, area.bottom))
        features.append(_feature(drawn, [ring], {"kind": "smallest rectangle", "held": round(area.held, 6)}))
    if (shape := marks.shape) is not None:
        features.append(_feature(drawn, shape.polygons, {"kind": "smallest shape", "held": round(shape.held, 6)}))
    content = {"type": "FeatureCollection", "name": drawn.camera, "features": features}
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"{len(found)} cells as polygons: {path}"


def _feature(
    drawn: Heatmap, polygons: Sequence[Sequence[tuple[float, float]]], properties: dict[str, Any]
) -> dict[str, Any]:
    """``polygons``: corners on the plan, clockwise as seen; rings of GeoJSON are closed and run the other way."""
    place = place_of(drawn)
    assert place is not None
    rings = []
    for polygon in polygons:
        ring = [[round(degrees, DIGITS) for degrees in place.at(x, y)] for x, y in polygon][::-1]
        rings.append([[*ring, ring[0]]])
    several = len(rings) > 1
    geometry = {"type": "MultiPolygon" if several else "Polygon", "coordinates": rings if several else rings[0]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _layer(path: Path, drawn: Heatmap, measure: Measure, _: Marks, look: Look) -> str:
    place = place_of(drawn)
    assert place is not None
    grid = picture.chart_grid(drawn, measure)
    colours = look.style.colours(grid.norm(grid.values))  # (rows, columns, 4)
    colours[grid.values <= 0] = 0.0
    side = max(1, SIDE // max(grid.values.shape))
    pixels = np.round(colours * 255).astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    Image.fromarray(pixels, "RGBA").save(path)
    unit = drawn.k / side
    lon, lat = place.at(unit / 2, unit / 2)  # the middle of the first pixel
    lines = (place.lon_x * unit, place.lat_x * unit, place.lon_y * unit, place.lat_y * unit, lon, lat)
    world = path.with_suffix(".pgw")
    world.write_text("".join(f"{number:.15g}\n" for number in lines), encoding="ascii")
    path.with_suffix(".prj").write_text(WGS84 + "\n", encoding="ascii")
    return f"a layer of a map: {path}, {world.name}"


WRITERS: dict[str, Callable[[Path, Heatmap, Measure, Marks, Look], str]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".geojson": _geojson,
    ".png": _layer,
}
