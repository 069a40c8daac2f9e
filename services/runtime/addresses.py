"""Where a host name leads to, checked before a connection is made: names on an allow-list are promises, addresses are
facts.

Rules
- A name must not lead to this machine, to a neighbour on the link (the metadata services of clouds are there), or to
  nobody in particular; one good address among several is used, and nothing else.
- It is connected to the very address that was checked, so that a second answer of the name service changes nothing.
  TLS still asks for a certificate of the name.
- `trusted` names are taken as they are: Vault's own, which the operator set, and addresses and `localhost` that the
  allow-list spells out.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import httpcore
import httpx

Resolve = Callable[[str, int], Sequence[str]]


class ForbiddenAddress(httpcore.ConnectError):
    """A name leads to an address that must not be connected to. The text names both."""


def forbidden(address: str) -> str:
    """Why an address must not be connected to; empty where it may. What cannot be read as one is forbidden."""
    try:
        found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "no address"
    for inner in _inner(found):
        if inner.is_loopback:
            return "this machine"
        if inner.is_link_local:
            return "link-local"
        if inner.is_multicast:
            return "multicast"
        if inner.is_unspecified or inner in _NOBODY:
            return "nobody's"
    return ""


_NOBODY = ipaddress.ip_network("0.0.0.0/8")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _inner(found: Any) -> Iterable[Any]:
    """The address itself, and the IPv4 addresses that it carries within (mapped, 6to4, Teredo, NAT64)."""
    yield found
    if found.version == 6:
        carried = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        if found in _NAT64:
            carried.append(ipaddress.ip_address(int(found) & 0xFFFFFFFF))
        yield from (one for one in carried if one is not None)


def spelt_out(entry: str) -> str | None:
    """The host of an allow-list entry that is an address or `localhost`, and so says itself where it leads to."""
    for host in (entry, entry.rpartition(":")[0]):
        bare = host.strip("[]").lower()
        if bare == "localhost":
            return bare
        try:
            ipaddress.ip_address(bare)
        except ValueError:
            continue
        return bare
    return None


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, in the order of the system. OSError where there is none."""
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, trusted: Collection[str], resolve: Resolve = look_up) -> None:
        self._trusted = {host.lower() for host in trusted}
        self._resolve = resolve
        self._plain = httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, *args: Any, **more: Any) -> httpcore.NetworkStream:
        if host.lower() in self._trusted:
            return self._plain.connect_tcp(host, port, *args, **more)
        try:
            addresses = self._resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address: {error.strerror}") from error
        reasons = {address: forbidden(address) for address in addresses}
        good = [address for address, reason in reasons.items() if not reason]
        if not good:
            told = ", ".join(f"{address} ({reason})" for address, reason in reasons.items())
            raise ForbiddenAddress(f"{host} leads to {told}")
        for address in good[:-1]:
            try:
                return self._plain.connect_tcp(address, port, *args, **more)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._plain.connect_tcp(good[-1], port, *args, **more)


class GuardedTransport(httpx.HTTPTransport):
    """httpx's own transport over that backend."""

    def __init__(self, backend: GuardedBackend, limits: httpx.Limits) -> None:
        super().__init__(trust_env=False, limits=limits)
        self._pool._network_backend = backend  # httpx has no other way to hand one over
