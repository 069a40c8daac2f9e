"""A real Prometheus and promtool for the tests: the machine's, else unpacked from Debian's package `prometheus`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.cache import cached, run_quietly
from tests.support.processes import ServerProcess, free_port


class PrometheusServer:
    """A Prometheus that scrapes each of ``targets`` (job -> host:port) once a second, with these rule files."""

    def __init__(self, folder: Path, targets: Mapping[str, str], rules: list[Path]) -> None:
        self._folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: ServerProcess | None = None
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def start(self) -> PrometheusServer:
        """Start it and return when it answers."""
        command = [
            str(binary("prometheus")),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]
        self._process = ServerProcess("Prometheus", command, self._folder / "prometheus.log")
        self._process.wait_until(self._ready)
        return self

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that an expression gives now. ValueError with Prometheus' words where it is none."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).json()
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer['error']}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def series(self, expression: str, start_s: float, end_s: float, step_s: float = 1.0) -> list[dict[str, Any]]:
        """The lines that an expression gives from one moment to another."""
        asked: dict[str, str | float] = {"query": expression, "start": start_s, "end": end_s, "step": step_s}
        answer = httpx.get(f"{self.url}/api/v1/query_range", params=asked, timeout=30).raise_for_status().json()
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Those of the last hour."""
        now = time.time()
        asked: dict[str, str | float] = {"query": expression, "start": now - 3600, "end": now}
        answer = httpx.get(f"{self.url}/api/v1/query_exemplars", params=asked, timeout=10).raise_for_status().json()
        return [one for series in answer["data"] for one in series["exemplars"]]

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2).is_success
        except httpx.TransportError:
            return False


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the real promtool; its exit code, and what it says on stdout and stderr."""
    command = [str(binary("promtool")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@cache
def binary(name: str) -> Path:
    """`prometheus` or `promtool`. RuntimeError with what to do where neither the machine nor Debian has it."""
    installed = shutil.which(name)
    if installed:
        return Path(installed)
    try:
        return cached("prometheus", _unpack) / "usr" / "bin" / name
    except (RuntimeError, OSError) as error:
        raise RuntimeError(
            f"the tests need {name}: install Prometheus (apt-get install prometheus, or put prometheus and promtool "
            f"on PATH). Fetching Debian's package failed: {error}"
        ) from error


def _unpack(folder: Path) -> None:
    """Debian's package without installing it: no service is started, and no root is needed."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _download(scratch)
        except RuntimeError:
            if os.geteuid() != 0:
                raise
            run_quietly(["apt-get", "update"])
            _download(scratch)
        (package,) = Path(scratch).glob("*.deb")
        run_quietly(["dpkg-deb", "-x", str(package), str(folder)])


def _download(into: str) -> None:
    run_quietly(["sh", "-c", f"cd '{into}' && apt-get download -o APT::Sandbox::User=root prometheus"])
