"""The recogniser's network (torch): straighten the plate, look at it, say a character per column.

In: grey crops (N, 1, 64, 192) uint8. Out: `probabilities` (N, COLUMNS, 37), class 0 the CTC blank, and
`corners` (N, 4, 2), the plate's corners in units of the crop, clockwise from top left. A localiser regresses
the corners (rendered plates know theirs, so it is taught directly and not only through the sampler as in
Jaderberg et al. 2015, "Spatial Transformer Networks"); a bilinear sampler straightens the plate to 32 x 144;
a small ResNet with CTC reads it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.inference.models.recogniser import ALPHABET

STRAIGHT = (32, 144)  # height, width of the straightened plate
COLUMNS = STRAIGHT[1] // 4
RIM = 0.05  # the straightened picture reaches this far beyond the corners, since these are never exact


def _conv(inside: int, outside: int, stride: int | tuple[int, int] = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


class Residual(nn.Module):  # type: ignore[misc, unused-ignore]
    """Two 3x3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, inside: int, outside: int, stride: int | tuple[int, int] = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(inside, outside, stride),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        same = inside == outside and stride == 1
        self.short = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.short(x))


class Localiser(nn.Module):  # type: ignore[misc, unused-ignore]
    """(N, 1, 64, 192) → corners (N, 4, 2) in units of the crop. Starts from the crop's own corners."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.AvgPool2d(2),
            _conv(1, 16, 2),
            _conv(16, 32, 2),
            _conv(32, 48, 2),
            _conv(48, 64),
            nn.Conv2d(64, 32, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.say = nn.Sequential(nn.Linear(32 * 4 * 12, 96), nn.ReLU(), nn.Linear(96, 8))
        last = self.say[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor([0.06, 0.1, 0.94, 0.1, 0.94, 0.9, 0.06, 0.9])

    def forward(self, x: Tensor) -> Tensor:
        corners: Tensor = self.say(self.look(x))
        return corners.float().reshape(-1, 4, 2)


class Reader(nn.Module):  # type: ignore[misc, unused-ignore]
    """The whole network; see the module's words. `forward` takes float crops already standardised."""

    weave: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.localiser = Localiser()
        self.body = nn.Sequential(
            _conv(1, 24),
            Residual(24, 32, 2),
            Residual(32, 64, 2),
            Residual(64, 64),
            Residual(64, 128, (2, 1)),
            nn.Conv2d(128, 192, (4, 1), bias=False),
            nn.BatchNorm2d(192),
            nn.ReLU(),
            nn.Conv2d(192, 192, (1, 5), 1, (0, 2), bias=False),
            nn.BatchNorm2d(192),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(192, 1 + len(ALPHABET), 1),
        )
        self.register_buffer("weave", _weave(), persistent=False)

    def straighten(self, x: Tensor, corners: Tensor) -> Tensor:
        """Sample (N, 1, 32, 144) between the corners. A bilinear patch stands in for the homography, which a
        that is small against its distance hardly needs."""
        grid = torch.matmul(self.weave, corners).reshape(-1, *STRAIGHT, 2) * 2 - 1
        return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def read(self, straight: Tensor) -> Tensor:
        """Straightened plates → logits (N, COLUMNS, 37)."""
        logits: Tensor = self.body(straight)
        return logits.squeeze(2).transpose(1, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        corners = self.localiser(x)
        return self.read(self.straighten(x, corners)), corners


class Exported(nn.Module):  # type: ignore[misc, unused-ignore]
    """Reader with the scaling before and the softmax after it: what the ONNX file holds."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        logits, corners = self.reader(standardised(crops))
        return logits.softmax(-1), corners


def standardised(crops: Tensor) -> Tensor:
    """uint8 crops as floats of mean 0 and deviation 1 each, so that light and contrast matter less."""
    x = crops.float()
    x = x - x.mean((2, 3), keepdim=True)
    return x / ((x * x).mean((2, 3), keepdim=True) + 16.0).sqrt()


def _weave() -> Tensor:
    """(32 * 144, 4): how much each corner counts for each sampled point."""
    rows, columns = STRAIGHT
    v = (torch.arange(rows) + 0.5) / rows * (1 + 2 * RIM) - RIM
    u = (torch.arange(columns) + 0.5) / columns * (1 + 2 * RIM) - RIM
    v, u = torch.meshgrid(v, u, indexing="ij")
    return torch.stack(((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v), -1).reshape(-1, 4)
