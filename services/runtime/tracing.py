"""Spans of a recording's way through the services, sent by OTLP over HTTP; off and free unless an endpoint is set.

In: `PLATEFLOW_TRACING_ENDPOINT`, and what `services.runtime.trail` knows. Out: for each record one span named by the
service, and below it fetch, decode, detect, track, read, aggregate and publish: one trace for each recording.

Rules
- All services derive the same trace and the same (never sent) root span from the recording's trace id: nothing has to
  travel in Kafka, and a recording that is announced again, or replayed, adds to its trace.
- Which traces are kept (`PLATEFLOW_TRACING_RATIO`) follows from the trace id alone, so all services keep the same ones.
- Attributes hold ids, never a plate, a key or an address. A collector that is down costs spans, nothing else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING

from services.runtime import trail as trails
from services.runtime.errors import SettingsError
from services.runtime.settings import ObservabilitySettings
from services.runtime.trail import Trail

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

FLUSH_MS = 5_000
_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: Tracer | None = None
"""None: off."""


class _Record:
    """The span of one record; the trail holds it."""

    def __init__(self, span: Span) -> None:
        self.span = span

    def end(self, outcome: str) -> None:
        from opentelemetry.trace import StatusCode

        self.span.set_attribute("plateflow.outcome", outcome)
        if outcome != "handled":
            self.span.set_status(StatusCode.ERROR, outcome)
        self.span.end()


def configure(settings: ObservabilitySettings, service: str) -> Callable[[], None]:
    """Switches tracing on where an endpoint is set; returns what sends the last spans at the end.

    Raises SettingsError where the extra is not installed.
    """
    global _tracer
    if settings.tracing_endpoint is None:
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
    except ImportError as error:
        raise SettingsError(
            f"PLATEFLOW_TRACING_ENDPOINT is set, but {error.name} is missing: install plateflow[tracing]"
        ) from error
    about = {
        "service.name": f"plateflow-{service}",
        "service.version": version("plateflow"),
        "service.instance.id": socket.gethostname(),
    }
    provider = TracerProvider(
        sampler=TraceIdRatioBased(settings.tracing_ratio), resource=Resource(about), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.tracing_endpoint}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
    _tracer = provider.get_tracer("plateflow", version("plateflow"))

    def finish() -> None:
        global _tracer
        _tracer = None
        provider.force_flush(FLUSH_MS)
        provider.shutdown()

    return finish


def about(recording: str, camera: str, trace_id: str | None, start_ms: int) -> None:
    """What the record at hand turned out to be about; its span begins (with the moment at which it was taken up)."""
    trail = trails.note(recording, camera, trace_id, start_ms)
    if _tracer is None or trail is None or trail.silent:
        return
    about = {"plateflow.recording": trail.recording, "plateflow.camera": trail.camera}
    span = _tracer.start_span(trail.service, _root(trail.trace), attributes=about, start_time=trail.began_ns)
    trail.span = _Record(span)


def span(name: str, **attributes: str | int | float) -> AbstractContextManager[object]:
    """A step of the record at hand."""
    trail = trails.current()
    if _tracer is None or trail is None or trail.span is None:
        return _NOTHING
    return _open(name, trail, attributes)


@contextmanager
def _open(name: str, trail: Trail, attributes: Mapping[str, str | int | float]) -> Iterator[None]:
    from opentelemetry.trace import StatusCode

    assert _tracer is not None
    made = _tracer.start_span(name, _below(trail), attributes=attributes)
    try:
        yield
    except Exception as error:
        made.set_status(StatusCode.ERROR, type(error).__name__)  # its text may hold an address
        raise
    finally:
        made.end()


def took(seconds: Mapping[str, float], total_s: float) -> None:
    """Steps that took turns in the ``total_s`` up to now: each as long as it worked, from the common beginning on."""
    trail = trails.current()
    if _tracer is None or trail is None or trail.span is None:
        return
    began = time.time_ns() - round(total_s * 1e9)
    for name, duration in seconds.items():
        made = _tracer.start_span(name, _below(trail), attributes={"plateflow.in_turns": True}, start_time=began)
        made.end(began + round(duration * 1e9))


def published(trail: Trail | None, seconds: float) -> None:
    """The transaction that holds the record's results was committed just now."""
    if _tracer is None or trail is None or trail.span is None:
        return
    now = time.time_ns()
    _tracer.start_span("publish", _below(trail), start_time=now - round(seconds * 1e9)).end(now)


def _root(trace: str) -> Context:
    """The context below which all services put their spans."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    context = SpanContext(int(trace, 16), int(trace[:16], 16) or 1, is_remote=True, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(context))


def _below(trail: Trail) -> Context:
    from opentelemetry.trace import set_span_in_context

    assert isinstance(trail.span, _Record)
    return set_span_in_context(trail.span.span)
