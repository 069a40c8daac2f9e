"""Our services as processes of their own, as an operator runs them: start, ask, kill, start again.

A service takes its settings from the environment; what the tests' own environment says about plateflow or Kerberos does
not reach it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from services.runtime.crash import VARIABLE
from tests.support.cache import REPOSITORY
from tests.support.processes import ServerProcess, free_port

OURS = ("PLATEFLOW_", "KAFKA_", "QUEUE_", "STORAGE_", "VAULT_", "KERBEROS_", "AGENT_")


class ServiceProcess:
    """`python -m services.<name>` with these settings; it logs into `folder/<name>.log`.

    ``clock``: a file as `tests.support.shifted` reads it.
    """

    def __init__(self, name: str, settings: Mapping[str, str], folder: Path, clock: Path | None = None) -> None:
        self._shifted = ["tests.support.shifted", str(clock)] if clock else []
        port = free_port()
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{name}.log"
        self._settings = {"PLATEFLOW_HTTP_HOST": "127.0.0.1", "PLATEFLOW_HTTP_PORT": str(port), **settings}
        self._process: ServerProcess | None = None

    @property
    def process(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def start(self, crash_at: str = "") -> "ServiceProcess":
        """Start it (again, after `kill` or `stop`) without waiting. ``crash_at``: see `services.runtime.crash`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        command = [sys.executable, "-m", *self._shifted, f"services.{self.name}"]
        environment = kept | self._settings | ({VARIABLE: crash_at} if crash_at else {})
        self._process = ServerProcess(self.name, command, self.log, environment=environment, cwd=REPOSITORY)
        return self

    def wait_until_ready(self, timeout_s: float = 60) -> "ServiceProcess":
        """Return when /readyz says 200; raise with the end of its log where it does not come to that."""
        self.process.wait_until(lambda: self.ask("/readyz").is_success, timeout_s)
        return self

    def wait_until_it_says(self, words: str, timeout_s: float = 60) -> None:
        """Return when /readyz holds these words."""
        self.process.wait_until(lambda: words in self.ask("/readyz").text, timeout_s)

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """GET `path`; an answer of 503 also where nothing listens yet."""
        try:
            return httpx.get(self.url + path, headers=headers, timeout=5)
        except httpx.TransportError as error:
            return httpx.Response(503, text=str(error))

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM; the exit code."""
        return self.process.stop(timeout_s)

    def kill(self) -> None:
        """SIGKILL, its decoding children with it."""
        self.process.kill()
