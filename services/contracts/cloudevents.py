"""CloudEvents headers of the public topics: Kafka binding 1.0, binary mode (the value is the message itself).

A message in, headers out. Pure. ``ce_id`` is the message's own id, so a redelivered event is recognisable.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from services.contracts.messages import SCHEMA, RunMessage

Kind = Literal["recording", "plate", "passage"]
Headers = tuple[tuple[str, bytes], ...]

SOURCE_OF: dict[Kind, str] = {
    "recording": "/plateflow/inference",
    "plate": "/plateflow/aggregator",
    "passage": "/plateflow/aggregator",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cloud_event_headers(message: RunMessage, kind: Kind, time_ms: int) -> Headers:
    """Headers of ``message``, about what happened at ``time_ms`` (event time); the subject is the camera."""
    fields = {
        "ce_specversion": "1.0",
        "ce_id": message.id,
        "ce_source": SOURCE_OF[kind],
        "ce_type": f"io.plateflow.{kind}.v{SCHEMA}",
        "ce_subject": message.camera,
        "ce_time": rfc3339(time_ms),
        "content-type": "application/json",
    }
    return tuple((name, value.encode()) for name, value in fields.items())


def rfc3339(time_ms: int) -> str:
    """``2026-01-31T12:00:00.250Z``"""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
