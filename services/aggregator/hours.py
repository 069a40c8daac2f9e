"""The data files of one partition, an hour of a camera each: what was added since the last flush, and when to
ignore.

In: results with the offset they came of. Out: whole files. Each file knows its own next offset F: what comes
of an offset below F is in it already and is left out, so that a replay adds nothing twice (rule 2).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Protocol, TypeVar

from services.aggregator import tables
from services.aggregator.core import grid
from services.aggregator.core.aggregate import Result, admit
from services.aggregator.core.config import Camera, Options
from services.aggregator.core.grid import HOUR_MS, Cells, Layer
from services.aggregator.files import Claim, Files, Superseded
from services.aggregator.tables import BadFile, Footer, Origin
from services.contracts.messages import Plate, Run, Track
from services.runtime.errors import Stop

KEPT = 512
"""Files of a kind kept in memory beyond those to be written: their next touch costs no reading."""
LOOKED_AT = 16
"""How many of the longest untouched are looked at for one to forget."""


def session(origin: Origin) -> bool:
    """Is the log one that dies with its broker (the embedded one, or none at all)?"""
    return origin.cluster_id.startswith(SESSION)


SESSION = "session-"


class DataFile(Protocol):
    kind: str
    path: str
    dirty: bool

    def to_bytes(self, next_offset: int) -> bytes: ...

    def flushed(self, next_offset: int) -> None: ...


T = TypeVar("T")
D = TypeVar("D", bound=DataFile)


class GridFile:
    """The cells of one layer, camera and hour; all of them in memory while in use."""

    kind = "heatmap"

    def __init__(self, path: str, layer: Layer, hour_ms: int, before: bytes | None, origin: Origin) -> None:
        self.path, self.layer, self.hour_ms, self.origin = path, layer, hour_ms, origin
        footer = tables.footer_of(before) if before is not None else None
        self.next_offset = _continues_at(footer, origin)
        self.cells: Cells = tables.cells_of(before) if before is not None and footer is not None else {}
        self.off_plan = footer.off_plan if footer is not None else 0
        self.dirty = False
        self.camera, self.options = Camera(), Options()

    def add(self, offset: int, cells: Cells, off_plan: int, camera: Camera, options: Options) -> None:
        if offset < self.next_offset:
            return
        grid.add(self.cells, cells)
        self.off_plan += off_plan
        self.camera, self.options, self.dirty = camera, options, True

    def to_bytes(self, next_offset: int) -> bytes:
        footer = Footer(
            origin=self.origin,
            next_offset=next_offset,
            camera=self.camera,
            options=self.options,
            off_plan=self.off_plan,
        )
        return tables.cells_to_bytes(self.cells, self.hour_ms, self.layer.cell, footer)

    def flushed(self, next_offset: int) -> None:
        self.next_offset, self.dirty = next_offset, False


class SightingsFile:
    """The sightings of one camera and hour, and the ledger of the recordings that start in it.

    Rows that are written stay where they are; they are read again when more are added.
    """

    kind = "sightings"

    def __init__(self, path: str, before: bytes | None, origin: Origin, read: Callable[[], bytes | None]) -> None:
        self.path, self.origin, self._read = path, origin, read
        footer = tables.footer_of(before) if before is not None else None
        self.next_offset = _continues_at(footer, origin)
        self.ledger: dict[str, Run] = dict(footer.ledger) if footer is not None else {}
        self._there = None if footer is None else (footer.origin, footer.next_offset)
        """Which file our rows are added to; None: there is none."""
        self._new: list[Plate] = []
        self.dirty = False
        self.camera, self.options = Camera(), Options()

    def admit(self, track: Track, camera: Camera, options: Options) -> bool:
        known = len(self.ledger)
        admitted = admit(self.ledger, track)
        if len(self.ledger) > known:
            self.camera, self.options, self.dirty = camera, options, True
        return admitted

    def add(self, offset: int, plates: list[Plate], camera: Camera, options: Options) -> None:
        if offset < self.next_offset:
            return
        self._new += plates
        self.camera, self.options, self.dirty = camera, options, True

    def to_bytes(self, next_offset: int) -> bytes:
        footer = Footer(
            origin=self.origin,
            next_offset=next_offset,
            camera=self.camera,
            options=self.options,
            ledger=self.ledger,
        )
        return tables.sightings_to_bytes(self._before(), self._new, footer)

    def flushed(self, next_offset: int) -> None:
        self.next_offset, self.dirty, self._new = next_offset, False, []
        self._there = (self.origin, next_offset)

    def _before(self) -> bytes | None:
        """Superseded where the rows are not those that this state goes on from: a writer before us was late."""
        if self._there is None:
            return None
        before = self._read()
        footer = tables.footer_of(before) if before is not None else None
        if footer is None or (footer.origin, footer.next_offset) != self._there:
            raise Superseded(f"{self.path} was written by another process since it was read")
        return before


def _continues_at(footer: Footer | None, origin: Origin) -> int:
    """F, where the file is made from this very log; offsets of another log say nothing here."""
    return footer.next_offset if footer is not None and footer.origin == origin else 0


class Hours:
    """All data files of one partition. Loads on first touch, forgets what is clean and was not touched for long."""

    def __init__(self, files: Files, claim: Claim, origin: Origin) -> None:
        self._files, self._claim, self._origin = files, claim, origin
        self._grids: OrderedDict[str, GridFile] = OrderedDict()
        self._sightings: OrderedDict[str, SightingsFile] = OrderedDict()

    def admit(self, track: Track, camera: Camera, options: Options) -> bool:
        """Asks the ledger, of the hour in which the recording starts, whether this run of it counts."""
        start = track.start_ms - track.start_ms % HOUR_MS
        return self._sightings_file(track.results, track.camera, start).admit(track, camera, options)

    def add(self, offset: int, track: Track, result: Result, camera: Camera, options: Options) -> None:
        for (layer, hour), cells in result.cells.items():
            off_plan = result.off_plan.get(hour, 0) if layer == result.ground else 0
            self._grid_file(track.results, layer, track.camera, hour).add(offset, cells, off_plan, camera, options)
        for hour in result.off_plan:
            if result.ground is not None and (result.ground, hour) not in result.cells:
                grid_file = self._grid_file(track.results, result.ground, track.camera, hour)
                grid_file.add(offset, {}, result.off_plan[hour], camera, options)
        by_hour: dict[int, list[Plate]] = {}
        for plate in result.plates:
            by_hour.setdefault(plate.time_ms - plate.time_ms % HOUR_MS, []).append(plate)
        for hour, plates in by_hour.items():
            self._sightings_file(track.results, track.camera, hour).add(offset, plates, camera, options)

    def dirty(self) -> list[DataFile]:
        """Heatmaps first; the sightings, whose ledger vouches for them, last."""
        files: list[DataFile] = [*self._grids.values(), *self._sightings.values()]
        return [file for file in files if file.dirty]

    def write(self, file: DataFile, next_offset: int) -> None:
        """Writes one file; it holds all that comes of the offsets below ``next_offset``."""
        try:
            self._files.write(file.path, file.to_bytes(next_offset), self._claim)
        except BadFile as error:
            raise _unreadable(file.path, error) from error
        file.flushed(next_offset)

    def _grid_file(self, results: int, layer: Layer, camera: str, hour_ms: int) -> GridFile:
        path = tables.heatmap_path(results, layer, camera, hour_ms)
        file = self._grids.get(path)
        if file is None:
            file = self._load(path, lambda before: GridFile(path, layer, hour_ms, before, self._origin))
            self._grids[path] = file
            _forget(self._grids)
        self._grids.move_to_end(path)
        return file

    def _sightings_file(self, results: int, camera: str, hour_ms: int) -> SightingsFile:
        path = tables.sightings_path(results, camera, hour_ms)
        file = self._sightings.get(path)
        if file is None:
            file = self._load(
                path, lambda before: SightingsFile(path, before, self._origin, lambda: self._files.read(path))
            )
            self._sightings[path] = file
            _forget(self._sightings)
        self._sightings.move_to_end(path)
        return file

    def _load(self, path: str, make: Callable[[bytes | None], T]) -> T:
        try:
            before = self._files.read(path)
            return make(self._mine(path, before))
        except BadFile as error:
            raise _unreadable(path, error) from error

    def _mine(self, path: str, before: bytes | None) -> bytes | None:
        """What a file holds already. A log that dies with its broker continues no file but its own."""
        if before is None:
            return None
        theirs = tables.footer_of(before).origin
        if not session(self._origin) or theirs == self._origin:
            return before
        if session(theirs):
            return None
        raise Stop(
            f"{path} holds results of a Kafka cluster, which this run without one would overwrite: "
            "set PLATEFLOW_DATA to another folder"
        )


def _forget(files: OrderedDict[str, D]) -> None:
    """Makes room among the files that have nothing to write, the longest untouched first."""
    if len(files) > KEPT:
        for path in [path for path, file in islice(files.items(), LOOKED_AT) if not file.dirty]:
            del files[path]


def _unreadable(path: str, error: BadFile) -> Stop:
    return Stop(f"{path}: {error}. Put back a good copy, or move it away (its hour is then lost), and start again")
