"""`plateflow data label`: a page on this machine's loopback address in which a person types the texts of plates.

Rules
- The page is one file of ours: no script, font or style from elsewhere, so it works without a network.
- Only this machine can ask, and only this page: the Host of a request must be the loopback address, what changes
  something must come as JSON from the page's own address. So no web site that is open beside it can read or write.
- A text is saved before the page moves on (`services.inference.datasets.labelling`).
"""

from __future__ import annotations

import json
import webbrowser
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from services.cli.data_check import Formats, Patterns, known_patterns
from services.cli.data_common import clear_errors
from services.inference.datasets.labelling import Labelling

PAGE = Path(__file__).with_name("data_label.html")
LOOPBACK = "127.0.0.1"
LARGEST = 10_000
"""Bytes of a request."""
OWN_ONLY = "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_TALL = 320
"""Pixels to which low crops are enlarged."""


def register(app: typer.Typer) -> None:
    app.command()(label)


def label(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Crops of plates, or a folder in our layout.")],
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Serve the page; without, only say what is typed and what is not.")
    ] = True,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the page; 0: any that is free.")] = 8765,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    pattern: Patterns = [],  # noqa: B006 -- typer copies it
    format: Formats = [],  # noqa: B006
) -> None:
    """Type the texts of plates in the browser. Every text is saved at once; come back any time and go on.

    Crops that lie in any folder get a labels.csv beside them; of a folder in our layout, plates.csv takes the texts.
    Enter saves and goes on, Shift+Enter goes back, Esc leaves a plate out. Ctrl+C here ends it.
    """
    with clear_errors():
        known_patterns(pattern, format)
        labelling = Labelling(folder)
    if not page:
        _tell(labelling)
        return
    patterns = [*pattern, *(one.pattern for one in known_patterns([], format))]
    try:
        server = serve(labelling, port, patterns)
    except OSError as error:
        typer.echo(f"plateflow data: port {port} cannot be used ({error.strerror}); name another --port", err=True)
        raise typer.Exit(2) from error
    address = f"http://{LOOPBACK}:{server.server_port}/"
    typer.echo(f"{address}   texts go to {labelling.target}; Ctrl+C ends it", err=True)
    if open_:
        webbrowser.open(address)
    try:
        server.serve_forever(0.2)
    except KeyboardInterrupt:
        typer.echo("", err=True)
    finally:
        server.server_close()
    _tell(labelling)


def serve(labelling: Labelling, port: int, patterns: list[str]) -> ThreadingHTTPServer:
    """A server that listens, and does not answer yet."""
    return ThreadingHTTPServer((LOOPBACK, port), partial(_Handler, labelling, patterns))


def _tell(labelling: Labelling) -> None:
    typed = sum(bool(text) for text in labelling.texts())
    typer.echo(f"{typed} of {len(labelling)} plates have a text, in {labelling.target}")


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, labelling: Labelling, patterns: list[str], *rest: Any) -> None:
        self._labelling, self._patterns = labelling, patterns
        super().__init__(*rest)

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "/state":
            self._json(200, self._state())
        elif (number := self._number(path.removeprefix("/plates/"))) is not None:
            self._picture(number)
        else:
            self._json(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        number = self._number(self.path.removeprefix("/plates/"))
        size = self.headers.get("Content-Length", "")
        if number is None or not size.isascii() or not size.isdigit() or int(size) > LARGEST:
            self._json(400, {"error": "a plate's number and a short JSON object are needed"})
            return
        try:
            text = json.loads(self.rfile.read(int(size)))["text"]
            if not isinstance(text, str) or len(text) > 40 or not text.isprintable():
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            self._json(400, {"error": 'write {"text": "…"} of at most 40 letters'})
            return
        try:
            self._json(200, {"text": self._labelling.put(number, text)})
        except OSError as error:
            self._json(500, {"error": f"cannot write {self._labelling.target}: {error.strerror}"})

    def _state(self) -> dict[str, Any]:
        names = [self._labelling.name(number) for number in range(len(self._labelling))]
        return {"names": names, "texts": self._labelling.texts(), "patterns": self._patterns}

    def _picture(self, number: int) -> None:
        try:
            image = self._labelling.image(number)
        except ValueError as error:
            self._json(404, {"error": str(error)})
            return
        scale = max(1.0, _TALL / image.shape[0])
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        _, data = cv2.imencode(".png", large)
        self._answer(200, "image/png", data.tobytes())

    def _is_ours(self) -> bool:
        port = self.connection.getsockname()[1]
        hosts = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
        ours = self.headers.get("Host") in hosts
        if self.command == "POST":
            origin = self.headers.get("Origin")
            ours = ours and self.headers.get_content_type() == "application/json"
            ours = ours and (origin is None or origin.removeprefix("http://") in hosts)
        if not ours:
            self._json(403, {"error": "only this machine's own page may ask"})
        return ours

    def _number(self, word: str) -> int | None:
        number = int(word) if word.isascii() and word.isdigit() and len(word) < 9 else len(self._labelling)
        return number if number < len(self._labelling) else None

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", OWN_ONLY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: plates are personal data, and the person sees the page."""
