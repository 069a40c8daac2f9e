"""Ctrl+C at a good moment: what is half done is finished first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self


class Interrupt:
    """While its ``with`` block runs, Ctrl+C raises KeyboardInterrupt within `allowed` alone; elsewhere it is kept."""

    def __init__(self) -> None:
        self._asked = self._open = False

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
            if self._asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = False

    def _handle(self, *_: Any) -> None:
        self._asked = True
        if self._open:
            raise KeyboardInterrupt
