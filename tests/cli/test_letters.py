"""Which dead letters are meant, and what a replay sends. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.letters import (
    REPLAY_OF,
    Filter,
    Letter,
    Place,
    Verdict,
    chosen,
    objection,
    replayed_headers,
    replayed_value,
)
from services.contracts.codec import encode
from services.contracts.messages import DeadLetter, Run
from services.runtime.masking import mask
from services.simulator.vault_events import Arrival, Form, event
from tests.aggregator.build import NOON_MS, track
from tests.support.recordings import KEY

TRACKS = "plateflow.tracks"


def letter(number: int = 0, *, topic: str = "vault", verdict: Verdict | None = None, **change: Any) -> Letter:
    fields: dict[str, Any] = {"stage": "ingest", "reason": "gone", "value": event(Arrival(KEY, "demo", 9), Form.C)}
    message = DeadLetter(id=f"{number:02x}ff", detail="", origin=Run(topic, 0, number), attempts=1, **(fields | change))
    return Letter(message, Place(number % 2, number), NOON_MS + number, verdict)


def of_track(number: int = 0, **change: Any) -> Letter:
    value = encode(track([NOON_MS], recording=f"rec-{number}"))
    return letter(number, topic=TRACKS, stage="aggregator", key=b"site/gate", value=value, **change)


def ids(conditions: Filter, *letters: Letter) -> list[str]:
    return [one.message.id for one in chosen(letters, (), conditions)]


def test_a_letter_knows_its_camera_and_recording_by_key_by_announcement_or_not_at_all() -> None:
    unreadable = letter(value=b"\xff{")
    assert [(one.camera, one.recording) for one in (letter(), of_track(3), unreadable, letter(value=None))] == [
        ("yard/gate", KEY),
        ("site/gate", "site/gate/rec-3.mp4"),
        (None, None),
        (None, None),
    ]


def test_every_condition_that_is_given_must_hold() -> None:
    letters = [letter(1), letter(2, reason="empty"), of_track(3), of_track(4, reason="gone")]
    assert ids(Filter(), *letters) == ["01ff", "02ff", "03ff", "04ff"]
    assert ids(Filter(stage="ingest", reason="gone"), *letters) == ["01ff"]
    assert ids(Filter(camera="site/gate"), *letters[:3]) == ["03ff"]
    assert ids(Filter(recording=KEY), *letters) == ["01ff", "02ff"]
    assert ids(Filter(since=NOON_MS + 3), *letters) == ["03ff", "04ff"]
    assert ids(Filter(since=Place(1, 3)), *letters) == ["03ff"]


def test_an_id_may_be_shortened_as_long_as_it_says_which() -> None:
    letters = [letter(1), letter(2)]
    assert chosen(letters, ["02", "02ff"], Filter()) == [letters[1]]
    assert chosen(letters, ["02"], Filter(reason="empty")) == []
    with pytest.raises(LookupError, match="2 dead letters begin with '0'"):
        chosen(letters, ["0"], Filter())
    with pytest.raises(LookupError, match="no dead letter begins with '7'"):
        chosen(letters, ["7"], Filter())


def test_a_judged_letter_is_replayed_only_on_request_and_a_replayed_track_never() -> None:
    open_, replayed, discarded = letter(), letter(verdict=Verdict.REPLAYED), letter(verdict=Verdict.DISCARDED)
    assert [objection(one, False, TRACKS) is None for one in (open_, replayed, discarded)] == [True, False, False]
    assert [objection(one, True, TRACKS) is None for one in (open_, replayed, discarded)] == [True, True, True]
    counted = replace(of_track(), verdict=Verdict.REPLAYED)
    assert "count twice" in (objection(counted, True, TRACKS) or "")
    assert objection(replace(counted, verdict=Verdict.DISCARDED), True, TRACKS) is None


def test_a_replay_is_the_original_without_what_is_masked() -> None:
    original = event(Arrival(KEY, "demo", 9), Form.C, signed_url="https://vault/x?sig=made-up")
    document = json.loads(original)
    del document["payload"]["signedUrl"]
    assert json.loads(replayed_value(letter(value=mask(original))) or b"") == document
    assert replayed_value(letter(value=None)) is None


@given(st.binary(max_size=30))
def test_what_holds_nothing_masked_is_replayed_as_it_was(value: bytes) -> None:
    assert replayed_value(letter(value=value)) == value


def test_a_replay_says_of_which_letter_it_is_and_keeps_the_other_headers() -> None:
    headers = (("trace", b"7"), (REPLAY_OF, b"an earlier one"))
    assert replayed_headers(letter(5, headers=headers)) == [("trace", b"7"), (REPLAY_OF, b"05ff")]
