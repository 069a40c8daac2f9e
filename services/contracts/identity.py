"""Deterministic identities: the same recording, track or sighting has the same id, whoever computes it."""

from __future__ import annotations

import hashlib


def digest(*parts: str | int) -> str:
    """32 hex digits; the parts are kept apart, so ("a", "bc") and ("ab", "c") differ."""
    data = "\x1f".join(map(str, parts))
    return hashlib.blake2b(data.encode(), digest_size=16).hexdigest()


def recording_id(key: str) -> str:
    """Identity of a recording: its key alone, since another Vault may forward it under another source."""
    return digest("recording", key)


def clip_id(results: int, recording: str) -> str:
    return digest("clip", results, recording)


def done_id(results: int, recording: str) -> str:
    return digest("done", results, recording)


def track_id(results: int, recording: str, track: int) -> str:
    return digest("track", results, recording, track)


def part_id(results: int, recording: str, track: int, part: int) -> str:
    """Id of the message of one part; part 0 has the id of the track itself."""
    return track_id(results, recording, track) if part == 0 else digest("part", results, recording, track, part)


def passage_id(results: int, recording: str, track: int) -> str:
    return digest("passage", results, recording, track)


def plate_id(results: int, recording: str, track: int, time_ms: int) -> str:
    return digest("plate", results, recording, track, time_ms)


def deadletter_id(topic: str, partition: int, offset: int, stage: str) -> str:
    return digest("deadletter", topic, partition, offset, stage)
