"""The versions of the results that lie in a data folder or bucket, and the pointer that names the current one (rule 8).

In: the aggregator's files. Out: what each version holds; the pointer, replaced in one step.

Rules
- A reader sees the former pointer or the new one: the file is replaced as every other of the aggregator is.
- The pointer has a claim of its own, so that moving it never stands in the way of who writes data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from services.aggregator.files import Files
from services.aggregator.partition import POINTER, Pointer, files_usable
from services.runtime.errors import Stop

POINTER_CLAIM = "results-pointer"
_PATH = re.compile(r"(?:heatmap|sightings)/results=(\d+)/.*?camera=([^/]+)/date=([^/]+)/hour=([^/]+)/[^/]+\.parquet")

Hour = tuple[str, str, str]
"""Camera, date and hour, as the folders spell them."""


@dataclass(slots=True)
class Version:
    """What lies there of one version."""

    results: int
    files: int = 0
    hours: set[Hour] = field(default_factory=set)

    @property
    def cameras(self) -> int:
        return len({camera for camera, _date, _hour in self.hours})

    @property
    def first_date(self) -> str:
        return min(date for _camera, date, _hour in self.hours)

    @property
    def last_date(self) -> str:
        return max(date for _camera, date, _hour in self.hours)


def versions(files: Files) -> list[Version]:
    """By number. Stop where the files cannot be listed."""
    found: dict[int, Version] = {}
    with files_usable():
        for path in (*files.paths("heatmap"), *files.paths("sightings")):
            match = _PATH.fullmatch(path)
            if match is not None:
                version = found.setdefault(int(match[1]), Version(int(match[1])))
                version.files += 1
                version.hours.add((match[2], match[3], match[4]))
    return [found[number] for number in sorted(found)]


def current(files: Files) -> int | None:
    """None where nothing was written yet. Stop for a pointer that is none."""
    with files_usable():
        data = files.read(POINTER)
    try:
        return None if data is None else msgspec.json.decode(data, type=Pointer).results
    except msgspec.DecodeError as error:
        raise Stop(f"{POINTER} is damaged ({error}): choose with `plateflow results use NUMBER`") from error


def make_current(files: Files, results: int) -> None:
    """Replaces the pointer in one step. Stop where somebody else does so at this very moment."""
    with files_usable():
        claim = files.claim(POINTER_CLAIM)
        files.write(POINTER, msgspec.json.encode(Pointer(results)), claim)
