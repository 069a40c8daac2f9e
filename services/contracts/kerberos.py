"""What Kerberos says: Vault's message about a recording, and the name of the recording's file.

In: the bytes of a message on Vault's topic, or an object key.
Out: `RecordingEvent`, `RecordingKey`, or `BadEvent`.

Rules
- Liberal in what is accepted: numbers come as numbers or strings, anything but the key may be missing or
  null, unknown fields are ignored. A value of a kind that cannot be meant is a `BadEvent` that names the
  field, never its value.
- Identity, camera and start come from the key alone, since a second Vault may forward the recording with
  other metadata; metadata answers only where the key does not.
- A file is called ``<seconds>_<digits>-<fraction>_<camera>_<a-b-c-d>_<changes>_<last>.mp4``. Three
  generations fill it differently: `Generation`. A camera name may hold ``_``, so it is read from both ends.
- A key is also a path one day, so one that could leave its folder is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

MAX_KEY_BYTES = 1024
"""What S3 allows."""
MILLISECONDS_FROM = 10**11
"""A time above this is in milliseconds: in seconds it would lie beyond the year 5000."""
MAX_TIME_MS = 253_402_300_799_999
"""The end of the year 9999."""
ONDEMAND = "ondemand"
"""``request`` of an event whose bytes are not in this Vault yet."""
OLD_AGENT_FRACTION = "6-967003"
"""A constant of agents before 3.4.1: it says nothing about the time."""


class BadEvent(ValueError):
    """Vault's message, or a key in it, cannot be used: the sender must act. ``reason`` is kebab-case."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Generation(StrEnum):
    """Who named the file."""

    MACHINERY = "machinery"
    """C++, up to version 2: the fraction is microseconds, the last part a random number."""
    AGENT = "agent"
    """Before 3.4.1: constants; the start is known to the second only."""
    AGENT_MS = "agent-ms"
    """From 3.4.1: the fraction is milliseconds, the last part the duration in milliseconds."""
    OTHER = "other"
    """No name of Kerberos' making."""


@dataclass(frozen=True, slots=True)
class RecordingKey:
    """What an object key says."""

    key: str
    directory: str
    """All before the last ``/``; empty where there is none."""
    generation: Generation
    camera_part: str | None = None
    start_ms: int | None = None
    duration_ms: int | None = None
    """A hint; the file itself is the authority."""
    derived: str | None = None
    """``thumbnail``, ``sprite`` or ``redacted``: not a recording but made from one."""


@dataclass(frozen=True, slots=True)
class StorageOverride:
    """``data.storage_*``: where, and with which keys, this one recording is to be fetched."""

    uri: str | None = field(default=None, repr=False)
    access_key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """One message of Vault: one recording arrived."""

    key: RecordingKey
    source: str
    """Name of the Vault storage provider; may be empty."""
    request: str | None = None
    operation: str | None = None
    signed_url: str | None = field(default=None, repr=False)
    file_size: int | None = None
    """Bytes, as announced; only a hint."""
    trace_id: str | None = None
    product_id: str | None = None
    instance_name: str | None = None
    event_timestamp_ms: int | None = None
    payload_timestamp_ms: int | None = None
    date_ms: int | None = None
    override: StorageOverride | None = None

    @property
    def camera(self) -> str:
        """Directory + ``/`` + camera part of the key; metadata names it only where the key does not."""
        part = self.key.camera_part or self.instance_name or self.product_id
        return "/".join(name for name in (self.key.directory, part) if name) or "unknown"


_BASENAME = re.compile(
    r"(?P<seconds>[0-9]{1,13})_(?P<fraction>(?P<digits>[0-9]{1,2})-(?P<value>[0-9]{1,9}))_(?P<camera>.+)"
    r"_[0-9]+-[0-9]+-[0-9]+-[0-9]+_-?[0-9]+_(?P<last>[0-9]{0,12})_?\.mp4"
)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]")
_DERIVED = re.compile(r"_(thumbnail|sprite|redacted)\.[A-Za-z0-9]+$")
_LEADING_TIME = re.compile(r"([0-9]{9,13})(?![0-9])")


def parse_key(key: str) -> RecordingKey:
    """What an object key says. Raises BadEvent (``unsafe-key``) for one that is no plain relative path."""
    _check_path(key)
    directory, _, name = key.rpartition("/")
    derived = _DERIVED.search(name)
    match = _BASENAME.fullmatch(name)
    if derived or not match:
        return RecordingKey(
            key, directory, Generation.OTHER, start_ms=_leading_time(name), derived=derived and derived[1]
        )
    generation = _generation(match)
    return RecordingKey(
        key,
        directory,
        generation,
        camera_part=match["camera"],
        start_ms=_start_ms(match, generation),
        duration_ms=(int(match["last"] or 0) or None) if generation is Generation.AGENT_MS else None,
    )


def parse_event(value: bytes | None) -> RecordingEvent:
    """Vault's message in any of its forms.

    Raises BadEvent: ``bad-json``, ``bad-event``, ``missing-key``, ``unsafe-key``.
    """
    event = _Fields(_json_object(value))
    payload = event.child("payload")
    metadata = payload.child("metadata")
    key = payload.text("key")
    if not key:
        raise BadEvent("missing-key", "payload.key is missing: the event names no recording")
    return RecordingEvent(
        key=parse_key(key),
        source=event.text("source") or event.text("provider") or "",
        request=event.text("request"),
        operation=event.text("operation"),
        signed_url=payload.text("signedUrl"),
        file_size=payload.integer("fileSize"),
        trace_id=event.text("traceId"),
        product_id=metadata.text("productid"),
        instance_name=metadata.text("event-instancename"),
        event_timestamp_ms=metadata.time_ms("event-timestamp"),
        payload_timestamp_ms=payload.time_ms("timestamp"),
        date_ms=event.time_ms("date"),
        override=_override(event),
    )


def recording_start_ms(event: RecordingEvent) -> int:
    """Start of the recording, from the key, else from the metadata. BadEvent: ``no-start``."""
    known = (event.key.start_ms, event.event_timestamp_ms, event.payload_timestamp_ms, event.date_ms)
    start = next((value for value in known if value is not None), None)
    if start is None:
        raise BadEvent(
            "no-start",
            "no start: payload.key, metadata.event-timestamp, payload.timestamp and date are all silent",
        )
    return start


def to_ms(time: int) -> int:
    """Seconds or milliseconds since 1970 as milliseconds."""
    return time if time > MILLISECONDS_FROM else time * 1000


def _check_path(key: str) -> None:
    if len(key.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        raise BadEvent("unsafe-key", f"payload.key is longer than {MAX_KEY_BYTES} bytes")
    if _UNSAFE.search(key):
        raise BadEvent("unsafe-key", "payload.key holds a control character, a line break or a backslash")
    if any(part.strip() in ("", ".", "..") for part in key.split("/")):
        raise BadEvent("unsafe-key", "payload.key has an empty part, or one that leads elsewhere ('..')")


def _generation(match: re.Match[str]) -> Generation:
    if match["fraction"] == OLD_AGENT_FRACTION:
        return Generation.AGENT
    return Generation.AGENT_MS if int(match["digits"]) <= 3 else Generation.MACHINERY


def _start_ms(match: re.Match[str], generation: Generation) -> int:
    time, value = int(match["seconds"]), int(match["value"])
    if time > MILLISECONDS_FROM or generation is Generation.AGENT:
        return to_ms(time)
    fraction_ms = value if generation is Generation.AGENT_MS else value // 1000
    return time * 1000 + (fraction_ms if fraction_ms < 1000 else 0)


def _leading_time(name: str) -> int | None:
    match = _LEADING_TIME.match(name)
    return to_ms(int(match[1])) if match else None


def _override(event: _Fields) -> StorageOverride | None:
    """``data`` also carries results of other services, of any shape: only an object can override."""
    if not isinstance(event.values.get("data"), dict):
        return None
    data = event.child("data")
    found = StorageOverride(*(data.text(f"storage_{name}") for name in ("uri", "access_key", "secret")))
    return found if found != StorageOverride() else None


def _json_object(value: bytes | None) -> Mapping[str, object]:
    if value is None:
        raise BadEvent("bad-json", "the message has no value")
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEvent("bad-json", "the message is not valid JSON in UTF-8") from error
    except RecursionError as error:
        raise BadEvent("bad-json", "the message is nested too deeply") from error
    if not isinstance(decoded, dict):
        raise BadEvent("bad-event", f"the message is {_kind(decoded)}, not an object")
    return decoded


@dataclass(frozen=True, slots=True)
class _Fields:
    """A JSON object whose fields are asked for by kind; errors name the path of the field, never a value."""

    values: Mapping[str, object]
    path: str = ""

    def child(self, name: str) -> _Fields:
        value = self.values.get(name)
        if value is None:
            return _Fields({}, f"{self.path}{name}.")
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return _Fields(value, f"{self.path}{name}.")

    def text(self, name: str) -> str | None:
        """A string or a number; None where missing, null or empty."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._wrong(name, "a text", value)
        return str(value)

    def integer(self, name: str) -> int | None:
        """A whole number, also as a string; None where missing, null or empty."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError
            return int(float(value)) if isinstance(value, float) or "." in str(value) else int(value)
        except (ValueError, OverflowError):
            raise self._wrong(name, "a whole number", value) from None

    def time_ms(self, name: str) -> int | None:
        """Seconds or milliseconds since 1970, as milliseconds; 0 means unknown."""
        value = self.integer(name)
        if not value:
            return None
        if not 0 < to_ms(value) <= MAX_TIME_MS:
            raise BadEvent("bad-event", f"{self.path}{name}: not a time between 1970 and 9999")
        return to_ms(value)

    def _wrong(self, name: str, expected: str, value: object) -> BadEvent:
        return BadEvent("bad-event", f"{self.path}{name}: expected {expected}, got {_kind(value)}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


SALTED = b"Salted__"
"""The first bytes of a recording that an agent encrypted (OpenSSL's format)."""
_MP4_STARTS = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")


def starts_like_mp4(head: bytes) -> bool:
    """Whether the first eight bytes of a file are those of an MP4 (ISO base media) file."""
    return head[4:8] in _MP4_STARTS
