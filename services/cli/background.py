"""A picture to draw a heatmap over: the first frame of a video, or an image file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from services.inference.decode import Decoder
from services.runtime.errors import Reject

Picture = npt.NDArray[np.uint8]


class NoPicture(ValueError):
    """The file is neither an image nor a video that decodes. Says why."""


def first_frame(decoder: Decoder, video: Path) -> Picture:
    """RGB (height, width, 3). Raises Reject, FileNotFoundError."""
    return np.ascontiguousarray(next(iter(decoder.open(video, fps=1.0))).image[:, :, ::-1])


def read_background(path: Path) -> Picture:
    """RGB (height, width, 3) of an image file or of a video's first frame. Raises NoPicture."""
    if not path.is_file():
        raise NoPicture(f"{path}: no such file")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is not None:
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8)[:, :, ::-1])
    with Decoder(threads=1) as decoder:
        try:
            return first_frame(decoder, path)
        except Reject as error:
            raise NoPicture(f"{path} is neither an image nor a video: {error.detail}") from error
