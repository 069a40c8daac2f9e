"""Photos as the frames of a clip: a row of picture files in, BGR frames out. Runs in the decoding child only.

Rules
- Any colour mode becomes BGR; a photo is turned as its camera noted (Exif); of a moving picture the first counts.
- A photo that cannot be read is a gap in the row: it is named, the others keep their times.
- A clip has one size of frames, so the row ends before the first photo of another size; who asked goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from services.inference.decode_media import ClipRefused, Ring, narrowed
from services.inference.decode_wire import Ended, FromChild, Open, Picture, Started

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
NAMED = 5
"""So many unreadable photos are named, the others counted."""

Image.MAX_IMAGE_PIXELS = None  # the job has a limit of its own


class Unreadable(Exception):
    """Says why."""


def show(job: Open, ring: Ring, send: Callable[[FromChild], None]) -> None:
    """Gives the photos up to the first of another size. Raises ClipRefused where none of them can be read."""
    size: tuple[int, int] | None = None
    problems: list[str] = []
    index = done = 0
    for number, path in enumerate(job.photos):
        try:
            image = read(path, job.max_pixels, job.max_width)
        except Unreadable as error:
            problems.append(f"{Path(path).name} ({error})")
            done = number + 1
            continue
        this = image.shape[1], image.shape[0]
        if size is None:
            size = this
            send(Started(*size, round(len(job.photos) * job.photo_ms)))
        elif this != size:
            break
        send(Picture(ring.put(image), index, round(number * job.photo_ms)))
        index, done = index + 1, number + 1
    if index == 0:
        raise ClipRefused("undecodable", _why(problems))
    note = f"left out: {_why(problems)}" if problems else ""
    send(Ended(round(done * job.photo_ms), index, note, len(job.photos) - done))


def read(path: str, max_pixels: int, max_width: int) -> NDArray[np.uint8]:
    """(h, w, 3) BGR. Raises Unreadable."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise Unreadable(f"{image.width} x {image.height} exceed the limit of {max_pixels} pixels")
            upright = _rgb(ImageOps.exif_transpose(image))
    except (MemoryError, Unreadable):
        raise
    except UnidentifiedImageError as error:
        raise Unreadable("no JPEG, PNG, BMP or WebP picture") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for broken files
        raise Unreadable(f"broken: {error}" if not isinstance(error, FileNotFoundError) else "removed") from error
    size = narrowed(upright.width, upright.height, max_width)
    if size != upright.size:
        upright = upright.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(upright, dtype=np.uint8)[:, :, ::-1]


def _rgb(image: Image.Image) -> Image.Image:
    """Sixteen bits a pixel become eight; what is transparent lies on white."""
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.clip(deep / 257, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        shown = image.convert("RGBA")
        ground = Image.new("RGBA", shown.size, "white")
        return Image.alpha_composite(ground, shown).convert("RGB")
    return image.convert("RGB")


def _why(problems: list[str]) -> str:
    more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return f"{', '.join(problems[:NAMED])}{more}" if problems else "there is none"
