"""What the services say about themselves over HTTP, for `plateflow status`.

In: the address of a service's port. Out: a `Page`; a service that is down is a page that says so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Page:
    """One process. Numbers count from its start; those of a process that is down are 0."""

    url: str
    service: str = ""
    """Empty where it did not say."""
    trouble: dict[str, str] = field(default_factory=dict)
    """Failing check of /readyz -> reason; empty: ready."""
    in_flight: int = 0
    handled: float = 0
    """Records whose results are committed, rejected ones included."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    """Reason -> how many."""
    seconds_behind: float = 0
    per_second: float = 0
    """Records committed, of late; `sampled` fills it in."""

    @property
    def ready(self) -> bool:
        return not self.trouble


def read(url: str) -> Page:
    """What one process says now."""
    base = url.rstrip("/")
    try:
        ready = httpx.get(f"{base}/readyz", timeout=ANSWER_S)
        metrics = httpx.get(f"{base}/metrics", timeout=ANSWER_S).raise_for_status().text
        page = _of_metrics(base, metrics)
        return replace(page, trouble={} if ready.is_success else _failing(ready))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Page(base, trouble={"http": f"does not answer ({type(error).__name__}): is it running there?"})
    except ValueError:
        return Page(base, trouble={"http": "answers, but is no service of plateflow: is the port another program's?"})


def sampled(urls: Sequence[str], over_s: float) -> list[Page]:
    """All processes, with what they commit per second, measured over ``over_s`` seconds."""
    with ThreadPoolExecutor(max(1, len(urls))) as pool:
        before = list(pool.map(read, urls))
        began = time.monotonic()
        time.sleep(over_s)
        after = list(pool.map(read, urls))
        seconds = time.monotonic() - began
    return [replace(new, per_second=_rate(old, new, seconds)) for old, new in zip(before, after, strict=True)]


def _rate(old: Page, new: Page, seconds: float) -> float:
    """0 where a process was down at one end, or began anew between."""
    same = old.service == new.service != "" and new.handled >= old.handled
    return (new.handled - old.handled) / seconds if same and seconds > 0 else 0.0


def _of_metrics(url: str, text: str) -> Page:
    """ValueError where the text is not what a service of ours shows."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    services = [sample.labels["service"] for sample in samples if sample.name == "plateflow_ready"]
    if not services:
        raise ValueError("no plateflow_ready")
    return Page(
        url=url,
        service=services[0],
        in_flight=round(_total(samples, "plateflow_in_flight")),
        handled=_total(samples, "plateflow_records_total"),
        dead_letters={
            sample.labels["reason"]: round(sample.value)
            for sample in samples
            if sample.name == "plateflow_dead_letters_total"
        },
        seconds_behind=_total(samples, "plateflow_lag_seconds"),
    )


def _total(samples: Sequence[Sample], name: str) -> float:
    return sum(sample.value for sample in samples if sample.name == name)


def _failing(answer: httpx.Response) -> dict[str, str]:
    """The failing checks in the body of a 503."""
    checks = answer.json()
    if not isinstance(checks, dict):
        raise ValueError("/readyz is no object")
    return {str(name): str(reason) for name, reason in checks.items() if reason != "ok"} or {"service": "not ready"}
