"""Times as a person types them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from services.contracts.kerberos import MAX_TIME_MS


def parse_time(text: str, option: str) -> int:
    """ISO 8601 (UTC where no zone is named) or milliseconds since 1970, as milliseconds. BadParameter."""
    try:
        time_ms = int(text) if text.isdecimal() else _iso_ms(text)
    except ValueError:
        time_ms = -1
    if not 0 <= time_ms <= MAX_TIME_MS:
        raise typer.BadParameter(
            f"{text!r} is no time from 1970 to 9999, as 2026-06-16T07:00:00Z or in milliseconds", param_hint=option
        )
    return time_ms


def _iso_ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
