"""Recordings as files: encodes what `frames` paints, named as Kerberos names it, with the truth and the cameras beside.

Out, in one folder: ``<directory>/<name>.mp4`` for each recording, ``truth.json``, ``truth.csv``, ``cameras.yaml``, and
``backdrops/<camera>.png``, each camera's picture without traffic.
Names come in three generations (see `services.contracts.kerberos`); the newest agent also writes fragmented MP4.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
import yaml

from services.contracts.kerberos import Generation
from services.simulator.frames import backdrop, frames
from services.simulator.raster import Picture
from services.simulator.scene import PLAN_SIZE_M, Camera, PassageTruth, Recording, passages

DIRECTORY = "demo"
"""Directory of the keys, as the Vault account sets it."""
_BACKDROPS = "backdrops"
_TICKS = Fraction(1, 1000)
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


class ClipTruth(msgspec.Struct, frozen=True):
    """What is true about one recording, as it stands in truth.json."""

    key: str
    camera: str
    start_ms: int
    duration_ms: int
    frame_ms: tuple[int, ...]
    width: int
    height: int
    calibrated: bool
    passages: tuple[PassageTruth, ...]


class Truth(msgspec.Struct, frozen=True):
    """truth.json: everything that a perfect system finds in the clips."""

    seed: int
    recordings: tuple[ClipTruth, ...]


def file_name(recording: Recording) -> str:
    """The name that this camera's agent gives the recording."""
    seconds, milliseconds = divmod(recording.start_ms, 1000)
    changes, token = 400 + recording.seed % 9000, recording.seed % 1000
    name = recording.camera.name
    match recording.camera.naming:
        case Generation.AGENT_MS:
            fraction, region, last = _counted(milliseconds), "402-263-405-280", recording.duration_ms
        case Generation.AGENT:
            fraction, region, last = "6-967003", "200-200-400-400", 769
        case _:
            fraction, region, last = _counted(milliseconds * 1000), "264-126-688-466", token
    return f"{seconds}_{fraction}_{name}_{region}_{changes}_{last}.mp4"


def _counted(value: int) -> str:
    return f"{len(str(value))}-{value}"


def key_of(recording: Recording) -> str:
    return f"{DIRECTORY}/{file_name(recording)}"


def truth_of(recordings: Sequence[Recording], seed: int) -> Truth:
    """The truth about ``recordings``, which are in order of camera and time."""
    earlier = [None, *recordings[:-1]]
    return Truth(seed, tuple(_clip_truth(*pair) for pair in zip(recordings, earlier, strict=True)))


def _clip_truth(recording: Recording, before: Recording | None) -> ClipTruth:
    camera = recording.camera
    return ClipTruth(
        key=key_of(recording),
        camera=camera_id(camera),
        start_ms=recording.start_ms,
        duration_ms=recording.duration_ms,
        frame_ms=recording.frame_ms,
        width=camera.view.width,
        height=camera.view.height,
        calibrated=camera.calibrated,
        passages=passages(recording, before),
    )


def camera_id(camera: Camera) -> str:
    """The camera as messages name it."""
    return f"{DIRECTORY}/{camera.name}"


def camera_file(cameras: Iterable[Camera]) -> str:
    """The aggregator's camera file (YAML): point pairs of every calibrated camera, plan in metres."""
    known = {camera_id(camera): _calibration(camera) for camera in cameras if camera.calibrated}
    return yaml.safe_dump(known, sort_keys=False, default_flow_style=None)


def _calibration(camera: Camera) -> dict[str, object]:
    return {
        "pairs": [[list(pixel), list(point)] for pixel, point in camera.pairs()],
        "plan": {"width": PLAN_SIZE_M[0], "height": PLAN_SIZE_M[1], "metres_per_unit": 1.0},
        "image": {"width": camera.view.width, "height": camera.view.height},
    }


def encode(recording: Recording, path: Path, still: Picture | None = None) -> None:
    """Paints and encodes one recording, over its camera's still picture if that is given; the file appears whole or
    not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    camera = recording.camera
    options = _FRAGMENTS if camera.fragmented else {"movflags": "faststart"}
    with av.open(str(part), "w", format="mp4", options=options) as container:
        stream = _video_stream(container, camera)
        for pts, picture in zip(recording.frame_ms, frames(recording, still), strict=True):
            container.mux(stream.encode(_frame(picture, pts)))
        container.mux(stream.encode(None))
    part.replace(path)


def _video_stream(container: Any, camera: Camera) -> Any:
    codec = "libx265" if camera.codec == "hevc" else "libx264"
    options = {"preset": "ultrafast", "crf": "23", "bf": "0", "g": str(max(2, round(camera.fps * 2)))}
    if camera.codec == "hevc":
        options["x265-params"] = "log-level=error:bframes=0:pools=1:frame-threads=1"
    stream = container.add_stream(codec, rate=Fraction(camera.fps).limit_denominator(1000), options=options)
    stream.width, stream.height, stream.pix_fmt = camera.view.width, camera.view.height, "yuv420p"
    stream.codec_context.time_base = _TICKS
    stream.codec_context.thread_count = 1
    return stream


def _frame(picture: Picture, pts_ms: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts, frame.time_base = pts_ms, _TICKS
    return frame


def render(
    recordings: Sequence[Recording],
    out: Path,
    seed: int,
    workers: int = 2,
    done: Callable[[str], None] = lambda key: None,
) -> Truth:
    """Renders all recordings below ``out`` in ``workers`` processes, and writes truth and camera file beside.

    ``done`` is called with the key of each finished recording, in the calling thread.
    """
    (out / _BACKDROPS).mkdir(parents=True, exist_ok=True)
    cameras = list({one.camera.name: one.camera for one in recordings}.values())
    longest_first = sorted(recordings, key=lambda one: -len(one.frame_ms))  # so that none waits for it at the end
    # Spawned, never forked: the caller may have threads. Leaving the block for any reason ends the workers.
    with multiprocessing.get_context("spawn").Pool(workers, _begin_worker) as pool:
        for _ in pool.imap_unordered(partial(_paint_backdrop, out), cameras):
            pass
        for key in pool.imap_unordered(partial(_render_one, out), longest_first):
            done(key)
    truth = truth_of(recordings, seed)
    (out / "truth.json").write_bytes(msgspec.json.format(msgspec.json.encode(truth), indent=1))
    (out / "truth.csv").write_text(reference(truth))
    (out / "cameras.yaml").write_text(camera_file(cameras))
    return truth


def reference(truth: Truth) -> str:
    """truth.csv: the passages as `plateflow evaluate tracks` compares with, times from the start of each clip."""
    rows = [
        ";".join(
            [clip.key, *(_clock(at, clip) for at in (one.first_ms, one.readable_first_ms, one.last_ms)), one.plate]
        )
        for clip in truth.recordings
        for one in clip.passages
    ]
    return "\n".join(("file;time_start;time_detect;time_end;plate_num", *rows)) + "\n"


def _clock(time_ms: int, clip: ClipTruth) -> str:
    return f"{(time_ms - clip.start_ms) / 1000:.3f}"


def backdrop_path(out: Path, camera: Camera) -> Path:
    """Where `render` leaves the picture of a camera without traffic."""
    return out / _BACKDROPS / f"{camera.name}.png"


def load_backdrop(out: Path, camera: Camera) -> Picture:
    """That picture, RGB. OSError where it is not there."""
    picture = cv2.imread(str(backdrop_path(out, camera)), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise FileNotFoundError(backdrop_path(out, camera))
    return np.asarray(picture, dtype=np.uint8)


def _begin_worker() -> None:
    """One thread for each process; Ctrl+C is the parent's to handle, and a killed parent takes its workers along."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _paint_backdrop(out: Path, camera: Camera) -> None:
    cv2.imwrite(str(backdrop_path(out, camera)), backdrop(camera)[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _render_one(out: Path, recording: Recording) -> str:
    key = key_of(recording)
    encode(recording, out / key, load_backdrop(out, recording.camera))
    return key


def load_truth(path: Path) -> Truth:
    """truth.json read back."""
    return msgspec.json.decode(path.read_bytes(), type=Truth)
