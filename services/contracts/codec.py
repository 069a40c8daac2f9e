"""Messages to bytes and back. JSON; unknown fields are ignored; a wrong type is an error that names the field."""

from __future__ import annotations

import functools
from typing import TypeVar

import msgspec

from services.contracts.messages import SCHEMA, Message

M = TypeVar("M", bound=Message)

_encoder = msgspec.json.Encoder()


class BadMessage(ValueError):
    """The bytes are not a message of that type: the sender must act. Says which field is wrong and why."""


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes | None, kind: type[M]) -> M:
    """Bytes of one message of type ``kind``. Raises BadMessage, also for a schema that is newer than this code."""
    if data is None:
        raise BadMessage(f"{kind.__name__}: the message has no value")
    try:
        message: M = _decoder(kind).decode(data)
    except msgspec.ValidationError as error:
        raise BadMessage(f"{kind.__name__}: {error}") from error
    except msgspec.DecodeError as error:
        raise BadMessage(f"{kind.__name__}: not valid JSON: {error}") from error
    except RecursionError as error:
        raise BadMessage(f"{kind.__name__}: nested too deeply") from error
    except UnicodeDecodeError as error:
        raise BadMessage(f"{kind.__name__}: not valid UTF-8: {error.reason}") from error
    if message.schema > SCHEMA:
        raise BadMessage(
            f"{kind.__name__}: schema {message.schema} is newer than this version reads ({SCHEMA}): upgrade plateflow"
        )
    return message


@functools.cache
def _decoder(kind: type[M]) -> msgspec.json.Decoder[M]:
    return msgspec.json.Decoder(kind)
