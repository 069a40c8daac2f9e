"""Ways of vehicles: positions in order of time, cut where a track ends, and how fast each went.

In: columns of sightings. Out: `Trajectory` values. The speed is the median of those over about a second (`SPAN_MS`), so
that one misplaced box, or a stop on the way, does not make it; a shorter track has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SPAN_MS = (500, 1500)
"""Two positions that far apart in time tell a speed."""
KMH = 3.6


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One track. ``points``: (n, 2), pixels or plan units; ``times_ms``: (n,), ascending."""

    track_id: str
    plate: str
    times_ms: npt.NDArray[np.int64]
    points: Floats
    speed_mps: float | None
    """Median; None where the plan has no metres, or the track is too short."""
    length_m: float | None
    """Way along the positions."""


def speed(times_ms: npt.NDArray[np.int64], metres: Floats) -> float | None:
    """Metres per second along positions (n, 2); None where no two of them are far enough apart in time."""
    first, second = np.triu_indices(len(times_ms), 1)
    apart = times_ms[second] - times_ms[first]
    use = (apart >= SPAN_MS[0]) & (apart <= SPAN_MS[1])
    if not use.any():
        return None
    way = np.hypot(*(metres[second[use]] - metres[first[use]]).T)
    return float(np.median(way * 1000 / apart[use]))


def trajectories(
    track_ids: Sequence[str],
    plates: Sequence[str],
    times_ms: npt.NDArray[np.int64],
    points: Floats,
    ground: Floats,
    metres_per_unit: float | None,
) -> list[Trajectory]:
    """A trajectory for each track, by its first time. Rows with a nan in ``points`` are left out.

    ``points``: (n, 2), what is drawn; ``ground``: (n, 2), plan units, nan where a sighting is not on the plan.
    """
    rows: dict[str, list[int]] = {}
    for row, track in enumerate(track_ids):
        if np.isfinite(points[row]).all():
            rows.setdefault(track, []).append(row)
    found = []
    for track, unordered in rows.items():
        at = np.array(sorted(unordered, key=lambda row: (int(times_ms[row]), row)))
        on = at[np.isfinite(ground[at]).all(axis=1)]
        metres = ground[on] * metres_per_unit if metres_per_unit is not None and len(on) else None
        found.append(
            Trajectory(
                track,
                plates[at[-1]],
                times_ms[at],
                points[at],
                speed(times_ms[on], metres) if metres is not None else None,
                float(np.hypot(*np.diff(metres, axis=0).T).sum()) if metres is not None else None,
            )
        )
    return sorted(found, key=lambda one: (int(one.times_ms[0]), one.track_id))
