"""What inference does with a clip message: fetch the clip, process it, store the best shots, say what was
seen.

Rules
- A clip that the store no longer holds is fetched from Vault again, where Vault is configured; else it is
  rejected.
- Best shots are stored before the messages that point to them are returned. Stored again, they replace
  themselves.
- What is returned is a function of the record, the weights and the camera's gate, but for the seconds that it took.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from services.contracts.codec import BadMessage, decode
from services.contracts.gates import OPEN, Gate
from services.contracts.messages import Clip, Models, Run
from services.contracts.topics import Topics
from services.inference.gates import Gates
from services.inference.messages import best_shot_path, outgoing
from services.inference.result import RecordingResult
from services.runtime import metric_labels, metrics, tracing, trail
from services.runtime.clips import ClipStore, MissingClip
from services.runtime.errors import Reject
from services.runtime.ports import Outgoing, Record
from services.runtime.vault import FetchedClip, Wanted

log = logging.getLogger(__name__)


class Processor(Protocol):
    """`services.inference.pipeline.Pipeline`, as far as the handler needs it."""

    def process(self, path: Path, start_ms: int, gate: Gate = OPEN) -> RecordingResult: ...


class Vault(Protocol):
    """`services.runtime.vault.VaultClient`, as far as the handler needs it."""

    def fetch(self, wanted: Wanted, into: Path) -> FetchedClip: ...


class InferenceHandler:
    """Stateless; several threads may call `handle`."""

    def __init__(
        self,
        processor: Processor,
        clips: ClipStore,
        objects: ClipStore,
        models: Models,
        topics: Topics,
        vault: Vault | None = None,
        gates: Gates | None = None,
    ) -> None:
        self._gates = gates or Gates()
        self._processor, self._models, self._topics = processor, models, topics
        self._clips, self._objects, self._vault = clips, objects, vault

    def handle(self, record: Record) -> Sequence[Outgoing]:
        """Tracks and the finished recording. Rejects bad messages, clips that are gone or cannot be
        decoded."""
        clip = _clip_of(record)
        tracing.about(clip.recording_id, clip.camera, clip.trace_id, clip.start_ms)
        began = time.monotonic()
        with self._opened(clip) as path:
            result = self._process(clip, path)
        metrics.CLIP_SECONDS.observe(time.monotonic() - began, trail.exemplar())
        for track in result.tracks:
            self._objects.put_bytes(best_shot_path(clip, track), track.best.jpeg)
        _count(clip, result)
        log.info("clip processed", extra=_summary(clip, result))
        run = Run(record.partition.topic, record.partition.index, record.offset)
        return outgoing(clip, run, result, self._models, self._topics)

    def _process(self, clip: Clip, path: Path) -> RecordingResult:
        try:
            result = self._processor.process(path, clip.start_ms, self._gates.of(clip.camera))
        except FileNotFoundError:  # swept from a folder store between opening and decoding
            raise MissingClip(clip.path) from None
        stages = {stage: seconds for stage, seconds in result.seconds.items() if stage != "total"}
        tracing.took(stages, result.seconds["total"])
        return result

    @contextmanager
    def _opened(self, clip: Clip) -> Iterator[Path]:
        """The clip as a local file: from the store, else from Vault."""
        with ExitStack() as stack:
            try:
                with tracing.span("fetch"):
                    path, origin = stack.enter_context(self._clips.open(clip.path)), "store"
            except MissingClip:
                with tracing.span("fetch"):
                    path, origin = stack.enter_context(self._fetched(clip)), "vault"
            metrics.CLIP_FETCHES.labels(origin).inc()
            yield path

    @contextmanager
    def _fetched(self, clip: Clip) -> Iterator[Path]:
        if self._vault is None:
            raise Reject(
                "missing-clip",
                f"the store no longer holds {clip.path} and no Vault is configured to fetch it again: "
                "set STORAGE_URI, or keep clips longer (PLATEFLOW_CLIPS_MAX_AGE_HOURS)",
            )
        with TemporaryDirectory(prefix="plateflow-") as folder:
            path = Path(folder) / "clip"
            self._vault.fetch(Wanted(clip.key, clip.source), path)
            yield path


def _clip_of(record: Record) -> Clip:
    try:
        return decode(record.value, Clip)
    except BadMessage as error:
        raise Reject("bad-message", str(error)) from error


def _count(clip: Clip, result: RecordingResult) -> None:
    camera = metric_labels.camera(clip.camera)
    for outcome in ("decided", "partial"):
        metrics.CAMERA_READINGS.labels(camera, outcome)
    metrics.FRAMES_DECODED.inc(result.decoded)
    metrics.FRAMES_SAMPLED.inc(result.frames)
    metrics.FRAMES_LOOKED.inc(result.looked)
    metrics.DETECTIONS.inc(result.detections)
    metrics.TRACKS.inc(len(result.tracks))
    for stage, seconds in result.seconds.items():
        if stage != "total":
            metrics.STAGE_SECONDS.labels(stage).observe(seconds, trail.exemplar())
    for track in result.tracks:
        outcome = "partial" if "#" in track.reading.text else "decided"
        metrics.READINGS.labels(outcome).inc()
        metrics.CAMERA_READINGS.labels(camera, outcome).inc()
        metrics.READING_CONFIDENCE.observe(track.reading.confidence)
    metrics.READINGS.labels("dropped").inc(result.dropped)
    for reason, count in result.rejected.items():
        metrics.REJECTIONS.labels(reason).inc(count)


def _summary(clip: Clip, result: RecordingResult) -> dict[str, object]:
    summary: dict[str, object] = {
        "camera": clip.camera,
        "key": clip.key,
        "frames": result.frames,
        "tracks": len(result.tracks),
        "rejected": dict(result.rejected),
        "seconds": round(result.seconds["total"], 2),
    }
    return summary | ({"note": result.note} if result.note else {})
