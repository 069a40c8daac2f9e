"""CloudEvents headers of the public topics: Kafka binding 1.0, binary mode (the value is the message itself).

A message in, headers out. Pure. ``ce_id`` is the message's own id, so a redelivered event is recognisable.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from services.contracts.messages import SCHEMA, RunMessage

Kind = Literal["recording", "plate", "passage"]
Headers = tuple[tuple[str, bytes], ...]

SOURCE_OF: dict[Kind, str] = {
    "recording": "/plateflow/inference",
    "plate": "/plateflow/aggregator",
    "passage": "/plateflow/aggregator",
}
_SPECIFICATION = ("ce_specversion", b"1.0")
_CONTENT = ("content-type", b"application/json")
_OF_KIND = {
    kind: (("ce_source", source.encode()), ("ce_type", f"io.plateflow.{kind}.v{SCHEMA}".encode()))
    for kind, source in SOURCE_OF.items()
}


def cloud_event_headers(message: RunMessage, kind: Kind, time_ms: int) -> Headers:
    """Headers of ``message``, about what happened at ``time_ms`` (event time); the subject is the camera."""
    source, type_ = _OF_KIND[kind]
    return (
        _SPECIFICATION,
        ("ce_id", message.id.encode()),
        source,
        type_,
        ("ce_subject", message.camera.encode()),
        ("ce_time", rfc3339(time_ms).encode()),
        _CONTENT,
    )


def rfc3339(time_ms: int) -> str:
    """``2026-01-31T12:00:00.250Z``"""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """Sightings of a second are many; writing a date is slow."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
