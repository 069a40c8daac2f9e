"""What `plateflow run` is to read: paths, folders and patterns in; recordings with their key, camera and start out.

Rules
- A folder gives its video files, those in folders below too, in order of their paths; a pattern (``*``, ``?``,
  ``[]``, ``**``) likewise. A file that is named itself is tried whatever it is called.
- A file named as Kerberos names recordings: folder/file is its key, which gives camera and start, and the same key
  twice is the same recording. Thumbnails, sprites and redacted copies that Vault made of it are left out.
- Any other file is *plain*: its camera is its name without the suffix. Its name may begin with its start (seconds or
  milliseconds since 1970), which ``--start`` overrules. Otherwise the plain files of a camera follow each other: the
  first starts at ``--start``, else at 0, each other one where the one before it ended. So two files never lie on top of
  each other by chance, where one's sightings would suppress the other's.
- Plain files come first, in the order given, then recordings in order of their start.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.contracts.kerberos import BadEvent, RecordingKey, parse_key

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".ts", ".webm"})


@dataclass(frozen=True, slots=True)
class Source:
    """One recording to be read."""

    path: Path
    key: str
    camera: str
    start_ms: int | None
    """None: where the plain file before it of the same camera ended."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An input that cannot be used, and why."""

    name: str
    reason: str


@dataclass(slots=True)
class Found:
    sources: list[Source] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out on purpose."""


class Unusable(ValueError):
    """Nothing can be read under that name. Says why."""


def find(names: Iterable[str], camera: str | None = None, times_in_names: bool = True) -> Found:
    """Everything below ``names`` that is to be read. ``camera``: what to call the camera of all of it;
    ``times_in_names``: whether the name of a plain file may tell its start.
    """
    found = Found()
    search = _Search(found, camera, times_in_names)
    for name in names:
        try:
            paths = expand(name)
        except Unusable as error:
            found.faults.append(Fault(name, str(error)))
            continue
        for path in paths:
            search.add(path, alone=len(paths) == 1)
    found.sources.sort(key=lambda source: -1 if source.start_ms is None else source.start_ms)
    return found


class Starts:
    """Where plain files start: each where the one before it of the same camera ended."""

    def __init__(self, first_ms: int) -> None:
        self._first_ms = first_ms
        self._next_ms: dict[str, int] = {}

    def of(self, source: Source) -> int:
        """Event time in ms at which the recording starts."""
        return self._next_ms.get(source.camera, self._first_ms) if source.start_ms is None else source.start_ms

    def ended(self, source: Source, end_ms: int) -> None:
        if source.start_ms is None:
            self._next_ms[source.camera] = end_ms


def expand(name: str) -> list[Path]:
    """The files that ``name`` stands for, in order. Raises Unusable."""
    path = Path(name)
    if path.is_dir():
        return _videos([path], f"no video file in this folder or below ({_suffixes()})")
    if path.exists():
        return [path]
    if not glob.has_magic(name):
        raise Unusable("no such file or folder")
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - absolute ones, too
    if len(matches) == 1 and matches[0].is_file():
        return matches
    return _videos(matches, f"no video file matches ({_suffixes()})" if matches else "nothing matches")


def _videos(paths: Sequence[Path], otherwise: str) -> list[Path]:
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise Unusable("this folder may not be read: give yourself the right to")
        for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if one.suffix.lower() in VIDEO_SUFFIXES and one.is_file():
                files[one] = None
    if not files:
        raise Unusable(otherwise)
    return list(files)


def _suffixes() -> str:
    return " ".join(sorted(VIDEO_SUFFIXES))


class _Search:
    """Takes file after file, and sees what it has seen before."""

    def __init__(self, found: Found, camera: str | None, times_in_names: bool) -> None:
        self._found, self._camera, self._times_in_names = found, camera, times_in_names
        self._files: set[Path] = set()
        self._keys: dict[str, Path] = {}

    def add(self, path: Path, alone: bool) -> None:
        """Notes a file as a source, a fault, or left out. ``alone``: it is all that its name stands for."""
        real = path.resolve()
        if real in self._files:
            return
        self._files.add(real)
        try:
            known = parse_key(_tail(path, 2))
        except BadEvent:
            reason = "its name or its folder's holds a line break, a control character or a backslash: rename it"
            self._found.faults.append(Fault(ascii(str(path)), reason))
            return
        if known.derived and not alone:
            self._found.notes.append(f"{path}: left out, a {known.derived} that Vault made of a recording")
        elif known.camera_part and known.key in self._keys:
            self._found.notes.append(f"{path}: left out, the same recording as {self._keys[known.key]}")
        else:
            self._take(path, known)

    def _take(self, path: Path, known: RecordingKey) -> None:
        named = known.camera_part is not None
        key = known.key if named else self._free_key(path)
        self._keys[key] = path
        of_name = "/".join(filter(None, (known.directory, known.camera_part))) if named else path.stem
        start_ms = known.start_ms if named or self._times_in_names else None
        self._found.sources.append(Source(path, key, self._camera or of_name, start_ms))

    def _free_key(self, path: Path) -> str:
        """folder/file; with more of the folders above it where another file has that key."""
        count = len(path.absolute().parts)
        return next((key for n in range(2, count) if (key := _tail(path, n)) not in self._keys), _tail(path, count))


def _tail(path: Path, count: int) -> str:
    """The last ``count`` names of a path, with ``/``."""
    return "/".join(path.absolute().parts[1:][-count:])
