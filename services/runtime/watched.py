"""A file whose content is in force, read again when it changes: a bad change changes nothing, and the log says so."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from services.runtime import metrics

log = logging.getLogger(__name__)

T = TypeVar("T")
LOOK_EVERY_S = 1.0


class Watched(Generic[T]):
    """``read`` turns the file into a value, or raises ValueError with what is wrong with it; the constructor lets that
    through. ``told`` is called with each value that comes into force."""

    def __init__(self, path: Path, read: Callable[[Path], T], told: Callable[[T], None] = lambda value: None) -> None:
        self._path, self._read, self._told = path, read, told
        self._looked_s = -math.inf
        self._seen = self._mark()
        self.value = read(path)
        told(self.value)

    def poll(self, now_s: float) -> None:
        """Looks for a change, if it is time."""
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        mark = self._mark()
        if mark == self._seen:
            return
        self._seen = mark
        try:
            self.value = self._read(self._path)
        except ValueError as error:
            metrics.CAMERA_RELOADS.labels("refused").inc()
            log.error("the changed camera file is not used, the last good one stays: %s", error)
            return
        metrics.CAMERA_RELOADS.labels("applied").inc()
        self._told(self.value)

    def _mark(self) -> tuple[int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size
