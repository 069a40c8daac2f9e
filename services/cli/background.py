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


def first_frame(decoder: Decoder, video: Path) -> Picture:
    """RGB (height, width, 3). Raises Reject, FileNotFoundError."""
    return np.ascontiguousarray(next(iter(decoder.open(video, fps=1.0))).image[:, :, ::-1])


def still(decoder: Decoder, video: Path) -> Picture:
    """The median of frames, RGB: what drives by is gone, what stands for half of the video or longer stays.

    However long the video is, about twice `KEPT` frames are held at most: when there are more, every other one is
    dropped, and from then on only every other one is taken. Raises Reject, FileNotFoundError.
    """
    kept: list[Picture] = []
    every = 1
    for index, frame in enumerate(decoder.open(video, fps=5.0)):
        if index % every or (kept and frame.image.shape != kept[0].shape):
            continue
        kept.append(np.array(frame.image))
        if len(kept) > 2 * KEPT:
            kept, every = kept[::2], every * 2
    middle = np.stack(kept)  # (n, height, width, 3), BGR
    return np.ascontiguousarray(np.median(middle, axis=0).astype(np.uint8)[:, :, ::-1])


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
