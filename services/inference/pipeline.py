"""Clip → frames → plates → tracks → readings: the path of a clip in, a `RecordingResult` out. Knows no
Kafka, no store.

Rules
- Frames are held for one batch only. Of each track a bounded choice of pictures is kept, spread over its
  life, each the clearest of its stretch; they are read in batches over all plates once their track has ended. Where
  they leave the plate unsure, one more picture is read: all of them fused.
- What comes out is a function of the clip, the weights and the options: nothing depends on the clock or the
  machine's load.
- What is no plate (another class of the detector) is followed all the same, and not read.
- The best shot is cut from the very frame whose reading it shows.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from services.contracts.formats import shipped
from services.contracts.gates import OPEN, Gate
from services.contracts.messages import Box
from services.inference.core.gates import refused
from services.inference.core.motion import Look, MotionGate, MotionOptions, Place, renewed
from services.inference.core.spread import Spread
from services.inference.core.stitch import (
    SINGLE,
    KeepOptions,
    Piece,
    StitchOptions,
    rejection,
    seen_enough,
    stitch,
)
from services.inference.core.tracker import TrackBox, Tracker, TrackerOptions
from services.inference.core.vote import VoteOptions
from services.inference.core.wording import WordingOptions, word
from services.inference.decode import DecodedFrame, Decoder, Frames
from services.inference.follow import Followed, Image, Picture, join
from services.inference.models.detector import Detection, Detector, is_plate
from services.inference.models.recogniser import MARGIN, CharacterReading, Recogniser
from services.inference.result import RecordingResult, TrackResult
from services.runtime import metrics

VEHICLES = ("car", "motorcycle", "bus", "truck")
"""What a detector of vehicles calls them, as COCO does."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    fps: float = 15.0
    """Frame rate to sample at; 0 takes every frame."""
    nth: int = 0
    """Every n-th frame is taken instead; 0: by ``fps``."""
    detect_batch: int = 4
    read_batch: int = 64
    classes: tuple[str, ...] = ()
    """Labels that are followed; empty: all."""
    reads_per_track: int = 16
    """Pictures of a track that are read, at most; 0 reads all."""
    crop_margin: float = MARGIN
    """Of a plate's box, how much of what surrounds it is read on each side; MOST_MARGIN at most."""
    min_width: float = 20.0
    """Pixels; a smaller plate cannot be read."""
    min_height: float = 6.0
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    vote: VoteOptions = field(default_factory=lambda: VoteOptions(formats=shipped()))
    stitch: StitchOptions = field(default_factory=StitchOptions)
    keep: KeepOptions = field(default_factory=KeepOptions)
    wording: WordingOptions = field(default_factory=WordingOptions)
    motion: MotionOptions = field(default_factory=MotionOptions)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the clip at hand is. ``duration_ms`` is what its container claims, 0 where it does not say."""

    done_ms: int
    duration_ms: int
    frames: int


class Watch(Protocol):
    """Somebody who wants to see what is found while it is found. Nothing of it decides about the result."""

    def frame(self, frame: DecodedFrame, found: Sequence[tuple[int | None, Detection]]) -> None:
        """A frame is done. ``found``: its boxes, each with the number of its track; None: in no track."""
        ...

    def read(self, track: Followed) -> None:
        """A track has ended and is read; it may still be joined with another one, or dropped."""
        ...


class Pipeline:
    """Processes one clip after another, or several at a time in several threads; nothing is kept between
    clips."""

    def __init__(
        self,
        detector: Detector,
        recogniser: Recogniser,
        decoder: Decoder,
        options: PipelineOptions | None = None,
        vehicles: Detector | None = None,
    ) -> None:
        """``vehicles``: finds vehicles; a plate that lies in none does not count then."""
        self._models, self._decoder = _Models(detector, recogniser, vehicles), decoder
        self._options = options or PipelineOptions()

    def process(self, path: Path, start_ms: int, gate: Gate = OPEN) -> RecordingResult:
        """Raises Reject for a clip that cannot be decoded, FileNotFoundError for one that is not there."""
        return self.look(self._decoder.open(path, self._options.fps, nth=self._options.nth), start_ms, gate=gate)

    def look(
        self,
        frames: Frames,
        start_ms: int,
        progress: Callable[[Progress], None] | None = None,
        watch: Watch | None = None,
        gate: Gate = OPEN,
    ) -> RecordingResult:
        """The same with frames from anywhere; ``watch`` is shown each of them as it is done. ``gate``: which
        plates count, beyond the options. Raises Reject."""
        stages = Stages()
        with stages.measure("total"):
            work = _Work(self._models, self._options, start_ms, stages, gate, watch)
            for batch in _batches(stages.waits("decode", frames), self._options.detect_batch):
                work.add(batch)
                if progress is not None and frames.info is not None:
                    progress(Progress(batch[-1].time_ms, frames.info.duration_ms, work.frames))
            tracks = work.finish()
        return _result(frames, work, tracks, stages)


class Stages:
    """Wall seconds by stage. A stage within another is taken off it, but for ``total``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started

    def waits(self, stage: str, items: Iterable[DecodedFrame]) -> Iterator[DecodedFrame]:
        """The items, with the time spent waiting for each measured."""
        source = iter(items)
        while True:
            with self.measure(stage):
                item = next(source, None)
            if item is None:
                return
            yield item


@dataclass(frozen=True, slots=True)
class _Models:
    detector: Detector
    recogniser: Recogniser
    vehicles: Detector | None


class _Work:
    """The clip at hand."""

    def __init__(
        self,
        models: _Models,
        options: PipelineOptions,
        start_ms: int,
        stages: Stages,
        gate: Gate,
        watch: Watch | None = None,
    ) -> None:
        self._models, self._options, self._gate = models, options, gate
        self._start_ms, self._stages, self._watch = start_ms, stages, watch
        least = gate.min_confidence
        self._keep = options.keep if least is None else replace(options.keep, min_confidence=least)
        self._tracker = Tracker(options.tracker)
        self._living: dict[int, Followed] = {}
        self._unread: list[Followed] = []
        self._read: list[Followed] = []
        self._motion = MotionGate(options.motion)
        self._seen: list[Detection] = []
        self.frames = self.looked = self.detections = 0
        self.rejected: Counter[str] = Counter()
        self.slowest_s = 0.0

    def add(self, batch: list[DecodedFrame]) -> None:
        began = time.perf_counter()
        with self._stages.measure("detect"):
            found = self._found(batch)
            vehicles = self._vehicles(batch, found)
        metrics.BATCH_SIZE.labels("detector").observe(len(batch))
        self.detections += sum(map(len, found))
        with self._stages.measure("track"):
            for frame, detections, around in zip(batch, found, vehicles, strict=True):
                self._follow(frame, [one for one in detections if self._counts(one, frame, around)])
        self._read_ended(at_least=self._options.read_batch)
        self.slowest_s = max(self.slowest_s, (time.perf_counter() - began) / len(batch))

    def finish(self) -> list[TrackResult]:
        """The tracks worth publishing, in order of appearance."""
        self._end(list(self._living))
        self._read_ended(at_least=1)
        with self._stages.measure("track"):
            kept: list[TrackResult] = []
            for one in self._joined():
                reason = _rejection(one, self._keep)
                if reason:
                    self.rejected[reason] += 1
                else:
                    kept.append(_track(len(kept), one, self._options.wording))
            return kept

    def _found(self, batch: list[DecodedFrame]) -> list[list[Detection]]:
        """The boxes of each frame: the detector's where something has moved, those of the frame before elsewhere."""
        looks = [self._look(frame) for frame in batch]
        asked = [(frame.image, look) for frame, look in zip(batch, looks, strict=True) if look is not None]
        self.looked += len(asked)
        places = [_part(image, look) for image, look in asked]
        answers = iter(self._models.detector.detect([image for image, _ in asked], places) if asked else ())
        found = []
        for frame, look in zip(batch, looks, strict=True):
            if look is not None:
                self._seen = self._renewed(frame.image, look, next(answers))
            found.append(self._seen)
        return found

    def _look(self, frame: DecodedFrame) -> Look | None:
        height, width = frame.image.shape[:2]
        return self._motion.look(frame.time_ms, frame.image, self._models.detector.parts(width, height))

    def _renewed(self, image: Image, look: Look, new: list[Detection]) -> list[Detection]:
        """The boxes of a frame of which ``new`` are those that the look at it found."""
        if _part(image, look) is None:
            return new
        found = renewed(self._seen, new, look, (image.shape[1], image.shape[0]))
        if found is None:
            return self._models.detector.detect([image])[0]
        return sorted(found, key=lambda one: -one.score)

    def _vehicles(
        self, batch: list[DecodedFrame], found: Sequence[Sequence[Detection]]
    ) -> Sequence[Sequence[Box] | None]:
        """The vehicles in each frame that shows a plate; None where nobody looks for them."""
        if self._models.vehicles is None:
            return [None] * len(batch)
        shown = [k for k, detections in enumerate(found) if any(is_plate(one.label) for one in detections)]
        vehicles: list[Sequence[Box] | None] = [()] * len(batch)
        for k, seen in zip(shown, self._models.vehicles.detect([batch[k].image for k in shown]), strict=True):
            vehicles[k] = [_box(one) for one in seen if one.label in VEHICLES]
        return vehicles

    def _counts(self, detection: Detection, frame: DecodedFrame, vehicles: Sequence[Box] | None) -> bool:
        options = self._options
        if options.classes and detection.label not in options.classes:
            return False
        size = frame.image.shape[1], frame.image.shape[0]
        smallest = options.min_width, options.min_height
        around = vehicles if is_plate(detection.label) else None
        reason = refused(_box(detection), detection.score, size, self._gate, smallest, around)
        if reason:
            self.rejected[reason] += 1
        return not reason

    def _follow(self, frame: DecodedFrame, detections: list[Detection]) -> None:
        boxes = [TrackBox(one.x, one.y, one.w, one.h, one.score, one.label) for one in detections]
        numbers = self._tracker.update(frame.time_ms, boxes)
        for number, detection in zip(numbers, detections, strict=True):
            if number is not None:
                followed = self._living.get(number) or self._begin(number, detection.label)
                followed.see(self._start_ms + frame.time_ms, frame.index, detection, frame.image)
        self.frames += 1
        if self._watch is not None:
            self._watch.frame(frame, list(zip(numbers, detections, strict=True)))
        self._end([number for number in self._living if number not in self._tracker.living()])

    def _begin(self, number: int, label: str) -> Followed:
        pictures = self._options.reads_per_track if is_plate(label) else 1
        self._living[number] = Followed(number, label, Spread[Picture](pictures), self._options.crop_margin)
        return self._living[number]

    def _end(self, numbers: list[int]) -> None:
        for number in numbers:
            track = self._living.pop(number)
            if is_plate(track.label):
                self._unread.append(track)
            else:
                track.leave_unread()
                self._take([track])

    def _take(self, pieces: list[Followed]) -> None:
        self._read += pieces
        if self._watch is not None:
            for piece in pieces:
                self._watch.read(piece)

    def _read_ended(self, at_least: int) -> None:
        """Reads the pictures of all ended tracks in one go, once there are enough of them."""
        pictures = [[kept.item for kept in track.pictures.kept()] for track in self._unread]
        count = sum(map(len, pictures))
        if count < at_least:
            return
        metrics.BATCH_SIZE.labels("recogniser").observe(count)
        with self._stages.measure("read"):
            readings = iter(self._models.recogniser.read([one.crop for of_track in pictures for one in of_track]))
            for track, of_track in zip(self._unread, pictures, strict=True):
                found = [(one, next(readings)) for one in of_track]
                self._take(track.read(found, self._options.vote, self._reader))
        self._unread = []

    def _reader(self, picture: Image) -> CharacterReading:
        (reading,) = self._models.recogniser.read([picture])
        return reading

    def _joined(self) -> list[Followed]:
        pieces = sorted(self._read, key=lambda one: (one.observations[0].time_ms, one.number))
        spans = [
            Piece(one.observations[0].time_ms, one.observations[-1].time_ms, one.reading.text, one.label)
            for one in pieces
        ]
        groups = stitch(spans, self._options.stitch)
        return [join([pieces[i] for i in group], self._options.vote) for group in groups]


def _rejection(track: Followed, options: KeepOptions) -> str:
    scores = [one.detection for one in track.observations]
    if is_plate(track.label):
        return rejection(track.reading, scores, options)
    return "" if seen_enough(scores, options) else SINGLE


def _part(image: Image, look: Look) -> Place | None:
    """What of the image is looked at; None: all of it."""
    return None if look.place == (0, 0, image.shape[1], image.shape[0]) else look.place


def _box(detection: Detection) -> Box:
    return detection.x, detection.y, detection.w, detection.h


def _track(number: int, track: Followed, wording: WordingOptions) -> TrackResult:
    assert track.best is not None, "a track without a best shot is not worth publishing"
    return TrackResult(number, track.label, word(track.reading, wording), tuple(track.observations), track.best.shot)


def _result(frames: Frames, work: _Work, tracks: list[TrackResult], stages: Stages) -> RecordingResult:
    assert frames.info is not None and frames.end is not None, "a clip that ended without Reject gave frames"
    return RecordingResult(
        tracks=tuple(tracks),
        frames=work.frames,
        looked=work.looked,
        decoded=frames.end.decoded,
        width=frames.info.width,
        height=frames.info.height,
        duration_ms=frames.end.duration_ms,
        detections=work.detections,
        rejected=dict(work.rejected),
        note=frames.end.note,
        seconds={stage: round(seconds, 4) for stage, seconds in stages.seconds.items()},
        slowest_frame_s=round(work.slowest_s, 4),
    )


def _batches(frames: Iterator[DecodedFrame], size: int) -> Iterator[list[DecodedFrame]]:
    while batch := list(islice(frames, size)):
        yield batch
