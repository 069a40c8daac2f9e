"""A page of ours on this machine's loopback address: what every such page needs of its server.

Rules
- The page is one file: no script, font or style from elsewhere, so it works without a network.
- Only this machine can ask, and only this page: the Host of a request must be the loopback address, what changes
  something must come as JSON from the page's own address. So no web site that is open beside it can read or write.
"""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import typer

LOOPBACK = "127.0.0.1"
OWN_ONLY = "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class PageServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up in mid-request is no news; anything else is a defect and shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """A request; `get` and `post` answer those of our own page."""

    largest = 10_000
    """Bytes of a request."""

    def get(self, path: str) -> None:
        raise NotImplementedError

    def post(self, path: str) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        if self.allowed():
            self.get(self.path.partition("?")[0])

    def do_POST(self) -> None:
        if self.allowed():
            self.post(self.path)

    def allowed(self) -> bool:
        """Does our own page ask? Else it is answered already. To be overridden where others may ask, too."""
        port = self.connection.getsockname()[1]
        hosts = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
        ours = self.headers.get("Host") in hosts
        if self.command == "POST":
            origin = self.headers.get("Origin")
            ours = ours and self.headers.get_content_type() == "application/json"
            ours = ours and (origin is None or origin.removeprefix("http://") in hosts)
        if not ours:
            self.json(403, {"error": "only this machine's own page may ask"})
        return ours

    def body(self) -> bytes | None:
        """What came with the request; None where it is too large, or its size is not told."""
        size = self.headers.get("Content-Length", "")
        known = size.isascii() and size.isdigit() and len(size) < 9 and int(size) <= self.largest
        return self.rfile.read(int(size)) if known else None

    def json(self, status: int, value: dict[str, Any]) -> None:
        self.answer(status, "application/json", json.dumps(value, allow_nan=False).encode())

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", OWN_ONLY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: plates are personal data, and the person sees the page."""


def show(make: Callable[[int], PageServer], port: int, note: str, open_: bool, host: str = LOOPBACK) -> None:
    """Serves the page until Ctrl+C. Leaves with 2 where the port cannot be used."""
    try:
        server = make(port)
    except OSError as error:
        typer.echo(f"plateflow: {host}, port {port} cannot be used ({error.strerror}); name another --port", err=True)
        raise typer.Exit(2) from error
    address = f"http://{host}:{server.server_port}/"
    typer.echo(f"{address}   {note}; Ctrl+C ends it", err=True)
    if open_:
        webbrowser.open(address)
    try:
        server.serve_forever(0.2)
    except KeyboardInterrupt:
        typer.echo("", err=True)
    finally:
        server.server_close()
