"""Builders of tracks and logs for the aggregator's tests; every plate is made up."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts import identity
from services.contracts.codec import encode
from services.contracts.messages import Box, Observation, Reading, Run, Track
from services.runtime.ports import Partition, Record

HOUR_MS = 3_600_000
NOON_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
"""Start of an hour."""
TRACKS = Partition("plateflow.tracks", 0)


def track(
    times: Sequence[int],
    plate: str = "A123BC77",
    *,
    recording: str = "rec-1",
    number: int = 0,
    camera: str = "site/gate",
    start_ms: int | None = None,
    boxes: Sequence[Box] | None = None,
    run: int = 0,
    part: int = 0,
    of: int = 1,
    results: int = 1,
) -> Track:
    """A track with observations at ``times``; without ``boxes`` the plate crosses the frame to the right."""
    boxes = boxes or [(100.0 + 7 * i, 300.0, 90.0, 22.0) for i in range(len(times))]
    recording_id = identity.recording_id(recording)
    return Track(
        id=identity.part_id(results, recording_id, number, part),
        results=results,
        recording_id=recording_id,
        camera=camera,
        key=f"{camera}/{recording}.mp4",
        run=Run("plateflow.clips", 0, run),
        track=number,
        part=part,
        of=of,
        start_ms=start_ms if start_ms is not None else min(times),
        frame_width=1280,
        frame_height=720,
        reading=Reading(plate, plate, 0.93, (0.9,) * len(plate)),
        observations=tuple(
            Observation(time_ms, i, box, 0.8, plate) for i, (time_ms, box) in enumerate(zip(times, boxes, strict=True))
        ),
    )


def record(offset: int, message: Track, partition: Partition = TRACKS) -> Record:
    return Record(partition, offset, encode(message), message.camera.encode())
