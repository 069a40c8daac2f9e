"""A log that says once what happens again and again: a broker that is away is no reason for a thousand lines.

In: records of one logger. Out: of those that differ in milliseconds and counts of repeats alone, one in so many
seconds; it says how often it was left out since the last one. What is new always passes: one more broker that is down.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

EVERY_S = 30.0
_COUNTED = re.compile(r"\d+(?=ms\b| ms\b| identical error)")
MOST = 200
"""Texts that are remembered; beyond, all are forgotten, so that memory is bounded."""


@dataclass(slots=True)
class _Said:
    at_s: float
    left_out: int = 0


class Repeats(logging.Filter):
    """``now``: a clock that never goes back."""

    def __init__(self, every_s: float = EVERY_S, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._now = every_s, now
        self._said: dict[str, _Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        kind, now = _COUNTED.sub("#", text), self._now()
        said = self._said.get(kind)
        if said is not None and now - said.at_s < self._every_s:
            said.left_out += 1
            return False
        if said is not None and said.left_out:
            record.msg, record.args = f"{text} ({said.left_out} times more in {now - said.at_s:.0f} s)", None
        if len(self._said) >= MOST:
            self._said.clear()
        self._said[kind] = _Said(now)
        return True
