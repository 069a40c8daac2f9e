"""Builds helm and the checker of compose files before the first test, so that no test's time limit pays for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from services.simulator import traffic
from services.simulator.clips import render
from services.simulator.vault_events import Form
from tests.deploy.promql import RULES
from tests.support import compose, helm
from tests.support.collector import Collector
from tests.support.kafka import Broker
from tests.support.prometheus import PrometheusServer
from tests.support.stack import SERVICES, Stack


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    files = {item.path.name for item in session.items}
    try:
        if files & {"test_helm.py", "test_install.py", "test_cluster.py"}:
            helm.binary()
            helm.definitions()
        if files & {"test_compose.py", "test_install.py"}:
            compose.checker()
    except Exception as error:
        pytest.exit(f"the tools of the deployment tests could not be built (needs the network once): {error}", 1)


@dataclass(frozen=True, slots=True)
class Watched:
    """Three services that took in two recordings, and all that watched them."""

    stack: Stack
    prometheus: PrometheusServer
    collector: Collector


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, kafka: Broker) -> Iterator[Watched]:
    """A real Prometheus and a collector of spans; one recording came after the other, each with a trace of Vault."""
    folder = tmp_path_factory.mktemp("watched")
    render(traffic.timetable(seed=7, cameras=1)[:2], folder / "clips", seed=7)
    first, second = sorted((folder / "clips").rglob("*.mp4"))
    with Collector() as collector:
        more = {"PLATEFLOW_TRACING_ENDPOINT": collector.endpoint, "PLATEFLOW_LOG_FORMAT": "json"}
        prefix, cameras = f"watched-{uuid.uuid4().hex[:8]}", folder / "clips" / "cameras.yaml"
        with Stack(folder / "stack", kafka, prefix, cameras, form=Form.C, more=more) as stack:
            stack.start(*SERVICES)
            targets = {f"plateflow-{service}": stack.address(service) for service in SERVICES}
            prometheus = PrometheusServer(folder / "prometheus", targets, [RULES]).start()
            try:
                stack.wait(lambda: len(prometheus.query("plateflow_ready == 1")) == len(SERVICES), 60, "three scrapes")
                for count, clip in enumerate((first, second), 1):
                    stack.upload([clip])
                    stack.wait_for_recordings(count, timeout_s=200)
                yield Watched(stack, prometheus, collector)
            finally:
                prometheus.stop()
