"""Times as a person types them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from services.contracts.kerberos import MAX_TIME_MS


def parse_time(text: str, option: str, zone: tzinfo = UTC) -> int:
    """ISO 8601 (in ``zone`` where it names none) or milliseconds since 1970, as milliseconds. BadParameter."""
    try:
        time_ms = int(text) if text.isdecimal() else _iso_ms(text, zone)
    except ValueError:
        time_ms = -1
    if not 0 <= time_ms <= MAX_TIME_MS:
        raise typer.BadParameter(
            f"{text!r} is no time from 1970 to 9999, as 2026-06-16T07:00:00Z or in milliseconds", param_hint=option
        )
    return time_ms


def parse_zone(text: str, option: str) -> tzinfo:
    """A zone of the IANA data base, as Europe/Berlin. BadParameter."""
    if text.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise typer.BadParameter(f"{text!r} is no time zone, as Europe/Berlin or UTC", param_hint=option) from error


def _iso_ms(text: str, zone: tzinfo) -> int:
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * 1000)
