"""How the Vault stand-in answers each request. `services.simulator.vault` holds what it keeps and its faults.

Rules
- A key is UTF-8 in a header, whatever HTTP says about Latin-1: that is how agents and Vault do it.
- The body of a request is always read to its end, so that the connection can go on.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from services.contracts.kerberos import BadEvent
from services.ingest.core.container import is_fragmented
from services.simulator.vault_events import Arrival

if TYPE_CHECKING:
    from services.simulator.vault import VaultStandIn

CHUNK = 1 << 16
PREFIX = "X-Kerberos-Storage-"


class _Answer(Exception):
    """Ends a request with this status and JSON body."""

    def __init__(self, status: int, data: object) -> None:
        super().__init__(status)
        self.status, self.data = status, data


class RequestHandler(BaseHTTPRequestHandler):
    """One request; the names of the methods are given by the standard library."""

    protocol_version = "HTTP/1.1"

    @property
    def vault(self) -> VaultStandIn:
        return cast("VaultStandIn", self.server.vault)  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        self._serve(
            {
                "/api/storage": self._sign,
                "/api/storage/blob": self._blob,
                "/api/storage/signed": self._signed,
            }
        )

    def do_POST(self) -> None:
        self._serve(
            {
                "/api/ping": self._ping,
                "/api/storage": self._upload,
                "/api/storage/bulk": self._bulk,
                "/api/hls/metadata": self._metadata,
            }
        )

    def do_DELETE(self) -> None:
        self._serve({"/api/storage": self._delete})

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the query of a signed URL is a secret."""

    def _serve(self, routes: dict[str, Any]) -> None:
        vault, path = self.vault, urlsplit(self.path).path
        vault.requests.append((self.command, path))
        body = self._body()
        time.sleep(vault.faults.slow_s)
        self._planned = vault.faults.next_for(path)
        try:
            if self._planned:
                raise _Answer(self._planned, "planned fault")
            if path not in routes:
                raise _Answer(404, "not found")
            routes[path](body)
        except _Answer as answer:
            self._json(answer.status, answer.data)
        except BadEvent as error:
            self._json(400, str(error))
        except OSError as error:
            self._json(500, type(error).__name__)
        finally:
            for _ in body:
                pass

    # The calls

    def _ping(self, _body: Iterator[bytes]) -> None:
        self._check_account()
        raise _Answer(200, "pong")

    def _upload(self, body: Iterator[bytes]) -> None:
        source = self._header("Provider", required=False) or next(iter(sorted(self.vault.sources)), "demo")
        self._check_account(source)
        key = f"{self._header('Directory')}/{self._header('FileName')}"
        path = self.vault.path(source, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(body, path)
        self.vault.devices[source, key] = self._header("Device", required=False)
        self.vault.announce(
            Arrival(
                key,
                source,
                path.stat().st_size,
                device=self._header("Device", required=False),
                capture=self._header("Capture", required=False),
                cloud_key=self._header("CloudKey", required=False),
                duration_ms=self._header("Duration", required=False),
                fps=self._header("Fps", required=False),
                fragmented=is_fragmented(path),
            )
        )
        raise _Answer(200, "success")

    def _blob(self, _body: Iterator[bytes]) -> None:
        path, key = self._requested()
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Description", "File Transfer")
        self.send_header("Content-Transfer-Encoding", "binary")
        self._utf8_header("Content-Disposition", f"attachment; filename={key}")
        self.send_header("Vary", "Accept-Encoding")
        gzip = "gzip" in self.headers.get("Accept-Encoding", "")
        if gzip:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunked(_gzip(_pieces(path)) if gzip else _pieces(path))

    def _sign(self, _body: Iterator[bytes]) -> None:
        _, key = self._requested()
        raise _Answer(200, self.vault.signed_url(key, self._header("Provider")))

    def _signed(self, _body: Iterator[bytes]) -> None:
        values = dict(parse_qsl(urlsplit(self.path).query))
        if not self.vault.is_signed(values):
            raise _Answer(403, "the signature is wrong or has expired")
        path = self.vault.path(values["p"], values["f"])
        if not path.is_file():
            raise _Answer(404, "no such recording")
        size = path.stat().st_size
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        with path.open("rb") as file:
            if self._planned == self.vault.faults.BREAK_OFF:
                self.wfile.write(file.read(size // 2))
                self.close_connection = True
            else:
                shutil.copyfileobj(file, self.wfile)

    def _bulk(self, body: Iterator[bytes]) -> None:
        self._check_account()
        try:
            wanted = [(one["filename"], one.get("provider") or "demo") for one in json.loads(b"".join(body))]
        except (ValueError, TypeError, KeyError, AttributeError):
            raise _Answer(400, "the body is a list of {filename, provider, uriExpiryTime}") from None
        raise _Answer(200, json.dumps({key: self.vault.signed_url(key, source) for key, source in wanted}))

    def _metadata(self, body: Iterator[bytes]) -> None:
        """Which recordings of these devices started in that time."""
        source = self._header("Provider")
        self._check_account(source)
        try:
            asked = json.loads(b"".join(body))
            devices, start, end = set(asked["device"]), int(asked["start"]), int(asked["end"])
        except (ValueError, TypeError, KeyError):
            raise _Answer(400, "the body is {device, start, end}") from None
        found = [
            {"key": key, "filename": key, "timestamp": time_s}
            for key, time_s in self.vault.recordings(source, devices)
            if start <= time_s <= end
        ]
        self._whole(200, json.dumps(found).encode())

    def _delete(self, _body: Iterator[bytes]) -> None:
        path, _ = self._requested()
        path.unlink()
        raise _Answer(200, "deleted")

    # What requests carry

    def _header(self, name: str, required: bool = True) -> str:
        value = self.headers.get(PREFIX + name, "")
        if required and not value:
            raise _Answer(400, f"header {PREFIX}{name} is missing")
        return value.encode("latin-1").decode("utf-8", errors="replace")

    def _check_account(self, source: str | None = None) -> None:
        vault = self.vault
        access_key, secret = self._header("AccessKey"), self._header("SecretAccessKey")
        known = (access_key, secret) == (vault.access_key, vault.secret) and not vault.faults.refuse_keys
        closed = source is not None and (
            source in vault.faults.closed_sources or (vault.sources and source not in vault.sources)
        )
        if not known or closed:
            raise _Answer(401, f"account for {access_key} and {secret} was not found.")

    def _requested(self) -> tuple[Path, str]:
        """Path and key of the recording that the four headers ask for."""
        key, source = self._header("FileName"), self._header("Provider")
        self._check_account(source)
        path = self.vault.path(source, key)
        if not path.is_file():
            raise _Answer(404, "no such recording")
        return path, key

    def _body(self) -> Iterator[bytes]:
        """The body of the request, which agents send with a length or in chunks."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self._read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield from self._read(int(self.headers.get("Content-Length") or 0))

    def _read(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self.rfile.read(min(size, CHUNK))
            if not piece:
                self.close_connection = True
                raise ConnectionError("the upload broke off")
            size -= len(piece)
            yield piece

    # Answers

    def _json(self, status: int, data: object) -> None:
        self._whole(status, json.dumps({"data": data}).encode())

    def _whole(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _utf8_header(self, name: str, value: str) -> None:
        self.send_header(name, value.encode().decode("latin-1"))

    def _chunked(self, pieces: Iterator[bytes]) -> None:
        sent = 0
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                sent += 1
            if sent and self._planned == self.vault.faults.BREAK_OFF:
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _write_whole(body: Iterator[bytes], path: Path) -> None:
    """The file appears whole or not at all, also where two uploads of it meet."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".upload-")
    try:
        with os.fdopen(number, "wb") as file:
            for piece in body:
                file.write(piece)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
