"""The most significant area as files beside the picture.

`<picture>.area.json`: the smallest rectangle, in pixels, relative to the frame, and as a polygon; the smallest shape,
in pixels.
`<picture>.zones.json`: the smallest shape, as zones of a camera are configured: a list of polygons, each a list of
corners x, y in parts of the frame. Areas of the plan are no zones, which are of the camera's image: of them there is
only the former, in plan units, without the polygon.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.aggregator.chart import Marks
from services.aggregator.core.area import Area
from services.aggregator.core.outline import Shape


def write(marks: Marks, picture: Path, zones: bool = True) -> str:
    """Writes the files of what is marked; says in a line each what the areas are, after a line break.

    ``zones``: the picture is that of the camera.
    """
    said = ""
    out = picture.with_suffix(".area.json")
    if (area := marks.area) is not None:
        content = _rectangle(area)
        if not zones:
            del content["polygon"]
        if marks.shape is not None:
            content["shape"] = {
                "held": round(marks.shape.held, 6),
                "part": round(marks.shape.part, 6),
                "polygons": [_corners(polygon) for polygon in marks.shape.polygons],
            }
        _write(content, out)
        said += (
            f"\n{area.held:.0%} lie within {area.left:g} to {area.right:g} across and {area.top:g} to {area.bottom:g} "
            f"down, {area.part:.1%} of the picture: {out}"
        )
    if (shape := marks.shape) is not None:
        if zones:
            out = picture.with_suffix(".zones.json")
            _write(_zones(shape), out)
        count = len(shape.polygons)
        polygons = f"{count} polygon{'' if count == 1 else 's'}"
        said += f"\n{shape.held:.0%} lie within {polygons}, {shape.part:.1%} of the picture: {out}"
    return said


def _rectangle(area: Area) -> dict[str, Any]:
    left, top, right, bottom = area.relative
    return {
        "held": round(area.held, 6),
        "part": round(area.part, 6),
        "frame": {"width": area.frame[0], "height": area.frame[1]},
        "pixels": {"x": area.left, "y": area.top, "width": area.right - area.left, "height": area.bottom - area.top},
        "relative": {
            "x": round(left, 6),
            "y": round(top, 6),
            "width": round(right - left, 6),
            "height": round(bottom - top, 6),
        },
        "polygon": _corners(((left, top), (right, top), (right, bottom), (left, bottom))),
    }


def _zones(shape: Shape) -> list[list[list[float]]]:
    """Not rounded: a sighting on an edge lies in the cell that it was counted in."""
    return [[[x, y] for x, y in polygon] for polygon in shape.relative]


def _corners(polygon: tuple[tuple[float, float], ...]) -> list[list[float]]:
    return [[round(x, 6), round(y, 6)] for x, y in polygon]


def _write(content: object, out: Path) -> None:
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
