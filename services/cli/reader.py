"""One input of `plateflow run` after the other: opens it, looks at its frames, writes down what came of it.

An input is one recording, but for photos that change their size (one for each size) and streams (one a minute).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.background import Still
from services.cli.inputs import Source, Starts
from services.cli.interrupt import Interrupt
from services.cli.outputs import Earlier, Folder, part_key, writable
from services.cli.outputs_drawn import Spool, jpeg
from services.cli.outputs_port import Done, Found, Outputs, Sheet
from services.cli.photos import interval_ms
from services.cli.run_show import RunShow
from services.cli.streams import Segments
from services.contracts.identity import clip_id, passage_id, recording_id
from services.contracts.messages import Clip, Passage
from services.inference.build import Inference
from services.inference.decode import STOPPED, ClipFrames, DecodedFrame, Frames, Stopped
from services.inference.decode_wire import NO_MORE, Lost
from services.inference.follow import Followed
from services.inference.result import RecordingResult
from services.runtime.errors import Reject

if TYPE_CHECKING:
    from services.cli.reading import Job, Tally

SCENE_FRAMES, SCENE_WIDTH = 7, 960
"""What the scene below a heatmap is made of: of each recording about so many frames, no wider than that."""
RESULTS = 1
"""Version of the results: a folder holds one."""


@dataclass(slots=True)
class Reader:
    job: Job
    models: Inference
    fps: float
    nth: int
    folder: Folder
    outputs: Outputs
    starts: Starts
    earlier: Earlier
    tally: Tally
    show: RunShow
    interrupt: Interrupt
    stopped: Callable[[], bool]
    scenes: dict[str, bytes] = field(default_factory=dict)
    """Of each camera with a passage, what it sees where nothing moves, as JPEG."""
    seen: dict[tuple[str, str], None] = field(default_factory=dict)
    """Cameras and classes with a passage, in order."""
    _ids: int = 0

    def read(self, source: Source) -> None:
        """Raises KeyboardInterrupt, while nothing of the recording at hand is written."""
        self.show.start(source.name)
        try:
            if source.stream is not None:
                self._stream(source)
            elif source.photos:
                self._photos(source)
            else:
                self._video(source)
        except Reject as error:
            if error.reason == NO_MORE:
                self.folder.take_up(source.key, None)
                self.show.skip(f"{source.name}: nothing is left of it to read")
                return
            self.tally.failed += 1
            self.show.fail(source.name, error.detail)
        except FileNotFoundError:
            self.tally.failed += 1
            self.show.fail(source.name, "it was removed meanwhile" if not source.path.exists() else "it is no file")
        except Stopped:
            raise KeyboardInterrupt from None

    def _video(self, source: Source) -> None:
        at = self.earlier.stopped.get(source.key, 0)
        parts = self.earlier.parts_of(source.key)
        if parts and not at:
            self.show.skip(f"{source.name}: read by an earlier run")
            return
        start_ms = parts[0].start_ms if parts else self.starts.of(source)
        again = partial(self.models.decoder.open, source.path, self.fps, self.job.max_width, at, self.nth)
        result = self._one(source, part_key(source.key, at), start_ms, start_ms, self._ready(again()), again)
        self.starts.ended(source, start_ms + result.duration_ms)
        stopped = STOPPED in result.note
        self.folder.take_up(source.key, result.duration_ms + 1 if stopped else None)

    def _photos(self, source: Source) -> None:
        step_ms = interval_ms(self.fps)
        parts = self.earlier.parts_of(source.key)
        at = round(sum(part.duration_ms for part in parts) / step_ms)
        if parts and at >= len(source.photos):
            self.show.skip(f"{source.name}: read by an earlier run")
            return
        begin_ms = parts[0].start_ms if parts else self.starts.of(source)
        while at < len(source.photos):
            again = partial(self.models.decoder.open_photos, source.photos[at:], step_ms, self.job.max_width)
            frames = self._ready(again())
            start_ms = begin_ms + round(at * step_ms)
            result = self._one(source, part_key(source.key, at), start_ms, begin_ms, frames, again)
            self.starts.ended(source, start_ms + result.duration_ms)
            assert frames.end is not None
            if self.stopped():
                return
            at = len(source.photos) - frames.end.rest

    def _stream(self, source: Source) -> None:
        assert source.stream is not None
        frames = self.models.decoder.open_address(
            source.stream.address, self.fps, self.job.give_up_s, self.job.max_width, self.nth
        )
        until_s = time.monotonic() + self.job.for_s if self.job.for_s is not None else None
        frames.stopped = lambda: self.stopped() or (until_s is not None and time.monotonic() >= until_s)
        frames.told = partial(self._lost, source)
        stream = Segments(frames)
        begin_ms: int | None = self.job.first_ms
        with tempfile.TemporaryDirectory(prefix="plateflow-") as folder:
            spool = Spool(Path(folder))
            try:
                while stream.more():
                    minute = stream.next()
                    begin_ms = round(time.time() * 1000) if begin_ms is None else begin_ms
                    start_ms = begin_ms + minute.begins_ms
                    key = f"{source.key}/{start_ms}"
                    self._one(source, key, start_ms, begin_ms, minute, lambda: _spooled(spool), spool)
                    spool.clear()
            except Stopped:
                if self.stopped():
                    raise
                raise Reject("undecodable", f"no picture within {self.job.for_s:g} s") from None
        if frames.end is not None and "given up" in frames.end.note:
            self.tally.failed += 1

    def _ready(self, frames: ClipFrames) -> ClipFrames:
        frames.stopped = self.stopped
        return frames

    def _one(
        self,
        source: Source,
        key: str,
        start_ms: int,
        origin_ms: int,
        frames: Frames,
        again: Callable[[], Iterable[DecodedFrame]],
        spool: Spool | None = None,
    ) -> RecordingResult:
        photo_ms = interval_ms(self.fps) if source.photos else 0.0
        sheet = Sheet(source, start_ms, origin_ms, self._ids, frames, photo_ms)
        with writable(self.folder.out):
            self.outputs.begin(sheet)
        watcher = _Watcher(self.outputs, self.folder.out, spool if self.outputs.needs_frames_again else None)
        with self.interrupt.gently():
            gate = self.job.gates.of(source.camera)
            result = self.models.pipeline.look(frames, start_ms, self.show.progress, watcher, gate)
        self._ids += max(watcher.highest + 1, len(result.tracks))
        clip = _clip(source, key, start_ms)
        passages = self.folder.add(clip, result, self.models.models)
        self._count(source, result, passages, watcher)
        by_id = {passage_id(RESULTS, clip.recording_id, track.number): track for track in result.tracks}
        pairs = [(passage, by_id[passage.id]) for passage in passages if passage.id in by_id]
        with writable(self.folder.out):
            self.outputs.done(Done(sheet, result, pairs, lambda: self._told(again(), result)))
        self.show.finish(source.name, result, len(passages), whole=source.stream is None)
        return result

    def _told(self, frames: Iterable[DecodedFrame], result: RecordingResult) -> Iterator[DecodedFrame]:
        for frame in islice(frames, result.frames):  # no further than it was read before somebody stopped it
            self.show.drawing(frame.time_ms, result.duration_ms)
            yield frame

    def _count(self, source: Source, result: RecordingResult, passages: list[Passage], watcher: _Watcher) -> None:
        self.tally.recordings += 1
        self.tally.frames += result.frames
        self.tally.passages += passages
        self.seen |= {(source.camera, label): None for label in sorted({one.label for one in passages})}
        if passages and source.camera not in self.scenes:
            self.scenes[source.camera] = jpeg(watcher.still.picture())

    def _lost(self, source: Source, lost: Lost) -> None:
        self.show.say(f"{source.name}: {lost.why}; trying again in {lost.wait_s:g} s", "yellow")


class _Watcher:
    """Hands on what the pipeline shows, and keeps of a stream what cannot be had again."""

    def __init__(self, outputs: Outputs, out: Path, spool: Spool | None) -> None:
        self._outputs, self._out, self._spool = outputs, out, spool
        self.highest = -1
        """Of the tracks' numbers."""
        self.still = Still(SCENE_FRAMES, SCENE_WIDTH)

    def frame(self, frame: DecodedFrame, found: Found) -> None:
        self.still.add(frame.image)
        self.highest = max([self.highest, *(number for number, _ in found if number is not None)])
        with writable(self._out):
            if self._spool is not None:
                self._spool.keep(frame.index, frame.time_ms, frame.image)
            self._outputs.frame(frame, found)

    def read(self, track: Followed) -> None:
        with writable(self._out):
            self._outputs.read(track)


def _spooled(spool: Spool) -> Iterator[DecodedFrame]:
    for index, time_ms, image in spool.frames():
        yield DecodedFrame(index, time_ms, image)


def _clip(source: Source, key: str, start_ms: int) -> Clip:
    """The recording as a clip message; size and digest stay out, since nobody fetches it."""
    recording = recording_id(key)
    return Clip(
        id=clip_id(RESULTS, recording),
        results=RESULTS,
        recording_id=recording,
        camera=source.camera,
        key=key,
        source="local",
        start_ms=start_ms,
        path=source.name,
        size=0,
        sha256="",
    )
