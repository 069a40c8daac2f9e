"""A camera that streams MPEG-TS over HTTP on loopback, in real time, and that a test can cut off and restore."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import av

from tests.support.video import Image

FPS = 25


class StreamingCamera:
    """Sends ``picture(number)``, 25 a second, numbered on over all connections. Use as a context."""

    def __init__(self, picture: Callable[[int], Image]) -> None:
        self._picture = picture
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self._on = threading.Event()
        self.sent = 0
        self.connections = 0

    @property
    def address(self) -> str:
        return f"http://camera:secret@127.0.0.1:{self._port}/live/gate"

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def restore(self) -> None:
        camera = self
        self._on = on = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                camera.connections += 1
                try:
                    camera._stream(self.wfile, on)
                except (OSError, av.FFmpegError):
                    return

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def cut(self) -> None:
        """All connections end, and nobody listens any more."""
        self._on.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _stream(self, file: Any, cut: threading.Event) -> None:
        with av.open(file, "w", format="mpegts") as container:
            stream: Any = None
            began, first = time.monotonic(), self.sent
            while not cut.wait(max(0.0, began + (self.sent - first) / FPS - time.monotonic())):
                image = self._picture(self.sent)
                if stream is None:
                    stream = container.add_stream("mpeg4", rate=FPS)
                    stream.height, stream.width = image.shape[:2]
                    stream.pix_fmt, stream.bit_rate, stream.gop_size = "yuv420p", 4_000_000, 5
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = self.sent - first, Fraction(1, FPS)
                container.mux(stream.encode(frame))
                self.sent += 1
