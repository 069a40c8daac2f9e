"""Vault for `plateflow doctor`: does it answer, does it take our keys, is its clock ours?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx

from services.cli.doctor_finding import Finding, good, wrong
from services.runtime.settings import VaultSettings
from services.runtime.vault import Ping, VaultClient
from services.runtime.vault_http import api_base

SKEW_S = 30.0
"""Signed URLs bear minutes; a clock that is off by more than this gets worse."""


def check_vault(settings: VaultSettings) -> Iterator[Finding]:
    if settings.uri is None:
        yield good("vault", "not configured, recordings come by the source map")
        return
    with VaultClient(settings, limit_bytes=1) as client:
        answer = client.ping()
    yield {
        Ping.ACCEPTED: good("vault", f"{settings.uri} answers and takes our keys"),
        Ping.REFUSED: wrong("vault", "it refuses our keys: correct STORAGE_ACCESS_KEY and STORAGE_SECRET"),
        Ping.UNREACHABLE: wrong("vault", f"{settings.uri} does not answer: check STORAGE_URI, and Vault itself"),
    }[answer]
    if answer is not Ping.UNREACHABLE:
        yield from _clock(settings)


def _clock(settings: VaultSettings) -> Iterator[Finding]:
    try:
        before = time.time()
        answer = httpx.get(api_base(settings.uri or ""), timeout=settings.connect_timeout_s, trust_env=False)
        now = (before + time.time()) / 2
    except httpx.HTTPError:
        return
    if "date" in answer.headers:
        yield judge_clock(answer.headers["date"], now)


def judge_clock(date: str, now_s: float) -> Finding:
    """``date`` as in HTTP's Date header, ``now_s`` in Unix seconds."""
    try:
        off = now_s - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return good("clock", "Vault does not say what time it is")
    if abs(off) <= SKEW_S:
        return good("clock", "ours and Vault's agree")
    direction = "ahead of" if off > 0 else "behind"
    return wrong("clock", f"ours is {abs(off):.0f} s {direction} Vault's: let NTP set both, or signed URLs will fail")
