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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.util.connection import create_connection

Resolve = Callable[[str, int], Sequence[str]]


class ForbiddenAddress(HTTPError):
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


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses a host name may be connected to."""

    trusted: frozenset[str]
    """Names, in small letters, that may lead anywhere."""
    resolve: Resolve = look_up

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Those that may be tried, in order. OSError where there is none, ForbiddenAddress where none may."""
        addresses = self.resolve(host, port)
        if host.lower() in self.trusted:
            return addresses
        reasons = {address: forbidden(address) for address in addresses}
        good = [address for address, reason in reasons.items() if not reason]
        if not good:
            told = ", ".join(f"{address} ({reason})" for address, reason in reasons.items())
            raise ForbiddenAddress(f"{host} leads to {told}")
        return good


def guarded_pools(guard: Guard, **options: Any) -> PoolManager:
    """A pool manager whose connections go to checked addresses only; ``options`` are its own."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, guard)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, guard)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    manager = PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return manager


def _connected(connection: HTTPConnection, guard: Guard) -> socket.socket:
    """The socket of a connection, in place of urllib3's own look-up of the name."""
    try:
        addresses = guard.addresses(connection.host, connection.port)
    except OSError as error:
        raise NewConnectionError(connection, f"no address: {error.strerror}") from error
    failure: HTTPError = NewConnectionError(connection, "no address")
    for address in addresses:
        try:
            return create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except TimeoutError as error:
            failure = ConnectTimeoutError(connection, "the connection timed out")
            failure.__cause__ = error
        except OSError as error:
            failure = NewConnectionError(connection, f"no connection: {error.strerror}")
            failure.__cause__ = error
    raise failure
