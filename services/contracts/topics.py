"""The topics of plateflow: names, and which message stands on which."""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts.messages import Clip, DeadLetter, Message, Passage, Plate, RecordingDone, Track


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of all topics; ``prefix`` keeps several installations apart on one cluster."""

    prefix: str = "plateflow"

    @property
    def clips(self) -> str:
        return f"{self.prefix}.clips"

    @property
    def tracks(self) -> str:
        return f"{self.prefix}.tracks"

    @property
    def recordings(self) -> str:
        return f"{self.prefix}.recordings"

    @property
    def plates(self) -> str:
        return f"{self.prefix}.plates"

    @property
    def passages(self) -> str:
        return f"{self.prefix}.passages"

    @property
    def deadletter(self) -> str:
        return f"{self.prefix}.deadletter"

    @property
    def verdicts(self) -> str:
        """What operators decided on dead letters. Internal to `plateflow deadletters`, so none of `all`."""
        return f"{self.prefix}.{VERDICTS}"

    @property
    def backfill(self) -> str:
        """Announcements by `plateflow backfill`, in Vault's form; read by ingest. None of `all`."""
        return f"{self.prefix}.{BACKFILL}"

    def all(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}.{name}" for name in MESSAGE_OF)

    def internal(self) -> tuple[str, ...]:
        """Those that only our own commands write to."""
        return self.backfill, self.verdicts

    def message_type(self, topic: str) -> type[Message]:
        """The struct that stands on ``topic``. KeyError for a topic that is not ours."""
        return MESSAGE_OF[topic.removeprefix(f"{self.prefix}.")]


BACKFILL, VERDICTS = "backfill", "deadletter-verdicts"
MESSAGE_OF: dict[str, type[Message]] = {
    "clips": Clip,
    "tracks": Track,
    "recordings": RecordingDone,
    "plates": Plate,
    "passages": Passage,
    "deadletter": DeadLetter,
}
PUBLIC = ("recordings", "plates", "passages")
"""Topics that carry CloudEvents headers."""
