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
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import msgspec

from services.runtime.addresses import ForbiddenAddress, GuardedBackend, GuardedTransport, Resolve, look_up, spelt_out
from services.runtime.transfer import Obstacle, Saved, WayFailed, gunzip, reject_too_large, save, within

REDIRECTS = 3
ANSWER_LIMIT = 1 << 20
"""Bytes of an answer that holds a signed URL; a longer one is none, and must not fill our memory."""
LIST_LIMIT = 64 << 20
"""Bytes of a list of recordings: some hundred thousand of them."""
CONNECTIONS = 64
ALLOW = "add that host to PLATEFLOW_VAULT_ALLOWED_HOSTS to download from it"
SPELL = "put the address itself into PLATEFLOW_VAULT_ALLOWED_HOSTS, if that is meant"
_STALE = {400, 401, 403}
"""How storages answer a signed URL that expired."""
_CHATTY = ("httpx", "httpcore", "boto3", "botocore", "urllib3", "s3transfer")
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

    def headers(self, key: str | None = None, source: str = "") -> list[tuple[bytes, bytes]]:
        """Bytes, since names of cameras are UTF-8 and not limited to Latin-1."""
        values = {"AccessKey": self.access_key, "SecretAccessKey": self.secret}
        if key is not None:
            values |= {"FileName": key, "Provider": source}
        return [(f"X-Kerberos-Storage-{name}".encode(), value.encode()) for name, value in values.items()]


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
        trusted = [host for host in map(spelt_out, allowed) if host is not None]
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = httpx.Client(
            timeout=httpx.Timeout(read_timeout_s, connect=connect_timeout_s),
            transport=GuardedTransport(GuardedBackend((own_host, *trusted), resolve), limits),
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def ping(self, account: Account) -> Ping:
        try:
            with self._http.stream("POST", f"{account.api}/ping", headers=account.headers()) as response:
                status = response.status_code  # its body is nothing to us, however long it is
        except (httpx.HTTPError, httpx.InvalidURL):
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
        headers = [*account.headers(), (b"X-Kerberos-Storage-Provider", source.encode())]
        try:
            with self._http.stream("POST", f"{account.api}/hls/metadata", headers=headers, json=body) as response:
                _check_api(response)
                found = msgspec.json.decode(_read(response, LIST_LIMIT), type=list[_Metadata])
        except httpx.HTTPError as error:
            raise WayFailed(Obstacle.UNAVAILABLE, f"Vault does not answer ({type(error).__name__})") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise WayFailed(Obstacle.UNEXPECTED, "POST /hls/metadata answered no list of recordings", 200) from None
        return [next((name for name in (one.filename, one.key) if "/" in name), "") for one in found]

    def by_url(self, url: str, into: Path) -> Saved:
        for _ in range(REDIRECTS + 1):
            if not self.is_allowed(url):
                raise WayFailed(Obstacle.NOT_ALLOWED, f"a signed URL leads to {host_of(url)}: {ALLOW}")
            with self._answer(url, []) as response:
                if not response.has_redirect_location:
                    _check_signed(response)
                    return self._save(response, into)
                url = urljoin(url, response.headers["location"])
        raise WayFailed(Obstacle.UNEXPECTED, f"a signed URL redirects more than {REDIRECTS} times")

    @contextmanager
    def _answer(self, url: str, headers: list[tuple[bytes, bytes]]) -> Iterator[httpx.Response]:
        """A streamed GET; whatever httpx meets, also while the body is read, becomes WayFailed."""
        try:
            with self._http.stream("GET", url, headers=[*headers, (b"Accept-Encoding", b"gzip")]) as response:
                yield response
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise WayFailed(Obstacle.UNEXPECTED, f"cannot be asked for ({type(error).__name__})", 0) from error
        except httpx.HTTPError as error:
            if isinstance(error.__cause__, ForbiddenAddress):
                raise WayFailed(Obstacle.NOT_ALLOWED, f"{error.__cause__}: {SPELL}") from None
            raise WayFailed(Obstacle.UNAVAILABLE, f"{host_of(url)} does not answer ({type(error).__name__})") from None

    def _save(self, response: httpx.Response, into: Path) -> Saved:
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            reject_too_large(self._limit)
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise WayFailed(Obstacle.UNEXPECTED, f"content-encoding {encoding[:20]!r} was not asked for", 200)
        chunks = within(response.iter_raw())
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


def _read(response: httpx.Response, limit: int = ANSWER_LIMIT) -> bytes:
    """A short answer, whole. WayFailed where it does not end, in bytes or in time."""
    answer = bytearray()
    for chunk in within(response.iter_bytes()):
        answer += chunk
        if len(answer) > limit:
            raise WayFailed(Obstacle.UNEXPECTED, f"an answer of Vault is longer than {limit} bytes", 200)
    return bytes(answer)


def _check_api(response: httpx.Response) -> None:
    """WayFailed unless Vault's API answered 200."""
    status = response.status_code
    if status == 200:
        return
    if response.has_redirect_location:
        host = host_of(str(response.next_request.url)) if response.next_request else "elsewhere"
        raise WayFailed(
            Obstacle.UNAVAILABLE,
            f"Vault redirects to {host}: set STORAGE_URI to the address behind it",
            status,
        )
    raise WayFailed(_OBSTACLES.get(status, _by_class(status)), f"Vault answered {status}", status)


def _check_signed(response: httpx.Response) -> None:
    """WayFailed unless the storage behind a signed URL answered 200."""
    status = response.status_code
    if status == 200:
        return
    if status in _STALE:
        raise WayFailed(Obstacle.UNAVAILABLE, f"the storage refuses the signed URL ({status})", status)
    raise WayFailed(_OBSTACLES.get(status, _by_class(status)), f"the storage answered {status}", status)


def _by_class(status: int) -> Obstacle:
    return Obstacle.UNAVAILABLE if status >= 500 else Obstacle.UNEXPECTED
