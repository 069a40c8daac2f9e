"""Ctrl+C at a good moment: what is half done is finished first.

While something long is at hand, the first Ctrl+C asks it to come to its end (`asked`); the second gives it up.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self


class Interrupt:
    """While its ``with`` block runs, Ctrl+C raises KeyboardInterrupt within `allowed` alone; elsewhere it is kept."""

    def __init__(self) -> None:
        self._open = self._gently = False
        self.count = 0
        """How often it was pressed."""

    @property
    def asked(self) -> bool:
        return self.count > 0

    def __enter__(self) -> Self:
        self._former = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._former)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Nothing is lost where this block is left at any point. Raises KeyboardInterrupt, also a kept one."""
        self._open = True
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = False

    @contextmanager
    def gently(self) -> Iterator[None]:
        """Within, somebody looks at `asked`; only another Ctrl+C raises KeyboardInterrupt, as one before does."""
        if self.asked:
            raise KeyboardInterrupt
        self._gently = True
        try:
            yield
        finally:
            self._gently = False

    def _handle(self, *_: Any) -> None:
        self.count += 1
        if self._open or (self._gently and self.count > 1):
            raise KeyboardInterrupt
