"""Is this file a whole MP4? Looked at from outside: its top-level boxes, never its media (that is
inference's, in a child).

In: an open file and its size. Out: `Layout`, or a `BadContainer` whose reason is kebab-case.

Rules (ISO/IEC 14496-12, 4.2): a box is four bytes of length, four of type; length 1 means that eight more
bytes hold it, 0 that the box reaches to the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from services.contracts.kerberos import SALTED, starts_like_mp4

MAX_BOXES = 200_000
"""More top-level boxes than a day of one-second fragments has."""


class BadContainer(Exception):
    """The file is no whole MP4: ``not-a-video`` or ``truncated``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Layout:
    """What the top-level boxes of a file say."""

    fragmented: bool


def check(file: BinaryIO, size: int) -> Layout:
    """The layout of a whole MP4 of ``size`` bytes. Raises BadContainer."""
    head = file.read(12)
    if not starts_like_mp4(head):
        raise BadContainer("not-a-video", f"the recording is no MP4 file: it begins like {_guess(head)}")
    kinds = set(_kinds(file, size))
    if b"moov" not in kinds:
        raise BadContainer("truncated", "the recording has no moov box: it was cut off or never finished")
    if not {b"mdat", b"moof"} & kinds:
        raise BadContainer("truncated", "the recording has no mdat box: it holds no media")
    return Layout(b"moof" in kinds)


def is_fragmented(path: Path) -> bool:
    """Whether a file is a whole fragmented MP4."""
    with path.open("rb") as file:
        try:
            return check(file, path.stat().st_size).fragmented
        except BadContainer:
            return False


def _kinds(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The type of every top-level box, each of which must end within the file."""
    position = 0
    for _ in range(MAX_BOXES):
        if position == size:
            return
        file.seek(position)
        kind, length = _header(file, size - position)
        if length < 8 or length > size - position:
            raise BadContainer(
                "truncated", f"a box at byte {position} reaches beyond the end of the file: it was cut off"
            )
        position += length
        yield kind
    raise BadContainer("not-a-video", f"the recording has more than {MAX_BOXES} boxes")


def _header(file: BinaryIO, rest: int) -> tuple[bytes, int]:
    """Type and length of the box at the file's position; length 0 where not even the header is whole."""
    head = file.read(16)
    length, kind = int.from_bytes(head[:4]), head[4:8]
    if length == 1:
        length = int.from_bytes(head[8:16]) if len(head) == 16 else 0
    elif length == 0 and len(head) >= 8:
        length = rest
    return kind, length if len(kind) == 4 else 0


def _guess(head: bytes) -> str:
    """What a file probably is, for the error text; never its content."""
    text = head.lstrip().lower()
    if text.startswith((b"<!doct", b"<html", b"<?xml", b"<")):
        return "HTML or XML"
    if text.startswith((b"{", b"[")):
        return "JSON"
    if head.startswith(SALTED):
        return "an encrypted recording"
    return "something else"
