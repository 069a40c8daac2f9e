"""The corners of a plate in the frames in which nobody read it: carried over from the frames in which it was read.

In: the observations of one track. Out: a quad for each, or None. Pure.

Rules
- Only some pictures of a track are read, and only reading finds corners. In between a plate keeps its shape within its
  box, so the corners of the nearest reading in time (of two, the earlier) move and grow with the box.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.messages import Box, Observation, Quad


def corners_of(observations: Sequence[Observation]) -> list[Quad | None]:
    """Four corners in pixels of the frame for each observation, clockwise from top left; all None where none was
    read. Observations in order of time."""
    known = [one for one in observations if one.quad is not None]
    if not known:
        return [None] * len(observations)
    return [_carried(min(known, key=lambda other: abs(other.time_ms - one.time_ms)), one) for one in observations]


def _carried(known: Observation, one: Observation) -> Quad:
    assert known.quad is not None, "only what has corners is known"
    if known is one:
        return known.quad
    a, b, c, d = (_moved(corner, known.box, one.box) for corner in known.quad)
    return a, b, c, d


def _moved(corner: tuple[float, float], old: Box, new: Box) -> tuple[float, float]:
    x = new[0] + (corner[0] - old[0]) * new[2] / old[2]
    y = new[1] + (corner[1] - old[1]) * new[3] / old[3]
    return round(x, 2), round(y, 2)
