"""What a check of `plateflow doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line; ``text`` of a wrong one says what to do."""

    subject: str
    ok: bool
    text: str


def good(subject: str, text: str) -> Finding:
    return Finding(subject, True, text)


def wrong(subject: str, text: str) -> Finding:
    return Finding(subject, False, text)
