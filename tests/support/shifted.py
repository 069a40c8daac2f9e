"""`python -m tests.support.shifted FILE MODULE` runs a module whose wall clock is off by as many seconds as FILE says.

The file is read at each look at the clock, so a test lets the clock jump by writing it. Only Python's `time.time`
jumps; clocks inside of C libraries (the Kafka client's) do not, and the monotonic clock never does.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path


def shift(file: Path) -> None:
    """From now on `time.time` and `time.time_ns` are off by what ``file`` says; no file, no shift."""
    real = time.time

    def shifted() -> float:
        try:
            return real() + float(file.read_text() or 0)
        except (FileNotFoundError, ValueError):
            return real()

    time.time = shifted
    time.time_ns = lambda: int(shifted() * 1e9)


if __name__ == "__main__":
    shift(Path(sys.argv[1]))
    module = sys.argv[2]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
