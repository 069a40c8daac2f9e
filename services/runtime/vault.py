"""Fetches recordings from Kerberos Vault: over its HTTP API, by a signed URL, or straight from its bucket.

In: `Wanted` (key, source and what the event offered). Out: the plain bytes in a file, and a `FetchedClip`;
or an instruction of `services.runtime.errors`.

Rules
- The ways, in this order, the first that succeeds wins: the event's signed URL; ``GET {api}/storage/blob``;
  ``GET {api}/storage`` and the URL that it signs (signed again once where it is refused); the bucket, by the
  source map.
- Files are downloaded from hosts on the allow-list only: Vault's own and the configured ones, wherever a redirect or
  a name service leads.
- 401 says nothing by itself, so ``/ping`` is asked: keys refused there stop the service, keys accepted there
  mean that only this source is closed to them.
- One way's failure leads to the next way; only where all failed the most hopeful failure decides.
- A recording that the agent encrypted is decrypted on the way, so whoever fetches gets the video.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from services.contracts.kerberos import StorageOverride
from services.runtime.errors import Reject, Retry, Stop
from services.runtime.salted import decrypted, is_salted
from services.runtime.settings import VaultSettings
from services.runtime.transfer import Obstacle, Saved, WayFailed, disk_failed, save
from services.runtime.vault_buckets import Buckets, Listed, load_sources
from services.runtime.vault_http import ALLOW, Account, Ping, VaultHttp, api_base, host_of

__all__ = ["FetchedClip", "Listed", "Ping", "VaultClient", "Wanted"]

log = logging.getLogger(__name__)

LISTED_AT_ONCE_S = 86_400
"""One question to Vault covers so much time, so that no answer grows without bound."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A recording to fetch."""

    key: str
    source: str
    signed_url: str | None = field(default=None, repr=False)
    override: StorageOverride | None = None


@dataclass(frozen=True, slots=True)
class FetchedClip:
    """What lies in the file now: the video, decrypted where it was encrypted."""

    how: str
    """``signed-url``, ``blob``, ``storage`` or ``bucket``."""
    size: int
    sha256: str
    transferred: int
    """Bytes as they came, before decryption."""


@dataclass(frozen=True, slots=True)
class _Way:
    how: str
    fetch: Callable[[Path], Saved]

    @property
    def through_vault(self) -> bool:
        return self.how in ("blob", "storage")


class VaultClient:
    """Fetches recordings, also in several threads at once. ``limit_bytes`` is the largest one admitted."""

    def __init__(self, settings: VaultSettings, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._account = _account(settings)
        self._passphrases = [key.get_secret_value() for key in settings.decryption_keys]
        timeouts = settings.connect_timeout_s, settings.read_timeout_s
        own_host = "" if settings.uri is None else host_of(settings.uri)
        self._http = VaultHttp(settings.allowed_hosts, limit_bytes, *timeouts, own_host)
        sources = load_sources(settings.sources_file) if settings.sources_file else {}
        self._buckets = Buckets(sources, *timeouts)

    def ping(self) -> Ping:
        """Asks Vault about our own keys. ACCEPTED without a Vault (a source map only): nothing is refused."""
        return Ping.ACCEPTED if self._account is None else self._http.ping(self._account)

    def fetch(self, wanted: Wanted, into: Path) -> FetchedClip:
        """Writes the recording's plain bytes to ``into``; leaves no file behind where it raises.

        Reject: ``gone``, ``too-large``, ``empty``, ``source-not-permitted``, ``host-not-allowed``,
        ``unknown-source``, ``vault-answer``, ``encrypted``, ``wrong-key``, ``truncated``.
        Retry: ``vault-unavailable``, ``disk-failed``. Stop: Vault refuses our keys.
        """
        try:
            how, saved = self._first_success(wanted, into)
            plain = self._decrypt(into) if is_salted(into) else saved
        except BaseException:
            into.unlink(missing_ok=True)
            raise
        log.debug("fetched", extra={"how": how, "bytes": saved.size})
        return FetchedClip(how, plain.size, plain.sha256, saved.size)

    def listed(
        self, source: str, from_ms: int, to_ms: int, directory: str = "", devices: Sequence[str] = ()
    ) -> Iterator[Listed]:
        """What is stored of a source: out of its bucket where the source map has it, else as Vault's API lists it.

        The bucket gives all below ``directory``, in order of key; the API gives the recordings of ``devices`` (keys of
        agents) that started in that time. Stop where neither is possible.
        """
        try:
            if source in self._buckets:
                yield from self._buckets.listed(source, f"{directory}/" if directory else "")
            else:
                yield from self._listed_by_vault(source, from_ms // 1000, to_ms // 1000, devices)
        except WayFailed as failure:
            raise Stop(f"cannot list {source!r}: {failure.detail}") from failure

    def _listed_by_vault(self, source: str, from_s: int, to_s: int, devices: Sequence[str]) -> Iterator[Listed]:
        if self._account is None or not devices:
            raise Stop(
                f"source {source!r} is not in the source map of PLATEFLOW_VAULT_SOURCES_FILE: add its bucket, or name "
                "the agents' keys by --device, for which STORAGE_URI then lists the recordings"
            )
        for start in range(from_s, to_s + 1, LISTED_AT_ONCE_S):
            end = min(start + LISTED_AT_ONCE_S - 1, to_s)
            yield from (Listed(key, None) for key in self._http.listed(self._account, source, devices, start, end))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The ways

    def _first_success(self, wanted: Wanted, into: Path) -> tuple[str, Saved]:
        account = self._account_for(wanted)
        failures: list[tuple[_Way, WayFailed]] = []
        for way in self._ways(wanted, account):
            if way.through_vault and any(_silences_vault(*one) for one in failures):
                continue
            try:
                return way.how, way.fetch(into)
            except WayFailed as failure:
                failures.append((way, failure))
        raise self._verdict(wanted, account, failures)

    def _ways(self, wanted: Wanted, account: Account | None) -> Iterator[_Way]:
        if wanted.signed_url:
            url = wanted.signed_url
            yield _Way("signed-url", lambda into: self._http.by_url(url, into))
        key, source = wanted.key, wanted.source
        if account is not None:
            yield _Way("blob", lambda into: self._http.by_blob(account, key, source, into))
            yield _Way("storage", lambda into: self._http.by_storage(account, key, source, into))
        if source in self._buckets:
            yield _Way("bucket", lambda into: self._buckets.download(source, key, into, self._limit))

    def _account_for(self, wanted: Wanted) -> Account | None:
        """Our account, or the one that the event names (``data.storage_*``), on an allowed host only."""
        account, override = self._account, wanted.override
        if override is None or (account is None and override.uri is None):
            return account
        base = account or Account("", "", "")
        if override.uri is not None:
            if not self._http.is_allowed(override.uri):
                detail = f"data.storage_uri leads to {host_of(override.uri)}: {ALLOW}"
                raise Reject("host-not-allowed", detail)
            base = _moved(base, override.uri)
        found = Account(base.api, override.access_key or base.access_key, override.secret or base.secret)
        return account if found == account else replace(found, own=False)

    # Judging

    def _verdict(
        self, wanted: Wanted, account: Account | None, failures: Sequence[tuple[_Way, WayFailed]]
    ) -> Exception:
        """What follows where every way failed. The event's own URL counts only where it was the only way."""
        if not failures:
            return Reject(
                "unknown-source",
                f"no way to source {wanted.source!r}: add it to the source map, or set STORAGE_URI",
            )
        counted = [one for one in failures if one[0].how != "signed-url"] or failures
        way, worst = min(counted, key=lambda one: one[1].obstacle)
        detail = "; ".join(f"{one.how}: {failure.detail}" for one, failure in failures)
        if worst.obstacle is Obstacle.UNAVAILABLE:
            return Retry("vault-unavailable", detail, lambda: self._healthy(wanted.source))
        if worst.obstacle is Obstacle.REFUSED and way.through_vault and account is not None:
            return self._refused(account, wanted.source, detail)
        return Reject(_REASONS[worst.obstacle], detail)

    def _healthy(self, source: str) -> bool:
        if self._account is None and source in self._buckets:
            return self._buckets.reachable(source)
        return self.ping() is Ping.ACCEPTED

    def _refused(self, account: Account, source: str, detail: str) -> Exception:
        answer = self._http.ping(account)
        if answer is Ping.UNREACHABLE:
            return Retry("vault-unavailable", f"{detail}; /ping does not answer", lambda: self._healthy(source))
        if answer is Ping.REFUSED and account.own:
            return Stop(
                "Vault refuses our keys: correct STORAGE_ACCESS_KEY and STORAGE_SECRET "
                "(or PLATEFLOW_VAULT_ACCESS_KEY and PLATEFLOW_VAULT_SECRET_KEY)"
            )
        whose = "our keys" if account.own else "the keys that the event carries"
        return Reject(
            "source-not-permitted",
            f"Vault does not let {whose} read source {source!r}: bind the account to it ({detail})",
        )

    def _decrypt(self, path: Path) -> Saved:
        plain = path.with_name(path.name + ".plain")
        try:
            saved = save(decrypted(path, self._passphrases), plain, self._limit)
            plain.replace(path)
        except OSError as error:
            raise disk_failed(error, path) from error
        finally:
            plain.unlink(missing_ok=True)
        return saved


_REASONS = {
    Obstacle.REFUSED: "source-not-permitted",
    Obstacle.GONE: "gone",
    Obstacle.NOT_ALLOWED: "host-not-allowed",
    Obstacle.UNEXPECTED: "vault-answer",
}


def _silences_vault(way: _Way, failure: WayFailed) -> bool:
    """After no answer, or refused keys, the other call to the same Vault would meet the same."""
    return way.through_vault and (failure.status is None or failure.obstacle is Obstacle.REFUSED)


def _moved(account: Account, uri: str) -> Account:
    """The same account at another address; our keys stay behind where that is another host."""
    same_host = host_of(uri) == host_of(account.api)
    return Account(api_base(uri), account.access_key, account.secret) if same_host else Account(api_base(uri), "", "")


def _account(settings: VaultSettings) -> Account | None:
    if settings.uri is None:
        return None
    return Account(api_base(settings.uri), _secret(settings.access_key), _secret(settings.secret_key))


def _secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()
