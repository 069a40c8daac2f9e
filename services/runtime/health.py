"""What a service says about itself over HTTP: GET /metrics, /healthz (alive), /readyz (able to work).

In: the loop's heartbeat, and the result of each check, by name.
Out: 200 or 503 for an orchestrator, the metrics for Prometheus.

Rules
- Answers come from what was noted last; a request never waits for Kafka, Vault or a model.
- /healthz fails only where the loop has stopped turning: then a restart helps.
- /readyz fails while any check fails, and says which and why. Reasons hold no secrets; and they are masked.
"""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.exposition import choose_encoder

from services.runtime.errors import SettingsError
from services.runtime.masking import mask_text
from services.runtime.metrics import REGISTRY

log = logging.getLogger(__name__)

STALLED_AFTER_S = 120.0
REQUEST_TIMEOUT_S = 10.0


class Health:
    """What is known of this process. Any thread may note something; the HTTP threads read."""

    def __init__(self, stalled_after_s: float = STALLED_AFTER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._stalled_after_s = stalled_after_s
        self._clock = clock
        self._beat_s = clock()
        self._checks: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def heartbeat(self, now_s: float) -> None:
        """The loop turned at ``now_s``, a reading of the same monotonic clock."""
        self._beat_s = now_s

    def check(self, name: str, ok: bool, reason: str = "") -> None:
        """Notes the result of the check ``name``; it holds until it is noted again."""
        with self._lock:
            self._checks[name] = None if ok else mask_text(reason) or "failed"

    def alive(self) -> tuple[bool, dict[str, str]]:
        silent_s = max(0.0, self._clock() - self._beat_s)
        if silent_s <= self._stalled_after_s:
            return True, {"loop": "ok"}
        return False, {"loop": f"no turn for {silent_s:.0f} s"}

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether every check passed, and {check: "ok" or reason}. Before the first check: not ready."""
        with self._lock:
            checks = dict(self._checks)
        if not checks:
            return False, {"service": "starting"}
        return not any(checks.values()), {name: reason or "ok" for name, reason in checks.items()}


@dataclass(frozen=True, slots=True)
class Page:
    """The running HTTP server."""

    port: int
    _server: ThreadingHTTPServer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def serve(health: Health, host: str, port: int) -> Page:
    """Answers on ``host``:``port`` in threads of its own; port 0 takes a free one. Raises SettingsError."""
    try:
        server = _server_class(host)((host, port), _handler(health))
    except (OSError, OverflowError) as error:
        raise SettingsError(_cannot_listen(host, port, error)) from error
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name="health").start()
    log.debug("health page", extra={"port": server.server_port})
    return Page(server.server_port, server)


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server


def _cannot_listen(host: str, port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program: set PLATEFLOW_HTTP_PORT to a free one, or to 0"
    return f"cannot listen on {host}:{port} ({error}): correct PLATEFLOW_HTTP_HOST or PLATEFLOW_HTTP_PORT"


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version = "plateflow"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encoder, kind = choose_encoder(self.headers.get("Accept", ""))  # OpenMetrics carries the exemplars
                self._answer(200, kind, encoder(REGISTRY))
            elif path == "/healthz":
                self._report(*health.alive())
            elif path == "/readyz":
                self._report(*health.ready())
            else:
                self._answer(404, "text/plain", b"there are /metrics, /healthz and /readyz\n")

        def _refuse(self) -> None:
            self._answer(405, "text/plain", b"" if self.command == "HEAD" else b"GET only\n", allow="GET")

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815 - http.server's names

        def _report(self, good: bool, details: dict[str, str]) -> None:
            body = json.dumps(details, ensure_ascii=False).encode() + b"\n"
            self._answer(200 if good else 503, "application/json", body)

        def _answer(self, status: int, kind: str, body: bytes, allow: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            if allow:
                self.send_header("Allow", allow)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    return Handler
