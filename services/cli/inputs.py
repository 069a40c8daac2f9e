"""What `plateflow run` is to read: paths, folders, patterns, addresses in; recordings with key, camera and start out.

Rules
- A folder gives its videos and photos, those in folders below too, in order of their paths; a pattern (``*``, ``?``,
  ``[]``, ``**``) likewise. A file that is named itself is tried whatever it is called: as photos where its suffix is
  one of theirs, else as a video; `Kind` forces either.
- A file named as Kerberos names recordings: folder/file is its key, which gives camera and start, and the same key
  twice is the same recording. Thumbnails, sprites and redacted copies that Vault made of it are left out.
- Any other file is *plain*: its camera is its name without the suffix. Its name may begin with its start (seconds or
  milliseconds since 1970), which ``--start`` overrules. Otherwise the plain files of a camera follow each other: the
  first starts at ``--start``, else at 0, each other one where the one before it ended. So two files never lie on top of
  each other by chance, where one's sightings would suppress the other's.
- The photos of a folder are one plain recording (`services.cli.photos`).
- What holds ``://`` is an address (`services.cli.streams`).
- Plain files come first, in the order given, then recordings in order of their start, then the stream.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.cli.photos import PHOTO_SUFFIXES, Row, rows
from services.cli.streams import Stream, camera_of, is_address, shown
from services.contracts.kerberos import BadEvent, RecordingKey, parse_key

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".ts", ".webm"})
Kind = Literal["auto", "video", "photos", "stream"]
_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Source:
    """One recording to be read."""

    path: Path
    """Of photos, the first; of a stream, what may be shown of its address."""
    key: str
    camera: str
    start_ms: int | None
    """None: where the plain file before it of the same camera ended."""
    photos: tuple[Path, ...] = ()
    stream: Stream | None = None

    @property
    def name(self) -> str:
        """How a person knows it."""
        if self.stream is not None:
            return self.stream.shown
        return str(self.path if len(self.photos) < 2 else self.path.parent)


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


def find(
    names: Iterable[str],
    camera: str | None = None,
    times_in_names: bool = True,
    kind: Kind = "auto",
    separate: bool = False,
) -> Found:
    """Everything below ``names`` that is to be read. ``camera``: what to call the camera of all of it;
    ``times_in_names``: whether the name of a plain file may tell its start; ``separate``: each photo for itself.
    """
    found = Found()
    search = _Search(found, camera, times_in_names, kind)
    for name in names:
        if kind == "stream" or (kind == "auto" and is_address(name)):
            search.add_stream(name)
            continue
        try:
            paths = expand(name, kind)
        except Unusable as error:
            found.faults.append(Fault(name, str(error)))
            continue
        for path in paths:
            search.add(path, alone=len(paths) == 1)
    search.add_rows(separate)
    found.sources.sort(key=_order)
    return found


def _order(source: Source) -> int:
    if source.stream is not None:
        return _FOREVER
    return -1 if source.start_ms is None else source.start_ms


class Starts:
    """Where plain files start: each where the one before it of the same camera ended."""

    def __init__(self, first_ms: int, next_ms: dict[str, int] | None = None) -> None:
        """``next_ms``: where cameras of an earlier run ended."""
        self._first_ms = first_ms
        self._next_ms = dict(next_ms or {})

    def of(self, source: Source) -> int:
        """Event time in ms at which the recording starts."""
        return self._next_ms.get(source.camera, self._first_ms) if source.start_ms is None else source.start_ms

    def ended(self, source: Source, end_ms: int) -> None:
        if source.start_ms is None:
            self._next_ms[source.camera] = end_ms


def expand(name: str, kind: Kind = "auto") -> list[Path]:
    """The files that ``name`` stands for, in order. Raises Unusable."""
    wanted = {"video": VIDEO_SUFFIXES, "photos": PHOTO_SUFFIXES}.get(kind, VIDEO_SUFFIXES | PHOTO_SUFFIXES)
    what = {"video": "video file", "photos": "photo"}.get(kind, "video file or photo")
    path = Path(name)
    if path.is_dir():
        return _files([path], wanted, f"no {what} in this folder or below ({_list(wanted)})")
    if path.exists():
        return [path]
    if not glob.has_magic(name):
        raise Unusable("no such file or folder")
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - absolute ones, too
    if len(matches) == 1 and matches[0].is_file():
        return matches
    return _files(matches, wanted, f"no {what} matches ({_list(wanted)})" if matches else "nothing matches")


def _files(paths: Sequence[Path], wanted: frozenset[str], otherwise: str) -> list[Path]:
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise Unusable("this folder may not be read: give yourself the right to")
        for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if one.suffix.lower() in wanted and one.is_file():
                files[one] = None
    if not files:
        raise Unusable(otherwise)
    return list(files)


def _list(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))


class _Search:
    """Takes file after file, and sees what it has seen before."""

    def __init__(self, found: Found, camera: str | None, times_in_names: bool, kind: Kind) -> None:
        self._found, self._camera, self._times_in_names, self._kind = found, camera, times_in_names, kind
        self._files: set[Path] = set()
        self._keys: dict[str, Path] = {}
        self._photos: list[Path] = []

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
        elif self._kind == "photos" or (self._kind == "auto" and path.suffix.lower() in PHOTO_SUFFIXES):
            self._photos.append(path)
        elif known.camera_part and known.key in self._keys:
            self._found.notes.append(f"{path}: left out, the same recording as {self._keys[known.key]}")
        else:
            self._take(path, known)

    def add_stream(self, address: str) -> None:
        if any(source.stream is not None for source in self._found.sources):
            reason = "one stream at a time: start plateflow run once for each"
            self._found.faults.append(Fault(shown(address), reason))
            return
        if not is_address(address):
            reason = "no address: a stream is named as in rtsp://user:password@camera/path"
            self._found.faults.append(Fault(address, reason))
            return
        stream = Stream(address)
        camera = self._camera or camera_of(address)
        self._found.sources.append(Source(Path(stream.shown), camera, camera, None, stream=stream))

    def add_rows(self, separate: bool) -> None:
        """What the photos come to, once all are known."""
        for row in rows(self._photos, separate):
            self._take_row(row)

    def _take_row(self, row: Row) -> None:
        path = row.photos[0]
        key = self._free_key(path)
        self._keys[key] = path
        self._found.sources.append(Source(path, key, self._camera or row.camera, None, photos=row.photos))

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
