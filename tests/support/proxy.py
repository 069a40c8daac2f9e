"""A way to a server on this host, on which every second answer gets lost. HTTP/1.1 without TLS."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class LossyProxy:
    """Passes everything on, but for every second answer to a request with ``method``: it hangs up instead."""

    def __init__(self, port: int, method: bytes = b"PUT") -> None:
        self.lost = 0
        self._seen = 0
        self._target, self._method = port, method
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                line = _Line(self, client, server)
                threading.Thread(target=line.requests, daemon=True).start()
                threading.Thread(target=line.answers, daemon=True).start()

    def is_lost(self, method: bytes) -> bool:
        if method != self._method:
            return False
        self._seen += 1
        self.lost += self._seen % 2
        return self._seen % 2 == 1


class _Line:
    """One connection; a client sends its next request only after the answer."""

    def __init__(self, proxy: LossyProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._method = b""

    def requests(self) -> None:
        with suppress(OSError), self._client, self._server:
            while data := self._client.recv(65536):
                if data.split(b" ", 1)[0] in (b"GET", b"PUT", b"HEAD", b"DELETE"):
                    self._method = data.split(b" ", 1)[0]
                self._server.sendall(data)

    def answers(self) -> None:
        with suppress(OSError), self._client, self._server:
            while data := self._server.recv(65536):
                interim = data.startswith(b"HTTP/1.1 100")
                if not interim and self._proxy.is_lost(self._method):
                    self._client.shutdown(socket.SHUT_RDWR)
                    return
                self._client.sendall(data)
