"""Which of the stored recordings a backfill announces, and with which words. Pure.

In: object keys as a listing gives them. Out: what becomes of each, and the announcement of one, in Vault's form.

Rules
- Only what the key itself says decides. A name that is not of Kerberos' making tells neither camera nor start, so live
  and backfill might disagree about them: it is left out and counted.
- An announcement names key, source and size, nothing else: what follows is what follows of Vault's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from services.contracts.kerberos import BadEvent, Generation, RecordingKey, parse_key


class Outcome(StrEnum):
    """What becomes of a listed object; also its word in the command's summary."""

    WANTED = "wanted"
    OTHER_TIME = "of another time"
    OTHER_CAMERA = "of another camera"
    NO_RECORDING = "no recording by their name"


@dataclass(frozen=True, slots=True)
class Selection:
    """Recordings that start in [from, to), of one camera or of all."""

    from_ms: int
    to_ms: int
    camera: str | None = None

    def outcome(self, key: str) -> Outcome:
        try:
            parsed = parse_key(key)
        except BadEvent:
            return Outcome.NO_RECORDING
        if parsed.generation is Generation.OTHER or parsed.start_ms is None:
            return Outcome.NO_RECORDING
        if not self.from_ms <= parsed.start_ms < self.to_ms:
            return Outcome.OTHER_TIME
        return Outcome.WANTED if self.camera in (None, camera_of(parsed)) else Outcome.OTHER_CAMERA


def camera_of(key: RecordingKey) -> str:
    return "/".join(name for name in (key.directory, key.camera_part) if name)


def announcement(key: str, source: str, size: int | None) -> bytes:
    """As Vault announces a recording; ``size`` is a hint and may be missing."""
    payload: dict[str, object] = {"key": key, "metadata": {}}
    if size is not None:
        payload["fileSize"] = size
    return msgspec.json.encode({"request": "persist", "provider": "kstorage", "source": source, "payload": payload})
