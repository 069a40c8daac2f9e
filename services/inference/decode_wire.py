"""What the decoder and its child process tell each other over a socket: msgspec structs, never pickles.

The child reads files that strangers recorded. It must not be able to run anything in the parent, so what it
says is data that the parent checks, and pictures are bytes in a shared ring of equal slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

NO_MORE = "no-more"
"""Reason of a `Reject`: a clip that was to be taken up again had been shown to its end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one clip may cost; beyond it the clip is rejected."""

    max_pixels: int = 4096 * 2304
    """Pixels of a frame."""
    max_seconds: int = 3600
    """Length of a clip."""
    max_frames: int = 250_000
    """Frames in a clip, sampled or not."""
    memory_mb: int = 2048
    """Memory (address space) that decoding may take."""
    wait_seconds: float = 120.0
    """Seconds that one clip may keep its reader waiting, in all."""


class Open(msgspec.Struct, frozen=True, tag=True):
    """Parent to child: decode this file; or these photos, or what comes from this address."""

    path: str
    fps: float
    max_pixels: int
    max_seconds: int
    max_frames: int
    max_width: int = 0
    """Wider frames are made so narrow; 0: as they are."""
    from_ms: int = 0
    """Frames before are left out."""
    photos: tuple[str, ...] = ()
    """Instead of ``path``: pictures as frames, ``photo_ms`` apart, up to the first of another size."""
    photo_ms: float = 0.0
    address: str = ""
    """Instead of ``path``: a stream, sampled by the clock; a video on the network, by its own time."""
    give_up_s: float = 0.0
    """So long may a stream show nothing."""
    nth: int = 0
    """Every n-th frame, instead of ``fps``; 0: by ``fps``."""


class Release(msgspec.Struct, frozen=True, tag=True):
    """Parent to child: this slot of the ring is free again."""

    slot: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Child to parent, once: I am up."""


class Started(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the first frame is there. ``duration_ms`` is what the container claims, 0 where it
    does not say."""

    width: int
    height: int
    duration_ms: int
    fps: float = 0.0
    """Frames a second that the container claims; 0 where it does not say."""


class Picture(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: a sampled frame lies in the ring, BGR, rows without padding."""

    slot: int
    index: int
    time_ms: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: nothing more comes. ``duration_ms`` is from the first frame to the end of the last."""

    duration_ms: int
    decoded: int
    note: str = ""
    """Empty, or what was wrong with a clip that gave frames all the same."""
    rest: int = 0
    """Photos that were not looked at, since they have another size: a clip of their own."""


class Lost(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the stream broke off, or does not begin; it is tried again in ``wait_s`` seconds."""

    why: str
    wait_s: float


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: this clip can never be decoded; the reason is that of a `Reject`."""

    reason: str
    detail: str


ToChild = Open | Release
FromChild = Ready | Started | Picture | Ended | Lost | Refused

encode = msgspec.msgpack.Encoder().encode
_to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
_from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)


def to_child(data: bytes) -> ToChild:
    return _to_child.decode(data)


def from_child(data: bytes) -> FromChild:
    """msgspec.MsgspecError where the child sent anything else."""
    return _from_child.decode(data)


def slot_bytes(max_pixels: int) -> int:
    """Size of a slot: one BGR frame, rounded up to whole pages. Pages that no frame needs are never
    touched."""
    return -(-max_pixels * 3 // 4096) * 4096
