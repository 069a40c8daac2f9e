"""The most significant area as a file beside the picture: JSON, in pixels, relative to the frame, and as a polygon.

The polygon is a list of corners in parts of the frame, as zones of a camera are configured.
"""

from __future__ import annotations

import json
from pathlib import Path

from services.aggregator.core.area import Area


def write(area: Area, picture: Path) -> str:
    """Writes `<picture>.area.json`; says in a sentence what the area is."""
    out = picture.with_suffix(".area.json")
    left, top, right, bottom = area.relative
    content = {
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
        "polygon": [
            [round(x, 6), round(y, 6)] for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))
        ],
    }
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return (
        f"{area.held:.0%} lie within {area.left:g} to {area.right:g} across and {area.top:g} to {area.bottom:g} down, "
        f"{area.part:.1%} of the picture: {out}"
    )
