"""`plateflow serve`: photos posted over HTTP, what stands on their plates as the answer; a page for whoever has none
but a browser.

| request | answer |
|---|---|
| `POST /read` | of a form (`multipart/form-data`) with photos, or of one picture as the body: `{"photos": [...]}` |
| `GET /` | a page to drop photos on |
| `GET /healthz` | `{"ready": true}` |

Status of `/read`: 200 where a photo was read, 422 where none could be (each says why); 400 no photo or a broken form,
401 token, 403 a foreign page, 411 and 413 size, 415 kind, 500 no room on the disk,
503 too many at once.

Rules
- Nothing is kept: photos lie in a folder of their own while they are read, and no plate is logged.
- Without a token only this machine may ask. Whoever lets others ask (`--host`) must set one.
"""

from __future__ import annotations

import hmac
import os
import signal
import tempfile
import threading
from contextlib import closing
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from multipart import MultipartError, MultipartParser, parse_options_header

from services.cli.local_page import LOOPBACK, PageHandler, PageServer, show
from services.cli.photo_reader import Photo, PhotoReader, Unread
from services.inference.build import build_inference
from services.inference.settings import PipelineSettings
from services.runtime.environment import load
from services.runtime.errors import SettingsError

PAGE = Path(__file__).with_name("serve.html")
TOKEN = "PLATEFLOW_SERVE_TOKEN"  # noqa: S105 -- its name
MOST = 50
"""Photos in one form."""
WAITING = 8
"""Requests that may be at hand at once; each waits for those before it."""
PATIENCE_S = 30.0
"""So long a client may say nothing."""
PICTURES = ("image/", "application/octet-stream")

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help=f"Address to listen at; other than this machine's own: with {TOKEN}.")] = (
        LOOPBACK
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: any that is free.")] = 8088,
    max_mb: Annotated[int, typer.Option(min=1, max=1024, help="Largest request, in MB.")] = 50,
    max_width: Annotated[
        int, typer.Option(min=0, max=16_384, help="Wider photos are made so many pixels wide; 0: as they are.")
    ] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Read the plates on photos that are posted over HTTP.

    Examples:

    - `plateflow serve --open`, and drop photos on the page
    - `curl -F photo=@car.jpg -F photo=@van.png http://127.0.0.1:8088/read`
    - `curl --data-binary @car.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8088/read`

    The answer is JSON: of each photo its plates, with box, corners and confidences. Settings of docs/configuration.md
    (inference) hold here, too. Ctrl+C ends it. All about it: docs/run.md.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token and not _own(host):
        raise SettingsError(f"--host {host} lets other machines ask: set {TOKEN} to a word that they must send")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    models = build_inference(load(PipelineSettings))
    with closing(models):
        desk = Desk(PhotoReader(models, max_width), max_mb * 1_000_000, token, _own(host))
        show(lambda at: server(desk, host, at), port, "post photos to /read", open_, host)


def server(desk: Desk, host: str, port: int) -> PageServer:
    """A server that listens, and does not answer yet."""
    return PageServer((host, port), partial(_Handler, desk))


def _own(host: str) -> bool:
    """Is it this machine alone that can reach the address?"""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Desk:
    """What all requests share."""

    def __init__(self, reader: PhotoReader, largest: int, token: str, own_only: bool) -> None:
        self.reader, self.largest, self.token, self.own_only = reader, largest, token, own_only
        self.places = threading.BoundedSemaphore(WAITING)


class Refused(Exception):
    """The request cannot be answered: HTTP status, and what to do."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(PageHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S

    def __init__(self, desk: Desk, *rest: Any) -> None:
        self._desk = desk
        super().__init__(*rest)

    def allowed(self) -> bool:
        """A page of somebody else's may not ask through the user's browser; others need the token."""
        self.close_connection = True  # what is left of a refused body must not be taken for a request
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        named = host.rpartition(":")[0] or host
        if (self._desk.own_only and not _own(named.strip("[]"))) or origin not in (None, f"http://{host}"):
            self.json(403, {"error": "only this server's own page, or a program, may ask"})
            return False
        given = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        public = self.command == "GET"
        if not public and not hmac.compare_digest(given.encode(), self._desk.token.encode()) and self._desk.token:
            self.json(401, {"error": f"send the word of {TOKEN}: Authorization: Bearer ..."})
            return False
        return True

    def get(self, path: str) -> None:
        if path == "/":
            self.answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "/healthz":
            self.json(200, {"ready": True})
        elif path == "/read":
            self.json(405, {"error": "post photos here: curl -F photo=@car.jpg ADDRESS/read"})
        else:
            self.json(404, {"error": "there is no such page"})

    def post(self, path: str) -> None:
        if path != "/read":
            self.json(404, {"error": "post photos to /read"})
            return
        if not self._desk.places.acquire(blocking=False):
            self.json(503, {"error": "too many at once: try again in a moment"})
            return
        try:
            with tempfile.TemporaryDirectory(prefix="plateflow-") as folder:
                photos = [self._desk.reader.read(name, path) for name, path in self._photos(Path(folder))]
        except Refused as error:
            self.json(error.status, {"error": str(error)})
        except TimeoutError:
            self.json(408, {"error": f"nothing came for {PATIENCE_S:g} s"})
        except ConnectionError:
            raise
        except OSError as error:
            self.json(500, {"error": f"the photo cannot be laid down while it is read: {error.strerror}"})
        else:
            self._tell(photos)
        finally:
            self._desk.places.release()

    def _tell(self, photos: list[Photo | Unread]) -> None:
        status = 200 if any(isinstance(one, Photo) for one in photos) else 422
        self.answer(status, "application/json", msgspec.json.encode({"photos": photos}))

    def _photos(self, folder: Path) -> list[tuple[str, Path]]:
        """The photos of the request as files, each with its name. Raises Refused."""
        size = self.headers.get("Content-Length", "")
        if not (size.isascii() and size.isdigit()):
            raise Refused(411, "say how long the request is: Content-Length")
        if len(size) > 12 or int(size) > self._desk.largest:
            raise Refused(413, f"a request may have {self._desk.largest // 1_000_000} MB (--max-mb)")
        kind, options = parse_options_header(self.headers.get("Content-Type", ""))
        if kind == "multipart/form-data":
            return self._of_form(options.get("boundary", ""), int(size), folder)
        if kind.startswith(PICTURES):
            return [self._of_body(int(size), folder)]
        raise Refused(415, "send a form (curl -F photo=@car.jpg ADDRESS/read), or a picture as image/jpeg")

    def _of_form(self, boundary: str, size: int, folder: Path) -> list[tuple[str, Path]]:
        found: list[tuple[str, Path]] = []
        if not boundary:
            raise Refused(400, "the form names no boundary in its Content-Type")
        form = MultipartParser(self.rfile, boundary, size, part_limit=MOST, disk_limit=self._desk.largest)
        try:
            for part in form:
                if part.filename or part.content_type.startswith(PICTURES):
                    path = _place(folder, len(found))
                    part.save_as(path)
                    found.append((part.filename or part.name or f"photo {len(found) + 1}", path))
                part.close()
        except MultipartError as error:
            raise Refused(400, f"the form cannot be taken apart: {error}") from error
        if not found:
            raise Refused(400, "the form holds no photo: curl -F photo=@car.jpg (mind the @)")
        return found

    def _of_body(self, size: int, folder: Path) -> tuple[str, Path]:
        body = self.rfile.read(size)
        if not body:
            raise Refused(400, "the request is empty: curl --data-binary @car.jpg")
        path = _place(folder, 0)
        path.write_bytes(body)
        return "photo", path


def _place(folder: Path, number: int) -> Path:
    """A file of our own naming: what a stranger calls a photo never becomes a path."""
    return folder / f"photo {number + 1}"
