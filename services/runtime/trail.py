"""What this thread works on: the ids of the recording at hand, for every log line, exemplar and span on its way.

In: what a handler knows of its record, by `note`.
Out: `fields` for log lines, `exemplar` for metrics; spans ask `current`.

Rules
- The loop begins a trail with each record and ends it; what is logged in between carries the ids that were noted.
- The trace is Vault's own where ``traceId`` is a trace id of W3C (32 hexadecimal digits, not all of them 0); any other
  text, or the recording's id where there is none, is hashed to one. So the services agree without telling each other.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C's `traceparent`."""


class Span(Protocol):
    """What `services.runtime.tracing` keeps of a trail."""

    def end(self, outcome: str) -> None: ...


@dataclass(slots=True)
class Trail:
    """The record that is being handled."""

    service: str
    began_ns: int = field(default_factory=time.time_ns)
    recording: str = ""
    camera: str = ""
    trace: str = ""
    """32 hexadecimal digits; empty until `note`."""
    start_ms: int = 0
    """Event time at which the recording starts; 0: not known."""
    silent: bool = False
    """The record only restores state: no span is made of it."""
    span: Span | None = None


_current: ContextVar[Trail | None] = ContextVar("trail", default=None)


def begin(service: str, *, silent: bool = False) -> Trail:
    """A record is taken up in this thread."""
    trail = Trail(service, silent=silent)
    _current.set(trail)
    return trail


def end(outcome: str) -> None:
    """It was handled, or why not: a reason in kebab-case."""
    trail = _current.get()
    if trail is not None and trail.span is not None:
        trail.span.end(outcome)
    _current.set(None)


def current() -> Trail | None:
    return _current.get()


def note(recording: str, camera: str, trace_id: str | None, start_ms: int = 0) -> Trail | None:
    """What the record turned out to be about. None outside of a record."""
    trail = _current.get()
    if trail is not None:
        trail.recording, trail.camera, trail.start_ms = recording, camera, start_ms
        trail.trace = trace_of(trace_id, recording)
    return trail


def fields() -> dict[str, str]:
    """For a log line; empty where nothing is known."""
    trail = _current.get()
    if trail is None or not trail.recording:
        return {}
    return {"recording": trail.recording, "camera": trail.camera, "trace": trail.trace}


def exemplar() -> dict[str, str] | None:
    """For an observation of a histogram: which trace it belongs to."""
    trail = _current.get()
    return {"trace_id": trail.trace} if trail is not None and trail.trace else None


def trace_of(trace_id: str | None, recording: str) -> str:
    """The trace that a recording belongs to, as 32 hexadecimal digits."""
    text = (trace_id or "").strip().lower()
    parent = _PARENT.fullmatch(text)
    found = parent[1] if parent else text.replace("-", "")
    if _TRACE_ID.fullmatch(found) and found.strip("0"):
        return found
    return hashlib.sha256((text or recording).encode()).hexdigest()[:32]
