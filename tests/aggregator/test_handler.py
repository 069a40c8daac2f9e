"""The handler: what it publishes, what it refuses."""

from __future__ import annotations

import msgspec
import pytest

from services.aggregator.core.config import Config
from services.aggregator.handler import AggregatorHandler
from services.contracts.codec import decode, encode
from services.contracts.messages import Box, Passage, Plate, Track
from services.runtime import metrics
from services.runtime.errors import Reject
from services.runtime.ports import Record
from tests.aggregator.build import NOON_MS, TRACKS, record, track
from tests.aggregator.world import World


def handler(config: Config | None = None) -> AggregatorHandler:
    made = World([]).handler(config or Config())
    made.assigned(TRACKS, None, 0)
    return made


def test_sightings_come_before_their_passage_with_the_camera_as_key() -> None:
    outgoing = handler().handle(record(0, track([NOON_MS, NOON_MS + 200])))

    assert [out.topic for out in outgoing] == ["plateflow.plates", "plateflow.plates", "plateflow.passages"]
    assert {out.key for out in outgoing} == {b"site/gate"}
    plate, passage = decode(outgoing[1].value, Plate), decode(outgoing[2].value, Passage)
    assert plate.passage_id == passage.id
    assert plate.center == (152.0, 311.0)
    assert (passage.first_seen_ms, passage.last_seen_ms, passage.sightings) == (NOON_MS, NOON_MS + 200, 2)


def test_sightings_and_passages_carry_the_country_of_the_reading() -> None:
    seen = track([NOON_MS])
    seen = msgspec.structs.replace(seen, reading=msgspec.structs.replace(seen.reading, country="RU"))
    plate, passage = handler().handle(record(0, seen))

    assert (decode(plate.value, Plate).country, decode(passage.value, Passage).country) == ("RU", "RU")


def test_messages_carry_the_headers_of_a_cloud_event() -> None:
    plate, passage = handler().handle(record(0, track([NOON_MS + 7])))

    headers = dict(plate.headers)
    assert headers == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": decode(plate.value, Plate).id.encode(),
        "ce_source": b"/plateflow/aggregator",
        "ce_type": b"io.plateflow.plate.v1",
        "ce_subject": b"site/gate",
        "ce_time": b"2023-11-14T22:00:00.007Z",
    }
    assert dict(passage.headers)["ce_type"] == b"io.plateflow.passage.v1"


def test_what_is_no_track_is_rejected_and_the_next_is_handled() -> None:
    made = handler()
    for offset, value in enumerate([None, b"{", b"[]", b'{"id": 1}', b"\xff"]):
        with pytest.raises(Reject) as refused:
            made.handle(Record(TRACKS, offset, value))
        assert refused.value.reason == "bad-message"

    assert len(made.handle(record(5, track([NOON_MS])))) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frame_width": 0}, "frame_width"),
        ({"part": 1}, "part 1 of 1"),
        ({"camera": "я" * 60}, "240 bytes"),
        ({"start_ms": -1}, "start_ms"),
        ({"start_ms": 10**15}, "start_ms"),
    ],
)
def test_numbers_that_nothing_can_be_made_of_are_rejected(change: dict[str, object], says: str) -> None:
    with pytest.raises(Reject, match=says):
        handler().handle(record(0, msgspec.structs.replace(track([NOON_MS]), **change)))


@pytest.mark.parametrize("box", [(1e300, 0, 1, 1), (0, 0, -1, 1), (0, -1e12, 1, 1)])
def test_a_box_beyond_every_frame_is_rejected(box: Box) -> None:
    with pytest.raises(Reject, match="box"):
        handler().handle(record(0, track([NOON_MS], boxes=[box])))


def test_an_observation_without_a_date_is_rejected() -> None:
    with pytest.raises(Reject, match="observation"):
        handler().handle(record(0, track([10**15], start_ms=NOON_MS)))


def test_a_track_without_observations_or_reading_makes_no_trouble() -> None:
    made = handler()
    empty: Track = msgspec.structs.replace(track([NOON_MS]), observations=())

    assert made.handle(record(0, empty)) == []
    assert len(made.handle(record(1, track([NOON_MS], "", number=1)))) == 2


def test_drops_and_suppressions_are_counted() -> None:
    def counted() -> tuple[float, ...]:
        near, new = metrics.SUPPRESSED.labels("near"), metrics.PASSAGES.labels("new")
        return tuple(
            metric._value.get() for metric in (metrics.LEDGER_DROPS, metrics.OBSERVATIONS, metrics.SIGHTINGS, near, new)
        )

    before = counted()
    made = handler()
    made.handle(record(0, track([NOON_MS, NOON_MS + 100, NOON_MS + 200])))
    made.handle(Record(TRACKS, 1, encode(track([NOON_MS], run=5))))

    assert tuple(after - b for after, b in zip(counted(), before, strict=True)) == (1, 3, 2, 1, 1)
