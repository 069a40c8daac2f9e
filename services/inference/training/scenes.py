"""Draws training pictures for the plate detector: labelled photos and a seed in, pictures with YOLO labels
out.

Four kinds, the same seed giving the same pixels:
- `pasted`: a photo with one to three made-up plates in places that show none
- `drawn`: a street with simple vehicles that bear made-up plates, and signs that are none
- `close`: a part of a photo in which its plate is large
- `blank`: a part of a photo without plates, with signs, captions and a camera's clock: nothing to find

    python -m services.inference.training.scenes --photos DIR --out DIR
"""

from __future__ import annotations

import argparse
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from services.inference.training.fonts import dejavu
from services.inference.training.plates import plate_text, render_plate
from services.inference.training.styles import STYLES

Image = NDArray[np.uint8]
Corners = NDArray[np.float64]
"""Boxes (n, 4): x1, y1, x2, y2 in pixels."""
COUNTS = {"pasted": 260, "drawn": 260, "close": 140, "blank": 140}
LONGEST = 640


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture (h, w, 3) BGR and its plates (n, 4)."""

    image: Image
    boxes: Corners


def pasted(photo: Sample, rng: np.random.Generator) -> Sample:
    """The photo with up to three plates pasted where none is."""
    image, boxes = photo.image.copy(), photo.boxes
    for _ in range(int(rng.integers(1, 4))):
        width = log_uniform(rng, 20, image.shape[1] * 0.5)
        plate = made_up_plate(rng)
        place = _free_place(image, boxes, width, width * plate.shape[0] / plate.shape[1], rng)
        if place is not None:
            boxes = np.vstack([boxes, paste(image, plate, place, width, rng)])
    return Sample(spoilt(image, rng), boxes)


def drawn(_photo: Sample, rng: np.random.Generator) -> Sample:
    """A street with up to four vehicles, far ones first, so that near ones may hide them."""
    image = _street(rng)
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(0, 3))):
        sign(image, rng)
    boxes = np.empty((0, 4))
    horizon = int(height * 0.4)
    for ground in sorted(rng.uniform(horizon + height * 0.12, height * 1.02, int(rng.integers(1, 5)))):
        near = (ground - horizon) / (height - horizon)
        size = float(width * rng.uniform(0.25, 0.6) * near + 24)
        left = float(rng.uniform(-0.1 * size, width - 0.9 * size))
        body, plate = vehicle(image, left, float(ground), size, rng)
        boxes = np.vstack([_not_hidden(boxes, body), plate])
    return Sample(spoilt(image, rng), _visible(boxes, width, height))


def close(photo: Sample, rng: np.random.Generator) -> Sample:
    """A part of the photo in which one plate takes 25 to 95 % of the width."""
    height, width = photo.image.shape[:2]
    x1, y1, x2, y2 = photo.boxes[int(rng.integers(len(photo.boxes)))]
    wide = min((x2 - x1) / float(rng.uniform(0.25, 0.95)), width)
    tall = min(wide * float(rng.uniform(0.5, 0.9)), height)
    left = float(np.clip((x1 + x2 - wide) / 2 + rng.normal(0, 0.1) * wide, 0, width - wide))
    top = float(np.clip((y1 + y2 - tall) / 2 + rng.normal(0, 0.1) * tall, 0, height - tall))
    return cut(photo, left, top, wide, tall)


def blank(photo: Sample, rng: np.random.Generator) -> Sample:
    """A part of the photo without plates, or a drawn street without vehicles, with signs and captions."""
    sample = _plain_part(photo, rng) if rng.random() < 0.7 else Sample(_street(rng), np.empty((0, 4)))
    image = sample.image.copy()
    for _ in range(int(rng.integers(1, 5))):
        sign(image, rng)
    if rng.random() < 0.5:
        _clock(image, rng)
    return Sample(spoilt(image, rng), sample.boxes)


KINDS: dict[str, Callable[[Sample, np.random.Generator], Sample]] = {
    "pasted": pasted,
    "drawn": drawn,
    "close": close,
    "blank": blank,
}


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))))


def made_up_plate(rng: np.random.Generator) -> Image:
    """A plate of any style, sometimes in a dark holder."""
    style = str(rng.choice(list(STYLES)))
    image: NDArray[Any] = render_plate(plate_text(style, rng), style, rng, height=96).image
    if rng.random() < 0.4:
        shade = int(rng.integers(5, 60))
        edge = int(rng.integers(2, 12))
        image = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(shade,) * 3)
    return np.asarray(image, dtype=np.uint8)


def paste(image: Image, plate: Image, place: tuple[float, float], width: float, rng: np.random.Generator) -> Corners:
    """Warps the plate into the image, its middle at `place`, lit as its surroundings; gives its box."""
    height = width * plate.shape[0] / plate.shape[1]
    quad = _seen_from_aside(width, height, rng) + np.array(place)
    box = np.hstack([quad.min(axis=0), quad.max(axis=0)])[None]
    rows, columns = image.shape[:2]
    shrunk = _shrunk(plate, width)
    source = np.array([[0, 0], [shrunk.shape[1], 0], shrunk.shape[1::-1], [0, shrunk.shape[0]]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(source, quad.astype(np.float32))
    picture = cv2.warpPerspective(_lit(shrunk, image, box[0], rng), matrix, (columns, rows))
    mask = cv2.warpPerspective(np.ones(shrunk.shape[:2], np.float32), matrix, (columns, rows))[..., None]
    image[:] = (image * (1 - mask) + picture * mask).astype(np.uint8)
    return np.asarray(np.clip(box, 0, [columns, rows, columns, rows]))


def vehicle(image: Image, left: float, ground: float, size: float, rng: np.random.Generator) -> tuple[Corners, Corners]:
    """Draws the front of a vehicle, `size` pixels wide, on `ground`; gives its and its plate's box."""
    tall = size * float(rng.uniform(0.6, 1.1))
    colour, dark = _colour(rng), _colour(rng, 10, 60)
    top, right = ground - tall, left + size
    _wheels(image, left, ground, size, dark)
    _box(image, left, top + tall * 0.4, right, ground - size * 0.08, colour, size * 0.06)
    _box(image, left + size * 0.12, top, right - size * 0.12, top + tall * 0.5, colour, size * 0.08)
    window = _colour(rng, 30, 130)
    _box(
        image,
        left + size * 0.17,
        top + tall * 0.06,
        right - size * 0.17,
        top + tall * 0.36,
        window,
        size * 0.04,
    )
    lamp = _colour(rng, 120, 255)
    for x in (left + size * 0.05, right - size * 0.22):
        _box(image, x, top + tall * 0.5, x + size * 0.17, top + tall * 0.6, lamp, size * 0.03)
    _box(image, left + size * 0.3, top + tall * 0.48, right - size * 0.3, top + tall * 0.6, dark, 0)
    width = size * float(rng.uniform(0.2, 0.42))
    middle = left + size * float(rng.uniform(0.42, 0.58)), ground - tall * float(rng.uniform(0.14, 0.34))
    return np.array([[left, top, right, ground]]), paste(image, made_up_plate(rng), middle, width, rng)


def sign(image: Image, rng: np.random.Generator) -> None:
    """Draws writing that is no plate: a coloured board of several words, or a caption without any board."""
    words = [_word(rng) for _ in range(int(rng.integers(2, 7)))]
    lines = [" ".join(words[i : i + 2]) for i in range(0, len(words), 2)]
    font = ImageFont.truetype(str(dejavu()), int(rng.integers(10, 44)))
    picture = Pillow.fromarray(image)
    draw = ImageDraw.Draw(picture)
    text = "\n".join(lines)
    x, y = rng.uniform(0, 0.8) * image.shape[1], rng.uniform(0, 0.8) * image.shape[0]
    if rng.random() < 0.7:
        x1, y1, x2, y2 = draw.multiline_textbbox((x, y), text, font=font)
        margin = int(rng.integers(4, 20))
        board = (x1 - margin, y1 - margin, x2 + margin, y2 + margin)
        draw.rounded_rectangle(board, radius=int(rng.integers(0, 12)), fill=_colour(rng))
    draw.multiline_text((x, y), text, font=font, fill=_colour(rng))
    image[:] = np.asarray(picture)


def cut(photo: Sample, left: float, top: float, wide: float, tall: float) -> Sample:
    """A part of the photo, at most LONGEST pixels long, with the boxes that are mostly in it."""
    x, y = round(left), round(top)
    part = photo.image[y : y + max(1, round(tall)), x : x + max(1, round(wide))]
    scale = min(1.0, LONGEST / max(part.shape[:2]))
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    image = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    boxes = (photo.boxes - np.array([x, y, x, y])) * scale
    return Sample(image, _visible(boxes, size[0], size[1]))


def spoilt(image: Image, rng: np.random.Generator) -> Image:
    """What light, lens and sensor do: darkness, blur, noise."""
    light: NDArray[Any] = image.astype(np.float32)
    if rng.random() < 0.25:
        light *= float(rng.uniform(0.25, 0.8))
    if rng.random() < 0.4:
        light = cv2.GaussianBlur(light, (0, 0), float(rng.uniform(0.4, 1.3)))
    if rng.random() < 0.5:
        light += rng.standard_normal(image.shape, np.float32) * float(rng.uniform(1, 10))
    return np.asarray(np.clip(light, 0, 255), dtype=np.uint8)


def read_photo(image: Path, label: Path) -> Sample:
    """A photo of at most LONGEST x 2 pixels and its YOLO label."""
    picture = np.asarray(cv2.imread(str(image), cv2.IMREAD_COLOR), dtype=np.uint8)
    rows = [line.split()[1:5] for line in label.read_text().splitlines() if line.strip()]
    centred = np.array(rows, dtype=np.float64).reshape(-1, 4)
    corners = np.hstack([centred[:, :2] - centred[:, 2:] / 2, centred[:, :2] + centred[:, 2:] / 2])
    return Sample(picture, corners * np.array(picture.shape[1::-1] * 2))


def write_sample(sample: Sample, images: Path, labels: Path, name: str, quality: int) -> None:
    height, width = sample.image.shape[:2]
    cv2.imwrite(str(images / f"{name}.jpg"), sample.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    middles, sizes = (
        (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2,
        sample.boxes[:, 2:] - sample.boxes[:, :2],
    )
    rows = np.hstack([middles, sizes]) / np.array([width, height] * 2)
    (labels / f"{name}.txt").write_text("".join("0 " + " ".join(f"{v:.6f}" for v in row) + "\n" for row in rows))


def make_pictures(photos: Path, out: Path, seed: int = 11) -> None:
    """Writes COUNTS pictures of each kind to `out`/images/drawn, their labels to `out`/labels/drawn.

    `photos` holds images/train and labels/train. Only training photos are used.
    """
    images, labels = out / "images" / "drawn", out / "labels" / "drawn"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    files = sorted((photos / "images" / "train").glob("*.jpg"))
    rng = np.random.default_rng(seed)
    for kind, count in COUNTS.items():
        for number, index in enumerate(rng.choice(len(files), count, replace=count > len(files))):
            photo = read_photo(files[index], photos / "labels" / "train" / f"{files[index].stem}.txt")
            if kind in ("drawn", "blank") or len(photo.boxes):
                sample = _small(KINDS[kind](photo, rng))
                write_sample(sample, images, labels, f"{kind}_{number:04}", int(rng.integers(45, 96)))


def _small(sample: Sample) -> Sample:
    return cut(sample, 0, 0, sample.image.shape[1], sample.image.shape[0])


def _seen_from_aside(width: float, height: float, rng: np.random.Generator) -> Corners:
    """Corners (4, 2) about the middle: turned, leaning, and one side a little farther away."""
    lean, turn = rng.normal(0, 0.05), float(np.cos(rng.normal(0, 0.35)))
    corners = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2 * turn, height / 2)
    corners[:, 1] *= 1 + np.sign(corners[:, 0]) * rng.normal(0, 0.06)
    corners[:, 1] += corners[:, 0] * rng.normal(0, 0.06)
    return np.asarray(corners @ np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]]))


def _shrunk(plate: Image, width: float) -> Image:
    """At most twice as wide as it will be seen, so that warping does not alias."""
    scale = min(1.0, 2 * width / plate.shape[1])
    size = max(4, round(plate.shape[1] * scale)), max(3, round(plate.shape[0] * scale))
    return np.asarray(cv2.resize(plate, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _lit(plate: Image, image: Image, box: NDArray[np.float64], rng: np.random.Generator) -> Image:
    x1, y1, x2, y2 = np.clip(box, 0, None).astype(int)
    around = image[max(0, y1 - 20) : y2 + 20, max(0, x1 - 20) : x2 + 20]
    level = float(around.mean()) if around.size else 110.0
    gain = float(np.clip(0.35 + level / 160 + rng.normal(0, 0.12), 0.3, 1.15))
    tint = 1 + rng.normal(0, 0.04, 3)
    return np.clip(plate * gain * tint, 0, 255).astype(np.uint8)


def _free_place(
    image: Image, boxes: Corners, width: float, height: float, rng: np.random.Generator
) -> tuple[float, float] | None:
    rows, columns = image.shape[:2]
    for _ in range(20):
        x = float(rng.uniform(width / 2, max(columns - width / 2, width / 2 + 1)))
        y = float(rng.uniform(height / 2, max(rows - height / 2, height / 2 + 1)))
        middle, reach = np.array([x, y]), np.array([width, height]) * 0.75
        apart = (boxes[:, 2:] < middle - reach) | (boxes[:, :2] > middle + reach)
        if bool(apart.any(axis=1).all()):
            return x, y
    return None


def _not_hidden(boxes: Corners, body: Corners) -> Corners:
    """Without the plates that a vehicle in front hides for more than a fifth."""
    shared = np.clip(np.minimum(boxes[:, 2:], body[:, 2:]) - np.maximum(boxes[:, :2], body[:, :2]), 0, None)
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    return np.asarray(boxes[(shared / sizes).prod(axis=1) < 0.2])


def _visible(boxes: Corners, width: int, height: int) -> Corners:
    """Clipped to the picture, without those that lie outside for over a third or are too small to see."""
    inside = np.clip(boxes, 0, [width, height, width, height])
    share = (inside[:, 2:] - inside[:, :2]) / np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    large = (inside[:, 2] - inside[:, 0] >= 10) & (inside[:, 3] - inside[:, 1] >= 3)
    return np.asarray(inside[(share.prod(axis=1) > 0.67) & large])


def _plain_part(photo: Sample, rng: np.random.Generator) -> Sample:
    """A random part that touches no plate; the whole picture painted over where none is found."""
    height, width = photo.image.shape[:2]
    for _ in range(30):
        wide, tall = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
        left, top = rng.uniform(0, width - wide), rng.uniform(0, height - tall)
        apart = (photo.boxes[:, 2:] < (left, top)) | (photo.boxes[:, :2] > (left + wide, top + tall))
        if bool(apart.any(axis=1).all()):
            return cut(Sample(photo.image, np.empty((0, 4))), left, top, wide, tall)
    return Sample(_street(rng), np.empty((0, 4)))


def _street(rng: np.random.Generator) -> Image:
    """Sky or wall over a road with lane marks, each with a gradient and grain of its own."""
    width, height = 640, int(rng.choice([360, 400, 480]))
    horizon = int(height * rng.uniform(0.15, 0.5))
    image = np.empty((height, width, 3), np.float32)
    for rows, low, high in ((slice(0, horizon), 40, 240), (slice(horizon, height), 30, 150)):
        count = rows.stop - rows.start
        first, last = (np.array(_colour(rng, low, high), np.float32) for _ in range(2))
        slope = np.linspace(0, 1, count, dtype=np.float32)[:, None, None]
        image[rows] = first * (1 - slope) + last * slope
    coarse = rng.normal(0, 14, (height // 16, width // 16, 1)).astype(np.float32)
    image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    street: Image = np.clip(image, 0, 255).astype(np.uint8)
    for x in rng.uniform(0, width, int(rng.integers(0, 5))):
        end = int(width / 2 + (x - width / 2) * 3), height
        cv2.line(street, (int(x), horizon), end, (225, 225, 225), int(rng.integers(2, 7)))
    for _ in range(int(rng.integers(0, 6))):
        x, wide = rng.uniform(0, width), rng.uniform(20, 160)
        _box(street, x, horizon - rng.uniform(20, 150), x + wide, horizon, _colour(rng), 0)
    return street


def _wheels(image: Image, left: float, ground: float, size: float, colour: tuple[int, int, int]) -> None:
    for x in (left + size * 0.06, left + size * 0.8):
        _box(image, x, ground - size * 0.2, x + size * 0.14, ground, colour, size * 0.03)


def _box(image: Image, x1: float, y1: float, x2: float, y2: float, colour: tuple[int, int, int], radius: float) -> None:
    picture = Pillow.fromarray(image)
    ImageDraw.Draw(picture).rounded_rectangle((x1, y1, max(x1, x2), max(y1, y2)), radius=radius, fill=colour)
    image[:] = np.asarray(picture)


def _clock(image: Image, rng: np.random.Generator) -> None:
    """The date and time that cameras write into a corner."""
    digits = "".join(str(rng.integers(10)) for _ in range(14))
    text = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]} {digits[8:10]}:{digits[10:12]}:{digits[12:]}"
    height = int(rng.integers(10, 30))
    place = int(rng.integers(2, 40)), int(rng.choice([height + 6, image.shape[0] - 8]))
    shade = int(rng.choice([0, 255]))
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, height / 24, (shade,) * 3, 2)


def _word(rng: np.random.Generator) -> str:
    letters = string.ascii_lowercase if rng.random() < 0.5 else string.ascii_uppercase
    return "".join(rng.choice(list(letters), int(rng.integers(3, 10))))


def _colour(rng: np.random.Generator, low: int = 20, high: int = 250) -> tuple[int, int, int]:
    base, spread = rng.integers(low, high), rng.normal(0, 25, 3)
    blue, green, red = (int(v) for v in np.clip(base + spread, 0, 255))
    return blue, green, red


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw training pictures for the plate detector.")
    parser.add_argument("--photos", type=Path, required=True, help="folder with images/train and labels/train")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    make_pictures(args.photos, args.out)


if __name__ == "__main__":
    main()
