"""Draws training pictures for the plate detector: labelled photos and a seed in, pictures with YOLO labels
out.

Five kinds, the same seed giving the same pixels:
- `pasted`: a photo with one to three made-up plates in places that show none
- `swapped`: a photo in which made-up plates, one row or two, hang where its own plates hung
- `drawn`: a street with simple vehicles that bear made-up plates, and writing that is none
- `close`: a part of a photo in which its plate is large
- `blank`: a part of a photo without plates, with decoys and a camera's clock: nothing to find

    python -m services.inference.training.scenes --photos DIR --out DIR

`stream` gives the same kinds without an end, for training that draws while it learns.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.training.decoys import Fonts, decoy, overlay
from services.inference.training.pasting import Corners, Image, free_place, log_uniform, made_up_plate, paste
from services.inference.training.streets import street, vehicle

COUNTS = {"pasted": 200, "swapped": 160, "drawn": 160, "close": 140, "blank": 240}
SHARES = {"pasted": 0.27, "swapped": 0.33, "drawn": 0.1, "close": 0.05, "blank": 0.25}
"""Of an endless stream."""
LONGEST = 640
_DECOYS_SHARE = 0.5  # of the pictures with plates that show decoys too


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture (h, w, 3) BGR and its plates (n, 4)."""

    image: Image
    boxes: Corners


class Kind(Protocol):
    def __call__(self, photo: Sample, rng: np.random.Generator, fonts: Fonts = ()) -> Sample: ...


def pasted(photo: Sample, rng: np.random.Generator, fonts: Fonts = ()) -> Sample:
    """The photo with up to three plates pasted where none is."""
    image, boxes = photo.image.copy(), photo.boxes
    for _ in range(int(rng.integers(1, 4))):
        width = log_uniform(rng, 14, image.shape[1] * 0.5)
        plate = made_up_plate(rng, fonts)
        place = free_place(image, boxes, width, width * plate.shape[0] / plate.shape[1], rng)
        if place is not None:
            boxes = np.vstack([boxes, paste(image, plate, place, width, rng)])
    return Sample(spoilt(image, rng), boxes)


def swapped(photo: Sample, rng: np.random.Generator, fonts: Fonts = ()) -> Sample:
    """The photo with each plate covered by a made-up one, which may be of another shape."""
    image = photo.image.copy()
    if rng.random() < _DECOYS_SHARE:
        _decoys_around(image, photo.boxes, rng, fonts)
    boxes = [paste_over(image, box, rng, fonts) for box in photo.boxes]
    return Sample(spoilt(image, rng), np.vstack([np.empty((0, 4)), *boxes]))


def paste_over(image: Image, box: NDArray[np.float64], rng: np.random.Generator, fonts: Fonts = ()) -> Corners:
    """Blurs what is in the box and hangs a made-up plate over it; gives the new plate's box."""
    x1, y1, x2, y2 = box
    wide, tall = x2 - x1, y2 - y1
    plate = made_up_plate(rng, fonts)
    aspect = plate.shape[0] / plate.shape[1]
    width = float(np.sqrt(wide * tall / aspect)) if aspect > 0.4 else float(wide)
    width *= float(rng.uniform(0.95, 1.15))
    _wipe(image, box)
    return paste(image, plate, ((x1 + x2) / 2, (y1 + y2) / 2), width, rng)


def drawn(photo: Sample, rng: np.random.Generator, fonts: Fonts = ()) -> Sample:
    """A street with up to four vehicles, far ones first, so that near ones may hide them."""
    image = street(rng)
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(0, 4))):
        decoy(image, rng, fonts)
    boxes = np.empty((0, 4))
    horizon = int(height * 0.4)
    for ground in sorted(rng.uniform(horizon + height * 0.12, height * 1.02, int(rng.integers(1, 5)))):
        near = (ground - horizon) / (height - horizon)
        size = float(width * rng.uniform(0.25, 0.6) * near + 24)
        left = float(rng.uniform(-0.1 * size, width - 0.9 * size))
        body, plate = vehicle(image, left, float(ground), size, rng, fonts)
        boxes = np.vstack([_not_hidden(boxes, body), plate])
    return Sample(spoilt(image, rng), _visible(boxes, width, height))


def close(photo: Sample, rng: np.random.Generator, fonts: Fonts = ()) -> Sample:
    """A part of the photo in which one plate takes 25 to 95 % of the width."""
    height, width = photo.image.shape[:2]
    x1, y1, x2, y2 = photo.boxes[int(rng.integers(len(photo.boxes)))]
    wide = min((x2 - x1) / float(rng.uniform(0.25, 0.95)), width)
    tall = min(wide * float(rng.uniform(0.5, 0.9)), height)
    left = float(np.clip((x1 + x2 - wide) / 2 + rng.normal(0, 0.1) * wide, 0, width - wide))
    top = float(np.clip((y1 + y2 - tall) / 2 + rng.normal(0, 0.1) * tall, 0, height - tall))
    return cut(photo, left, top, wide, tall)


def blank(photo: Sample, rng: np.random.Generator, fonts: Fonts = ()) -> Sample:
    """A photo without its plates, a part that shows none or a drawn street without vehicles, with decoys."""
    choice = rng.random()
    if choice < 0.45:
        image = photo.image.copy()
        for box in photo.boxes:
            _wipe(image, box)
    elif choice < 0.8:
        image = _plain_part(photo, rng).image.copy()
    else:
        image = street(rng)
    for _ in range(int(rng.integers(0, 7))):
        decoy(image, rng, fonts)
    if rng.random() < 0.5:
        overlay(image, rng, fonts)
    return Sample(spoilt(image, rng), np.empty((0, 4)))


KINDS: dict[str, Kind] = {"pasted": pasted, "swapped": swapped, "drawn": drawn, "close": close, "blank": blank}


def stream(photos: Sequence[Sample], rng: np.random.Generator, fonts: Fonts = ()) -> Iterator[Sample]:
    """Endless samples, at most LONGEST pixels long, compressed as cameras do."""
    names = list(SHARES)
    shares = np.array(list(SHARES.values()))
    bearing = [photo for photo in photos if len(photo.boxes)]
    while True:
        kind = str(rng.choice(names, p=shares / shares.sum()))
        photo = bearing[int(rng.integers(len(bearing)))]
        sample = _small(KINDS[kind](photo, rng, fonts))
        yield Sample(compressed(sample.image, int(rng.integers(30, 96))), sample.boxes)


def compressed(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def _wipe(image: Image, box: NDArray[np.float64]) -> None:
    """Covers the box and a little more with a mix of the colours around it."""
    rows, columns = image.shape[:2]
    x1, y1, x2, y2 = box
    edge = max(2.0, 0.12 * (y2 - y1))
    left, top = int(max(x1 - edge, 0)), int(max(y1 - edge, 0))
    right, bottom = int(min(x2 + edge, columns)), int(min(y2 + edge, rows))
    if right - left < 2 or bottom - top < 2:
        return
    above, below = image[max(top - 3, 0) : top + 1, left:right], image[bottom - 1 : bottom + 3, left:right]
    first, last = (cv2.blur(part.mean(axis=0, keepdims=True), (31, 1)) for part in (above, below))
    slope = np.linspace(0, 1, bottom - top, dtype=np.float64)[:, None, None]
    image[top:bottom, left:right] = np.clip(first * (1 - slope) + last * slope, 0, 255).astype(np.uint8)


def _decoys_around(image: Image, boxes: Corners, rng: np.random.Generator, fonts: Fonts) -> None:
    """Decoys anywhere but over the plates, whose surroundings stay."""
    before = image.copy()
    for _ in range(int(rng.integers(1, 4))):
        decoy(image, rng, fonts)
    for x1, y1, x2, y2 in boxes:
        edge = 0.5 * (y2 - y1)
        area = slice(int(max(y1 - edge, 0)), int(y2 + edge)), slice(int(max(x1 - edge, 0)), int(x2 + edge))
        image[area] = before[area]


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
    return Sample(street(rng), np.empty((0, 4)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw training pictures for the plate detector.")
    parser.add_argument("--photos", type=Path, required=True, help="folder with images/train and labels/train")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    make_pictures(args.photos, args.out)


if __name__ == "__main__":
    main()
