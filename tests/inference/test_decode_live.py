"""A camera's stream on loopback, decoded in the child: by the clock, the newest frames, cut off and restored."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.inference.decode import ClipFrames, Decoder
from services.inference.decode_wire import Lost
from services.runtime.errors import Reject
from tests.support.rtsp import RtspCamera
from tests.support.stream import StreamingCamera
from tests.support.video import number_of, striped, write_clip

Camera = StreamingCamera | RtspCamera


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


@pytest.fixture(params=[StreamingCamera, RtspCamera], ids=["http", "rtsp"])
def camera(request: pytest.FixtureRequest) -> Iterator[Camera]:
    with request.param(lambda number: striped(number % 256)) as camera:
        yield camera


def test_a_stream_is_sampled_by_the_clock_and_never_lags(camera: Camera, decoder: Decoder) -> None:
    frames = decoder.open_address(camera.address, fps=5, give_up_s=10)
    looked = iter(frames)
    first = next(looked)
    while camera.sent < 60:  # we are busy for two seconds, the camera is not
        pass
    late = [next(looked) for _ in range(4)]

    assert first.time_ms == 0
    shown = number_of(late[-1].image)
    assert shown >= 50, "what was in the buffers meanwhile is let go, not shown late"
    assert all(b.time_ms > a.time_ms for a, b in pairwise(late))


def test_a_stream_that_is_cut_off_goes_on_when_it_is_there_again(camera: Camera, decoder: Decoder) -> None:
    lost: list[Lost] = []
    frames = decoder.open_address(camera.address, fps=10, give_up_s=30)

    def restored_when_lost(what: Lost) -> None:
        lost.append(what)
        if len(lost) == 2:
            camera.restore()

    frames.told = restored_when_lost
    looked = iter(frames)
    before = [next(looked) for _ in range(3)]
    camera.cut()
    sent = camera.sent
    while number_of((frame := next(looked)).image) < sent:
        pass

    assert frame.index >= len(before)
    assert frame.time_ms >= before[-1].time_ms + 1000, "time goes on while nothing is seen"
    assert [one.wait_s for one in lost[:2]] == [1.0, 2.0], "a longer wait each time"
    assert camera.connections == 2
    assert "secret" not in str(lost)


@pytest.mark.slow
def test_a_camera_that_falls_silent_is_tried_again(decoder: Decoder) -> None:
    lost: list[Lost] = []
    with RtspCamera(lambda _: striped(len(lost))) as camera:
        frames = decoder.open_address(camera.address, fps=10, give_up_s=30)

        def speaks_again(what: Lost) -> None:
            lost.append(what)
            camera.silent = False

        frames.told = speaks_again
        looked = iter(frames)
        first = next(looked)
        camera.silent = True
        while (frame := next(looked)).time_ms < first.time_ms + 5000:
            pass

    assert number_of(frame.image) == 1, "nothing from before the silence is shown after it"
    assert [one.why for one in lost] == ["nothing came for 10 s"]
    assert frame.index > first.index and camera.connections == 2


def test_a_stream_that_never_comes_is_given_up_with_the_reason(decoder: Decoder) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        frames = decoder.open_address(f"rtsp://a:b@127.0.0.1:{nobody.getsockname()[1]}/x", fps=5, give_up_s=2)
        with pytest.raises(Reject) as rejection:
            list(frames)

    assert "no picture within 2 s" in rejection.value.detail and "refused" in rejection.value.detail


def test_whoever_stops_a_stream_has_its_frames_and_its_end(camera: Camera, decoder: Decoder) -> None:
    frames: ClipFrames = decoder.open_address(camera.address, fps=10, give_up_s=10)
    frames.stopped = lambda: camera.sent >= 30
    seen = list(frames)

    assert seen and frames.end is not None
    assert (frames.end.decoded, frames.end.duration_ms) == (len(seen), seen[-1].time_ms)
    assert "stopped" in frames.end.note


def test_a_video_on_a_web_server_is_shown_from_beginning_to_end(decoder: Decoder, tmp_path: Path) -> None:
    clip = [(k * 40, striped(k)) for k in range(30)]
    write_clip(tmp_path / "a clip.mp4", clip, options={"movflags": "faststart"})

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/a%20clip.mp4"
        shown = [number_of(frame.image) for frame in decoder.open_address(address, fps=0, give_up_s=5)]
        with pytest.raises(Reject, match="404"):
            list(decoder.open_address(address + "x", fps=0, give_up_s=5))
    finally:
        server.shutdown()
        server.server_close()

    assert shown == list(range(30))
