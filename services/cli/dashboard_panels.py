"""What dashboards are made of: panels as data, PromQL for the usual questions, and the panels that several share.

Rules
- A panel's text says what to read off it and, where it suffers, where to look next.
- Expressions use `services.runtime.metrics` and what every Prometheus client shows; none depends on a job's name.
- ``$__rate_interval`` is Grafana's: the window of a rate, four scrapes at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

WINDOW = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and how its series are named."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. A stat above ``bad_above`` is coloured."""

    title: str
    meaning: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    bad_above: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Rows of panels under headings."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    variables: tuple[tuple[str, str], ...] = ()
    """Name and query of each choice at the top of the page."""


def series(title: str, meaning: str, *queries: Query, unit: str = "short") -> Panel:
    return Panel(title, meaning, queries, unit)


def number(
    title: str, meaning: str, expr: str, unit: str = "short", bad_above: float | None = None, legend: str = ""
) -> Panel:
    """One number; with a ``legend`` also the name of what has it."""
    return Panel(title, meaning, (Query(expr, legend),), unit, "stat", bad_above)


# ---- PromQL ----------------------------------------------------------------------------------------------------
def rate(counter: str, *by: str, **labels: str) -> str:
    """Events per second, summed; of a label's values those that are named, ``a|b`` for several."""
    return f"{_sum(*by)}(rate({counter}{_matchers(labels)}{WINDOW}))"


def ratio(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def each(counter: str, by: str, legend: str = "", **labels: str) -> Query:
    """Events per second for each value of a label."""
    return Query(rate(counter, by, **labels), f"{legend}{{{{{by}}}}}")


def quantile(share: float, histogram: str, **labels: str) -> str:
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', 'le', **labels)})"


def spread(histogram: str, **labels: str) -> tuple[Query, Query]:
    """Median and 95th percentile."""
    return Query(quantile(0.5, histogram, **labels), "median"), Query(quantile(0.95, histogram, **labels), "95 %")


def named(step: str, expr: str) -> str:
    """A series without labels, called by ``step``."""
    return f'label_replace({expr}, "step", "{step}", "", "")'


def mean(histogram: str, by: str) -> str:
    return ratio(rate(f"{histogram}_sum", by), rate(f"{histogram}_count", by))


def _sum(*by: str) -> str:
    return f"sum by ({', '.join(by)}) " if by else "sum"


def _matchers(labels: Mapping[str, str]) -> str:
    inner = ", ".join(name + ("=~" if "|" in value else "=") + f'"{value}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _only(service: str) -> dict[str, str]:
    return {"service": service} if service else {}


# ---- panels of the loop and the process, for all services or for one ----------------------------------------------
def keeping_up(service: str = "") -> tuple[Panel, ...]:
    """Is it keeping up: seconds behind, records waiting, records in hand."""
    where = _matchers(_only(service))
    return (
        series(
            "Seconds behind",
            "Age of the oldest record in hand, 0 where nothing is left to do. Rising: add replicas.",
            Query(f"max by (service) (plateflow_lag_seconds{where})", "{{service}}"),
            unit="s",
        ),
        series(
            "Records waiting",
            "By topic. Markers of transactions count too, so some few always remain.",
            Query(f"sum by (service, topic) (plateflow_lag_records{where})", "{{service}}: {{topic}}"),
        ),
        series(
            "In flight",
            "Records taken and not finished. At its bound all the time: this service is the slow one.",
            Query(f"sum by (service) (plateflow_in_flight{where})", "{{service}}"),
        ),
        series(
            "Queue fill",
            "Records in hand, of those that may be. Full all the time: this service is the slow one.",
            Query(f"max by (service) (plateflow_queue_fill_ratio{where})", "{{service}}"),
            unit="percentunit",
        ),
        series(
            "Seconds behind event time",
            'From the recording\'s start to its results. Above "Seconds behind": the delay lies in agents or Vault.',
            Query(f"max by (service) (plateflow_event_age_seconds{where})", "{{service}}"),
            unit="s",
        ),
    )


def outcomes(service: str = "") -> tuple[Panel, ...]:
    """What became of the records, and of the transactions."""
    only = _only(service)
    return (
        series(
            "Records committed per second",
            "By outcome; the rejected ones are dead letters.",
            Query(rate("plateflow_records_total", "service", "outcome", **only), "{{service}} {{outcome}}"),
            unit="ops",
        ),
        series(
            "Dead letters per second",
            "By reason; no data: none. plateflow deadletters list shows each, and what to do.",
            Query(rate("plateflow_dead_letters_total", "service", "reason", **only), "{{service}}: {{reason}}"),
            unit="ops",
        ),
        series(
            "Tries that failed per second",
            "They will be repeated: a dependency is down or slow. No data: none.",
            Query(rate("plateflow_retries_total", "service", "reason", **only), "{{service}}: {{reason}}"),
            unit="ops",
        ),
    )


def transactions(service: str) -> tuple[Panel, ...]:
    return (
        series(
            "Transactions per second",
            "Aborted ones are read again: partitions changed hands, or Kafka is slow.",
            each("plateflow_transactions_total", "outcome", service=service),
            unit="ops",
        ),
        series(
            "Seconds per transaction",
            "From its beginning to its commit. Slow: look at the brokers.",
            *spread("plateflow_transaction_seconds", service=service),
            unit="s",
        ),
    )


def process(service: str = "") -> tuple[Panel, ...]:
    """Memory, cores and checks of the processes."""
    where = _matchers(_only(service))
    of_service = f"* on (job, instance) group_left (service) (plateflow_ready{where} * 0 + 1)"
    return (
        series(
            "Memory",
            "Resident, of each process and of its decoding children. Rising for hours: a leak, please report it.",
            Query(f"process_resident_memory_bytes {of_service}", "{{service}} {{instance}}"),
            Query(f"plateflow_children_resident_memory_bytes {of_service}", "decoders of {{service}} {{instance}}"),
            unit="bytes",
        ),
        series(
            "Cores in use",
            "Of each process, without its decoding children.",
            Query(f"rate(process_cpu_seconds_total{WINDOW}) {of_service}", "{{service}} {{instance}}"),
        ),
        series(
            "Checks of /readyz",
            "1 passes, 0 fails: then GET /readyz says why.",
            Query(f"min by (service, check) (plateflow_check_ok{where})", "{{service}}: {{check}}"),
        ),
    )
