"""What the aggregator does with a `Track`: sightings and passages to publish; heatmaps and sightings into
files.

In: records of ``plateflow.tracks``. Out: messages for ``plateflow.plates`` and ``plateflow.passages``, key =
camera, with CloudEvents headers; files by way of `PartitionState`. Rejects what is no track. All methods are
called in one thread.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from prometheus_client import Counter

from services.aggregator import checkpoint as checkpoints
from services.aggregator.cameras import Cameras
from services.aggregator.checkpoint import Checkpoint
from services.aggregator.core.aggregate import Result
from services.aggregator.files import Claim, Files
from services.aggregator.hours import SESSION, session
from services.aggregator.partition import PartitionState, files_usable
from services.aggregator.tables import Origin, encoded
from services.contracts.cloudevents import cloud_event_headers
from services.contracts.codec import BadMessage, decode, encode
from services.contracts.messages import Track
from services.contracts.topics import Topics
from services.runtime import metric_labels, metrics, tracing
from services.runtime.errors import Reject, Stop
from services.runtime.ports import Outgoing, Partition, Record

log = logging.getLogger(__name__)

EMBEDDED = "mockCluster"
"""Begins the id of librdkafka's mock cluster."""
LATEST_MS = 253_402_300_800_000
"""Year 10000: a later time has no date."""
LONGEST_NAME = 240
"""Bytes of a camera's name as a folder's name."""
FAR = 1e9
"""More pixels than any frame has."""


class LogIdentity(Protocol):
    """Which log this is, so that offsets of another are never taken for ours."""

    @property
    def cluster_id(self) -> str:
        """Empty, or beginning with `EMBEDDED`, where the log dies with its broker."""
        ...

    def topic_id(self, topic: str) -> str: ...

    def partitions(self, topic: str) -> int: ...


class AggregatorHandler:
    """A `StatefulHandler`."""

    def __init__(
        self,
        files: Files,
        cameras: Cameras,
        identity: LogIdentity,
        topics: Topics,
        flush_s: float = 30.0,
        former_partitions: int | None = None,
    ) -> None:
        """``former_partitions``: a number of partitions to go on with although the topic has another, to finish."""
        self._files, self._cameras, self._identity = files, cameras, identity
        self._topics, self._flush_s, self._former = topics, flush_s, former_partitions
        self._session = f"{SESSION}{uuid.uuid4().hex}"
        self._states: dict[Partition, PartitionState] = {}

    # Records

    def handle(self, record: Record) -> Sequence[Outgoing]:
        state = self._states.get(record.partition)
        if state is None or record.offset < state.position:
            raise Stop(f"offset {record.offset} came out of turn: start again, the state is then restored")
        try:
            track = _track(record.value)
            tracing.about(track.recording_id, track.camera, track.trace_id, track.start_ms)
            with tracing.span("aggregate"):
                result = state.handle(record.offset, track)
        finally:
            state.position = record.offset + 1  # a rejected one is done with, too
        if state.live(record.offset):
            _count(track, result)
            _warn(result)
        return self._outgoing(result) if result is not None else ()

    def _outgoing(self, result: Result) -> list[Outgoing]:
        plates, passages = self._topics.plates, self._topics.passages
        return [
            *(
                Outgoing(plates, encode(p), p.camera.encode(), cloud_event_headers(p, "plate", p.time_ms))
                for p in result.plates
            ),
            *(
                Outgoing(passages, encode(p), p.camera.encode(), cloud_event_headers(p, "passage", p.first_seen_ms))
                for p in result.passages
            ),
        ]

    # Partitions

    def assigned(self, partition: Partition, committed: int | None, log_start: int) -> int | None:
        with files_usable():
            claim = self._files.claim(checkpoints.name_of(partition))
            origin = self._origin(partition)
            checkpoint = checkpoints.load(self._files, partition)
            if checkpoint is not None and session(checkpoint.origin):
                checkpoint = None  # its log is gone
            if checkpoint is None:
                checkpoint = self._fresh(partition, origin, claim, log_start)
            else:
                self._check(partition, checkpoint, origin, committed, log_start)
        start = max(checkpoint.next_offset, log_start)
        checkpoint.next_offset = start
        state = PartitionState(partition, self._files, claim, checkpoint, max(committed or 0, start))
        self._states[partition] = state
        log.info(
            "partition taken",
            extra={"partition": partition.index, "from": start, "live_from": committed, "cameras": state.cameras},
        )
        return start

    def position(self, partition: Partition) -> int:
        """The next offset that an assigned partition expects."""
        return self._states[partition].position

    def revoked(self, partition: Partition, lost: bool) -> None:
        state = self._states.pop(partition, None)
        if state is not None and not lost:
            state.flush()

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        for partition, offset in offsets.items():
            if partition in self._states:
                self._states[partition].committed = offset

    def tick(self, now_s: float) -> None:
        self._cameras.poll(now_s)
        for state in self._states.values():
            state.tick(now_s, self._cameras.config, self._flush_s)
        metrics.OPEN_CAMERAS.set(sum(state.cameras for state in self._states.values()))

    def _origin(self, partition: Partition) -> Origin:
        topic = partition.topic
        cluster = self._identity.cluster_id
        if not cluster or cluster.startswith(EMBEDDED):
            return Origin(self._session, "", topic, partition.index)
        return Origin(cluster, self._identity.topic_id(topic), topic, partition.index)

    def _fresh(self, partition: Partition, origin: Origin, claim: Claim, log_start: int) -> Checkpoint:
        """No checkpoint: state is built from what the log holds, and written down before anything depends on it."""
        checkpoint = Checkpoint(
            origin=origin,
            partitions=self._identity.partitions(partition.topic),
            next_offset=log_start,
            config=self._cameras.config,
        )
        checkpoints.save(self._files, claim, partition, checkpoint)
        return checkpoint

    def _check(
        self, partition: Partition, checkpoint: Checkpoint, origin: Origin, committed: int | None, log_start: int
    ) -> None:
        """Stop where the checkpoint does not belong to this log, or the log does not reach back to it."""
        name, c = checkpoints.name_of(partition), checkpoint.next_offset
        remedy = checkpoints.remedy(partition)
        if session(origin):
            raise Stop(
                "this data folder belongs to a Kafka cluster, and the embedded broker is none: "
                "set PLATEFLOW_DATA to another folder"
            )
        if checkpoint.origin != origin:
            raise Stop(
                f"the checkpoint of {name} belongs to another cluster, or to a topic that was deleted and made again. "
                f"If the settings name the right cluster, {remedy}"
            )
        count = self._identity.partitions(partition.topic)
        if checkpoint.partitions not in (count, self._former):
            raise Stop(
                f"{partition.topic} had {checkpoint.partitions} partitions and has {count}, so cameras have moved: "
                f"{checkpoints.migration(partition.topic)}"
            )
        k = log_start if committed is None else committed
        if c > k:
            raise Stop(
                f"the group's offset of {name} ({k}) lies before the checkpoint ({c}): offsets were lost or moved "
                f"back. Set it to {c} (kafka-consumer-groups --reset-offsets --to-offset {c}), or, to publish from "
                f"{k} on again, {remedy}"
            )
        only_a_marker = c == k and log_start - c == 1  # each record takes two offsets, with its transaction's end
        if c < log_start and not only_a_marker:
            raise Stop(
                f"the log of {name} begins at {log_start}, the checkpoint needs it from {c}: {log_start - c} offsets "
                f"were deleted before they were aggregated. Raise the topic's retention; to go on without, {remedy}"
            )


def _track(value: bytes | None) -> Track:
    """The track that a message is. Reject where it is none, or has numbers that nothing can be made of."""
    try:
        track = decode(value, Track)
    except BadMessage as error:
        raise Reject("bad-message", str(error)) from error
    wrong = _wrong(track)
    if wrong:
        raise Reject("bad-track", f"{wrong}: the sender must mend it")
    return track


def _wrong(track: Track) -> str | None:
    if track.frame_width < 1 or track.frame_height < 1:
        return "frame_width and frame_height must be at least 1"
    if track.part >= track.of:
        return f"part {track.part} of {track.of} does not exist"
    if len(encoded(track.camera)) > LONGEST_NAME:
        return f"the name of the camera takes more than {LONGEST_NAME} bytes when percent-encoded"
    if not 0 <= track.start_ms < LATEST_MS:
        return "start_ms lies outside of the years 1970 to 9999"
    for observation in track.observations:
        x, y, width, height = observation.box
        if not 0 <= observation.time_ms < LATEST_MS:
            return "an observation lies outside of the years 1970 to 9999"
        if not (-FAR < x < FAR and -FAR < y < FAR and 0 <= width < FAR and 0 <= height < FAR):  # NaN is none of it
            return "a box is not in pixels (x, y, width, height)"
    return None


def _count(track: Track, result: Result | None) -> None:
    if result is None:
        metrics.LEDGER_DROPS.inc()
        return
    passages, off_plan = _of_camera(metric_labels.camera(track.camera))
    passages.inc(len(result.passages))
    metrics.OBSERVATIONS.inc(len(track.observations))
    metrics.SIGHTINGS.inc(len(result.plates))
    _NEAR.inc(result.near)
    if result.resting:
        _RESTING.inc(result.resting)
    if result.late:
        metrics.LATE.inc()
    if result.off_plan:
        beyond = sum(result.off_plan.values())
        off_plan.inc(beyond)
        metrics.OFF_PLAN.inc(beyond)
    for passage in result.passages:
        (_NEW if passage.continues is None else _CONTINUED).inc()


_NEAR, _RESTING = metrics.SUPPRESSED.labels("near"), metrics.SUPPRESSED.labels("stationary")
_NEW, _CONTINUED = metrics.PASSAGES.labels("new"), metrics.PASSAGES.labels("continued")


@lru_cache(maxsize=1024)
def _of_camera(label: str) -> tuple[Counter, Counter]:
    """Its counters of passages and of sightings off the plan; asking for a label takes longer than counting."""
    return metrics.CAMERA_PASSAGES.labels(label), metrics.CAMERA_OFF_PLAN.labels(label)


def _warn(result: Result | None) -> None:
    if result is not None and result.given_up is not None:
        log.error(
            "a track was given up, since parts of it never came: look for them on the dead-letter topic",
            extra={"recording": result.given_up.recording_id, "track": result.given_up.track, "of": result.given_up.of},
        )
