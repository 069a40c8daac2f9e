"""The folder that `plateflow run` writes: messages line by line, a CSV of passages, best shots, Parquet, pictures.

    passages.csv  passages.jsonl  plates.jsonl  recordings.jsonl    one line each; the messages of the topics
    heatmap/  sightings/                                            Parquet, as the aggregator service writes it
    bestshots/                                                      where the messages' ``best.path`` leads
    heatmap-<camera>.png, heatmap-<camera>-ground.png               / in the camera's name is %2F

Rules
- A folder that holds anything which no earlier run put there is refused; results of an earlier run are replaced.
- What is written of a recording is written as a whole: nobody interrupts `add`.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.aggregator.core.config import Config
from services.aggregator.local import PARTITION, LocalAggregator
from services.aggregator.tables import encoded
from services.contracts.cloudevents import rfc3339
from services.contracts.codec import encode
from services.contracts.messages import Clip, Message, Models, Passage, Plate, Run
from services.inference.messages import best_shot_path, recording_done, track_parts
from services.inference.result import RecordingResult
from services.runtime.errors import SettingsError, Stop

MARK = Path("epochs", f"{PARTITION.topic}-{PARTITION.index}.epoch")
"""Every run leaves it, from its first moment on."""
MESSAGES = ("passages", "plates", "recordings")
TABLE, SHOTS = "passages.csv", "bestshots"
OURS = frozenset({
    *(f"{name}.jsonl" for name in MESSAGES), TABLE, SHOTS,
    "heatmap", "sightings", "checkpoints", "epochs", "current.json",
})  # fmt: skip
COLUMNS = (
    "plate", "camera", "first_seen", "last_seen", "confidence", "raw", "direction", "heading_deg", "speed_mps",
    "observations", "sightings", "first_seen_ms", "last_seen_ms", "recording", "passage_id", "continues", "best_shot",
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


class Outputs:
    """Takes one recording after another; `close` writes the Parquet."""

    def __init__(self, out: Path, config: Config) -> None:
        self.out = out
        with writable(out):
            out.mkdir(parents=True, exist_ok=True)
            self._aggregator = LocalAggregator(out, config)  # refuses a service's folder before anything is removed
            _clear(out)
            self._lines = {name: (out / f"{name}.jsonl").open("wb") for name in MESSAGES}
            self._table = (out / TABLE).open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._table)
            self._rows.writerow(COLUMNS)
        self._number = 0

    def add(self, clip: Clip, result: RecordingResult, models: Models) -> list[Passage]:
        """Writes down what comes of a recording; its passages."""
        run = Run(PARTITION.topic, PARTITION.index, self._number)
        self._number += 1
        plates: list[Plate] = []
        passages: list[Passage] = []
        with writable(self.out):
            for track in result.tracks:
                self._store(best_shot_path(clip, track), track.best.jpeg)
                for part in track_parts(clip, run, result, track):
                    seen, passed = self._aggregator.add(part)
                    plates += seen
                    passages += passed
            self._write("plates", plates)
            self._write("passages", passages)
            self._write("recordings", [recording_done(clip, run, result, models)])
            self._rows.writerows(map(row, passages))
            self._table.flush()
        return passages

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


def row(passage: Passage) -> tuple[object, ...]:
    """A passage in the order of COLUMNS; what is not known is empty."""
    return (
        passage.plate, passage.camera, rfc3339(passage.first_seen_ms), rfc3339(passage.last_seen_ms),
        passage.confidence, passage.raw, passage.direction, passage.heading_deg, passage.speed_mps,
        passage.observations, passage.sightings, passage.first_seen_ms, passage.last_seen_ms, passage.key, passage.id,
        passage.continues, passage.best.path if passage.best else None,
    )  # fmt: skip


def picture_path(out: Path, camera: str, plane: str) -> Path:
    return out / f"heatmap-{encoded(camera)}{'' if plane == 'image' else f'-{plane}'}.png"


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
    for path in out.glob("heatmap-*.png"):
        path.unlink()
