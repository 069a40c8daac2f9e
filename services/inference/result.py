"""What inference makes of one clip: the values that the pipeline gives to the service and to `plateflow
run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.contracts.messages import Box, Observation, Reading
from services.inference.core.stitch import TRACK_REASONS


@dataclass(frozen=True, slots=True)
class Shot:
    """The clearest picture of a plate, with some of its surroundings, as JPEG; ``box`` is in pixels of the
    frame."""

    jpeg: bytes
    time_ms: int
    box: Box


@dataclass(frozen=True, slots=True)
class TrackResult:
    """One plate through the clip. ``number`` counts from 0 in order of appearance."""

    number: int
    label: str
    reading: Reading
    observations: tuple[Observation, ...]
    best: Shot


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """A finished clip. Times of observations are event times: the recording's start + the frame's time in
    the clip."""

    tracks: tuple[TrackResult, ...]
    frames: int
    """Sampled frames."""
    decoded: int
    """All frames of the clip."""
    width: int
    height: int
    duration_ms: int
    detections: int
    """Plate boxes found in the sampled frames, before any choice."""
    rejected: Mapping[str, int]
    """Boxes and tracks that do not count, by reason (`core.gates.BOX_REASONS`, `core.stitch.TRACK_REASONS`)."""
    note: str
    """What was wrong with the clip, though it gave frames; else empty."""
    seconds: Mapping[str, float]
    """Wall seconds by stage: ``decode`` (waiting for frames), ``detect``, ``track``, ``read``, and
    ``total``."""
    looked: int = field(default=0, compare=False)
    """Sampled frames that the detector looked at; in the others nothing had moved."""
    slowest_frame_s: float = field(default=0.0, compare=False)
    """Wall seconds that the frame took that took longest: its share of its batch, without waiting for it."""

    @property
    def dropped(self) -> int:
        """Tracks that were followed, but are no legible plate."""
        return sum(self.rejected.get(reason, 0) for reason in TRACK_REASONS)

    @property
    def observations(self) -> int:
        return sum(len(track.observations) for track in self.tracks)
