"""Downloads go where the allow-list says, and to no address that a name service slips in."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.addresses import forbidden, spelt_out
from services.runtime.transfer import Obstacle, WayFailed
from services.runtime.vault_http import Account, Ping, VaultHttp
from tests.support.recordings import mp4

CLIP = mp4()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "this machine"),
        ("127.9.9.9", "this machine"),
        ("::1", "this machine"),
        ("::ffff:127.0.0.1", "this machine"),
        ("64:ff9b::7f00:1", "this machine"),
        ("2002:7f00:1::", "this machine"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("0.0.0.0", "nobody's"),
        ("0.1.2.3", "nobody's"),
        ("::", "nobody's"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("localhost", "no address"),
        ("10.0.0.7", ""),
        ("192.168.1.4", ""),
        ("93.184.216.34", ""),
        ("2001:db8::7", ""),
    ],
)
def test_addresses_of_this_machine_of_the_link_and_of_nobody_are_forbidden(address: str, reason: str) -> None:
    assert forbidden(address) == reason


@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_judged_like_itself(address: ipaddress.IPv4Address) -> None:
    assert forbidden(f"::ffff:{address}") == forbidden(str(address))
    assert forbidden(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(address)))) == forbidden(
        str(address)
    )


@given(st.text(max_size=40))
def test_whatever_a_name_service_answers_is_judged_without_a_fault(text: str) -> None:
    assert isinstance(forbidden(text), str)


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("localhost", "localhost"),
        ("localhost:9000", "localhost"),
        ("10.0.0.7:9000", "10.0.0.7"),
        ("[::1]:9000", "::1"),
        ("storage.example:9000", None),
        ("localhost.example", None),
    ],
)
def test_addresses_and_localhost_say_themselves_where_they_lead_to(entry: str, host: str | None) -> None:
    assert spelt_out(entry) == host


class Storage(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers["Host"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(CLIP)))
        self.end_headers()
        self.wfile.write(CLIP)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    Storage.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_allowed_name_that_leads_to_this_machine_is_not_connected_to(port: int, tmp_path: Path) -> None:
    http = VaultHttp(["storage.example"], 10**6, 2.0, 2.0, resolve=lambda host, port: ["127.0.0.1"])

    with pytest.raises(WayFailed) as failure:
        http.by_url(f"http://storage.example:{port}/clip?X-Amz-Signature=made-up", tmp_path / "clip")

    assert failure.value.obstacle is Obstacle.NOT_ALLOWED
    assert "storage.example leads to 127.0.0.1 (this machine)" in str(failure.value)
    assert "made-up" not in str(failure.value)
    assert Storage.asked == []


def test_the_same_address_spelt_out_by_the_operator_is_allowed_and_vaults_own_name_may_lead_anywhere(
    port: int, tmp_path: Path
) -> None:
    spelt = VaultHttp([f"127.0.0.1:{port}"], 10**6, 2.0, 2.0)
    assert spelt.by_url(f"http://127.0.0.1:{port}/clip", tmp_path / "one").size == len(CLIP)

    own = VaultHttp([], 10**6, 2.0, 2.0, own_host="localhost")
    assert own.ping(Account(f"http://localhost:{port}/api", "made-up", "made-up")) is Ping.ACCEPTED


def test_a_key_with_a_line_break_is_no_request_and_no_crash(port: int, tmp_path: Path) -> None:
    http = VaultHttp([], 10**6, 2.0, 2.0, own_host="localhost")
    account = Account(f"http://localhost:{port}/api", "made-up", "made-up\nmore")

    assert http.ping(account) is Ping.UNREACHABLE
    with pytest.raises(WayFailed, match="cannot be asked for") as fetched:
        http.by_blob(account, "gate/1.mp4", "made-up", tmp_path / "clip")
    with pytest.raises(WayFailed, match="cannot be asked for"):
        http.listed(account, "made-up", ["gate"], 0, 1)
    assert "made-up" not in str(fetched.value)
    assert Storage.asked == []


def test_only_the_good_one_of_several_addresses_is_used_and_the_name_is_asked_for_once(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Sequence[str]] = [["169.254.169.254", "127.0.0.1"], ["127.0.0.1"]]
    monkeypatch.setattr("services.runtime.addresses.forbidden", lambda one: "" if one == "127.0.0.1" else "link-local")
    http = VaultHttp(["storage.example"], 10**6, 2.0, 2.0, resolve=lambda host, port: answers.pop(0))

    assert http.by_url(f"http://storage.example:{port}/clip", tmp_path / "clip").size == len(CLIP)

    assert Storage.asked == [f"storage.example:{port}"], "the server is asked by its name"
    assert len(answers) == 1


def test_a_name_without_an_address_is_unavailable_and_may_heal(tmp_path: Path) -> None:
    def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(WayFailed) as failure:
        VaultHttp(["storage.example"], 10**6, 2.0, 2.0, resolve=nobody).by_url(
            "http://storage.example/", tmp_path / "c"
        )

    assert failure.value.obstacle is Obstacle.UNAVAILABLE


def certified(folder: Path, name: str) -> Path:
    """Key and certificate, its own authority, of a made-up host: one PEM file."""
    key, told = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(told, told, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_over_tls_the_name_is_certified_though_the_checked_address_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Storage.asked = []
    pem = certified(tmp_path, "storage.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    port = server.server_address[1]

    def client(name: str) -> VaultHttp:
        return VaultHttp([], 10**6, 2.0, 2.0, own_host=name, resolve=lambda host, port: ["127.0.0.1"])

    try:
        with pytest.raises(WayFailed, match="SSLError"):
            client("storage.example").by_url(f"https://storage.example:{port}/clip", tmp_path / "unknown")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        saved = client("storage.example").by_url(f"https://storage.example:{port}/clip", tmp_path / "clip")
        with pytest.raises(WayFailed, match="SSLError"):
            client("other.example").by_url(f"https://other.example:{port}/clip", tmp_path / "other")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert saved.size == len(CLIP)
    assert Storage.asked == [f"storage.example:{port}"]
