"""Recordings for tests that never decode them: made of the boxes of an MP4, named as an agent names its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

KEY = "yard/1785934709_3-414_gate_1-2-3-4_57_20452.mp4"
CYRILLIC_KEY = "склад/1785934709_3-414_въезд_№1_АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯхцчшщъыьэюя_1-2-3-4_57_20452.mp4"
ACCESS_KEY, SECRET = "made-up-access-key", "made-up-secret-key"


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (len(content) + 8).to_bytes(4) + kind + content


def mp4(media: bytes | None = None) -> bytes:
    """A progressive MP4 by its boxes; ``media`` is noise by default, which no gzip makes smaller."""
    content = noise(50_000) if media is None else media
    return box(b"ftyp", b"isom\0\0\2\0isom") + box(b"moov", box(b"mvhd", bytes(100))) + box(b"mdat", content)


def fragmented_mp4(fragments: int = 3) -> bytes:
    """As agents write it."""
    start = box(b"ftyp", b"isom\0\0\2\0iso2") + box(b"moov", box(b"mvex")) + box(b"sidx", bytes(32)) + box(b"free")
    return start + b"".join(box(b"moof", bytes(60)) + box(b"mdat", noise(9_000, number)) for number in range(fragments))


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that look random and are the same each time."""
    return b"".join(_blocks(size, seed))[:size]


def _blocks(size: int, seed: int) -> Iterator[bytes]:
    for number in range(size // 64 + 1):
        yield hashlib.blake2b(f"{seed} {number}".encode()).digest()
