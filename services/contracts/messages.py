"""Every message of plateflow, in reading order of a recording's way through the system.

Rules
- Times are integer milliseconds of event time (recording start + PTS - PTS of the first video frame). Nobody asks
  the wall clock.
- Boxes are ``(x, y, width, height)`` in pixels of the recording's frames, origin top left, y downwards.
- Confidences lie in 0..1 and are rounded to four digits *before* any decision, so that a replay decides the same.
- ``id`` is deterministic (`services.contracts.identity`), so a redelivered message is recognisable.
- ``results`` is the version of one consistent set of results; re-processing writes the next one.
- A message may gain fields (readers ignore what they do not know); a changed meaning raises ``schema``.
- No secret is ever a field: no key, no signed URL.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

SCHEMA = 1

Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]


class Run(msgspec.Struct, gc=False, frozen=True, order=True):
    """One processing of a recording: where its clip message stood."""

    topic: str
    partition: int
    offset: int


class Message(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """What every message carries."""

    id: str
    schema: int = SCHEMA
    trace_id: str | None = None
    """Vault's ``traceId``, travelling along."""


class RecordingMessage(Message, frozen=True, kw_only=True):
    """What every message that comes of a recording carries."""

    results: int
    recording_id: str
    camera: str
    """Directory of the key + ``/`` + its camera part."""
    key: str
    """Vault's object key, verbatim."""


class Clip(RecordingMessage, frozen=True, kw_only=True):
    """``plateflow.clips``: a recording whose bytes lie in the clip store (claim check)."""

    source: str
    """Name of the Vault storage provider: where to fetch the clip again."""
    start_ms: int
    path: str
    """Path in the clip store."""
    size: int
    sha256: str
    instance_name: str | None = None
    product_id: str | None = None


class Observation(msgspec.Struct, gc=False, frozen=True):
    """One plate box in one frame."""

    time_ms: int
    frame: int
    """Number of the frame among the sampled ones, from 0."""
    box: Box
    detection: Probability
    text: str = ""
    confidences: tuple[Probability, ...] = ()
    """One for each character of ``text``."""
    quad: Quad | None = None
    """Corners top left, top right, bottom right, bottom left."""


class Reading(msgspec.Struct, gc=False, frozen=True):
    """A consolidated reading; an undecided character is ``#``."""

    text: str
    raw: str
    """The text as read, before any correction."""
    confidence: Probability
    confidences: tuple[Probability, ...] = ()
    formats: tuple[str, ...] = ()
    """Names of the national formats that the decided text is of; none where it is of no known one."""
    country: str = ""
    """Country of these formats, two letters (ISO 3166); empty where they are of several, or there is none."""


class BestShot(msgspec.Struct, gc=False, frozen=True):
    """The clearest picture of a plate, cut from the very frame that was read."""

    path: str
    """Path of a JPEG in the object store."""
    time_ms: int
    box: Box


class RunMessage(RecordingMessage, frozen=True, kw_only=True):
    """What every message carries that one run of inference led to."""

    run: Run


class Track(RunMessage, frozen=True, kw_only=True):
    """``plateflow.tracks``: the observations of one plate through one recording. Long ones come in parts."""

    track: Count
    """Number of the track in its recording, from 0."""
    part: Count = 0
    of: Annotated[int, msgspec.Meta(ge=1)] = 1
    start_ms: int
    """Start of the recording."""
    frame_width: int
    frame_height: int
    reading: Reading
    observations: tuple[Observation, ...]
    """In order of time; all parts together are the track."""
    label: str = "plate"
    best: BestShot | None = None


class Models(msgspec.Struct, gc=False, frozen=True):
    """Which models led to a result: name and first digits of the SHA-256 of the weights."""

    detector: str
    recogniser: str


class RecordingDone(RunMessage, frozen=True, kw_only=True):
    """``plateflow.recordings``: a finished recording, also one without plates."""

    start_ms: int
    duration_ms: int
    frames: Count
    """Sampled frames."""
    frame_width: int
    frame_height: int
    tracks: Count
    observations: Count
    models: Models
    seconds: float
    """Wall seconds that the processing took."""


class GroundPosition(msgspec.Struct, gc=False, frozen=True):
    """Where on the plan a sighting was."""

    x: float
    y: float
    version: str
    """Version of the homography."""


class Plate(RunMessage, frozen=True, kw_only=True):
    """``plateflow.plates``: a sighting, that is an observation that survived deduplication."""

    track_id: str
    passage_id: str
    time_ms: int
    plate: str
    raw: str
    confidence: Probability
    box: Box
    center: Point
    frame_width: int
    frame_height: int
    detection: Probability
    ground: GroundPosition | None = None
    """None where the camera has no homography or the point lies beyond its plan."""
    off_plan: bool = False
    """The camera has a homography, but this point lies beyond the horizon or off the plan."""
    label: str = "plate"
    best: BestShot | None = None
    country: str = ""
    """As in the track's reading."""


class Passage(RunMessage, frozen=True, kw_only=True):
    """``plateflow.passages``: one vehicle passing one camera, as far as one recording shows it."""

    track_id: str
    plate: str
    raw: str
    confidence: Probability
    confidences: tuple[Probability, ...]
    first_seen_ms: int
    last_seen_ms: int
    observations: Count
    sightings: Count
    first_box: Box
    last_box: Box
    direction: str | None = None
    """``approaching``, ``receding`` or ``standing``."""
    heading_deg: float | None = None
    """On the plan, clockwise from its -y ("up") axis; only with a homography."""
    speed_mps: float | None = None
    """Only where the camera says how many metres a plan unit has."""
    continues: str | None = None
    """Id of the passage of the same vehicle in another recording, or earlier in this one, that this one prolongs."""
    label: str = "plate"
    best: BestShot | None = None
    country: str = ""
    """As in the track's reading."""


class DeadLetter(Message, frozen=True, kw_only=True):
    """``plateflow.deadletter``: a message given up on, with all that a person needs to judge and replay it."""

    stage: str
    reason: str
    """One of a small fixed set, kebab-case; also a metric label."""
    detail: str
    """What happened and what to do, in a sentence. Never a secret, never a plate."""
    origin: Run
    attempts: int
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    value: bytes | None = None
    """The original bytes (base64 in JSON), secret values masked."""
