"""A camera that speaks RTSP on loopback: H.264 in RTP within the RTSP connection, asks for user and password.

What a camera does of RFC 2326 (RTSP), RFC 6184 (H.264 in RTP) and RFC 7617 (Basic); one client at a time or several.
"""

from __future__ import annotations

import base64
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, Self

import av

from tests.support.stream import FPS
from tests.support.video import Image

USER = "camera:secret"
LONGEST = 1400
"""Bytes of a picture in one RTP packet."""
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=gate\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
SDP += "a=fmtp:96 packetization-mode=1\r\na=control:track\r\n"


class RtspCamera:
    """Sends ``picture(number)``, 25 a second, numbered on over all connections. Use as a context."""

    def __init__(self, picture: Callable[[int], Image]) -> None:
        self._picture = picture
        self._server: ThreadingTCPServer | None = None
        self._port = 0
        self._cut = threading.Event()
        self.sent = 0
        self.connections = 0
        self.silent = False
        """Connected, and sends nothing."""

    @property
    def address(self) -> str:
        return f"rtsp://{USER}@127.0.0.1:{self._port}/live/gate"

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def restore(self) -> None:
        camera, self._cut = self, threading.Event()
        cut = self._cut

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                try:
                    if _greet(self.rfile, self.wfile):
                        camera.connections += 1
                        camera._stream(self.wfile, cut)
                except OSError:
                    return

        class Server(ThreadingTCPServer):
            allow_reuse_address, daemon_threads = True, True

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def cut(self) -> None:
        """All connections end, and nobody listens any more."""
        self._cut.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _stream(self, file: Any, cut: threading.Event) -> None:
        encoder: Any = None
        began, first, sequence = time.monotonic(), self.sent, 0
        while not cut.wait(max(0.0, began + (self.sent - first) / FPS - time.monotonic())):
            if self.silent:
                self.sent += 1
                continue
            image = self._picture(self.sent)
            encoder = encoder or _encoder(image)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = self.sent - first, Fraction(1, FPS)
            for packet in encoder.encode(frame):
                for last, payload in _payloads(bytes(packet)):
                    ticks = (self.sent - first) * 90_000 // FPS
                    rtp = struct.pack(">BBHII", 0x80, 96 | last << 7, sequence & 0xFFFF, ticks, 1) + payload
                    file.write(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
                    sequence += 1
            self.sent += 1


def _greet(reading: Any, writing: Any) -> bool:
    """Answers until the client says PLAY; False: it has gone."""
    while request := reading.readline().decode().split():
        headers = dict(line.split(": ", 1) for line in iter(lambda: reading.readline().decode().rstrip(), ""))
        method, state, told = request[0], "200 OK", ["Session: 1"]
        body = SDP if method == "DESCRIBE" else ""
        if headers.get("Authorization") != f"Basic {base64.b64encode(USER.encode()).decode()}":
            state, told, body = "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"'], ""
        elif method == "OPTIONS":
            told = ["Public: OPTIONS, DESCRIBE, SETUP, PLAY"]
        elif method == "SETUP":
            told.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        if body:
            told.append("Content-Type: application/sdp")
        lines = [f"RTSP/1.0 {state}", f"CSeq: {headers['CSeq']}", *told, f"Content-Length: {len(body)}", "", body]
        writing.write("\r\n".join(lines).encode())
        if method == "PLAY" and state == "200 OK":
            return True
    return False


def _encoder(image: Image) -> Any:
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, FPS), FPS
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "12", "g": "5"}
    return encoder


def _payloads(picture: bytes) -> Iterator[tuple[bool, bytes]]:
    """A coded picture in pieces that fit into a packet, and whether each is the last: RFC 6184, single and FU-A."""
    units = [unit for unit in re.split(rb"\x00*\x00\x00\x01", picture) if unit]
    for number, unit in enumerate(units):
        last_unit = number == len(units) - 1
        if len(unit) <= LONGEST:
            yield last_unit, unit
            continue
        kind, rest = unit[0], unit[1:]
        pieces = [rest[k : k + LONGEST] for k in range(0, len(rest), LONGEST)]
        for k, piece in enumerate(pieces):
            begins, ends = k == 0, k == len(pieces) - 1
            header = bytes([kind & 0xE0 | 28, begins << 7 | ends << 6 | kind & 0x1F])
            yield last_unit and ends, header + piece
