"""Secret values never survive masking, wherever they stand; everything else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.runtime.masking import MASK, mask, mask_text, mask_value, without_masked

SECRET_NAMES = [
    "publickey",
    "signedUrl",
    "signed_url",
    "secret",
    "secret_key",
    "storage_secret",
    "storage_access_key",
    "storage_uri",
    "accessKey",
    "access_key",
    "password",
    "Authorization",
    "X-Kerberos-Storage-SecretAccessKey",
    "X-Kerberos-Storage-AccessKey",
    "X-Kerberos-Storage-CloudKey",
    "auth_token",
    "serviceKey",
    "monitorStage",
]
KEPT = {"key": "front/1_3-474_gate_0-0-0-0_-1_2000.mp4", "event-token": "0", "productid": "camera-7", "fileSize": 9}

MARK = "Zq7"
secrets = st.text(max_size=20).map(lambda text: MARK + text + MARK)
plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(alphabet="абвxyz _-", max_size=9)
)
names = st.sampled_from(["key", "payload", "metadata", "data", "fileName", "duration"])


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(st.one_of(inner, plain), min_size=1, max_size=3) | st.dictionaries(names, inner, min_size=1)
        ),
        max_leaves=4,
    )


with_secret = nested(st.builds(lambda name, secret: {name: secret} | KEPT, st.sampled_from(SECRET_NAMES), secrets))
without_secret = nested(plain | st.just(KEPT))


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
@example(b'"\\ud800"')
@example(b"\xff\xfe{\x00")
def test_masking_never_raises(data: bytes) -> None:
    assert isinstance(mask(data), bytes)


@pytest.mark.parametrize("piece", [b"[", b'{"a":', b"9"])
def test_json_too_deep_or_too_long_for_the_parser_is_masked_by_pattern(piece: bytes) -> None:
    data = piece * 20_000 + b' "secret": "Zq7" '

    assert b"Zq7" not in mask(data)


@settings(deadline=None)
@given(without_secret, st.booleans(), st.sampled_from([None, 2]))
def test_bytes_without_secrets_stay_exactly_as_they_were(document: Any, escaped: bool, indent: int | None) -> None:
    data = json.dumps(document, ensure_ascii=escaped, indent=indent).encode()

    assert mask(data) == data


@settings(deadline=None)
@given(with_secret, st.booleans())
def test_a_secret_at_any_depth_never_survives(document: Any, escaped: bool) -> None:
    masked = mask(json.dumps(document, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))

    assert MARK.encode() not in masked
    json.loads(masked)


@settings(deadline=None)
@given(with_secret, st.data())
def test_a_secret_does_not_survive_in_json_that_was_cut_off(document: Any, data: st.DataObject) -> None:
    whole = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    cut = data.draw(st.integers(0, len(whole)))

    assert MARK.encode() not in mask(whole[:cut])


@settings(deadline=None)
@given(with_secret)
def test_a_secret_does_not_survive_in_json_inside_a_string(document: Any) -> None:
    masked = mask(json.dumps({"data": json.dumps(document)}).encode())

    assert MARK.encode() not in masked
    json.loads(json.loads(masked)["data"])


@settings(deadline=None)
@given(with_secret, st.data())
def test_a_secret_does_not_survive_in_a_cut_off_string_of_json(document: Any, data: st.DataObject) -> None:
    inner = json.dumps(document)
    cut = inner[: data.draw(st.integers(0, len(inner)))]
    outer = json.dumps({"data": cut}).encode()

    assert MARK.encode() not in mask(outer)
    assert MARK.encode() not in mask(outer[:-2])


@settings(deadline=None)
@given(with_secret)
def test_masking_twice_changes_nothing_more(document: Any) -> None:
    once = mask(json.dumps(document).encode())

    assert mask(once) == once


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_masked_member_can_be_taken_out_and_the_rest_stays(name: str) -> None:
    document = {"payload": [KEPT, {name: "made-up", "note": MASK}], name: {"made": "up"}}
    assert json.loads(without_masked(mask(json.dumps(document).encode()))) == {"payload": [KEPT, {"note": MASK}]}


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode) | without_secret.map(lambda document: json.dumps(document).encode()))
@example(b'{"a":"***"')
@example(b"[" * 100_000 + b'"***"')
def test_taking_out_never_raises_and_leaves_alone_what_holds_nothing_masked(data: bytes) -> None:
    assert without_masked(data) == data


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_what_stands_beside_a_secret_is_kept(name: str) -> None:
    masked = json.loads(mask(json.dumps({"payload": {name: "made-up", **KEPT}}).encode()))

    assert masked == {"payload": {name: MASK, **KEPT}}


def test_a_name_given_twice_hides_nothing() -> None:
    masked = mask(b'{"publickey":"made-up","publickey":null,"key":"a/b.mp4"}')

    assert b"made-up" not in masked
    assert b"a/b.mp4" in masked


def test_values_that_are_no_text_are_masked_too() -> None:
    assert mask_value({"secret": 12345, "token": ["a"], "password": {"x": 1}}) == {
        "secret": MASK,
        "token": MASK,
        "password": MASK,
    }


def test_an_absent_secret_is_shown_as_absent() -> None:
    data = b'{"signedUrl": "", "publickey": null}'

    assert mask(data) == data
    assert mask(data[:-1]) == data[:-1]


def test_the_query_of_a_signed_url_goes_and_its_place_stays() -> None:
    url = "https://storage.example/bucket/a/b.mp4?X-Amz-Credential=made-up&X-Amz-Signature=0123abc"

    assert mask_text(f"GET {url} answered 403") == "GET https://storage.example/bucket/a/b.mp4?*** answered 403"
    assert mask(json.dumps({"fileName": url}).encode()) == b'{"fileName":"https://storage.example/bucket/a/b.mp4?***"}'


def test_a_signed_url_whose_ampersands_are_escaped_is_masked_whole() -> None:
    cut = b'{"url":"https:\\/\\/s.example\\/a.mp4?a=1\\u0026X-Amz-Signature=Zq7\\u0026b=2'

    assert b"Zq7" not in mask(cut)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:Zq7pass@vault.example/api",
        "sasl.password=Zq7pass",
        "Authorization: Bearer Zq7.abc.def",
        "{u'publickey': u'Zq7 with spaces', u'key': u'a'}",
        "publickey: 'Zq7 with spaces'",
        "X-Amz-Signature=Zq7&x=1",
        'secret="Zq7 \\"quoted\\" tail-Zq7"',
        "account for access_key=Zq7 was not found",
    ],
)
def test_secrets_in_free_text_are_masked(text: str) -> None:
    assert MARK not in mask_text(text)
    assert MARK.encode() not in mask(text.encode())


def test_a_real_event_of_the_2020_form_loses_only_its_public_key() -> None:
    event = {
        "date": 1606164482,
        "source": "gcp-europe-west1",
        "provider": "kstorage",
        "events": ["monitor", "sequence"],
        "payload": {
            "key": "fleet/1606164482_6-818812_gate_229-153-288-247_51_745.mp4",
            "fileSize": 305956,
            "metadata": {"capture": "IPCamera", "event-token": "0", "publickey": "made-up", "productid": "camera-7"},
        },
    }
    masked = json.loads(mask(json.dumps(event).encode()))

    assert masked["payload"]["metadata"].pop("publickey") == MASK
    event["payload"]["metadata"].pop("publickey")  # type: ignore[index]
    assert masked == event


@pytest.mark.parametrize(
    "piece", [b"secret ", b"://", b"secret\\", b"token: ", b"storage_", b"://a:", b'secret"', b"a"]
)
def test_a_megabyte_of_anything_is_masked_at_once(piece: bytes) -> None:
    """The test's time limit is the assertion: a pattern that goes back and forth would take hours."""
    assert mask(piece * (1_000_000 // len(piece)))
