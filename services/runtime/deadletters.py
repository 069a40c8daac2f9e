"""A record that is given up on -> the message on the dead-letter topic. Pure.

The original bytes travel along with secret values masked, so that a person can judge them and a replay can repeat them
(replay uses the configured keys, never those of the message).
"""

from __future__ import annotations

from services.contracts.codec import encode
from services.contracts.identity import deadletter_id
from services.contracts.messages import DeadLetter, Run
from services.runtime.masking import mask
from services.runtime.ports import Outgoing, Record

DETAIL_LIMIT = 2_000
"""Characters of detail kept: enough for a sentence, too few for somebody's whole error page."""


def dead_letter(topic: str, record: Record, stage: str, reason: str, detail: str, attempts: int) -> Outgoing:
    """The outgoing dead letter of ``record``, keyed like it."""
    origin = Run(record.partition.topic, record.partition.index, record.offset)
    message = DeadLetter(
        id=deadletter_id(origin.topic, origin.partition, origin.offset, stage),
        stage=stage,
        reason=reason,
        detail=detail[:DETAIL_LIMIT],
        origin=origin,
        attempts=attempts,
        key=record.key,
        headers=tuple((name, mask(value)) for name, value in record.headers),
        value=None if record.value is None else mask(record.value),
    )
    return Outgoing(topic, encode(message), key=record.key)
