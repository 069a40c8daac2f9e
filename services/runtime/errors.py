"""Exceptions are instructions to the loop: each says who must act. Anything else that a handler raises is a defect."""

from __future__ import annotations

from collections.abc import Callable


class Reject(Exception):
    """This message can never succeed: dead-letter it and go on. ``reason`` is kebab-case and a metric label."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Retry(Exception):
    """This may heal: back off and try this message again, while polling goes on.

    Once the retry budget is spent, ``healthy`` decides: True (only this message fails) leads to a dead letter, False
    (the whole dependency is down) to more patience.
    """

    def __init__(self, reason: str, detail: str, healthy: Callable[[], bool] = lambda: True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.healthy = healthy


class Stop(Exception):
    """An operator must act: the service becomes unready, says what to do, and stops; nothing is committed."""


class Fenced(Stop):
    """Another process runs under this instance's name: this one must not write any more, and leaves at once."""


class Interrupted(Exception):
    """The service was asked to stop while it waited for Kafka: it leaves, what is in hand is read again."""


class SettingsError(Exception):
    """Wrong or missing settings, all of them in one text."""
