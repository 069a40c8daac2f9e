"""Compares the plates that a system reported with the vehicles that really came by: one event per vehicle, the right
text, no false one. Pure.

Rules
- An event belongs to a vehicle if its time touches the vehicle's and the texts are equal; `#`, on either side, stands
  for any one character. Each event and each vehicle counts once: of all pairings one with the most pairs counts
  (augmenting paths, H. W. Kuhn 1955), whatever the order of the rows.
- A vehicle without such an event is missed; an event without such a vehicle is false. A second right event of one
  vehicle is false too, and told apart as a repetition.
- Characters are compared for each vehicle with its event, or with the most similar one of its time; without any, all
  its characters are wrong. `#` is a wrong character there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.inference.core.evaluation import edit_distance
from services.inference.core.shares import Interval, Share, as_flat, bootstrap_ratio, rounded, rounded_pair
from services.inference.core.truth import normalise

WILD = "#"


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle that really came by. ``detect_ms``: when its plate could first be read, None where nobody says so."""

    start_ms: int
    end_ms: int
    text: str
    detect_ms: int | None = None
    clip: str = ""
    """Times of different clips never touch."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a system reported. Of one moment, ``start_ms`` and ``end_ms`` are the same."""

    start_ms: int
    end_ms: int
    text: str
    clip: str = ""


@dataclass(frozen=True, slots=True)
class EventReport:
    """``pairs``: of vehicles with the events that are right for them."""

    vehicles: tuple[Vehicle, ...]
    events: tuple[Event, ...]
    pairs: tuple[tuple[Vehicle, Event], ...]
    missed: tuple[Vehicle, ...]
    false: tuple[Event, ...]
    repeated: tuple[Event, ...]
    """Those of ``false`` that are right for a vehicle which has its event already."""
    cer: float | None
    cer_interval: Interval | None

    @property
    def recall(self) -> Share:
        return Share(len(self.pairs), len(self.vehicles))

    @property
    def precision(self) -> Share:
        return Share(len(self.pairs), len(self.events))

    @property
    def f1(self) -> float | None:
        whole = len(self.vehicles) + len(self.events)
        return 2 * len(self.pairs) / whole if whole else None

    @property
    def timing_ms(self) -> float | None:
        """Mean distance of the right events from ``detect_ms``; None where no vehicle says it."""
        known = [abs(event.start_ms - one.detect_ms) for one, event in self.pairs if one.detect_ms is not None]
        return sum(known) / len(known) if known else None

    def as_json(self) -> dict[str, Any]:
        counts = {"true_positives": len(self.pairs), "missed": len(self.missed), "false": len(self.false)}
        timing = self.timing_ms
        return {
            "vehicles": len(self.vehicles),
            "events": len(self.events),
            **counts,
            "repeated": len(self.repeated),
            **as_flat("recall", self.recall),
            **as_flat("precision", self.precision),
            "f1": rounded(self.f1),
            "cer": rounded(self.cer),
            "cer_interval": rounded_pair(self.cer_interval),
            "time_error_s": None if timing is None else round(timing / 1000, 3),
        }


def compare(vehicles: Sequence[Vehicle], events: Sequence[Event], slack_ms: int = 0) -> EventReport:
    """``slack_ms``: an event may come so much before or after its vehicle."""
    touching = [[j for j, event in enumerate(events) if _touch(one, event, slack_ms)] for one in vehicles]
    right = [[j for j in near if alike(one.text, events[j].text)] for one, near in zip(vehicles, touching, strict=True)]
    event_of = _pair(right)
    taken = set(event_of.values())
    false = tuple(event for j, event in enumerate(events) if j not in taken)
    again = {j for of_one in right for j in of_one} - taken
    edits = [
        _edits(one, near, event_of.get(i), events) for i, (one, near) in enumerate(zip(vehicles, touching, strict=True))
    ]
    lengths = [len(normalise(one.text)) for one in vehicles]
    known = sum(lengths) > 0
    return EventReport(
        vehicles=tuple(vehicles),
        events=tuple(events),
        pairs=tuple((vehicles[i], events[event_of[i]]) for i in sorted(event_of)),
        missed=tuple(one for i, one in enumerate(vehicles) if i not in event_of),
        false=false,
        repeated=tuple(events[j] for j in sorted(again)),
        cer=sum(edits) / sum(lengths) if known else None,
        cer_interval=bootstrap_ratio(np.array(edits), np.array(lengths)) if known else None,
    )


def alike(true: str, read: str) -> bool:
    """Equal, with `#` on either side for any one character."""
    a, b = normalise(true), normalise(read)
    return len(a) == len(b) and all(x == y or WILD in (x, y) for x, y in zip(a, b, strict=True))


def _touch(vehicle: Vehicle, event: Event, slack_ms: int) -> bool:
    same = vehicle.clip == event.clip
    return same and event.start_ms <= vehicle.end_ms + slack_ms and event.end_ms >= vehicle.start_ms - slack_ms


def _pair(right: Sequence[Sequence[int]]) -> dict[int, int]:
    """The event of each vehicle, as many pairs as there can be."""
    vehicle_of: dict[int, int] = {}

    def found(i: int, tried: set[int]) -> bool:
        for j in right[i]:
            if j not in tried:
                tried.add(j)
                if j not in vehicle_of or found(vehicle_of[j], tried):
                    vehicle_of[j] = i
                    return True
        return False

    for i in range(len(right)):
        found(i, set())
    return {i: j for j, i in vehicle_of.items()}


def _edits(vehicle: Vehicle, near: Sequence[int], event: int | None, events: Sequence[Event]) -> int:
    candidates = near if event is None else (event,)
    true = normalise(vehicle.text)
    return min((edit_distance(true, normalise(events[j].text)) for j in candidates), default=len(true))
