"""The best crop of each passage as a picture file, and ``manifest.csv`` that says what each shows.

In: passages with their best shots. Out: ``MM-SS.cc_<plate>_<track>.jpg``; nothing that is there is ever overwritten, a
second one of the same name gets ``_01``; the manifest is continued.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from services.cli.outputs_port import Done, Output, detected_ms, free, mm_ss, writing
from services.contracts.messages import Passage
from services.inference.result import TrackResult

MANIFEST = "manifest.csv"
COLUMNS = ("filename", "plate_num", "conf", "time_start", "time_detect", "time_end", "source")


class Crops(Output):
    def __init__(self, folder: Path, min_confidence: float = 0.0, limit: int = 0) -> None:
        """``limit``: so many at most, 0: all."""
        self._folder, self._min, self._limit = folder, min_confidence, limit
        self._written = 0
        self._file = writing(folder / MANIFEST, append=True)
        self._rows = csv.writer(self._file, delimiter=";", lineterminator="\n")
        if self._file.tell() == 0:
            self._rows.writerow(COLUMNS)

    def done(self, done: Done) -> None:
        for passage, track in done.passages:
            if passage.confidence < self._min and track.reading.text:
                continue
            if self._limit and self._written >= self._limit:
                return
            self._write(done, passage, track)

    def close(self) -> str:
        self._file.close()
        return f"{self._folder}: {self._written} crops and {MANIFEST}"

    def _write(self, done: Done, passage: Passage, track: TrackResult) -> None:
        origin = done.sheet.origin_ms
        when = mm_ss(detected_ms(track) - origin)
        plate = re.sub(r"[^\w#-]", "_", passage.plate or passage.label)
        number = done.sheet.first_id + track.number
        path = free(self._folder / f"{when.replace(':', '-')}_{plate}_{number:04}.jpg")
        with path.open("xb") as file:
            file.write(track.best.jpeg)
        times = mm_ss(passage.first_seen_ms - origin), when, mm_ss(passage.last_seen_ms - origin)
        where = done.sheet.name_at(track.best.time_ms - done.sheet.start_ms)
        self._rows.writerow((path.name, passage.plate, passage.confidence, *times, where))
        self._written += 1
