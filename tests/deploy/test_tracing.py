"""One trace from Vault's traceId through the three services, in spans, logs and exemplars; off unless asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from services.contracts.messages import RecordingDone
from services.runtime import tracing, trail
from services.runtime.errors import SettingsError
from services.runtime.settings import ObservabilitySettings
from tests.deploy.conftest import Watched
from tests.support.collector import Collector

WHOLE = {
    "plateflow-ingest": {"ingest", "fetch", "publish"},
    "plateflow-inference": {"inference", "fetch", "decode", "detect", "track", "read", "publish"},
    "plateflow-aggregator": {"aggregator", "aggregate", "publish"},
}


@pytest.fixture
def done(watched: Watched) -> list[RecordingDone]:
    """The recordings, once all of their spans have come."""
    spans = watched.collector
    watched.stack.wait(
        lambda: all(names <= spans.names(service) for service, names in WHOLE.items()), 30, f"spans: {spans.spans}"
    )
    return watched.stack.done()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_services_put_their_spans_into_the_trace_that_vault_began(
    watched: Watched, done: list[RecordingDone]
) -> None:
    traces = {one.trace_id for one in done}
    assert len(traces) == 2
    assert {span.trace for span in watched.collector.spans} == traces
    for trace in traces:
        of_trace = [span for span in watched.collector.spans if span.trace == trace]
        assert {span.service for span in of_trace} >= {"plateflow-ingest", "plateflow-inference"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_step_hangs_below_the_record_of_its_service_and_fits_into_it(
    watched: Watched, done: list[RecordingDone]
) -> None:
    spans = watched.collector.spans
    records = {span.span: span for span in spans if f"plateflow-{span.name}" == span.service}
    roots = {span.parent for span in records.values()}
    assert len(roots) == len(done), "the services agree on what is above them"
    for span in spans:
        if span.span not in records:
            assert records[span.parent].service == span.service
    for name in ("decode", "detect", "read"):
        for span in spans:
            if span.name == name:
                assert 0 < span.nanoseconds <= records[span.parent].nanoseconds
    assert not [span for span in spans if span.failed]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_span_holds_a_plate_or_a_key(watched: Watched, done: list[RecordingDone]) -> None:
    plates = {one.plate for one in watched.stack.plates()}
    told = json.dumps([span.attributes for span in watched.collector.spans])
    assert plates
    assert not [plate for plate in plates if plate in told]
    assert not [one.key for one in done if one.key in told]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("service", "message"), [("ingest", "clip stored"), ("inference", "clip processed")])
def test_log_lines_of_a_recording_are_json_with_its_recording_camera_and_trace(
    watched: Watched, done: list[RecordingDone], service: str, message: str
) -> None:
    lines = (watched.stack.folder / f"{service}.log").read_text().splitlines()
    found = [line for line in map(json.loads, lines) if line["message"] == message]
    told = {(line["recording"], line["camera"], line["trace"]) for line in found}
    assert told == {(one.recording_id, one.camera, one.trace_id) for one in done}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_histograms_lead_to_the_trace_of_a_recording_in_prometheus_too(
    watched: Watched, done: list[RecordingDone]
) -> None:
    traces = {one.trace_id for one in done}
    for metric in ("plateflow_inference_clip_seconds_bucket", "plateflow_ingest_fetch_seconds_bucket"):
        found = {one["labels"]["trace_id"] for one in watched.prometheus.exemplars(metric)}
        assert found and found <= traces, metric


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whoever_does_not_ask_for_openmetrics_gets_the_plain_page(watched: Watched) -> None:
    plain = watched.stack.page("inference", "metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "trace_id" not in plain.text
    assert "# HELP plateflow_inference_clip_seconds" in plain.text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_openmetrics_with_exemplars_can_be_parsed(watched: Watched) -> None:
    page = watched.stack.page("inference", "metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    families = {one.name: one for one in text_string_to_metric_families(page.text)}  # type: ignore[no-untyped-call]
    assert any(sample.exemplar for sample in families["plateflow_inference_clip_seconds"].samples)


# ---- the rules -------------------------------------------------------------------------------------------------------
VAULTS = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "text", [VAULTS, VAULTS.upper(), f"00-{VAULTS}-00f067aa0ba902b7-01", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"]
)
def test_a_valid_trace_id_of_vault_is_the_trace(text: str) -> None:
    assert trail.trace_of(text, "recording") == VAULTS


@pytest.mark.parametrize("text", [None, "", "0" * 32, "not hexadecimal", "4bf92f35"])
def test_any_other_is_hashed_to_one_that_is_always_the_same(text: str | None) -> None:
    trace = trail.trace_of(text, "recording-1")
    assert len(trace) == 32 and int(trace, 16)
    assert trace == trail.trace_of(text, "recording-1")
    if not text:
        assert trace != trail.trace_of(text, "recording-2")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def one_record(service: str, outcome: str, *, silent: bool = False) -> None:
    trail.begin(service, silent=silent)
    tracing.about("recording-1", "yard/gate", VAULTS, 0)
    with tracing.span("fetch"):
        pass
    trail.end(outcome)


def sent(collector: Collector, ratio: float = 1.0) -> Any:
    return tracing.configure(ObservabilitySettings(tracing_endpoint=collector.endpoint, tracing_ratio=ratio), "ingest")


def test_a_record_that_was_given_up_is_marked_with_its_reason(collector: Collector) -> None:
    finish = sent(collector)
    one_record("ingest", "bad-json")
    finish()
    (record,) = [span for span in collector.spans if span.name == "ingest"]
    assert record.failed
    assert record.attributes["plateflow.outcome"] == "bad-json"


def test_a_record_that_only_restores_state_leaves_no_span(collector: Collector) -> None:
    finish = sent(collector)
    one_record("aggregator", "handled", silent=True)
    finish()
    assert collector.spans == []


def test_the_ratio_decides_by_the_trace_so_that_all_services_keep_the_same_ones(collector: Collector) -> None:
    finish = sent(collector, ratio=0.0)
    one_record("ingest", "handled")
    finish()
    assert collector.spans == []


def test_a_collector_that_is_down_costs_spans_and_nothing_else() -> None:
    with Collector() as gone:
        pass
    finish = sent(gone)
    one_record("ingest", "handled")
    finish()


def test_tracing_is_off_by_default_and_loads_nothing() -> None:
    program = (
        "import sys; from services.inference import __main__; from services.runtime import tracing; "
        "from services.runtime.settings import ObservabilitySettings; "
        "tracing.configure(ObservabilitySettings(), 'inference')(); tracing.about('r', 'c', None, 0); "
        "assert tracing.span('a') is tracing.span('b'); "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_endpoint_without_the_extra_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"install plateflow\[tracing\]"):
        tracing.configure(ObservabilitySettings(tracing_endpoint="http://collector:4318"), "ingest")
