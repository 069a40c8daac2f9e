"""Which boxes count, and why others do not: a box, the camera's gate and the settings in, a reason out. Pure.

Rules
- The first of these that holds is the reason: `small`, `low-score`, `masked`, `outside` (of all zones), `no-vehicle`
  (where vehicles are looked for too, and the plate's middle lies in none).
- A box at the edge of a zone belongs to where its middle is.
- Tracks are rejected later, when they are read (`stitch.rejection`).
"""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.gates import Gate, holds
from services.contracts.messages import Box

SMALL, LOW_SCORE, MASKED, OUTSIDE, NO_VEHICLE = "small", "low-score", "masked", "outside", "no-vehicle"
BOX_REASONS = (SMALL, LOW_SCORE, MASKED, OUTSIDE, NO_VEHICLE)


def refused(
    box: Box,
    score: float,
    frame: tuple[int, int],
    gate: Gate,
    smallest: tuple[float, float],
    vehicles: Sequence[Box] | None = None,
) -> str:
    """Why a box does not count; empty where it does. ``frame``: width and height in pixels; ``smallest``: width and
    height that a box needs where the gate names none; ``vehicles``: boxes, None where nobody looked for them."""
    x, y, width, height = box
    if width < (gate.min_width or smallest[0]) or height < (gate.min_height or smallest[1]):
        return SMALL
    if gate.min_score is not None and score < gate.min_score:
        return LOW_SCORE
    middle = (x + width / 2) / frame[0], (y + height / 2) / frame[1]
    if any(holds(mask, *middle) for mask in gate.masks):
        return MASKED
    if gate.zones and not any(holds(zone, *middle) for zone in gate.zones):
        return OUTSIDE
    if vehicles is not None and not any(_in(x + width / 2, y + height / 2, one) for one in vehicles):
        return NO_VEHICLE
    return ""


def _in(x: float, y: float, box: Box) -> bool:
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]
