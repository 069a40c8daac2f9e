"""What never ends is ended by a limit: bodies over HTTP, and files that grow while they are decoded."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.inference.decode import Decoder
from services.inference.decode_wire import Limits
from services.runtime import vault_http
from services.runtime.errors import Reject
from services.runtime.transfer import Obstacle, WayFailed, within
from services.runtime.vault_http import Account, Ping, VaultHttp
from tests.support.video import numbered, write_clip

LIMIT = 300_000


class Endless:
    """A server whose answers never end: `/fast` as fast as it can, `/drip` a byte at a time."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                piece, pause_s = (b"x", 0.02) if "drip" in self.path else (b"x" * 65536, 0.0)
                self.send_response(200)
                self.end_headers()
                try:
                    while not server.closing.wait(pause_s):
                        self.wfile.write(piece)
                except OSError:
                    self.close_connection = True  # the client has had enough

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.host = f"127.0.0.1:{self.http.server_address[1]}"

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def endless() -> Iterator[Endless]:
    server = Endless()
    yield server
    server.close()


@pytest.fixture
def client(endless: Endless) -> Iterator[VaultHttp]:
    http = VaultHttp([endless.host], LIMIT, 5.0, 5.0)
    yield http
    http.close()


def test_a_body_that_never_ends_is_a_dead_letter_at_the_size_limit(
    endless: Endless, client: VaultHttp, tmp_path: Path
) -> None:
    with pytest.raises(Reject) as caught:
        client.by_url(f"http://{endless.host}/fast", tmp_path / "clip")
    assert caught.value.reason == "too-large"
    assert (tmp_path / "clip").stat().st_size <= LIMIT


def test_a_body_that_drips_is_given_up_at_the_time_limit_and_may_heal(
    endless: Endless, client: VaultHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_http, "within", partial(within, limit_s=0.3))
    with pytest.raises(WayFailed, match="took longer") as caught:
        client.by_url(f"http://{endless.host}/drip", tmp_path / "clip")
    assert caught.value.obstacle is Obstacle.UNAVAILABLE


def test_an_answer_of_vault_that_never_ends_fills_no_memory(
    endless: Endless, client: VaultHttp, tmp_path: Path
) -> None:
    account = Account(f"http://{endless.host}/fast", "made-up", "made-up")
    with pytest.raises(WayFailed, match="longer than") as caught:
        client.by_storage(account, "yard/clip.mp4", "demo", tmp_path / "clip")
    assert caught.value.obstacle is Obstacle.UNEXPECTED


def test_an_answer_of_vault_that_drips_is_given_up_at_the_time_limit(
    endless: Endless, client: VaultHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_http, "within", partial(within, limit_s=0.3))
    account = Account(f"http://{endless.host}/drip", "made-up", "made-up")
    with pytest.raises(WayFailed, match="took longer"):
        client.by_storage(account, "yard/clip.mp4", "demo", tmp_path / "clip")


def test_a_list_of_recordings_that_never_ends_fills_no_memory(endless: Endless, client: VaultHttp) -> None:
    account = Account(f"http://{endless.host}/fast", "made-up", "made-up")
    with pytest.raises(WayFailed, match="longer than"):
        client.listed(account, "demo", ["agent"], 0, 1)


def test_a_ping_asks_for_the_status_and_reads_no_body(endless: Endless, client: VaultHttp) -> None:
    for way in ("fast", "drip"):
        assert client.ping(Account(f"http://{endless.host}/{way}", "made-up", "made-up")) is Ping.ACCEPTED


def test_a_pipe_is_no_clip_and_nobody_waits_for_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.ts")
    with Decoder(threads=1) as decoder, pytest.raises(FileNotFoundError):
        decoder.open(tmp_path / "clip.ts")


def test_a_clip_that_grows_while_it_is_decoded_ends_at_the_limit_and_the_decoder_lives_on(tmp_path: Path) -> None:
    once = write_clip(tmp_path / "once.ts", numbered(12, 250))
    growing, enough = tmp_path / "growing.ts", threading.Event()
    growing.write_bytes(once.read_bytes() * 5)

    def grow() -> None:
        with growing.open("ab") as file:
            while not enough.is_set() and file.tell() < 50_000_000:
                file.write(once.read_bytes())
                file.flush()

    thread = threading.Thread(target=grow)
    with Decoder(Limits(max_frames=200), threads=1) as decoder:
        thread.start()
        try:
            with pytest.raises(Reject) as caught:
                list(decoder.open(growing))
        finally:
            enough.set()
            thread.join()
        assert caught.value.reason == "too-long"
        assert len(list(decoder.open(once))) == 12


def test_a_clip_whose_header_claims_days_gives_its_frames_and_ends(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", numbered(12, 250))
    content = bytearray(clip.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = content.index(box) + offset
        content[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "big")
    clip.write_bytes(content)
    with Decoder(threads=1) as decoder:
        frames = decoder.open(clip)
        assert len(list(frames)) == 12
        assert frames.end is not None
