"""Photos as recordings: which of them follow each other, and at what times.

Rules
- The photos of a folder are a row, in the order in which a person counts (``2.jpg`` before ``10.jpg``, capitals like
  small letters): one recording, whose plates are followed from photo to photo. Its camera is the folder. One photo
  alone is a recording of its own, whose camera is the photo's name; so is each photo where they are to be separate.
- A photo has no time of its own that one could trust: the row runs at the rate that is asked for, from its start on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
UNKNOWN_FPS = 25.0
"""Photos a second where all frames are asked for."""


@dataclass(frozen=True, slots=True)
class Row:
    camera: str
    photos: tuple[Path, ...]


def rows(photos: Iterable[Path], separate: bool) -> list[Row]:
    """The recordings that photos are, in order."""
    folders: dict[Path, list[Path]] = {}
    for photo in sorted(photos, key=counted):
        folders.setdefault(photo.parent.absolute(), []).append(photo)
    return [row for folder, found in folders.items() for row in _rows_of(folder, found, separate)]


def _rows_of(folder: Path, photos: list[Path], separate: bool) -> list[Row]:
    if separate or len(photos) == 1:
        return [Row(photo.stem, (photo,)) for photo in photos]
    return [Row(folder.name or "photos", tuple(photos))]


def counted(path: Path) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Sorts as a person counts."""
    return tuple(
        tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name.casefold()))
        for name in path.absolute().parts
    )


def interval_ms(fps: float) -> float:
    """Time from photo to photo at so many a second; 0: all, so as many as a video of unknown rate has."""
    return 1000 / (fps or UNKNOWN_FPS)
