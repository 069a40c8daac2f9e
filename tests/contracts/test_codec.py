"""Messages to bytes and back: nothing is lost, new fields are tolerated, errors name the field."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.cloudevents import rfc3339
from services.contracts.codec import BadMessage, decode, encode
from services.contracts.messages import (
    SCHEMA,
    BestShot,
    Clip,
    DeadLetter,
    GroundPosition,
    Message,
    Models,
    Observation,
    Passage,
    Plate,
    Reading,
    RecordingDone,
    Run,
    Track,
)

RECORDING = {"results": 1, "recording_id": "r", "camera": "yard/gate", "key": "yard/clip.mp4", "trace_id": "t"}
RUN = {**RECORDING, "run": Run("plateflow.clips", 3, 41)}
BEST = BestShot("shots/p.jpg", 1200, (1.0, 2.0, 30.0, 10.0))
QUAD = ((1.0, 2.0), (31.0, 2.0), (31.0, 12.0), (1.0, 12.0))
OBSERVATION = Observation(1200, 4, (1.0, 2.0, 30.0, 10.0), 0.9, "A123BC77", (0.5,) * 8, QUAD)
EXAMPLES: list[Message] = [
    Clip(id="c", source="minio", start_ms=1000, path="d/r.mp4", size=5, sha256="0" * 64, **RECORDING),  # type: ignore[arg-type]
    Track(
        id="t",
        track=0,
        start_ms=1000,
        frame_width=1920,
        frame_height=1080,
        reading=Reading("A123BC7#", "A123BC77", 0.8, (0.8,) * 8),
        observations=(OBSERVATION,),
        best=BEST,
        **RUN,  # type: ignore[arg-type]
    ),
    RecordingDone(
        id="d",
        start_ms=1000,
        duration_ms=30_000,
        frames=450,
        frame_width=1920,
        frame_height=1080,
        tracks=0,
        observations=0,
        models=Models("plate-1:ab", "text-1:cd"),
        seconds=2.5,
        **RUN,  # type: ignore[arg-type]
    ),
    Plate(
        id="p",
        track_id="t",
        passage_id="pa",
        time_ms=1200,
        plate="A123BC77",
        raw="A123BC77",
        confidence=0.8,
        box=(1.0, 2.0, 30.0, 10.0),
        center=(16.0, 7.0),
        frame_width=1920,
        frame_height=1080,
        detection=0.9,
        ground=GroundPosition(1.5, -2.0, "v1"),
        best=BEST,
        **RUN,  # type: ignore[arg-type]
    ),
    Passage(
        id="pa",
        track_id="t",
        plate="A123BC77",
        raw="A123BC77",
        confidence=0.8,
        confidences=(0.8,) * 8,
        first_seen_ms=1200,
        last_seen_ms=2200,
        observations=14,
        sightings=5,
        first_box=(1.0, 2.0, 30.0, 10.0),
        last_box=(9.0, 2.0, 30.0, 10.0),
        direction="approaching",
        **RUN,  # type: ignore[arg-type]
    ),
    DeadLetter(
        id="dl",
        stage="ingest",
        reason="bad-json",
        detail="not JSON",
        origin=Run("vault", 0, 7),
        attempts=1,
        key=b"\xff\x00",
        headers=(("h", b"\x01"),),
        value=b"{\xff",
    ),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was_sent(message: Message) -> None:
    assert decode(encode(message), type(message)) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_fields_of_a_later_version_are_ignored(message: Message) -> None:
    later = {**json.loads(encode(message)), "added_later": {"any": ["thing"]}}

    assert decode(json.dumps(later).encode(), type(message)) == message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"camera": 7}, "camera"),
        ({"start_ms": "soon"}, "start_ms"),
        ({"start_ms": 1.5}, "start_ms"),
        ({"size": None}, "size"),
        ({"trace_id": []}, "trace_id"),
    ],
)
def test_a_wrong_type_is_an_error_that_names_the_field(change: dict[str, Any], field: str) -> None:
    wrong = {**json.loads(encode(EXAMPLES[0])), **change}

    with pytest.raises(BadMessage, match=field):
        decode(json.dumps(wrong).encode(), Clip)


def test_a_missing_field_is_an_error_that_names_it() -> None:
    poor = json.loads(encode(EXAMPLES[0]))
    del poor["sha256"]

    with pytest.raises(BadMessage, match="sha256"):
        decode(json.dumps(poor).encode(), Clip)


def test_a_wrong_type_deep_inside_is_named_by_its_path() -> None:
    track = json.loads(encode(EXAMPLES[1]))
    track["observations"][0]["detection"] = 1.5

    with pytest.raises(BadMessage, match=r"observations\[0\]\.detection"):
        decode(json.dumps(track).encode(), Track)


def test_a_message_of_a_newer_schema_is_refused_with_what_to_do() -> None:
    newer = {**json.loads(encode(EXAMPLES[0])), "schema": SCHEMA + 1}

    with pytest.raises(BadMessage, match="upgrade plateflow"):
        decode(json.dumps(newer).encode(), Clip)


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"null", b'"\xff"', b"\xff\xfe"])
def test_what_is_no_message_is_one_kind_of_error(data: bytes | None) -> None:
    with pytest.raises(BadMessage, match="Clip"):
        decode(data, Clip)


@given(st.binary())
def test_any_bytes_decode_or_raise_one_kind_of_error(data: bytes) -> None:
    for message in EXAMPLES:
        with suppress(BadMessage):
            decode(data, type(message))


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(BadMessage):
        decode(b'{"unknown":' + b"[" * 100_000, Clip)


@given(st.floats(0, 1), st.text(max_size=12), st.integers(0, 2**53))
def test_observations_survive_the_journey(confidence: float, text: str, time_ms: int) -> None:
    observation = msgspec.structs.replace(
        OBSERVATION, time_ms=time_ms, detection=confidence, text=text, confidences=(confidence,) * len(text)
    )
    track = msgspec.structs.replace(EXAMPLES[1], observations=(observation,))

    assert decode(encode(track), Track) == track


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_is_written_as_rfc_3339_and_read_back_is_itself(time_ms: int) -> None:
    text = rfc3339(time_ms)

    assert text.endswith("Z") and len(text) == len("2026-01-31T12:00:00.250Z")
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    assert since == timedelta(milliseconds=time_ms)
