"""Which recordings were announced before: suppresses repeats as best a bounded memory can.

In: recording ids with the place of their announcement. Out: whether this announcement is a repeat of an
earlier one.

Rules
- Only a recording that was really handled is remembered; one that failed is free for its next announcement.
- An announcement is never its own repeat: results may be aborted, then it is handled again.
- It is a repeat of *earlier* announcements only, in an order that all instances share. So the earliest is
  never suppressed by anyone, and no two instances, each with the other's partitions after a rebalance,
  suppress both.
- Nothing is restored after a start: the authority on repeats is the aggregator's ledger.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple


class Place(NamedTuple):
    """Where an announcement stands; sorts by the time the broker took it."""

    timestamp_ms: int
    topic: str
    partition: int
    offset: int


class Repeats:
    """The last ``capacity`` recordings and their earliest known announcements.

    Any thread may call any method.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._lock = threading.Lock()

    def is_repeat(self, recording: str, place: Place) -> bool:
        """Whether an earlier announcement of the recording was handled."""
        with self._lock:
            known = self._places.get(recording)
            return known is not None and known < place

    def remember(self, recording: str, place: Place) -> None:
        """This announcement was handled."""
        with self._lock:
            self._places[recording] = min(place, self._places.get(recording, place))
            self._places.move_to_end(recording)
            while len(self._places) > self._capacity:
                self._places.popitem(last=False)
