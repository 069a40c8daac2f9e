"""Vault's HTTP API and signed URLs: how each of these ways is gone; `services.runtime.vault` chooses.

In: an account, a key and a source, or a URL. Out: the bytes as they came, saved in a file; or `WayFailed`.

Rules
- Keys go to Vault alone, so its API is never followed elsewhere; a signed URL may redirect within the
  allow-list.
- What a host name leads to is checked too (`services.runtime.addresses`), in every connection.
- Never logged, never in an error text: a URL's query, a key, the body of an answer.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import certifi
import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from services.runtime.addresses import ForbiddenAddress, Guard, Resolve, guarded_pools, look_up, spelt_out
from services.runtime.transfer import Obstacle, Saved, WayFailed, gunzip, reject_too_large, save, within

REDIRECTS = 3
ANSWER_LIMIT = 1 << 20
"""Bytes of an answer that holds a signed URL; a longer one is none, and must not fill our memory."""
LIST_LIMIT = 64 << 20
"""Bytes of a list of recordings: some hundred thousand of them."""
CONNECTIONS = 64
PIECE = 1 << 18
"""Bytes asked of a connection at a time: fewer, larger pieces leave the interpreter to the other threads."""
Headers = dict[str, bytes]
ALLOW = "add that host to PLATEFLOW_VAULT_ALLOWED_HOSTS to download from it"
SPELL = "put the address itself into PLATEFLOW_VAULT_ALLOWED_HOSTS, if that is meant"
_STALE = {400, 401, 403}
"""How storages answer a signed URL that expired."""
_CHATTY = ("boto3", "botocore", "urllib3", "s3transfer")
"""Libraries that log URLs with their signatures, or headers with keys."""
_OBSTACLES = {
    401: Obstacle.REFUSED,
    403: Obstacle.REFUSED,
    404: Obstacle.GONE,
    410: Obstacle.GONE,
    408: Obstacle.UNAVAILABLE,
    429: Obstacle.UNAVAILABLE,
}


class Ping(StrEnum):
    """How Vault answers to keys."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Account:
    """Where Vault's API is, and the keys to it."""

    api: str
    access_key: str = field(repr=False)
    secret: str = field(repr=False)
    own: bool = True
    """The configured keys, not those of an event."""

    def headers(self, key: str | None = None, source: str | None = None) -> Headers:
        """Bytes, since names of cameras are UTF-8 and not limited to Latin-1."""
        values = {"AccessKey": self.access_key, "SecretAccessKey": self.secret, "FileName": key, "Provider": source}
        return {f"X-Kerberos-Storage-{name}": one.encode() for name, one in values.items() if one is not None}


class _Metadata(msgspec.Struct):
    """What we need of an entry of ``/hls/metadata``."""

    filename: str = ""
    key: str = ""


class VaultHttp:
    """One HTTP client for all ways; safe to use from several threads."""

    def __init__(
        self,
        allowed: Collection[str],
        limit: int,
        connect_timeout_s: float,
        read_timeout_s: float,
        own_host: str = "",
        resolve: Resolve = look_up,
    ) -> None:
        """``own_host``: Vault's, which may lead anywhere; other names never to this machine or a link's neighbour."""
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._allowed = {host.lower() for host in (*allowed, own_host) if host}
        self._limit = limit
        trusted = frozenset(host for host in (own_host.lower(), *map(spelt_out, allowed)) if host)
        trust = ssl.create_default_context()  # the system's authorities, or those of SSL_CERT_FILE ...
        trust.load_verify_locations(certifi.where())  # ... and the public ones, where the system has none
        self._pools = guarded_pools(
            Guard(trusted, resolve),
            maxsize=CONNECTIONS,
            timeout=urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
            retries=False,
            ssl_context=trust,
        )

    def close(self) -> None:
        self._pools.clear()

    def ping(self, account: Account) -> Ping:
        try:
            with self._asked("POST", f"{account.api}/ping", account.headers()) as response:
                status = response.status  # its body is nothing to us, however long it is
        except (HTTPError, WayFailed):
            return Ping.UNREACHABLE
        if status in (401, 403):
            return Ping.REFUSED
        return Ping.ACCEPTED if status == 200 else Ping.UNREACHABLE

    def is_allowed(self, url: str) -> bool:
        """An allow-list entry with a port admits that port only."""
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            return False
        if port is None or not parts.hostname or "@" in parts.netloc:
            return False
        return not self._allowed.isdisjoint((parts.hostname, f"{parts.hostname}:{port}"))

    def by_blob(self, account: Account, key: str, source: str, into: Path) -> Saved:
        with self._answer(f"{account.api}/storage/blob", account.headers(key, source)) as response:
            _check_api(response)
            return self._save(response, into)

    def by_storage(self, account: Account, key: str, source: str, into: Path) -> Saved:
        try:
            return self.by_url(self._sign(account, key, source), into)
        except WayFailed as failure:
            if failure.status not in _STALE or failure.obstacle is not Obstacle.UNAVAILABLE:
                raise
        return self.by_url(self._sign(account, key, source), into)

    def _sign(self, account: Account, key: str, source: str) -> str:
        with self._answer(f"{account.api}/storage", account.headers(key, source)) as response:
            _check_api(response)
            answer = _read(response)
            try:
                url = json.loads(answer)["data"]
            except (ValueError, KeyError, TypeError):
                url = None
        if not isinstance(url, str) or not url:
            raise WayFailed(Obstacle.UNEXPECTED, "GET /storage answered without a signed URL in `data`")
        return url

    def listed(self, account: Account, source: str, devices: Sequence[str], start_s: int, end_s: int) -> list[str]:
        """Keys of the recordings of these devices that started in [start, end], as ``POST /hls/metadata`` tells them.

        Its answer names the object in ``filename``, that of some versions in ``key``; one of them has the directory.
        """
        body = {"device": list(devices), "start": start_s, "end": end_s}
        headers = account.headers(source=source) | {"Content-Type": b"application/json", "Accept-Encoding": b"gzip"}
        address = f"{account.api}/hls/metadata"
        try:
            with self._asked("POST", address, headers, json.dumps(body).encode()) as response:
                _check_api(response)
                found = msgspec.json.decode(_read(response, LIST_LIMIT), type=list[_Metadata])
        except HTTPError as error:
            raise WayFailed(Obstacle.UNAVAILABLE, f"Vault does not answer ({type(error).__name__})") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise WayFailed(Obstacle.UNEXPECTED, "POST /hls/metadata answered no list of recordings", 200) from None
        return [next((name for name in (one.filename, one.key) if "/" in name), "") for one in found]

    def by_url(self, url: str, into: Path) -> Saved:
        for _ in range(REDIRECTS + 1):
            if not self.is_allowed(url):
                raise WayFailed(Obstacle.NOT_ALLOWED, f"a signed URL leads to {host_of(url)}: {ALLOW}")
            with self._answer(url, {}) as response:
                elsewhere = response.get_redirect_location()
                if not elsewhere:
                    _check_signed(response)
                    return self._save(response, into)
                url = urljoin(url, elsewhere)
        raise WayFailed(Obstacle.UNEXPECTED, f"a signed URL redirects more than {REDIRECTS} times")

    @contextmanager
    def _answer(self, url: str, headers: Headers) -> Iterator[urllib3.BaseHTTPResponse]:
        """A GET; whatever urllib3 meets, also while the body is read, becomes WayFailed."""
        try:
            with self._asked("GET", url, headers) as response:
                yield response
        except ForbiddenAddress as error:
            raise WayFailed(Obstacle.NOT_ALLOWED, f"{error}: {SPELL}") from None
        except HTTPError as error:
            raise WayFailed(Obstacle.UNAVAILABLE, f"{host_of(url)} does not answer ({type(error).__name__})") from None

    @contextmanager
    def _asked(
        self, method: str, url: str, headers: Headers, body: bytes | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """An answer whose body is still to be read; what is left of it in the end goes with its connection. WayFailed
        for an address or a header (a key with a line break, say) that HTTP has no words for.

        Videos do not get smaller by gzip, which costs Vault and us ten times what the transfer does, so it is not asked
        for; where it comes all the same, it is unpacked.
        """
        named = {"Accept-Encoding": b"identity"} | headers
        try:
            response = self._pools.urlopen(
                method, url, headers=named, body=body, redirect=False, preload_content=False, decode_content=False
            )
        except ValueError as error:
            raise WayFailed(Obstacle.UNEXPECTED, f"cannot be asked for ({type(error).__name__})", 0) from None
        try:
            yield response
        finally:
            response.close()

    def _save(self, response: urllib3.BaseHTTPResponse, into: Path) -> Saved:
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            reject_too_large(self._limit)
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise WayFailed(Obstacle.UNEXPECTED, f"content-encoding {encoding[:20]!r} was not asked for", 200)
        chunks = within(_pieces(response, decoded=False))
        return save(gunzip(chunks) if encoding == "gzip" else chunks, into, self._limit)


def api_base(uri: str) -> str:
    """Base of the API for an address with or without trailing ``/`` or ``/api``."""
    base = uri.rstrip("/")
    return base if base.endswith("/api") else f"{base}/api"


def host_of(url: str) -> str:
    """The host of a URL, for error texts: never its path or query."""
    try:
        return urlsplit(url).hostname or "no host"
    except ValueError:
        return "no host"


def _pieces(response: urllib3.BaseHTTPResponse, decoded: bool) -> Iterator[bytes]:
    """The body as it comes, without waiting for a piece to be full; ``decoded``: without its content encoding."""
    while piece := response.read1(PIECE, decode_content=decoded):
        yield piece


def _read(response: urllib3.BaseHTTPResponse, limit: int = ANSWER_LIMIT) -> bytes:
    """A short answer, whole. WayFailed where it does not end, in bytes or in time."""
    answer = bytearray()
    for chunk in within(_pieces(response, decoded=True)):
        answer += chunk
        if len(answer) > limit:
            raise WayFailed(Obstacle.UNEXPECTED, f"an answer of Vault is longer than {limit} bytes", 200)
    return bytes(answer)


def _check_api(response: urllib3.BaseHTTPResponse) -> None:
    """WayFailed unless Vault's API answered 200."""
    status = response.status
    if status == 200:
        return
    elsewhere = response.get_redirect_location()
    if elsewhere:
        host = host_of(elsewhere) if "//" in elsewhere else "another path"
        raise WayFailed(
            Obstacle.UNAVAILABLE,
            f"Vault redirects to {host}: set STORAGE_URI to the address behind it",
            status,
        )
    raise WayFailed(_OBSTACLES.get(status, _by_class(status)), f"Vault answered {status}", status)


def _check_signed(response: urllib3.BaseHTTPResponse) -> None:
    """WayFailed unless the storage behind a signed URL answered 200."""
    status = response.status
    if status == 200:
        return
    if status in _STALE:
        raise WayFailed(Obstacle.UNAVAILABLE, f"the storage refuses the signed URL ({status})", status)
    raise WayFailed(_OBSTACLES.get(status, _by_class(status)), f"the storage answered {status}", status)


def _by_class(status: int) -> Obstacle:
    return Obstacle.UNAVAILABLE if status >= 500 else Obstacle.UNEXPECTED
