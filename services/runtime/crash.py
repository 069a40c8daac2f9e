"""Named points at which the tests let a process die, as if the power went. In production this does nothing.

In: `PLATEFLOW_TEST_CRASH=point` or `point:3`, the third passage; set by tests only. Out: SIGKILL to this very process,
so that nothing is closed, flushed or said.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "PLATEFLOW_TEST_CRASH"
POINTS = (
    "after-produce",  # messages of a transaction are with the broker, nothing is committed
    "after-commit",  # the Kafka transaction stands, no file does
    "between-files",  # a flush has written a file, others not yet
    "before-checkpoint",  # a flush has written every file, the checkpoint is the former one
)

_point, _, _passages = os.environ.get(VARIABLE, "").partition(":")
_left = int(_passages or 1)


def crash_point(name: str) -> None:
    """Dies here where the tests asked for it."""
    global _left
    if name == _point:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
