"""The messages that Vault publishes when a recording arrives, in the three forms that were seen. Pure.

Form A is of 2020, B of 2021 and the most common one, C that of today's Go structs. The metadata comes of the
file's name and of the headers of the upload, all of it as strings, as Vault does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

import msgspec

STAGES = ["monitor", "sequence", "analysis", "throttler", "notification"]


class Form(StrEnum):
    A = "A"
    B = "B"
    C = "C"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A recording that was uploaded."""

    key: str
    source: str
    size: int
    device: str = ""
    capture: str = "IPCamera"
    cloud_key: str = ""
    duration_ms: str = ""
    fps: str = ""
    fragmented: bool = False
    request: str = "persist"


def event(arrival: Arrival, form: Form, *, signed_url: str = "", trace_id: str = "") -> bytes:
    """The message of one arrival. ``signed_url`` and ``trace_id`` stand in form C only."""
    metadata = _metadata(arrival)
    seconds = int(metadata["event-timestamp"] or 0)
    message: dict[str, Any] = {"date": seconds, "source": arrival.source, "provider": "kstorage", "events": STAGES}
    payload: dict[str, Any] = {"key": arrival.key, "fileSize": arrival.size, "metadata": metadata}
    if form is not Form.A:
        message["request"] = arrival.request
        payload |= {"is_fragmented": arrival.fragmented, "bytes_ranges": "", "bytes_range_on_time": None}
    if form is Form.C:
        message |= {"operation": "event", "traceId": trace_id}
        payload |= {"timestamp": seconds, "duration": arrival.duration_ms, "signedUrl": signed_url}
        for name in ("publickey", "event-token", "event-microseconds", "capture"):
            del metadata[name]
        metadata |= {"duration": arrival.duration_ms, "fps": arrival.fps}
    return msgspec.json.encode({**message, "payload": payload})


def _metadata(arrival: Arrival) -> dict[str, str]:
    """As of a file name of Kerberos' making; what another name does not say stays empty."""
    parts = PurePosixPath(arrival.key).stem.rstrip("_").split("_")
    known = len(parts) >= 6
    time = parts[0] if parts[0].isdecimal() else ""
    return {
        "productid": arrival.device,
        "event-timestamp": time,
        "uploadtime": time,
        "event-microseconds": "0",
        "event-token": "0",
        "event-instancename": "_".join(parts[2:-3]) if known else "",
        "event-regioncoordinates": parts[-3] if known else "",
        "event-numberofchanges": parts[-2] if known else "",
        "capture": arrival.capture,
        "publickey": arrival.cloud_key,
    }
