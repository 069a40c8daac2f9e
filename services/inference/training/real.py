"""Real plates with known texts for the recogniser's training: folders in our layout in, a share of each batch out.

Rules
- Only plates of one row, of letters and digits that the alphabet has, are taken; the rest is counted.
- A picture whose split is not `train` is never taken.
- Each is cut with other margins every time, as a detector's box lies otherwise every time. Its corners are unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference.datasets.layout import IMAGES, Plate, load
from services.inference.datasets.pictures import Unreadable, read_picture
from services.inference.models.recogniser import ALPHABET, ROWS, crop_plate, preprocess
from services.inference.training.feed import LONGEST
from services.inference.training.replay import Tensors

CUTS = 12
"""Of each plate, with other margins."""
_MARGINS = (0.0, 0.16)
_TALL = 0.45
"""Height by width from which on a plate has two rows."""


@dataclass(frozen=True, slots=True)
class RealPlates:
    """``images``: (plates, CUTS, 1, 64, 192); ``targets``, ``lengths`` as `feed.stacked` makes them."""

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, count: int, rng: np.random.Generator, device: torch.device) -> Tensors:
        """`count` plates at random, each in one of its cuts; corners NaN."""
        which, cut = rng.integers(0, len(self), count), rng.integers(0, CUTS, count)
        corners = np.full((count, 4, 2), np.nan, np.float32)
        parts = (self.images[which, cut], corners, self.targets[which], self.lengths[which])
        images, corners_, targets, lengths = (torch.from_numpy(part).to(device) for part in parts)
        return images, corners_, targets, lengths


def load_real(folders: Sequence[Path], seed: int) -> RealPlates:
    """All that may be trained on. DataError where a folder is not in our layout."""
    rng = np.random.default_rng(seed)
    images, texts, left_out = [], [], 0
    for folder in folders:
        for picture in load(folder).pictures:
            wanted = [plate for plate in picture.plates if _fits(plate)] if picture.split in ("", "train") else []
            left_out += len(picture.plates) - len(wanted)
            if not wanted:
                continue
            try:
                image = read_picture(folder / IMAGES / picture.file)
            except Unreadable:
                left_out += len(wanted)
                continue
            for plate in wanted:
                margins = rng.uniform(*_MARGINS, CUTS)
                images.append([preprocess(crop_plate(image, plate.box, float(margin)))[None] for margin in margins])
                texts.append(plate.text)
    targets, lengths = np.zeros((len(texts), ROWS, LONGEST), np.int64), np.zeros((len(texts), ROWS), np.int64)
    for row, text in enumerate(texts):
        targets[row, 0, : len(text)] = [ALPHABET.index(char) + 1 for char in text]
        lengths[row, 0] = len(text)
    return RealPlates(np.array(images, np.uint8), targets, lengths, left_out)


def mixed(drawn: Tensors, real: Tensors) -> Tensors:
    """The drawn batch with its last plates replaced by the real ones."""
    keep = len(drawn[0]) - len(real[0])
    images, corners, targets, lengths = (
        torch.cat((one[:keep], other.to(one.dtype))) for one, other in zip(drawn, real, strict=True)
    )
    return images, corners, targets, lengths


def _fits(plate: Plate) -> bool:
    text, (_, _, width, height) = plate.text, plate.box
    known = 0 < len(text) <= LONGEST and all(char in ALPHABET for char in text)
    return known and height < _TALL * width
