"""Vault's messages and file names: every public example, every generation, and anything at all."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.identity import recording_id
from services.contracts.kerberos import (
    BadEvent,
    Generation,
    parse_event,
    parse_key,
    recording_start_ms,
    starts_like_mp4,
)

METADATA = {
    "capture": "IPCamera",
    "uploadtime": "1606164482",
    "event-token": "0",
    "event-microseconds": "0",
    "event-numberofchanges": "51",
    "event-instancename": "BackLeft",
    "event-timestamp": "1606164482",
    "publickey": "made-up",
    "event-regioncoordinates": "229-153-288-247",
    "productid": "made-up-device",
}
FORM_A = {
    "date": 1606164482,
    "source": "gcp-europe-west1",
    "provider": "kstorage",
    "events": ["monitor", "sequence", "analysis", "throttler", "notification"],
    "payload": {
        "key": "someuser/1606164482_6-818812_BackLeft_229-153-288-247_51_745.mp4",
        "fileSize": 305956,
        "metadata": METADATA,
    },
}
FORM_B = {
    "provider": "kstorage",
    "source": "storj",
    "request": "persist",
    "payload": {
        "is_fragmented": False,
        "bytes_ranges": "",
        "bytes_range_on_time": None,
        "fileSize": 6189104,
        "key": "youruser/1630567591_6-967003_highway4_200-200-400-400_24_769.mp4",
        "metadata": {
            "productid": "made-up-device",
            "event-timestamp": "1630567591",
            "publickey": "made-up",
            "event-instancename": "highway4",
            "capture": "IPCamera",
            "event-microseconds": "0",
            "uploadtime": "1630567591",
            "event-regioncoordinates": "200-200-400-400",
            "event-token": "0",
            "event-numberofchanges": "24",
        },
    },
    "events": ["monitor", "sequence", "analysis", "throttler", "notification"],
    "date": 1630567591,
}
FORM_C = {
    "request": "persist",
    "operation": "event",
    "events": ["monitor", "sequence"],
    "provider": "kstorage",
    "source": "minio",
    "date": 1776427171,
    "traceId": "0af7651916cd43dd8448eb211c80319c",
    "payload": {
        "timestamp": 1776427171,
        "key": "account-a/1776427171_1-1_frontdoor_402-263-805-680_801_29960.mp4",
        "fileSize": 2150000,
        "duration": "29960",
        "signedUrl": "https://storage.example/clip?X-Amz-Signature=made-up",
        "is_fragmented": True,
        "bytes_ranges": "",
        "bytes_range_on_time": None,
        "metadata": {
            "event-timestamp": "1776427171",
            "duration": "29960",
            "event-numberofchanges": "801",
            "uploadtime": "1776427171",
            "productid": "frontdoor-key",
            "event-instancename": "frontdoor",
            "event-regioncoordinates": "402-263-805-680",
            "fps": "25",
        },
    },
}
MACHINERY, AGENT, AGENT_MS = Generation.MACHINERY, Generation.AGENT, Generation.AGENT_MS
NAMES = [
    # key, generation, camera part, start, duration
    ("u/1606164482_6-818812_BackLeft_229-153-288-247_51_745.mp4", MACHINERY, "BackLeft", 1606164482818, None),
    ("u/1606164579_6-427681_side_200-200-400-400_24_551.mp4", MACHINERY, "side", 1606164579427, None),
    ("u/1606212932_4-2705_desk_264-26-488-166_98_614.mp4", MACHINERY, "desk", 1606212932002, None),
    ("u/1630567591_6-967003_highway4_200-200-400-400_24_769.mp4", AGENT, "highway4", 1630567591000, None),
    ("u/1776427171_1-1_frontdoor_402-263-805-680_801_29960.mp4", AGENT_MS, "frontdoor", 1776427171001, 29960),
    ("u/1785934709_3-414_camera_1-2-3-4_57_20452.mp4", AGENT_MS, "camera", 1785934709414, 20452),
    ("u/1785934709_1-0_camera_0-0-0-0_-1_31500.mp4", AGENT_MS, "camera", 1785934709000, 31500),
    # names of cameras with underscores, at their ends too, and in any script
    ("u/1785934709_3-474_north_gate_2_1-2-3-4_57_20452.mp4", AGENT_MS, "north_gate_2", 1785934709474, 20452),
    ("u/1785934709_3-474__gate__1-2-3-4_57_20452.mp4", AGENT_MS, "_gate_", 1785934709474, 20452),
    ("u/1785934709_3-474_въезд № 1_1-2-3-4_57_20452.mp4", AGENT_MS, "въезд № 1", 1785934709474, 20452),
    # a camera that is called like a region
    ("u/1785934709_3-474_1-2-3-4_1-2-3-4_57_20452.mp4", AGENT_MS, "1-2-3-4", 1785934709474, 20452),
    # what an agent leaves behind that got no video: a trailing underscore, no duration
    ("u/1785934709_3-414_camera_0-0-0-0_0_0_.mp4", AGENT_MS, "camera", 1785934709414, None),
    ("u/1785934709_3-414_camera_1-2-3-4_57_0.mp4", AGENT_MS, "camera", 1785934709414, None),
    # milliseconds where seconds are usual, and a fraction that is none
    ("u/1785934709414_3-414_camera_1-2-3-4_57_20452.mp4", AGENT_MS, "camera", 1785934709414, 20452),
    ("u/1785934709_3-4140_camera_1-2-3-4_57_20452.mp4", AGENT_MS, "camera", 1785934709000, 20452),
]


@pytest.mark.parametrize(("key", "generation", "camera", "start_ms", "duration_ms"), NAMES)
def test_every_generation_of_file_names_is_understood(
    key: str, generation: Generation, camera: str, start_ms: int, duration_ms: int | None
) -> None:
    parsed = parse_key(key)

    assert (parsed.directory, parsed.generation, parsed.camera_part) == ("u", generation, camera)
    assert (parsed.start_ms, parsed.duration_ms, parsed.derived) == (start_ms, duration_ms, None)


@pytest.mark.parametrize("suffix", ["thumbnail.jpg", "sprite.jpg", "redacted.mp4"])
def test_derived_objects_are_recognised(suffix: str) -> None:
    parsed = parse_key(f"u/1785934709_3-414_camera_1-2-3-4_57_20452_{suffix}")

    assert parsed.derived == suffix.partition(".")[0]


def test_a_camera_called_redacted_is_a_camera() -> None:
    parsed = parse_key("u/1785934709_3-414_redacted_1-2-3-4_57_20452.mp4")

    assert (parsed.derived, parsed.camera_part) == (None, "redacted")


@pytest.mark.parametrize(
    "key",
    [
        "../1_1-1_gate_0-0-0-0_0_0.mp4",
        "u/../../etc/passwd",
        "u/./clip.mp4",
        "u/ .. /clip.mp4",
        "/u/clip.mp4",
        "u//clip.mp4",
        "u/",
        "u\\..\\clip.mp4",
        "u/clip\0.mp4",
        "u/clip.mp4\r\nX-Kerberos-Storage-Provider: other",
        "u/\u2028clip.mp4",
        f"u/{'ж' * 600}.mp4",
    ],
)
def test_a_key_that_could_leave_its_folder_is_refused(key: str) -> None:
    with pytest.raises(BadEvent) as caught:
        parse_key(key)

    assert caught.value.reason == "unsafe-key"


@pytest.mark.parametrize(
    ("message", "camera", "start_ms", "request_kind", "source"),
    [
        (FORM_A, "someuser/BackLeft", 1606164482818, None, "gcp-europe-west1"),
        (FORM_B, "youruser/highway4", 1630567591000, "persist", "storj"),
        (FORM_C, "account-a/frontdoor", 1776427171001, "persist", "minio"),
    ],
)
def test_the_forms_a_b_and_c_are_understood(
    message: Any, camera: str, start_ms: int, request_kind: str | None, source: str
) -> None:
    event = parse_event(json.dumps(message).encode())

    assert (event.camera, recording_start_ms(event)) == (camera, start_ms)
    assert (event.request, event.source) == (request_kind, source)
    assert event.file_size == message["payload"]["fileSize"]
    assert event.product_id == message["payload"]["metadata"]["productid"]


def test_form_c_carries_trace_and_signed_url() -> None:
    event = parse_event(json.dumps(FORM_C).encode())

    assert event.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert event.signed_url == "https://storage.example/clip?X-Amz-Signature=made-up"
    assert event.operation == "event"


def test_secrets_of_an_event_are_not_in_its_text() -> None:
    data = {"storage_uri": "https://hidden", "storage_access_key": "hidden", "storage_secret": "hidden"}
    event = parse_event(json.dumps({**FORM_C, "data": data}).encode())

    assert event.override is not None
    assert (event.override.uri, event.override.secret) == ("https://hidden", "hidden")
    assert "hidden" not in repr(event)
    assert "made-up" not in repr(event)


def test_results_of_other_services_in_data_are_no_override() -> None:
    labels: list[Any] = [{"labels": [["car"]]}, [1, 2], "done", None]
    events = [parse_event(json.dumps({**FORM_B, "data": data}).encode()) for data in labels]

    assert [event.override for event in events] == [None] * 4


@given(
    seconds=st.sampled_from([1785934709, "1785934709", 1785934709.0]),
    size=st.sampled_from([None, "", 12, "12", 12.0]),
    trace=st.sampled_from([None, 7, "7"]),
)
def test_numbers_may_be_numbers_or_strings_or_null(seconds: Any, size: Any, trace: Any) -> None:
    payload = {"key": "u/clip.mp4", "fileSize": size, "metadata": {"event-timestamp": seconds}}
    event = parse_event(json.dumps({"payload": payload, "traceId": trace, "new": {"field": []}}).encode())

    assert recording_start_ms(event) == 1785934709000
    assert event.file_size == (None if size in (None, "") else 12)
    assert event.trace_id == (None if trace is None else "7")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payload": []}, "payload"),
        ({"payload": {"key": ["u/clip.mp4"]}}, "payload.key"),
        ({"payload": {"key": True}}, "payload.key"),
        ({"payload": {"key": "u/clip.mp4", "fileSize": "big"}}, "payload.fileSize"),
        ({"payload": {"key": "u/clip.mp4", "metadata": "none"}}, "payload.metadata"),
        ({"payload": {"key": "u/clip.mp4", "metadata": {"event-timestamp": {}}}}, "event-timestamp"),
        ({"payload": {"key": "u/clip.mp4", "metadata": {"event-timestamp": -5}}}, "event-timestamp"),
        ({"date": 10**18}, "date"),
        ({"traceId": {}}, "traceId"),
        ({"data": {"storage_secret": ["hunter2"]}}, "data.storage_secret"),
    ],
)
def test_a_value_of_a_wrong_kind_is_an_error_that_names_its_field(change: Any, field: str) -> None:
    with pytest.raises(BadEvent, match=field) as caught:
        parse_event(json.dumps({**FORM_B, **change}).encode())

    assert caught.value.reason == "bad-event"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "bad-json"),
        (b"", "bad-json"),
        (b"{", "bad-json"),
        (b"{'a': None}", "bad-json"),
        (b'"\xff"', "bad-json"),
        (b"[" * 100_000, "bad-json"),
        (b"[]", "bad-event"),
        (b"7", "bad-event"),
        (b"null", "bad-event"),
        (b"{}", "missing-key"),
        (b'{"payload": null}', "missing-key"),
        (b'{"payload": {"key": ""}}', "missing-key"),
        (b'{"payload": {"key": "u/../clip.mp4"}}', "unsafe-key"),
    ],
)
def test_what_is_no_event_has_one_clear_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(BadEvent) as caught:
        parse_event(value)

    assert caught.value.reason == reason


def test_metadata_answers_only_where_the_key_does_not() -> None:
    other = {"event-timestamp": "1700000000", "event-instancename": "elsewhere"}
    telling = parse_event(_event("u/1785934709_3-414_gate_1-2-3-4_57_20452.mp4", metadata=other))
    silent = parse_event(_event("u/clip.mp4", metadata=other))

    assert (telling.camera, recording_start_ms(telling)) == ("u/gate", 1785934709414)
    assert (silent.camera, recording_start_ms(silent)) == ("u/elsewhere", 1700000000000)


@pytest.mark.parametrize(
    ("event", "start_ms"),
    [
        ({"payload": {"key": "u/1785934709-gate.mp4", "timestamp": 1}}, 1785934709000),
        ({"payload": {"key": "u/clip.mp4", "timestamp": 1700000001}, "date": 5}, 1700000001000),
        ({"payload": {"key": "u/clip.mp4"}, "date": "1700000002"}, 1700000002000),
        ({"payload": {"key": "u/clip.mp4"}, "date": 1700000002123}, 1700000002123),
    ],
)
def test_the_start_is_looked_for_in_the_name_the_payload_and_the_date(event: Any, start_ms: int) -> None:
    assert recording_start_ms(parse_event(json.dumps(event).encode())) == start_ms


def test_a_recording_whose_start_nothing_says_is_refused() -> None:
    with pytest.raises(BadEvent) as caught:
        recording_start_ms(parse_event(_event("u/clip.mp4", metadata={"event-timestamp": "0"})))

    assert caught.value.reason == "no-start"


@pytest.mark.parametrize(
    ("key", "metadata", "camera"),
    [
        ("clip.mp4", {"productid": "device-7"}, "device-7"),
        ("a/b/clip.mp4", {}, "a/b"),
        ("clip.mp4", {}, "unknown"),
        ("a/b/1785934709_3-414_gate_1-2-3-4_57_20452.mp4", {}, "a/b/gate"),
    ],
)
def test_a_camera_always_has_a_name(key: str, metadata: dict[str, str], camera: str) -> None:
    assert parse_event(_event(key, metadata=metadata)).camera == camera


def test_the_same_recording_forwarded_by_another_vault_is_the_same_recording() -> None:
    here = parse_event(json.dumps({**FORM_B, "source": "minio"}).encode())
    there = parse_event(json.dumps({**FORM_B, "source": "storj"}).encode())

    assert recording_id(here.key.key) == recording_id(there.key.key)
    assert (here.camera, recording_start_ms(here)) == (there.camera, recording_start_ms(there))


def test_without_a_source_the_provider_names_it() -> None:
    assert parse_event(b'{"payload": {"key": "u/clip.mp4"}, "provider": "p"}').source == "p"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("key", "fileSize", "timestamp", "signedUrl")
EVENT = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("source", "request", "date", "traceId", "data", "provider"), JSON),
        "payload": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                **dict.fromkeys(FIELDS, JSON),
                "metadata": JSON | st.dictionaries(st.sampled_from(sorted(METADATA)), JSON),
            },
        ),
    },
)


@given(EVENT | JSON)
def test_any_json_is_an_event_or_one_kind_of_error(value: Any) -> None:
    try:
        event = parse_event(json.dumps(value).encode())
        assert recording_start_ms(event) > 0
        assert event.camera
    except BadEvent as error:
        assert error.reason in ("bad-json", "bad-event", "missing-key", "unsafe-key", "no-start")


@given(st.binary())
def test_any_bytes_are_an_event_or_one_kind_of_error(value: bytes) -> None:
    with suppress(BadEvent):
        parse_event(value)


@given(st.text())
def test_any_text_is_a_safe_key_or_an_error(key: str) -> None:
    try:
        parsed = parse_key(key)
    except BadEvent:
        return
    parts = parsed.key.split("/")
    assert ".." not in parts
    assert all(parts)
    assert key == "/".join(part for part in (parsed.directory, parts[-1]) if part)


CAMERAS = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="/\\"), min_size=1)


@given(
    camera=CAMERAS,
    seconds=st.integers(1, 10**10),
    milliseconds=st.integers(0, 999),
    region=st.tuples(*[st.integers(0, 4000)] * 4),
    changes=st.integers(-1, 10**6),
    duration=st.integers(1, 10**6),
)
def test_what_an_agent_writes_into_a_name_is_read_back(
    camera: str, seconds: int, milliseconds: int, region: tuple[int, ...], changes: int, duration: int
) -> None:
    fraction = f"{len(str(milliseconds))}-{milliseconds}"
    name = f"{seconds}_{fraction}_{camera}_{'-'.join(map(str, region))}_{changes}_{duration}.mp4"
    parsed = parse_key(f"account/{name}")

    assert (parsed.camera_part, parsed.start_ms) == (camera, seconds * 1000 + milliseconds)
    assert parsed.duration_ms == duration


def test_the_first_bytes_tell_a_video() -> None:
    assert starts_like_mp4(b"\0\0\0\x18ftypisom")
    assert not starts_like_mp4(b"<!doctype html>")
    assert not starts_like_mp4(b"Salted__12345678")
    assert not starts_like_mp4(b"")


def _event(key: str, **payload: Any) -> bytes:
    return json.dumps({"source": "minio", "payload": {"key": key, **payload}}).encode()
