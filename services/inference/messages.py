"""From a result to messages: a clip message, its run and a `RecordingResult` in, what is published out.
Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.contracts.cloudevents import cloud_event_headers, rfc3339
from services.contracts.codec import encode
from services.contracts.identity import done_id, part_id, passage_id
from services.contracts.messages import BestShot, Clip, Models, Observation, RecordingDone, Run, Track
from services.contracts.topics import Topics
from services.inference.result import RecordingResult, TrackResult
from services.runtime.ports import Outgoing

PART = 2000
"""Observations in one message at most, so that none nears Kafka's limit of 1 MB."""


def best_shot_path(clip: Clip, track: TrackResult) -> str:
    """Path in the object store: by the day of the recording, under the id of the passage."""
    return f"bestshots/{rfc3339(clip.start_ms)[:10]}/{passage_id(clip.results, clip.recording_id, track.number)}.jpg"


def outgoing(clip: Clip, run: Run, result: RecordingResult, models: Models, topics: Topics) -> list[Outgoing]:
    """All that one clip leads to, tracks first, in one order."""
    messages = [
        Outgoing(topics.tracks, encode(part), clip.camera.encode())
        for track in result.tracks
        for part in track_parts(clip, run, result, track)
    ]
    done = recording_done(clip, run, result, models)
    headers = cloud_event_headers(done, "recording", clip.start_ms)
    return [*messages, Outgoing(topics.recordings, encode(done), clip.camera.encode(), headers)]


def track_parts(clip: Clip, run: Run, result: RecordingResult, track: TrackResult) -> Iterator[Track]:
    """The messages of one track: its observations cut into pieces of PART, all else in each."""
    pieces = _pieces(track.observations)
    for part, observations in enumerate(pieces):
        yield Track(
            id=part_id(clip.results, clip.recording_id, track.number, part),
            trace_id=clip.trace_id,
            results=clip.results,
            recording_id=clip.recording_id,
            camera=clip.camera,
            key=clip.key,
            run=run,
            track=track.number,
            part=part,
            of=len(pieces),
            start_ms=clip.start_ms,
            frame_width=result.width,
            frame_height=result.height,
            reading=track.reading,
            observations=observations,
            label=track.label,
            best=BestShot(best_shot_path(clip, track), track.best.time_ms, track.best.box),
        )


def recording_done(clip: Clip, run: Run, result: RecordingResult, models: Models) -> RecordingDone:
    return RecordingDone(
        id=done_id(clip.results, clip.recording_id),
        trace_id=clip.trace_id,
        results=clip.results,
        recording_id=clip.recording_id,
        camera=clip.camera,
        key=clip.key,
        run=run,
        start_ms=clip.start_ms,
        duration_ms=result.duration_ms,
        frames=result.frames,
        frame_width=result.width,
        frame_height=result.height,
        tracks=len(result.tracks),
        observations=result.observations,
        models=models,
        seconds=result.seconds["total"],
    )


def _pieces(observations: Sequence[Observation]) -> list[tuple[Observation, ...]]:
    return [tuple(observations[start : start + PART]) for start in range(0, len(observations), PART)]
