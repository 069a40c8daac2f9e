"""Pictures on disk: read, written, cut, made smaller with their boxes, drawn on. BGR, turned as their EXIF says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from services.inference.datasets.layout import PICTURES, Picture, Plate

Image = NDArray[np.uint8]
GREEN, BLACK, WHITE = (60, 160, 20), (0, 0, 0), (255, 255, 255)


class Unreadable(ValueError):
    """No picture that decodes. The text names the file."""


def read_picture(path: Path) -> Image:
    """Raises Unreadable, also for a picture of which the end is missing."""
    try:
        with Pillow.open(path) as picture:
            picture.load()
    except FileNotFoundError as error:
        raise Unreadable(f"{path} is not there") from error
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise Unreadable(f"{path} does not decode: {error or type(error).__name__}") from error
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise Unreadable(f"{path} does not decode")
    return np.asarray(image, np.uint8)


def write_picture(path: Path, image: Image) -> None:
    """In one piece, by the suffix; JPEG at quality 95. Raises OSError."""
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")  # OpenCV complains of a quality for others
    done, data = cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 95] if jpeg else [])
    if not done:
        raise OSError(f"{path} cannot be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data.tobytes())
    temporary.replace(path)


def pictures_below(folder: Path) -> Iterator[Path]:
    """In order of their paths; hidden files and folders left out."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in PICTURES and not name.startswith("."):
                yield Path(root, name)


def crop(image: Image, plate: Plate, margin: float, grey: bool = False) -> Image:
    """The box grown by `margin` of its size on each side, cut at the picture's edges."""
    x, y, w, h = plate.box
    rows, columns = image.shape[:2]
    x1, y1 = max(int(x - w * margin), 0), max(int(y - h * margin), 0)
    x2, y2 = min(int(np.ceil(x + w * (1 + margin))), columns), min(int(np.ceil(y + h * (1 + margin))), rows)
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f"the box {x:g},{y:g},{w:g},{h:g} lies outside the picture of {columns}x{rows} pixels")
    cut = image[y1:y2, x1:x2]
    return np.asarray(cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY), np.uint8) if grey else cut


def fitted(size: tuple[int, int], width: int, height: int, exact: bool) -> tuple[int, int]:
    """The new size of a picture of `size`: within width and height (0: free), its shape kept unless `exact`."""
    if exact:
        return width or size[0], height or size[1]
    scale = min(limit / side for limit, side in zip((width, height), size, strict=True) if limit)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resized(image: Image, size: tuple[int, int]) -> Image:
    smaller = size[0] * size[1] < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def scaled(picture: Picture, by_x: float, by_y: float) -> Picture:
    """The plates of a picture that was made so much wider and higher."""

    def plate(one: Plate) -> Plate:
        x, y, w, h = one.box
        corners = tuple(value * (by_y if index % 2 else by_x) for index, value in enumerate(one.corners))
        return replace(one, box=(x * by_x, y * by_y, w * by_x, h * by_y), corners=corners)

    return replace(picture, plates=tuple(map(plate, picture.plates)))


def draw(image: Image, plates: Sequence[Plate]) -> Image:
    """A copy with boxes, corners and texts on it, in a size that can be read on it."""
    out = image.copy()
    unit = max(1.0, max(image.shape[:2]) / 900)
    for plate in plates:
        x, y, w, h = (round(value) for value in plate.box)
        cv2.rectangle(out, (x, y), (x + w, y + h), BLACK, round(unit) + 2)
        cv2.rectangle(out, (x, y), (x + w, y + h), GREEN, max(1, round(unit)))
        for corner in zip(plate.corners[::2], plate.corners[1::2], strict=True):
            cv2.circle(out, (round(corner[0]), round(corner[1])), round(2 * unit), (0, 140, 255), -1, cv2.LINE_AA)
        write_on(out, plate.text or plate.label, (x, y), unit)
    return out


def write_on(image: Any, text: str, at: tuple[int, int], unit: float) -> None:
    """White letters on a dark field above the point, or below it where the picture ends; never beyond its edges."""
    words = text.encode("ascii", "replace").decode()
    scale, thick = 0.55 * unit, max(1, round(unit))
    (wide, high), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    pad = round(3 * unit)
    x = max(0, min(at[0], image.shape[1] - wide - 2 * pad))
    y = at[1] - high - below - 2 * pad if at[1] - high - below - 2 * pad >= 0 else at[1]
    cv2.rectangle(image, (x, y), (x + wide + 2 * pad, y + high + below + 2 * pad), (30, 24, 20), -1)
    cv2.putText(image, words, (x + pad, y + pad + high), cv2.FONT_HERSHEY_SIMPLEX, scale, WHITE, thick, cv2.LINE_AA)
