"""Annotated videos and photos, and the whole frame of each best shot: what needs the frames once more.

In: a recording that is read, with its frames again. So what is written beside a plate is its final reading, from the
first frame in which it was seen.

Rules
- A video is written so that it can be played whenever writing ends (fragments of a second).
- Nothing that is there is overwritten: a second file of the same name gets ``_01``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from services.cli.outputs_port import Done, Output, base_name, free, mm_ss
from services.cli.overlay import Mark, draw
from services.contracts.messages import Box, Observation, Point
from services.inference.models.detector import is_plate
from services.inference.result import TrackResult
from services.runtime.errors import Stop

Image = NDArray[np.uint8]
TRACE_MS = 5_000
"""How far back the trace of a track reaches."""
STAYS_MS = 250
"""A box stays for as long between two frames in which its plate was seen."""
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]


class Drawn(Output):
    """``annotate``: folder of annotated videos and photos; ``frames``: folder of the frames of best shots."""

    needs_frames_again = True

    def __init__(self, annotate: Path | None, frames: Path | None, interrupts: Callable[[], int]) -> None:
        """``interrupts``: how many there were; one more while pictures are drawn ends that."""
        self._annotate, self._frames, self._interrupts = annotate, frames, interrupts
        self._videos: dict[str, VideoFile] = {}
        self._written: dict[Path, int] = defaultdict(int)
        for folder in filter(None, (annotate, frames)):
            folder.mkdir(parents=True, exist_ok=True)

    def done(self, done: Done) -> None:
        shots = defaultdict(list)
        for passage, track in done.passages:
            shots[track.best.time_ms - done.sheet.start_ms].append((passage.plate or passage.label, track))
        if self._annotate is None and not shots:
            return
        scene, before = Scene(done), self._interrupts()
        for frame in done.again():
            if self._frames is not None:
                for plate, track in shots.get(frame.time_ms, ()):
                    self._keep(self._frames, done, plate, track, frame.image)
            if self._annotate is not None:
                self._show(self._annotate, done, scene.drawn(frame.index, frame.time_ms, frame.image), frame.time_ms)
            if self._interrupts() > before:
                break
        if done.sheet.source.stream is None:
            self._close_video(done.sheet.source.key)

    def close(self) -> str:
        for key in list(self._videos):
            self._close_video(key)
        return "\n".join(f"{folder}: {count} files" for folder, count in self._written.items())

    def _keep(self, folder: Path, done: Done, plate: str, track: TrackResult, image: Image) -> None:
        when = mm_ss(track.best.time_ms - done.sheet.origin_ms).replace(":", "-")
        name = f"{when}_{plate}_{done.sheet.first_id + track.number:04}.jpg".replace("/", "_")
        _write_picture(free(folder / name), image)
        self._written[folder] += 1

    def _show(self, folder: Path, done: Done, image: Image, time_ms: int) -> None:
        source = done.sheet.source
        if source.photos:
            _write_picture(free(folder / f"{done.sheet.photo_at(time_ms).stem}.jpg"), image)
            self._written[folder] += 1
            return
        video = self._videos.get(source.key)
        if video is None:
            self._written[folder] += 1
            rate = done.result.frames * 1000 / max(done.result.duration_ms, 1)
            video = VideoFile(free(folder / f"{base_name(source)}.mp4"), image.shape[1], image.shape[0], rate)
            self._videos[source.key] = video
        video.add(done.sheet.offset_ms + time_ms, image)

    def _close_video(self, key: str) -> None:
        video = self._videos.pop(key, None)
        if video is not None:
            video.close()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A track, and where it is in the frame at hand."""

    text: str
    number: int
    place: Observation
    read: bool
    """Whether it is a plate."""


class Scene:
    """What is to be drawn on each frame of a recording that is read."""

    def __init__(self, done: Done) -> None:
        self._done = done
        self._by_frame: dict[int, list[_Seen]] = defaultdict(list)
        for track in done.result.tracks:
            text = label(track.label, track.reading.text, done.sheet.first_id + track.number)
            for one in track.observations:
                self._by_frame[one.frame].append(_Seen(text, track.number, one, is_plate(track.label)))
        rate = done.result.frames * 1000 / max(done.result.duration_ms, 1)
        self._rate = f"{rate:.1f} frames/s" if done.result.frames > 1 else ""
        self._traces: dict[int, list[tuple[int, Point]]] = defaultdict(list)
        self._last: dict[int, _Seen] = {}

    def drawn(self, index: int, time_ms: int, image: Image) -> Image:
        """Frames are asked for in order."""
        now_ms = self._done.sheet.start_ms + time_ms
        for seen in self._by_frame.get(index, ()):
            self._traces[seen.number].append((now_ms, stands(seen.place.box, seen.read)))
            self._last[seen.number] = seen
        self._last = {n: s for n, s in self._last.items() if now_ms - s.place.time_ms <= STAYS_MS}
        marks = [Mark(s.place.box, s.text, n, self._trace(n, now_ms), s.read) for n, s in self._last.items()]
        alone = len(self._done.sheet.source.photos) == 1  # whose time says nothing
        when = "" if alone else mm_ss(now_ms - self._done.sheet.origin_ms)
        return draw(image, marks, "  ".join(filter(None, (when, self._rate, self._done.sheet.source.camera))))

    def _trace(self, number: int, now_ms: int) -> Sequence[Point]:
        return [point for at, point in self._traces[number] if now_ms - at <= TRACE_MS]


def stands(box: Box, read: bool) -> Point:
    """The point whose trace is drawn: a plate's middle; where anything else stands, the middle of its lower edge."""
    x, y, w, h = box
    return x + w / 2, y + (h / 2 if read else h)


def label(kind: str, text: str, number: int) -> str:
    """What stands beside a box: the reading of a plate, what else it is, and the number of the track."""
    return f"{text or ('?' if is_plate(kind) else kind)}  {number}"


class VideoFile:
    """An MP4 of frames at their times."""

    def __init__(self, path: Path, width: int, height: int, rate: float) -> None:
        self._size = width // 2 * 2, height // 2 * 2  # the codec takes even sides only
        if min(self._size) < 2:
            raise Stop(f"frames of {width} x {height} make no video; leave --annotate out")
        flags = "frag_keyframe+empty_moov+default_base_moof"
        self._container = av.open(str(path), "w", options={"movflags": flags})
        gop = max(1, round(rate))
        options = {"preset": "veryfast", "crf": "20", "g": str(gop), "bf": "0"}
        self._stream: Any = self._container.add_stream("libx264", rate=1000, options=options)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt, self._stream.time_base = "yuv420p", Fraction(1, 1000)
        self._stream.codec_context.time_base = Fraction(1, 1000)
        self._last_ms = -1

    def add(self, time_ms: int, image: Image) -> None:
        if time_ms <= self._last_ms:
            return
        self._last_ms = time_ms
        width, height = self._size
        if image.shape[:2] != (height, width):  # odd by one pixel, or a stream that changed its size
            image = image[:height, :width]
            if image.shape[:2] != (height, width):
                image = np.asarray(cv2.resize(image, (width, height)), np.uint8)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


def jpeg(image: Image) -> bytes:
    written, data = cv2.imencode(".jpg", image, JPEG)
    if not written:
        raise Stop(f"OpenCV makes no JPEG of a picture of {image.shape}")
    return bytes(data)


def _write_picture(path: Path, image: Image) -> None:
    path.write_bytes(jpeg(image))


class Spool:
    """Frames of a stream's minute, kept as pictures in a folder that goes when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._times: list[tuple[int, int]] = []

    def keep(self, index: int, time_ms: int, image: Image) -> None:
        _write_picture(self._folder / f"{index}.jpg", image)
        self._times.append((index, time_ms))

    def frames(self) -> Iterator[tuple[int, int, Image]]:
        for index, time_ms in self._times:
            data = np.frombuffer((self._folder / f"{index}.jpg").read_bytes(), np.uint8)
            yield index, time_ms, np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    def clear(self) -> None:
        for index, _ in self._times:
            (self._folder / f"{index}.jpg").unlink(missing_ok=True)
        self._times = []
