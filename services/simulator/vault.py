"""A stand-in for Kerberos Vault over HTTP: cameras upload to it, it keeps the clips and announces them.

For the demo, for tests and for load. In: uploads as an agent makes them. Out: the same answers, headers and
messages as Vault's, as far as they are known; `publish` is called with each message, by default into Kafka.

    with VaultStandIn(folder, publish, access_key="demo", secret="demo-secret") as vault:
        ...  # STORAGE_URI = vault.api

Rules
- A recording is announced before its upload is answered with 200: a camera whose upload was not announced
  tries again.
- `Faults` makes it fail on demand: any status for a number of requests, slow or broken-off answers, closed
  sources.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from confluent_kafka import KafkaError, Message, Producer

from services.contracts.kerberos import parse_key
from services.simulator.vault_events import Arrival, Form, event
from services.simulator.vault_http import RequestHandler

Publish = Callable[[bytes], None]
DEFAULT_SOURCE = "demo"


@dataclass(slots=True)
class Faults:
    """What goes wrong on demand. Change it at any time."""

    closed_sources: set[str] = field(default_factory=set)
    """Answered with 401, though the keys are right."""
    refuse_keys: bool = False
    """Every request is answered with 401, ping included."""
    slow_s: float = 0.0
    """Seconds that each answer waits."""
    _planned: list[tuple[str, int, int]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    BREAK_OFF = 0
    """In place of a status: the body breaks off in its middle."""

    def plan(self, path: str, status: int, times: int) -> None:
        """The next ``times`` requests whose path ends in ``path`` are answered with ``status``."""
        with self._lock:
            self._planned.append((path, status, times))

    def next_for(self, path: str) -> int | None:
        """The planned fault for a request to that path; uses it up."""
        with self._lock:
            for index, (suffix, status, times) in enumerate(self._planned):
                if path.endswith(suffix):
                    self._planned[index : index + 1] = [(suffix, status, times - 1)] if times > 1 else []
                    return status
        return None


class VaultStandIn:
    """A running stand-in. ``sources`` limits the names of storage providers; empty admits any."""

    def __init__(
        self,
        folder: Path,
        publish: Publish,
        *,
        access_key: str,
        secret: str,
        form: Form = Form.B,
        sources: Collection[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        url_lifetime_s: int = 86_400,
    ) -> None:
        self.folder, self.publish, self.form = folder, publish, form
        self.access_key, self.secret = access_key, secret
        self.sources = frozenset(sources)
        self.url_lifetime_s = url_lifetime_s
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request, in order."""
        self.devices: dict[tuple[str, str], str] = {}
        """By source and key: the agent that uploaded it."""
        self._signing_key = secrets.token_bytes(32)
        self._server = _Server((host, port), RequestHandler)
        self._server.vault = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host if isinstance(host, str) else host.decode()}:{port}"

    @property
    def api(self) -> str:
        """What STORAGE_URI is to be."""
        return f"{self.url}/api"

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What it keeps

    def path(self, source: str, key: str) -> Path:
        """Where a recording lies. Raises BadEvent for a key or a source that could leave the folder."""
        parse_key(key)
        return self.folder / parse_key(source).key.replace("/", "%2F") / key

    def put(self, key: str, content: bytes, source: str = DEFAULT_SOURCE) -> None:
        """Keeps a recording without announcing it."""
        path = self.path(source, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def recordings(self, source: str, devices: Collection[str]) -> list[tuple[str, int]]:
        """Keys and starts, in seconds, of what these agents uploaded to that source."""
        found = [key for (where, key), device in self.devices.items() if where == source and device in devices]
        return sorted((key, (parse_key(key).start_ms or 0) // 1000) for key in found)

    def announce(self, arrival: Arrival) -> None:
        """Publishes the message of one arrival (again)."""
        self.publish(self.message(arrival))

    def message(self, arrival: Arrival) -> bytes:
        signed = self.signed_url(arrival.key, arrival.source) if self.form is Form.C else ""
        return event(arrival, self.form, signed_url=signed, trace_id=secrets.token_hex(16))

    # Signed URLs

    def signed_url(self, key: str, source: str, lifetime_s: int | None = None) -> str:
        expires = int(time.time()) + (self.url_lifetime_s if lifetime_s is None else lifetime_s)
        values = {"a": self.access_key, "p": source, "f": key, "e": str(expires)}
        return f"{self.api}/storage/signed?{urlencode({**values, 's': self._signature(values)})}"

    def is_signed(self, values: Mapping[str, str]) -> bool:
        """Whether these query values carry our signature and have not expired."""
        expected = self._signature(values)
        fresh = values.get("e", "").isdecimal() and int(values["e"]) > time.time()
        return fresh and hmac.compare_digest(expected, values.get("s", ""))

    def _signature(self, values: Mapping[str, str]) -> str:
        text = "\n".join(values.get(name, "") for name in "apfe")
        return hmac.new(self._signing_key, text.encode(), hashlib.sha256).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    vault: VaultStandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; anything else is a defect and shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class KafkaPublisher:
    """Publishes as Vault does: no key, any partition.

    Returns once the broker has the message, raises otherwise.
    """

    def __init__(self, config: Mapping[str, str | int | float | bool], topic: str, timeout_s: float = 30.0) -> None:
        self._producer = Producer({"partitioner": "random", **config})
        self._topic, self._timeout_s = topic, timeout_s

    def __call__(self, value: bytes) -> None:
        errors: list[KafkaError | None] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            errors.append(error)

        self._producer.produce(self._topic, value, on_delivery=delivered)
        self._producer.flush(self._timeout_s)
        if not errors or errors[0] is not None:
            raise ConnectionError(f"Kafka did not take the message for {self._topic}: {errors or 'no answer'}")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    publisher = KafkaPublisher({"bootstrap.servers": options.broker}, options.topic)
    vault = VaultStandIn(
        options.folder,
        publisher,
        access_key=options.access_key,
        secret=options.secret,
        form=Form(options.form),
        sources=options.source,
        host=options.host,
        port=options.port,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with vault:
        sys.stdout.write(f"STORAGE_URI={vault.api}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.simulator.vault", description="A stand-in for Kerberos Vault."
    )
    parser.add_argument("--folder", type=Path, required=True, help="where uploaded clips are kept")
    parser.add_argument("--broker", required=True, help="Kafka brokers as host:port")
    parser.add_argument("--topic", default="kcloud-event-queue", help="topic on which recordings are announced")
    parser.add_argument("--form", choices=[form.value for form in Form], default=Form.B.value)
    parser.add_argument("--source", action="append", default=[], help="admit only these storage providers")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    for name, variable in (("access-key", "STORAGE_ACCESS_KEY"), ("secret", "STORAGE_SECRET")):
        given = os.environ.get(variable)
        parser.add_argument(f"--{name}", default=given, required=given is None, help=f"default: ${variable}")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
