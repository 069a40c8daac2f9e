"""Training batches for the detector, made on the device that trains: pictures in once, endless batches out.

Pictures lie as bytes in the device's memory; a batch is cut out of them by affine maps, alone or four to a mosaic, then
lit, coloured, blurred and grained. So the CPU's cores are free to draw new pictures, which take the oldest places.

Rules. A box that is cut by more than half, or too small to be seen, has no label. The photos keep their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from services.inference.training.scenes import Sample

SIDE = 800
"""Pixels of the longest side of a picture in the gallery."""
_GREY = 114.0
_LEAST = (7.0, 3.0)  # pixels of a labelled plate
_SEEN = 0.5  # of a labelled plate
Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Batch:
    """`images` (b, 3, s, s) in 0..1, RGB; `boxes` (n, 4) centre, width, height as shares of s; `owner` (n,)."""

    images: Tensor
    boxes: Tensor
    owner: Tensor


@dataclass(slots=True)
class Gallery:
    """`photos` stay; `room` more places for drawn pictures."""

    photos: Sequence[Sample]
    room: int
    device: torch.device
    rng: np.random.Generator
    drawn: int = 0
    _pixels: Tensor = field(init=False)
    _sizes: NDArray[np.float64] = field(init=False)
    _boxes: list[Boxes] = field(init=False)

    def __post_init__(self) -> None:
        places = len(self.photos) + self.room
        self._pixels = torch.full((places, 3, SIDE, SIDE), int(_GREY), dtype=torch.uint8, device=self.device)
        self._sizes, self._boxes = np.ones((places, 2)), [np.empty((0, 4))] * places
        for place, photo in enumerate(self.photos):
            self._put(place, photo)

    def add(self, sample: Sample) -> None:
        """Takes the place of the oldest drawn picture."""
        self._put(len(self.photos) + self.drawn % self.room, sample)
        self.drawn += 1

    def _put(self, place: int, sample: Sample) -> None:
        scale = min(1.0, SIDE / max(sample.image.shape[:2]))
        image, boxes = sample.image, sample.boxes
        if scale < 1:
            size = round(image.shape[1] * scale), round(image.shape[0] * scale)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            boxes = boxes * scale
        rows, columns = image.shape[:2]
        planes = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
        canvas = np.full((3, SIDE, SIDE), int(_GREY), np.uint8)
        canvas[:, :rows, :columns] = planes
        self._pixels[place] = torch.from_numpy(canvas).to(self.device)
        self._sizes[place], self._boxes[place] = (columns, rows), boxes

    def batch(self, count: int, side: int, mosaics: float, drawn_share: float) -> Batch:
        """`count` pictures of `side` pixels; `mosaics` is the share of those made of four."""
        images = torch.full((count, 3, side, side), _GREY, device=self.device)
        owners, boxes = [], []
        four = self.rng.random(count) < mosaics
        middles = self.rng.uniform(0.3, 0.7, (count, 2)) * side
        for tile in range(4):
            chosen = np.flatnonzero(four) if tile else np.arange(count)
            if not len(chosen):
                continue
            regions = np.array([_region(middles[i], side, tile) if four[i] else (0.0, 0.0, side, side) for i in chosen])
            places = self._places(len(chosen), drawn_share)
            maps = [
                self._map(place, region, side, bool(four[i]))
                for i, place, region in zip(chosen, places, regions, strict=True)
            ]
            self._draw(images, chosen, places, maps, regions)
            for i, place, matrix, region in zip(chosen, places, maps, regions, strict=True):
                seen = _moved(self._boxes[place], matrix, region)
                boxes.append(seen)
                owners.append(np.full(len(seen), i))
        order = np.argsort(np.concatenate(owners), kind="stable")  # the loss wants each picture's boxes together
        corners, owner = np.vstack(boxes)[order] / side, np.concatenate(owners)[order]
        centred = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])
        return Batch(
            self._spoilt(images.clamp_(0, 255).div_(255)),
            torch.from_numpy(centred.astype(np.float32)).to(self.device),
            torch.from_numpy(owner.astype(np.float32)).to(self.device),
        )

    def _places(self, count: int, drawn_share: float) -> NDArray[np.int64]:
        filled = min(self.drawn, self.room)
        photos = self.rng.integers(0, len(self.photos), count)
        if not filled:
            return photos
        drawn = len(self.photos) + self.rng.integers(0, filled, count)
        return np.where(self.rng.random(count) < drawn_share, drawn, photos)

    def _map(self, place: int, region: NDArray[np.float64], side: int, four: bool) -> NDArray[np.float64]:
        """The affine map (2, 3) from the picture's pixels to the batch's."""
        rng, boxes, size = self.rng, self._boxes[place], self._sizes[place]
        scale = side / size.max() * float(np.exp(rng.uniform(*np.log((0.4, 1.2) if four else (0.6, 1.9)))))
        target = rng.uniform(
            region[:2] + 0.15 * (region[2:] - region[:2]), region[2:] - 0.15 * (region[2:] - region[:2])
        )
        if len(boxes) and rng.random() < 0.7:
            box = boxes[int(rng.integers(len(boxes)))]
            source = (box[:2] + box[2:]) / 2 + rng.normal(0, 0.3, 2) * (box[2:] - box[:2])
            if rng.random() < 0.15:  # as a camera at a gate sees it
                wide = float(np.exp(rng.uniform(np.log(0.15), np.log(0.85)))) * (region[2] - region[0])
                scale = min(wide / max(box[2] - box[0], 4), 6 * side / SIDE)
        else:
            source = rng.uniform(0.2, 0.8, 2) * size
        lean, shear = np.deg2rad(rng.normal(0, 3.0)), rng.normal(0, 0.03)
        turn = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
        squeeze = float(np.exp(rng.normal(0, 0.1)))
        matrix = scale * turn @ np.array([[squeeze, shear], [0, 1 / squeeze]])
        if rng.random() < 0.5:
            matrix = matrix @ np.diag([-1.0, 1.0])
        return np.column_stack([matrix, _filling(matrix, target - matrix @ source, size, region)])

    def _draw(
        self,
        images: Tensor,
        chosen: NDArray[np.int64],
        places: NDArray[np.int64],
        maps: Sequence[NDArray[np.float64]],
        regions: NDArray[np.float64],
    ) -> None:
        side = images.shape[-1]
        sources = self._pixels[torch.from_numpy(places).to(self.device)].float() - _GREY
        inverse = np.stack([np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2] for matrix in maps])
        # From pixels of the output to the sampler's -1..1 in the gallery's square.
        out = np.array([[side / 2, 0, side / 2], [0, side / 2, side / 2], [0, 0, 1]])
        theta = inverse @ out * (2 / SIDE)
        theta[:, :, 2] -= 1
        shape = [len(chosen), 3, side, side]
        grid = functional.affine_grid(torch.from_numpy(theta.astype(np.float32)).to(self.device), shape, False)
        fine = functional.grid_sample(sources, grid, align_corners=False)
        shrunk = np.array([np.sqrt(abs(np.linalg.det(matrix[:, :2]))) for matrix in maps]) < 0.65
        if shrunk.any():
            rough = torch.from_numpy(np.flatnonzero(shrunk)).to(self.device)
            halved = functional.avg_pool2d(sources[rough], 2)
            fine[rough] = functional.grid_sample(halved, grid[rough], align_corners=False)
        edges = torch.from_numpy(regions.astype(np.float32)).to(self.device)[:, :, None]
        at = torch.arange(side, device=self.device, dtype=torch.float32)[None] + 0.5
        across, down = (at >= edges[:, 0]) & (at < edges[:, 2]), (at >= edges[:, 1]) & (at < edges[:, 3])
        inside = (down[:, :, None] & across[:, None, :])[:, None]
        index = torch.from_numpy(chosen).to(self.device)
        images[index] = torch.where(inside, fine + _GREY, images[index])

    def _spoilt(self, images: Tensor) -> Tensor:
        """Other light, colour, focus and grain for each picture."""
        count, rng = len(images), self.rng

        def column(values: NDArray[np.float64]) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(self.device).reshape(count, -1, 1, 1)

        grey = images.mean(dim=1, keepdim=True)
        colour = np.where(rng.random(count) < 0.2, 0.0, np.clip(rng.normal(1, 0.3, count), 0, 2))
        images = grey + (images - grey) * column(colour)
        images = images * column(np.exp(rng.normal(0, 0.08, (count, 3)) + rng.normal(0, 0.15, (count, 1))))
        night = rng.random(count) < 0.12
        gamma = np.where(night, rng.uniform(1.5, 2.8, count), np.exp(rng.normal(0, 0.25, count)))
        images = images.clamp(1e-4, 1) ** column(gamma)
        contrast, shift = np.exp(rng.normal(-0.05, 0.2, count)), rng.normal(0, 0.04, count)
        images = (images - 0.5) * column(contrast) + 0.5 + column(shift)
        blurred = torch.from_numpy(np.flatnonzero(rng.random(count) < 0.2)).to(self.device)
        if len(blurred):
            part = functional.pad(images[blurred], (1, 1, 1, 1), mode="replicate")
            images[blurred] = functional.avg_pool2d(part, 3, stride=1)
        grain = np.where(rng.random(count) < 0.35, rng.uniform(0.005, 0.06, count), 0) * np.where(night, 1.4, 1.0)
        return (images + torch.randn_like(images) * column(grain)).clamp_(0, 1)


def _region(middle: NDArray[np.float64], side: int, tile: int) -> tuple[float, float, float, float]:
    x, y = (float(round(value)) for value in middle)
    return (
        (0.0, 0.0, x, y),
        (x, 0.0, float(side), y),
        (0.0, y, x, float(side)),
        (x, y, float(side), float(side)),
    )[tile]


def _filling(
    matrix: NDArray[np.float64], shift: NDArray[np.float64], size: NDArray[np.float64], region: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The shift, changed so that the picture leaves no part of the region bare that it could cover."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) * size @ matrix.T + shift
    low, high = corners.min(axis=0) - region[:2], corners.max(axis=0) - region[2:]
    larger = (high - low) >= 0
    least, most = np.where(larger, -high, -low), np.where(larger, -low, -high)
    return np.asarray(shift + np.clip(0.0, least, most))


def _moved(boxes: Boxes, matrix: NDArray[np.float64], region: NDArray[np.float64]) -> Boxes:
    """The boxes after the map, as far as they lie in the region and can be seen there."""
    if not len(boxes):
        return np.empty((0, 4))
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) @ matrix[:, :2].T + matrix[:, 2]
    whole = np.hstack([corners.min(axis=1), corners.max(axis=1)])
    seen = np.hstack([np.clip(whole[:, :2], region[:2], region[2:]), np.clip(whole[:, 2:], region[:2], region[2:])])
    share = (seen[:, 2:] - seen[:, :2]).prod(axis=1) / np.maximum((whole[:, 2:] - whole[:, :2]).prod(axis=1), 1e-6)
    large = (seen[:, 2] - seen[:, 0] >= _LEAST[0]) & (seen[:, 3] - seen[:, 1] >= _LEAST[1])
    return np.asarray(seen[(share >= _SEEN) & large])
