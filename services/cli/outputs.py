"""The folder that `plateflow run` writes: messages line by line, a CSV of passages, best shots, Parquet, pictures.

    passages.csv                                                    a row for each passage
    passages.jsonl  plates.jsonl  tracks.jsonl  recordings.jsonl    the messages of the topics, one line each
    heatmap/  sightings/                                            Parquet, as the aggregator service writes it
    bestshots/                                                      where the messages' ``best.path`` leads
    heatmap-<camera>.png, heatmap-<camera>-ground.png               / in the camera's name is %2F; other classes of
    heatmap-<camera>-<class>.png ...                                the detector than plates have their own

Rules
- A folder that holds anything which no earlier run put there is refused; results of an earlier run are replaced, or,
  with ``append``, continued.
- What is written of a recording is written as a whole: nobody interrupts `add`. Its line in recordings.jsonl comes last
  and makes it count: whoever continues drops what a killed run left behind it, and restores the Parquet from
  tracks.jsonl, as the aggregator does from its topic.
- ``stopped.json`` says where recordings that somebody stopped can be taken up.
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from services.aggregator.core.config import Config
from services.aggregator.core.grid import PLATE
from services.aggregator.local import PARTITION, LocalAggregator
from services.aggregator.tables import encoded
from services.contracts.cloudevents import rfc3339
from services.contracts.codec import decode, encode
from services.contracts.messages import Clip, Message, Models, Passage, Plate, RecordingDone, Run, Track
from services.inference.messages import best_shot_path, recording_done, track_parts
from services.inference.result import RecordingResult
from services.runtime.errors import SettingsError, Stop

MARK = Path("epochs", f"{PARTITION.topic}-{PARTITION.index}.epoch")
"""Every run leaves it, from its first moment on."""
MESSAGES = ("passages", "plates", "tracks", "recordings")
TABLE, SHOTS, STOPPED = "passages.csv", "bestshots", "stopped.json"
OURS = frozenset({
    *(f"{name}.jsonl" for name in MESSAGES), TABLE, SHOTS, STOPPED,
    "heatmap", "sightings", "checkpoints", "epochs", "current.json",
})  # fmt: skip
FLUSH_S = 1.0
"""The Parquet is written at most so often, and at the end."""
COLUMNS = (
    "plate", "camera", "first_seen", "last_seen", "confidence", "raw", "direction", "heading_deg", "speed_mps",
    "observations", "sightings", "first_seen_ms", "last_seen_ms", "recording", "passage_id", "continues", "best_shot",
    "country",
)  # fmt: skip


def check_folder(out: Path) -> bool:
    """Whether an earlier run's results are there. SettingsError where it cannot be the folder for results."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise SettingsError(f"--out: {out} is a file; name a folder")
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    foreign = [name for name in names if name not in OURS and not _is_picture(name)]
    if names and not (out / MARK).exists():
        foreign = foreign or names
    if foreign:
        shown = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise SettingsError(f"--out: {out} holds what no earlier run put there ({shown}); name another folder")
    return bool(names)


@dataclass(slots=True)
class Earlier:
    """What a folder holds already."""

    recordings: list[RecordingDone] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    stopped: dict[str, int] = field(default_factory=dict)
    """Keys of recordings that somebody stopped, and where to take them up: ms, or the number of a photo."""

    def parts_of(self, key: str) -> list[RecordingDone]:
        """What there is of an input: itself, and where it was taken up again (`part_key`)."""
        return [one for one in self.recordings if one.key == key or one.key.startswith(f"{key}#")]

    @property
    def ends_ms(self) -> dict[str, int]:
        """Where each camera's recordings end."""
        ends: dict[str, int] = {}
        for one in self.recordings:
            ends[one.camera] = max(ends.get(one.camera, 0), one.start_ms + one.duration_ms)
        return ends


def part_key(key: str, at: int) -> str:
    """Key of what of an input begins at a millisecond, or a photo; 0: the whole."""
    return f"{key}#{at}" if at else key


def earlier_results(out: Path) -> Earlier:
    """Drops what a killed run left half done, and gives the rest. Stop where it cannot be read."""
    with writable(out):
        recordings = [decode(line, RecordingDone) for line in _whole_lines(out / "recordings.jsonl")]
        done = {one.recording_id for one in recordings}
        for name in ("passages", "plates", "tracks"):
            _keep_lines(out / f"{name}.jsonl", lambda line: _recording_of(line) in done)
        keys = {one.key for one in recordings}
        _keep_rows(out / TABLE, keys)
        tracks = [decode(line, Track) for line in _whole_lines(out / "tracks.jsonl")]
        stopped = out / STOPPED
        return Earlier(recordings, tracks, msgspec.json.decode(stopped.read_bytes()) if stopped.exists() else {})


class Folder:
    """Takes one recording after another; `close` writes the Parquet."""

    def __init__(self, out: Path, config: Config, earlier: Earlier | None = None) -> None:
        """``earlier``: continue that; None: replace what is there."""
        self.out = out
        append = earlier is not None
        with writable(out):
            out.mkdir(parents=True, exist_ok=True)
            self._aggregator = LocalAggregator(out, config, earlier.tracks if earlier is not None else None)
            if not append:
                _clear(out)  # only now: the folder of a service is refused before anything is removed
            self._lines = {name: (out / f"{name}.jsonl").open("ab" if append else "wb") for name in MESSAGES}
            self._table = (out / TABLE).open("a" if append else "w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._table)
            if self._table.tell() == 0:
                self._rows.writerow(COLUMNS)
        self._number = len(earlier.recordings) if earlier is not None else 0
        self._stopped = dict(earlier.stopped) if earlier is not None else {}
        self._flushed_s = time.monotonic()

    def add(self, clip: Clip, result: RecordingResult, models: Models) -> list[Passage]:
        """Writes down what comes of a recording; its passages."""
        run = Run(PARTITION.topic, PARTITION.index, self._number)
        self._number += 1
        plates: list[Plate] = []
        passages: list[Passage] = []
        tracks: list[Track] = []
        with writable(self.out):
            for track in result.tracks:
                self._store(best_shot_path(clip, track), track.best.jpeg)
                for part in track_parts(clip, run, result, track):
                    tracks.append(part)
                    seen, passed = self._aggregator.add(part)
                    plates += seen
                    passages += passed
            self._write("tracks", tracks)
            self._write("plates", plates)
            self._write("passages", passages)
            self._rows.writerows(map(row, passages))
            self._table.flush()
            self._write("recordings", [recording_done(clip, run, result, models)])
            if time.monotonic() - self._flushed_s >= FLUSH_S:
                self._aggregator.flush()
                self._flushed_s = time.monotonic()
        return passages

    def take_up(self, key: str, at: int | None) -> None:
        """Notes where a recording was stopped; None: it is done."""
        if at is None and key not in self._stopped:
            return
        self._stopped = {k: v for k, v in self._stopped.items() if k != key} | ({key: at} if at is not None else {})
        with writable(self.out):
            path = self.out / STOPPED
            path.with_suffix(".new").write_bytes(msgspec.json.encode(self._stopped))
            path.with_suffix(".new").replace(path)

    def close(self) -> None:
        """Writes the Parquet and closes all files. Stop where that is not possible."""
        with writable(self.out):
            self._aggregator.close()
            for file in (*self._lines.values(), self._table):
                file.close()

    def _store(self, path: str, data: bytes) -> None:
        target = self.out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def _write(self, name: str, messages: Sequence[Message]) -> None:
        file = self._lines[name]
        file.writelines(encode(message) + b"\n" for message in messages)
        file.flush()


def _whole_lines(path: Path) -> list[bytes]:
    """Lines that are written to their end; what a killed run left after them is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return whole.splitlines()


def _keep_lines(path: Path, wanted: Callable[[bytes], bool]) -> None:
    lines = _whole_lines(path)
    kept = [line for line in lines if wanted(line)]
    if len(kept) < len(lines):
        path.write_bytes(b"".join(line + b"\n" for line in kept))


def _keep_rows(path: Path, keys: set[str]) -> None:
    """Also gives a table of an earlier version the columns that it had not."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    had = rows[0] if rows else []
    kept = [one for one in rows[1:] if len(one) == len(had) and one[COLUMNS.index("recording")] in keys]
    if len(kept) < len(rows) - 1 or 0 < len(had) < len(COLUMNS):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *([*one, *[""] * (len(COLUMNS) - len(had))] for one in kept)])


class _Named(msgspec.Struct):
    recording_id: str


def _recording_of(line: bytes) -> str:
    return msgspec.json.decode(line, type=_Named).recording_id


def row(passage: Passage) -> tuple[object, ...]:
    """A passage in the order of COLUMNS; what is not known is empty."""
    return (
        passage.plate, passage.camera, rfc3339(passage.first_seen_ms), rfc3339(passage.last_seen_ms),
        passage.confidence, passage.raw, passage.direction, passage.heading_deg, passage.speed_mps,
        passage.observations, passage.sightings, passage.first_seen_ms, passage.last_seen_ms, passage.key, passage.id,
        passage.continues, passage.best.path if passage.best else None, passage.country,
    )  # fmt: skip


def picture_path(out: Path, camera: str, plane: str, label: str = PLATE) -> Path:
    of = "" if label == PLATE else f"-{encoded(label)}"
    return out / f"heatmap-{encoded(camera)}{of}{'' if plane == 'image' else f'-{plane}'}.png"


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """Turns what a disk can do to us into words for whoever runs this."""
    try:
        yield
    except OSError as error:
        what = error.filename or out
        raise Stop(f"cannot write {what}: {error.strerror or error}; free space or name another --out") from error


def _is_picture(name: str) -> bool:
    return name.startswith("heatmap-") and name.endswith(".png")


def _clear(out: Path) -> None:
    """Removes what an earlier run left beside the Parquet."""
    shutil.rmtree(out / SHOTS, ignore_errors=True)
    (out / STOPPED).unlink(missing_ok=True)
    for path in out.glob("heatmap-*.png"):
        path.unlink()
