"""Passages: one vehicle passing one camera, as far as one recording shows it.

In: a whole track (all its parts). Out: one passage; ``continues`` names the passage of the same plate that it
prolongs: the nearest in time within the gap, in another recording or in this one, before or after (recordings
come in any order). A vehicle is a chain of passages; its links but the first add nothing to the number of
vehicles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from services.aggregator.core.readings import UNDECIDED, PlateIndex, alike
from services.contracts.messages import Box, Point

ENDS = 5
"""How many observations at each end of a track are averaged to say where it came from and went to."""
GROWTH = 1.1
"""A vehicle whose plate grows (or shrinks) by this factor comes nearer (or goes away)."""
MOVED = 0.5
"""Plate widths that a vehicle must move in the image so as not to be standing."""
MOVED_GROUND = 1.0
"""Plate widths that it must move in the image before a heading on the plan is told."""
TIMED_MS = 200
"""A speed needs at least this much time."""


class Open(msgspec.Struct):
    """A passage that a later one may continue."""

    id: str
    first_ms: int
    last_ms: int


class OpenPassages:
    """The open passages of a camera, by plate. `snapshot` is plain data; `OpenPassages(snapshot)` goes on exactly."""

    def __init__(self, snapshot: dict[str, list[Open]] | None = None) -> None:
        self._plates: PlateIndex[list[Open]] = PlateIndex(list)
        for text, passages in (snapshot or {}).items():
            self._plates.put(text, list(passages))

    def link(self, text: str, passage: Open, gap_ms: int) -> str | None:
        """Id of the passage that this one continues, None for a new vehicle; this one is open from now on.

        A reading with nothing to recognise a vehicle by (empty, or too much undecided) continues none.
        """
        own, others = self._plates.of(text)
        candidates = [*(own if tells_apart(text) else ()), *(open_ for other in others for open_ in other)]
        near = [(distance(open_, passage), -open_.last_ms, open_.id) for open_ in candidates]
        own.append(passage)
        best = min(near, default=None)
        return best[2] if best is not None and best[0] <= gap_ms else None

    def prune(self, before_ms: int) -> None:
        for _, passages in self._plates.items():
            passages[:] = [open_ for open_ in passages if open_.last_ms >= before_ms]
        self._plates.keep(bool)

    def snapshot(self) -> dict[str, list[Open]]:
        return {text: list(passages) for text, passages in self._plates.items()}


def tells_apart(text: str) -> bool:
    """Does an equal reading mean the same vehicle? "AB1" does, "######" does not."""
    return bool(text) and (UNDECIDED not in text or alike(text, text))


def distance(a: Open, b: Open) -> int:
    """Milliseconds between two passages, 0 where they overlap."""
    return max(0, a.first_ms - b.last_ms, b.first_ms - a.last_ms)


def direction(boxes: Sequence[Box]) -> str | None:
    """``approaching``, ``receding``, ``standing``, or None: sideways, or one observation only.

    A plate that grows comes nearer. One of constant size is judged by its motion: a camera looks down on its
    road, so down in the image is nearer.
    """
    if len(boxes) < 2:
        return None
    first, last = _ends(boxes)
    dx = (last[0] + last[2] / 2) - (first[0] + first[2] / 2)
    dy = (last[1] + last[3] / 2) - (first[1] + first[3] / 2)
    growth = math.sqrt((last[2] * last[3]) / max(first[2] * first[3], 1e-9))
    if growth >= GROWTH:
        return "approaching"
    if growth <= 1 / GROWTH:
        return "receding"
    if math.hypot(dx, dy) < MOVED * first[2]:
        return "standing"
    if abs(dy) < abs(dx):
        return None
    return "approaching" if dy > 0 else "receding"


def moved(boxes: Sequence[Box]) -> bool:
    """Did the plate move far enough in the image for a heading to mean something?"""
    first, last = _ends(boxes)
    return math.hypot(last[0] - first[0], last[1] - first[1]) >= MOVED_GROUND * first[2]


def heading_deg(first: Point, last: Point) -> float | None:
    """Direction of motion on the plan, clockwise from its -y axis, 0..360; None where there is none."""
    dx, dy = last[0] - first[0], last[1] - first[1]
    if dx == 0 and dy == 0:
        return None
    return round(math.degrees(math.atan2(dx, -dy)) % 360, 1) % 360


def speed_mps(first: Point, last: Point, elapsed_ms: float, metres_per_unit: float | None) -> float | None:
    if metres_per_unit is None or elapsed_ms < TIMED_MS:
        return None
    metres = math.hypot(last[0] - first[0], last[1] - first[1]) * metres_per_unit
    return round(metres * 1000 / elapsed_ms, 2)


def _ends(boxes: Sequence[Box]) -> tuple[Box, Box]:
    n = max(1, min(ENDS, len(boxes) // 2))
    return _mean(boxes[:n]), _mean(boxes[-n:])


def _mean(boxes: Sequence[Box]) -> Box:
    n = len(boxes)
    return (
        sum(box[0] for box in boxes) / n,
        sum(box[1] for box in boxes) / n,
        sum(box[2] for box in boxes) / n,
        sum(box[3] for box in boxes) / n,
    )
