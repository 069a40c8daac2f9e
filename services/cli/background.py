"""A picture to draw a heatmap over: what a video shows where nothing moves, or an image file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from services.inference.decode import Decoder
from services.runtime.errors import Reject

Picture = npt.NDArray[np.uint8]
KEPT = 31
"""Frames that the median is taken of, spread over the whole video."""


class NoPicture(ValueError):
    """The file is neither an image nor a video that decodes. Says why."""


class Still:
    """What a camera sees where nothing moves: the median of frames (height, width, 3), given one after the other.

    However many they are, about twice ``kept`` of them are held at most: when there are more, every other one is
    dropped, and from then on only every other one is taken. ``width``: wider frames are held that narrow.
    """

    def __init__(self, kept: int = KEPT, width: int = 0) -> None:
        self._most, self._width = 2 * kept, width
        self._frames: list[Picture] = []
        self._size = (0, 0)
        self._every, self._seen = 1, 0

    def add(self, frame: Picture) -> None:
        """A frame of another size than the first one is left out."""
        height, width = frame.shape[:2]
        taken = self._seen % self._every == 0
        self._seen += 1
        if not taken or (self._frames and self._size != (width, height)):
            return
        self._size = width, height
        narrow = self._width and width > self._width
        small = (self._width, max(1, round(height * self._width / width)))
        held = cv2.resize(frame, small, interpolation=cv2.INTER_AREA) if narrow else np.array(frame)
        self._frames.append(np.asarray(held, np.uint8))
        if len(self._frames) > self._most:
            self._frames, self._every = self._frames[::2], self._every * 2

    def picture(self) -> Picture:
        """As large as the frames. At least one must have been added."""
        middle = np.median(np.stack(self._frames), axis=0).astype(np.uint8)
        return middle if middle.shape[1::-1] == self._size else np.asarray(cv2.resize(middle, self._size), np.uint8)


def still(decoder: Decoder, video: Path) -> Picture:
    """The median of frames, RGB: what drives by is gone, what stands for half of the video or longer stays.

    Raises Reject, FileNotFoundError.
    """
    found = Still()
    for frame in decoder.open(video, fps=5.0):
        found.add(frame.image)
    return np.ascontiguousarray(found.picture()[:, :, ::-1])  # decoded as BGR


def decoded(jpeg: bytes) -> Picture:
    """RGB of a JPEG of ours."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(image, np.uint8)[:, :, ::-1])


def read_background(path: Path) -> Picture:
    """RGB (height, width, 3) of an image file, or of a video where nothing moves. Raises NoPicture."""
    if not path.is_file():
        raise NoPicture(f"{path}: no such file")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is not None:
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8)[:, :, ::-1])
    with Decoder(threads=1) as decoder:
        try:
            return still(decoder, path)
        except Reject as error:
            raise NoPicture(f"{path} is neither an image nor a video: {error.detail}") from error
