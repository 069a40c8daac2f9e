"""The 200 ms rule (rule 6): which observations of a plate become sightings.

In: the times and places of a track's observations, in order of time, and the plate's reading. Out: the
indices of those to publish. An observation is suppressed if it lies less than ``window`` from a published
sighting of the same plate, before or after; at exactly ``window`` it is published. Greedy: what is published
stays, nothing waits.

The stationary rule, where it is on, suppresses as well what lies less than ``stationary`` from a published
sighting of the same plate at the same place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from services.aggregator.core.config import Options
from services.aggregator.core.readings import PlateIndex

Place = tuple[float, float]


class Published(msgspec.Struct):
    """Published sightings of one reading: times in ascending order, and where each was."""

    times: list[int] = []
    places: list[Place] = []

    def near(self, time_ms: int, window_ms: int) -> bool:
        times = self.times
        at = bisect_left(times, time_ms)
        if at and time_ms - times[at - 1] < window_ms:
            return True
        return at < len(times) and times[at] - time_ms < window_ms

    def rests(self, time_ms: int, place: Place, options: Options) -> bool:
        """Is there a sighting at the same place within the stationary window?"""
        within, x, y = options.stationary_ms, place[0], place[1]
        limit = options.stationary_px**2
        first = bisect_left(self.times, time_ms - within + 1)
        last = bisect_left(self.times, time_ms + within)
        return any((px - x) ** 2 + (py - y) ** 2 <= limit for px, py in self.places[first:last])

    def add(self, time_ms: int, place: Place) -> None:
        at = bisect_left(self.times, time_ms)
        self.times.insert(at, time_ms)
        self.places.insert(at, place)

    def prune(self, before_ms: int) -> bool:
        """Forgets what is older; says whether anything is left."""
        at = bisect_left(self.times, before_ms)
        del self.times[:at], self.places[:at]
        return bool(self.times)


class Dedup:
    """The published sightings of a camera, by plate. `snapshot` is plain data; `Dedup(snapshot)` goes on exactly."""

    def __init__(self, snapshot: dict[str, Published] | None = None) -> None:
        self._plates: PlateIndex[Published] = PlateIndex(Published)
        for text, published in (snapshot or {}).items():
            self._plates.put(text, Published(list(published.times), list(published.places)))

    def select(
        self, text: str, times: Sequence[int], places: Sequence[Place], options: Options
    ) -> tuple[list[int], int]:
        """Indices of the observations to publish, which count as published from now on; ``times`` ascend.

        Also how many the stationary rule alone suppressed.
        """
        window, stationary = options.window_ms, options.stationary_ms
        if not window and not stationary:
            return list(range(len(times))), 0
        own, alike = self._plates.of(text)
        all_ = (own, *alike)
        chosen: list[int] = []
        resting = 0
        free_from = None  # the last published of this very call rules out everything before
        for index, time_ms in enumerate(times):
            if free_from is not None and time_ms < free_from:
                continue
            if any(one.near(time_ms, window) for one in all_):
                continue
            if stationary and any(one.rests(time_ms, places[index], options) for one in all_):
                resting += 1
                continue
            own.add(time_ms, places[index])
            chosen.append(index)
            free_from = time_ms + window
        return chosen, resting

    def prune(self, before_ms: int) -> None:
        self._plates.keep(lambda published: published.prune(before_ms))

    def snapshot(self) -> dict[str, Published]:
        return {
            text: Published(list(published.times), list(published.places)) for text, published in self._plates.items()
        }
