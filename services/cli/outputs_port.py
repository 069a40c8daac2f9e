"""What `plateflow run` writes beside its folder: each kind is an `Output`, called by `services.cli.reading`.

In the order of the calls, for each recording: `begin`, `frame` and `read` while it is read, `done` once all is known of
it and written to the folder; `close` at the end, also after Ctrl+C.

Rules
- What is written while a recording is read reaches the file at once, line by line: whatever ends the process, no more
  than the last moment is lost.
- An output never decides anything about the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from services.cli.inputs import Source
from services.contracts.messages import Passage
from services.inference.decode import DecodedFrame, Frames
from services.inference.follow import Followed
from services.inference.models.detector import Detection
from services.inference.result import RecordingResult, TrackResult

Found = Sequence[tuple[int | None, Detection]]
"""The boxes of a frame, each with the number of its track; None: in no track."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The recording at hand."""

    source: Source
    start_ms: int
    """Event time of its first frame."""
    origin_ms: int
    """Event time from which its seconds are counted: its start, of a stream the stream's."""
    first_id: int
    """Numbers of its tracks count from here, so that no two of a run are the same."""
    frames: Frames
    photo_ms: float = 0.0
    """Time from photo to photo."""

    @property
    def offset_ms(self) -> int:
        return self.start_ms - self.origin_ms

    def photo_at(self, time_ms: int) -> Path:
        """Of photos, the one that is the frame at a time from the start."""
        number = round((self.offset_ms + time_ms) / self.photo_ms)
        return self.source.photos[min(max(number, 0), len(self.source.photos) - 1)]

    def name_at(self, time_ms: int) -> str:
        """The file in which something at a time from the start is to be seen."""
        return str(self.photo_at(time_ms)) if self.source.photos else self.source.name


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it."""

    sheet: Sheet
    result: RecordingResult
    passages: Sequence[tuple[Passage, TrackResult]]
    again: Callable[[], Iterable[DecodedFrame]]
    """Its sampled frames once more."""


class Output:
    """Does nothing; a kind of output overrides what it needs."""

    needs_frames_again = False
    """Whether `done` asks for the frames once more: of a stream they then are kept till then."""

    def begin(self, sheet: Sheet) -> None: ...

    def frame(self, frame: DecodedFrame, found: Found) -> None: ...

    def read(self, track: Followed) -> None: ...

    def done(self, done: Done) -> None: ...

    def close(self) -> str:
        """A line about what was written; empty: nothing to say."""
        return ""


class Outputs(Output):
    """All of them as one."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = tuple(outputs)
        self.needs_frames_again = any(one.needs_frames_again for one in outputs)

    def begin(self, sheet: Sheet) -> None:
        for one in self._outputs:
            one.begin(sheet)

    def frame(self, frame: DecodedFrame, found: Found) -> None:
        for one in self._outputs:
            one.frame(frame, found)

    def read(self, track: Followed) -> None:
        for one in self._outputs:
            one.read(track)

    def done(self, done: Done) -> None:
        for one in self._outputs:
            one.done(done)

    def close(self) -> str:
        return "\n".join(line for one in self._outputs if (line := one.close()))


def mm_ss(time_ms: int) -> str:
    """``MM:SS.cc``; minutes may exceed 59."""
    minutes, ms = divmod(max(time_ms, 0), 60_000)
    return f"{minutes:02}:{ms // 1000:02}.{ms % 1000 // 10:02}"


def detected_ms(track: TrackResult) -> int:
    """Event time at which the plate was first read as it is in the end; of one never read so, that of its best shot."""
    text = track.reading.text
    same = (one.time_ms for one in track.observations if text and one.text == text)
    return min(same, default=track.best.time_ms)


def writing(path: Path, append: bool = False) -> TextIO:
    """A text file whose lines reach the disk as they are written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a" if append else "w", encoding="utf-8", newline="\n", buffering=1)


def free(path: Path) -> Path:
    """``path``, or with ``_01``, ``_02`` ... before the suffix the first that is not there yet."""
    number = 0
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}_{number:02}{path.suffix}")
    return candidate


def base_name(source: Source) -> str:
    """What files about a recording are called."""
    return source.camera.replace("/", "_") if source.stream is not None or len(source.photos) > 1 else source.path.stem
