"""Metrics have names, units and labels that a dashboard can rely on, and give nothing away."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.runtime import metric_labels, metrics

OURS = {name: one for name, one in vars(metrics).items() if isinstance(one, MetricWrapperBase)}
BOUNDED = {
    *("service", "outcome", "reason", "stage", "how", "kind", "model", "source", "store", "topic", "partition"),
    *("check", "detector", "recogniser", "gpu", "camera"),
}


def described_by(metric: MetricWrapperBase) -> Metric:
    (described,) = metric.describe()
    return described


@pytest.mark.parametrize("metric", OURS.values(), ids=OURS.keys())
def test_every_metric_has_our_prefix_a_meaning_and_bounded_labels(metric: MetricWrapperBase) -> None:
    described = described_by(metric)

    assert described.name.startswith("plateflow_")
    assert re.fullmatch(r"[a-z_]+", described.name)
    assert described.documentation.endswith(".")
    assert set(metric._labelnames) <= BOUNDED


@pytest.mark.parametrize("metric", OURS.values(), ids=OURS.keys())
def test_no_metric_is_told_apart_by_plate_or_key(metric: MetricWrapperBase) -> None:
    assert not {"plate", "key", "recording", "text"} & set(metric._labelnames)


@pytest.mark.parametrize("metric", OURS.values(), ids=OURS.keys())
def test_every_metric_says_what_to_do_about_it(metric: MetricWrapperBase) -> None:
    name = described_by(metric).name.removeprefix("plateflow_")
    assert metrics.ACTIONS[name].endswith(".")


def test_cameras_beyond_the_first_ones_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_labels, "_cameras", set())
    monkeypatch.setattr(metric_labels, "_most_cameras", 2)
    assert [metric_labels.camera(name) for name in ("yard/a", "yard/b", "yard/c", "yard/a")] == [
        "yard/a", "yard/b", "(others)", "yard/a",
    ]  # fmt: skip


def test_times_are_in_seconds() -> None:
    for metric in OURS.values():
        if isinstance(metric, Histogram):
            assert described_by(metric).name.endswith(("_seconds", "_size", "_ratio"))


def test_the_parts_of_the_system_are_covered() -> None:
    for needed in ("RECORDS", "TRANSACTIONS", "RECORDINGS", "STAGE_SECONDS", "READINGS", "SIGHTINGS", "LEDGER_DROPS"):
        assert isinstance(OURS[needed], (Counter, Gauge, Histogram))


def test_prometheus_can_parse_what_is_shown() -> None:
    metrics.RECORDS.labels("test", "handled").inc()
    text = generate_latest(metrics.REGISTRY).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}

    assert families["plateflow_records"].documentation.startswith("Records whose results are committed")
    assert any(sample.labels.get("version") for sample in families["plateflow_build_info"].samples)
    assert "process_resident_memory_bytes" in families


@pytest.mark.parametrize("service", ["ingest", "inference", "aggregator"])
def test_a_service_shows_zeros_before_anything_has_happened(service: str) -> None:
    program = f"""
from services.runtime import metric_labels, metrics
metric_labels.start_at_zero({service!r})
for name, labels in (
    ("plateflow_ready", {{}}),
    ("plateflow_records_total", {{"outcome": "rejected"}}),
    ("plateflow_transactions_total", {{"outcome": "aborted"}}),
    ("plateflow_records_expired_total", {{}}),
):
    print(metrics.REGISTRY.get_sample_value(name, {{"service": {service!r}, **labels}}))
"""
    # In a process of its own: the tests before this one have counted.
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0"] * 4
