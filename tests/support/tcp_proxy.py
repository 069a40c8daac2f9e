"""A way to a server on this host that can be disturbed: cut, held up, slowed, or answered with an HTTP error.

In: the port of the real server; `mode`, changed at any time from any thread. Out: `port`, the way through.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Self

PIECE = 1 << 14


class Mode(StrEnum):
    """What happens to whoever comes through."""

    PASS = "pass"
    DROP = "drop"
    """Connections stay open and nothing gets through, as behind a firewall that drops."""
    CUT = "cut"
    """Connections are reset, new ones too."""
    DELAY = "delay"
    """Each piece waits for a while."""
    ANSWER = "answer"
    """Each HTTP request is answered with `status` instead of being passed on."""


class TcpProxy:
    """Listens on a port of 127.0.0.1 as soon as it is made; `close` ends it and every connection."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.mode, self.delay_s, self.status = Mode.PASS, 0.2, 503
        self.on_request: Callable[[bytes], None] = lambda _data: None
        """Called with each piece that a client sends, before it is passed on. May block."""
        self.answered = 0
        self._target = target
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.mode = Mode.CUT
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection that there is now."""
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def disturb(self, mode: Mode, seconds: float) -> None:
        """This mode for so long; then everything passes again."""
        self.mode = mode
        if mode is Mode.CUT:
            self.cut()
        time.sleep(seconds)
        self.mode = Mode.PASS

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                if self.mode is Mode.CUT:
                    client.close()
                    continue
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._sockets |= {client, server}
        threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()
        self._pump(client, server, True)

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE):
                while self.mode is Mode.DROP:
                    time.sleep(0.02)
                if self.mode is Mode.DELAY:
                    time.sleep(self.delay_s)
                if from_client:
                    self.on_request(data)
                    if self.mode is Mode.ANSWER:
                        self._answer(source)
                        break
                sink.sendall(data)
        with self._lock:
            self._sockets -= {source, sink}
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _answer(self, client: socket.socket) -> None:
        """An error as S3 words it, for Vault's clients just a status."""
        body = b"<Error><Code>SlowDown</Code><Message>made up</Message></Error>"
        head = f"HTTP/1.1 {self.status} Made Up\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.answered += 1
