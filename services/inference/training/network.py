"""The recogniser's network (torch): straighten the plate, look at it, say a character per column of each row.

In: grey crops (N, 1, 64, 192) uint8. Out: `probabilities` (N, 2, COLUMNS, 37), for the upper and the lower row of the
plate, class 0 the CTC blank; `corners` (N, 4, 2), the plate's corners in units of the crop, clockwise from top left;
`plate` (N,), the probability that the crop shows a plate at all. A plate of one row is read in the upper one.

A localiser regresses the corners (rendered plates know theirs, so it is taught directly and not only through the
sampler as in Jaderberg et al. 2015, "Spatial Transformer Networks"); a bilinear sampler straightens the plate to
48 x 160; a small ResNet makes 2 x 40 places of it, one transformer layer (Vaswani et al. 2017) lets every place see all
others, so that an O between digits may become a 0; CTC (Graves et al. 2006) reads each row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.inference.models.recogniser import ALPHABET, COLUMNS, ROWS

STRAIGHT = (48, 4 * COLUMNS)  # height, width of the straightened plate
WIDTHS = (32, 64, 128, 192)  # channels along the way; half of them read a little worse at half the cost
RIM = 0.05  # the straightened picture reaches this far beyond the corners, since these are never exact


def _conv(inside: int, outside: int, stride: int | tuple[int, int] = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, size // 2, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


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


class Mixer(nn.Module):  # type: ignore[misc, unused-ignore]
    """One transformer layer, normalised first; (N, places, width) → the same."""

    def __init__(self, width: int, heads: int, wide: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, wide), nn.ReLU(), nn.Dropout(0.1), nn.Linear(wide, width))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.ask(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        scores = (query @ key.transpose(-1, -2)) * (query.shape[-1] ** -0.5)
        x = x + self.answer((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        mixed: Tensor = x + self.think(self.between(x))
        return mixed


class Reader(nn.Module):  # type: ignore[misc, unused-ignore]
    """The whole network; see the module's words. `forward` takes float crops already standardised."""

    weave: Tensor

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS, mixers: int = 1) -> None:
        super().__init__()
        a, b, c, d = widths
        self.localiser = Localiser()
        self.body = nn.Sequential(
            _conv(1, a, 2, 5),
            _conv(a, b, 2),
            Residual(b, b),
            Residual(b, c, (2, 1)),
            Residual(c, c),
            nn.Conv2d(c, d, (3, 1), (3, 1), bias=False),
            nn.BatchNorm2d(d),
            nn.ReLU(),
        )
        self.place = nn.Parameter(torch.randn(1, ROWS * COLUMNS, d) * 0.02)
        self.mix = nn.Sequential(*(Mixer(d, 4, 2 * d) for _ in range(mixers)))
        self.last = nn.Sequential(nn.LayerNorm(d), nn.Dropout(0.1), nn.Linear(d, 1 + len(ALPHABET)))
        self.judge = nn.Linear(d, 1)
        self.register_buffer("weave", _weave(), persistent=False)

    def straighten(self, x: Tensor, corners: Tensor) -> Tensor:
        """Sample (N, 1, 48, 160) between the corners. A bilinear patch stands in for the homography, which a plate
        that is small against its distance hardly needs."""
        grid = torch.matmul(self.weave, corners).reshape(-1, *STRAIGHT, 2) * 2 - 1
        return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def read(self, straight: Tensor) -> tuple[Tensor, Tensor]:
        """Straightened plates → logits (N, ROWS, COLUMNS, 37) and the logit of there being a plate (N,)."""
        places = self.body(straight).flatten(2).transpose(1, 2)
        places = self.mix(places + self.place)
        logits: Tensor = self.last(places)
        return logits.unflatten(1, (ROWS, COLUMNS)), self.judge(places.mean(1)).squeeze(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        corners = self.localiser(x)
        logits, plate = self.read(self.straighten(x, corners))
        return logits, corners, plate


class Exported(nn.Module):  # type: ignore[misc, unused-ignore]
    """Reader with the scaling before and the softmax after it: what the ONNX file holds."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, corners, plate = self.reader(standardised(crops))
        return logits.softmax(-1), corners, plate.sigmoid()


def standardised(crops: Tensor) -> Tensor:
    """uint8 crops as floats of mean 0 and deviation 1 each, so that light and contrast matter less."""
    x = crops.float()
    x = x - x.mean((2, 3), keepdim=True)
    return x / ((x * x).mean((2, 3), keepdim=True) + 16.0).sqrt()


def _weave() -> Tensor:
    """(48 * 160, 4): how much each corner counts for each sampled point."""
    rows, columns = STRAIGHT
    v = (torch.arange(rows) + 0.5) / rows * (1 + 2 * RIM) - RIM
    u = (torch.arange(columns) + 0.5) / columns * (1 + 2 * RIM) - RIM
    v, u = torch.meshgrid(v, u, indexing="ij")
    return torch.stack(((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v), -1).reshape(-1, 4)
