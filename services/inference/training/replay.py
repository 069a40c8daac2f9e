"""What the training has drawn so far, on the device: in come fresh batches, out come mixed ones.

Drawing is slower than a GPU learns, so that a crop is shown several times, each time in another light: contrast,
brightness, a little noise or blur. A quarter of each batch is new.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from services.inference.training.feed import Batch

Tensors = tuple[Tensor, Tensor, Tensor, Tensor]


class Replay:
    """A ring of the last `capacity` crops, with all that `feed.stacked` tells of them."""

    def __init__(self, capacity: int, device: torch.device, seed: int) -> None:
        self._capacity, self._device = capacity, device
        self._generator = torch.Generator(device).manual_seed(seed)
        self._rings: list[Tensor] = []
        self._added = self._shown = 0

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def add(self, batch: Batch) -> None:
        parts = [torch.from_numpy(part).to(self._device, non_blocking=True) for part in batch]
        if not self._rings:
            self._rings = [
                torch.empty((self._capacity, *part.shape[1:]), dtype=part.dtype, device=self._device) for part in parts
            ]
        places = (self._added + torch.arange(len(parts[0]), device=self._device)) % self._capacity
        for ring, part in zip(self._rings, parts, strict=True):
            ring[places] = part
        self._added += len(parts[0])

    def draw(self, size: int, fresh: int) -> Tensors:
        """`size` crops, at most `fresh` of which were never shown, the rest any; all but the fresh ones re-lit."""
        fresh = min(fresh, self._added - self._shown, len(self))
        new = (self._shown + torch.arange(fresh, device=self._device)) % self._capacity
        self._shown += fresh
        old = torch.randint(0, len(self), (size - fresh,), generator=self._generator, device=self._device)
        images, corners, targets, lengths = (ring[torch.cat((new, old))] for ring in self._rings)
        return torch.cat((images[:fresh], self._relit(images[fresh:]))), corners, targets, lengths

    def _relit(self, images: Tensor) -> Tensor:
        count = (len(images), 1, 1, 1)

        def between(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=self._generator, device=self._device)

        x = images.float()
        x = torch.where(between(0, 1) < 0.2, functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False), x)
        x = (x - 128) * between(0.6, 1.4) + 128 + between(-40, 40)
        noise = torch.randn(x.shape, generator=self._generator, device=self._device)
        return (x + noise * between(0, 8)).clamp(0, 255).to(torch.uint8)
