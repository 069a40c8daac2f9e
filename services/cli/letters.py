"""Dead letters: which are meant, what may be done with them, what a replay sends. Pure.

In: the letters on the dead-letter topic, the verdicts on them, what a person asks for. Out: letters, or a sentence.

Rules
- A letter is open until it is replayed or discarded; either verdict hides it and is not changed by the other.
- A replay sends the original to where it came from, without what is masked, so that the configured keys are used.
- A letter is replayed once. Only `--again` replays it another time, and never a track: whoever counts takes each
  track as one, so a second copy of it would count twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from services.contracts.kerberos import BadEvent, parse_event
from services.contracts.messages import DeadLetter
from services.runtime.masking import without_masked

REPLAY_OF = "plateflow_replay_of"
"""Header of a replayed message: the id of its dead letter."""


class Verdict(StrEnum):
    """What was decided on a letter."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"


class Place(NamedTuple):
    """Where on the dead-letter topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it stands on its topic."""

    message: DeadLetter
    place: Place
    time_ms: int
    """When the broker took it."""
    verdict: Verdict | None = None

    @property
    def camera(self) -> str | None:
        """Key of the original; of Vault's announcements, which have none, what they say. None: nobody knows."""
        if self.message.key is not None:
            return self.message.key.decode(errors="replace")
        try:
            return parse_event(self.message.value).camera
        except BadEvent:
            return None

    @property
    def recording(self) -> str | None:
        """Vault's object key, as far as the original can be read."""
        try:
            said = msgspec.json.decode(self.message.value or b"", type=_Original)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return said.key or said.payload.key


class _Payload(msgspec.Struct):
    key: str | None = None


class _Original(msgspec.Struct):
    """Our own messages name the recording at the top, Vault's in the payload."""

    key: str | None = None
    payload: _Payload = msgspec.field(default_factory=_Payload)


@dataclass(frozen=True, slots=True)
class Filter:
    """Every condition that is given must hold."""

    stage: str | None = None
    reason: str | None = None
    camera: str | None = None
    recording: str | None = None
    since: int | Place | None = None
    """Milliseconds since 1970; or a place: that partition only, from that offset on."""

    @property
    def empty(self) -> bool:
        return self == Filter()

    def matches(self, letter: Letter) -> bool:
        message = letter.message
        return (
            self.stage in (None, message.stage)
            and self.reason in (None, message.reason)
            and (self.camera is None or self.camera == letter.camera)
            and (self.recording is None or self.recording == letter.recording)
            and self._is_since(letter)
        )

    def _is_since(self, letter: Letter) -> bool:
        if isinstance(self.since, Place):
            return letter.place.partition == self.since.partition and letter.place.offset >= self.since.offset
        return self.since is None or letter.time_ms >= self.since


def chosen(letters: Sequence[Letter], ids: Iterable[str], conditions: Filter) -> list[Letter]:
    """Those whose ids begin as one of ``ids`` (none given: all) and that match. LookupError says which id is wrong."""
    named = [_named(letters, start) for start in ids] or letters
    return [letter for letter in dict.fromkeys(named) if conditions.matches(letter)]


def _named(letters: Sequence[Letter], start: str) -> Letter:
    found = [letter for letter in letters if letter.message.id.startswith(start)]
    if len(found) != 1:
        raise LookupError(
            f"no dead letter begins with {start!r}: see `plateflow deadletters list --all`"
            if not found
            else f"{len(found)} dead letters begin with {start!r}: give more of the id"
        )
    return found[0]


def objection(letter: Letter, again: bool, tracks_topic: str) -> str | None:
    """Why a letter is not to be replayed, None where it may be."""
    if letter.verdict is None:
        return None
    if letter.verdict is Verdict.REPLAYED and letter.message.origin.topic == tracks_topic:
        return "replayed before; a track would count twice"
    return None if again else f"{letter.verdict} before; --again replays it all the same"


def replayed_value(letter: Letter) -> bytes | None:
    value = letter.message.value
    return None if value is None else without_masked(value)


def replayed_headers(letter: Letter) -> list[tuple[str, bytes]]:
    """The original's headers and the mark of a replay; the mark of an earlier one gives way."""
    kept = [(name, value) for name, value in letter.message.headers if name != REPLAY_OF]
    return [*kept, (REPLAY_OF, letter.message.id.encode())]
