"""Seconds from process start to ready of each service, beside importing its libraries alone; CPU of an idle service.

Real processes on a real Kafka whose topics exist, with a Vault stand-in. Ready: /readyz answers 200. CPU: user and
system time of a service and its children over a while without any record, all three running side by side.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from benchmarks.broker import broker
from benchmarks.harness import alternate, cpu_of_children_s, cpu_s, last_line, medians, table
from tests.support.services import ServiceProcess
from tests.support.stack import SERVICES, Stack

_SHARED = ("confluent_kafka.admin", "msgspec", "prometheus_client", "pydantic")
_LIBRARIES = {
    "ingest": (*_SHARED, "httpx", "cryptography"),
    "inference": (*_SHARED, "httpx", "cryptography", "numpy", "cv2", "av", "onnxruntime", "openvino"),
    "aggregator": (*_SHARED, "numpy", "pyarrow.parquet", "yaml"),
}
SETTLE_S = 8.0
"""From ready to idle: the group has formed, the first probes have run."""


def _ready(service: ServiceProcess) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        service.start()
        try:
            service.process.wait_until(lambda: service.ask("/readyz").is_success, 60)
            return time.perf_counter() - began
        finally:
            service.kill()

    return once


def _imports(name: str) -> Callable[[], float]:
    there = [one for one in _LIBRARIES[name] if importlib.util.find_spec(one.partition(".")[0]) is not None]

    def once() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {', '.join(there)}"], check=True)
        return time.perf_counter() - began

    return once


def _cpu_s(service: ServiceProcess) -> float:
    """CPU seconds so far of a service and its children."""
    process = psutil.Process(service.process.pid)
    return cpu_s(process) + cpu_of_children_s(process)


def _idle(services: dict[str, ServiceProcess], seconds: float) -> dict[str, list[float]]:
    """Percent of a core."""
    try:
        for service in services.values():
            service.start()
        for service in services.values():
            service.wait_until_ready()
        time.sleep(SETTLE_S)
        before = {name: _cpu_s(service) for name, service in services.items()}
        time.sleep(seconds)
        return {name: [100 * (_cpu_s(service) - before[name]) / seconds] for name, service in services.items()}
    finally:
        for service in services.values():
            service.kill()


def run(quick: bool) -> str:
    """The table and the JSON line."""
    rounds, idle_s = (1, 2.0) if quick else (5, 20.0)
    with broker() as (server, folder), Stack(folder / "stack", server, "startup") as stack:
        services = {name: ServiceProcess(name, stack.settings(), stack.folder) for name in SERVICES}
        variants = {}
        for name, service in services.items():
            variants |= {f"{name} ready": _ready(service), f"{name}, imports alone": _imports(name)}
        figures = alternate(variants, rounds)
        idle = _idle(services, idle_s)
    middle = medians(figures)
    fields = {
        "ready_seconds": {name: round(middle[f"{name} ready"], 2) for name in SERVICES},
        "imports_seconds": {name: round(middle[f"{name}, imports alone"], 2) for name in SERVICES},
        "idle_cpu_percent": {name: round(idle[name][0], 2) for name in SERVICES},
    }
    parts = [table("start to ready", "s", figures), table(f"idle over {idle_s:g} s", "% of a core", idle)]
    return "\n".join([*parts, last_line("startup", fields)])
