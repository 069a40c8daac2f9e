"""What every service's ``__main__`` calls: settings, logs, health page, probes, loop, signals, exit code.

Exit codes: 0 stopped by SIGTERM or Ctrl+C; 2 wrong settings; 3 an operator must act (the log and /readyz say what);
4 another process runs under this instance's name; 5 the loop hung.

Rules
- A service that must stop stays up, unready, for `LINGER_S`, so that /readyz can say why; then it exits, and whatever
  supervises it starts it again with the settings of that day.
- Probes run in a thread of their own: /readyz answers at once, the loop never waits for a probe.
- A loop that hangs, in a call of the Kafka client that never returns, cannot be woken: the process leaves, nothing is
  lost by it, and the next start goes on. (librdkafka's `send_offsets_to_transaction` ignores its timeout and may wait
  for ever for a coordinator that was restarted: its issues 5456 and 5511.)
- The first SIGTERM or Ctrl+C finishes what is in hand, the second leaves at once (nothing is lost: it is read again).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

from services.runtime import hardware, metric_labels, metrics, tracing
from services.runtime.errors import Fenced, Interrupted, SettingsError, Stop
from services.runtime.health import Health, serve
from services.runtime.kafka import KafkaLog, KafkaSink, KafkaSource
from services.runtime.logs import configure
from services.runtime.loop import Loop, LoopOptions
from services.runtime.ports import Handler
from services.runtime.settings import StreamSettings, load

log = logging.getLogger(__name__)

LINGER_S = 60.0
HUNG = 5
PROBE_EVERY_S = 5.0

Probe = Callable[[], str | None]
"""None when fine, else the reason, for /readyz."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do now and then beside the loop, such as sweeping a store."""

    name: str
    every_s: float
    do: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Service:
    """A service, wired: what it consumes, how it handles it, what tells whether it is ready."""

    name: str
    topics: Sequence[str]
    handler: Handler
    options: LoopOptions
    makes: Sequence[str] = ()
    """Our own topics, made at start where they are missing."""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    chores: Sequence[Chore] = ()
    close: Callable[[], None] = lambda: None


S = TypeVar("S", bound=StreamSettings)


def run_service(name: str, settings_class: type[S], build: Callable[[S, KafkaLog], Service]) -> int:
    """Run one service until a signal or a Stop; returns the exit code. ``build`` wires it and may raise Stop."""
    try:
        settings = load(settings_class)
        configure(settings.observability, name)
        finish_tracing = tracing.configure(settings.observability, name)
        metric_labels.name_cameras(settings.observability.metrics_cameras)
        health = Health()
        page = serve(health, settings.observability.http_host, settings.observability.http_port)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    metric_labels.start_at_zero(name)
    hardware.watch()
    stop = threading.Event()
    _stop_on_signals(stop)
    try:
        _run(name, settings, build, health, stop)
    except Interrupted:
        log.info("stopped while waiting for Kafka: what was in hand is read again")
        return 0
    except SettingsError as error:
        log.error("%s", error)
        return 2
    except Stop as error:
        log.error("stopped: %s", error)
        health.check("service", False, str(error))
        metrics.READY.labels(name).set(0)
        if isinstance(error, Fenced):
            return 4
        stop.wait(LINGER_S)
        return 3
    finally:
        finish_tracing()
        page.close()
    log.info("stopped cleanly")
    return 0


def _run(
    name: str, settings: S, build: Callable[[S, KafkaLog], Service], health: Health, stop: threading.Event
) -> None:
    began = time.monotonic()

    def pulse() -> None:
        health.heartbeat(time.monotonic())
        if stop.is_set():
            raise Interrupted

    kafka = KafkaLog(settings.kafka, pulse)
    health.check("service", False, "starting")
    service = build(settings, kafka)
    watch = threading.Thread(target=_watch, args=(service, kafka, health, stop), daemon=True, name="probes")
    try:
        kafka.ensure([*service.topics, *service.makes])
        source = KafkaSource(settings.kafka, name, pulse)
        sink = KafkaSink(settings.kafka, name, source, pulse)
        loop = Loop(source, sink, service.handler, service.options, heartbeat=health.heartbeat)
        health.check("service", True)
        watch.start()
        log.info("started", extra={"topics": list(service.topics), "seconds": round(time.monotonic() - began, 2)})
        loop.run(service.topics, stop)
    finally:
        service.close()


def _watch(
    service: Service, kafka: KafkaLog, health: Health, stop: threading.Event, leave: Callable[[int], object] = os._exit
) -> None:
    """Runs the probes and the chores until the service stops; leaves with it where the loop hangs."""
    probes: dict[str, Probe] = {
        "kafka": lambda: None if kafka.reachable() else "no broker answers",
        **service.probes,
    }
    due = {chore.name: time.monotonic() + chore.every_s for chore in service.chores}
    stalled = 0
    while not stop.is_set():
        alive, why = health.alive()
        stalled = 0 if alive else stalled + 1
        if stalled > 1:  # seen twice: one who was frozen himself gives the loop time for a turn
            log.error("hung (%s): leaving, to be started again; what was in hand is read again", why["loop"])
            leave(HUNG)
        reasons = {name: _ask(probe) for name, probe in probes.items()}
        for name, reason in reasons.items():
            health.check(name, reason is None, reason or "")
            metrics.CHECK_OK.labels(service.name, name).set(reason is None)
        metrics.READY.labels(service.name).set(health.ready()[0])
        for chore in service.chores:
            if time.monotonic() >= due[chore.name]:
                due[chore.name] = time.monotonic() + chore.every_s
                _do(chore)
        stop.wait(PROBE_EVERY_S)


def _ask(probe: Probe) -> str | None:
    try:
        return probe()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _do(chore: Chore) -> None:
    try:
        chore.do()
    except Exception:
        log.exception("chore failed: %s", chore.name)


def _stop_on_signals(stop: threading.Event) -> None:
    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("stopping: finishing what is in hand", extra={"signal": signal.Signals(number).name})
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
