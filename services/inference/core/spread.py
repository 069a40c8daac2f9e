"""Keeps a bounded choice of things that come over time: spread over all of it, and of each stretch the best
one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Kept(NamedTuple, Generic[T]):
    time_ms: int
    value: float
    item: T


class Spread(Generic[T]):
    """At most ``limit`` items, and at least half as many once there were that many; 0 keeps all.

    Time is cut into stretches, of which each keeps its item of highest value. Where there are too many,
    stretches become twice as long; so what is kept depends on the items alone, and no more than ``limit``
    are ever held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stretch_ms = 1
        self._best: dict[int, Kept[T]] = {}

    def offer(self, time_ms: int, value: float, make: Callable[[], T]) -> None:
        """``make`` is called only where the item is kept. Of equal values the earlier one stays."""
        place = time_ms // self._stretch_ms
        held = self._best.get(place)
        if held is None or value > held.value:
            self._best[place] = Kept(time_ms, value, make())
        while self._limit and len(self._best) > self._limit:
            self._widen()

    def kept(self) -> list[Kept[T]]:
        """In order of time."""
        return [self._best[place] for place in sorted(self._best)]

    def _widen(self) -> None:
        items = self.kept()
        self._stretch_ms *= 2
        self._best = {}
        for one in items:
            place = one.time_ms // self._stretch_ms
            held = self._best.get(place)
            if held is None or one.value > held.value:
                self._best[place] = one
