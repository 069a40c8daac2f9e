"""A camera made of ffmpeg: it plays a clip over and over, as MPEG-TS over HTTP on loopback, to one client at a time."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest


class FfmpegCamera:
    """Use as a context. Skips the test where there is no ffmpeg."""

    def __init__(self, clip: Path) -> None:
        program = shutil.which("ffmpeg")
        if program is None:
            pytest.skip("needs ffmpeg: apt-get install ffmpeg")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://camera:secret@127.0.0.1:{port}/live/gate"
        self._command = [program, "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
        self._command += ["-f", "mpegts", "-listen", "1", f"http://127.0.0.1:{port}/live/gate"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def restore(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def cut(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
