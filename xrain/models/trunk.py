"""The network behind its first layers: residual blocks, two branches, and what shapes them.

Nothing is pooled and nothing is normalised over space. So every pixel is treated alike wherever
a file begins, and a tile with enough halo gives the same numbers as the whole swath.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xrain.models.rain_classes import EDGES, class_rates

DROPOUT = 0.15
"""Share of features that the branch for single pixels forgets while it learns: of real pixels
there are few."""


MARKS = (0.1, 1.0, 5.0, 20.0)
"""Rates in mm/h whose exceedance a pixel tells its neighbours."""

ODDS_FLOOR, MEAN_FLOOR = 1e-4, 0.02
"""Probability and rate (mm/h) that bound the logarithms in which it tells them."""

LEAK = 0.1
"""What is left of negative features. With none of them units died in long training, in the end
all before the last layer."""

NEIGHBOURHOOD = 5
"""Rows and columns of the window in which neighbours are counted."""


@dataclass(frozen=True)
class UNetConfig:
    """Shape of the network.

    Attributes
    ----------
    width : int
        Features of the branch for neighbours.
    dilations : tuple of int
        Spacing in pixels of the taps of each of its blocks, in turn.
    edges : tuple of float
        Bounds of the rain-rate classes in mm/h, ascending and evenly spaced in their logarithm;
        rates under the first are the dry class.
    hidden : int
        Width of the perceptron that makes the kernels.
    pixel : int
        Features of the branch for single pixels.
    pixel_hidden : int
        Width of the perceptron that makes its kernels.
    pixel_blocks : int
        Residual blocks of that branch.
    """

    width: int = 24
    dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1)
    edges: tuple[float, ...] = EDGES
    hidden: int = 64
    pixel: int = 112
    pixel_hidden: int = 128
    pixel_blocks: int = 2

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UNetConfig:
        """Rebuild a configuration from the ``architecture`` of a model card."""
        return cls(
            int(values["width"]),
            tuple(values["dilations"]),
            tuple(values["edges"]),
            int(values["hidden"]),
            int(values["pixel"]),
            int(values["pixel_hidden"]),
            int(values["pixel_blocks"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values for a model card."""
        return {"kind": "constellation-unet", **asdict(self)}

    @property
    def classes(self) -> int:
        """Number of classes, the dry one included."""
        return len(self.edges)

    @property
    def features(self) -> int:
        """Features of the widest layer."""
        return max(self.width, self.pixel)

    @property
    def stride(self) -> int:
        """Rows on whose multiples a tile begins: any, since nothing is pooled."""
        return 1

    @property
    def halo(self) -> int:
        """Rows beside a tile that make it exact: the farthest pixel that can change a result.

        The first layer reaches one pixel, each block as far as its taps are apart; the count of
        neighbours looks two pixels far, which is less.
        """
        return 1 + sum(self.dilations)


class FeatureNorm(nn.Module):
    """Layer norm over the features of each pixel; it looks at no neighbour.

    It has no bias, so that no features stay no features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, width, row, column) over its features."""
        last = x.permute(0, 2, 3, 1)
        out = nn.functional.layer_norm(last, last.shape[3:], self.weight)
        return out.permute(0, 3, 1, 2)


class Block(nn.Module):
    """A convolution with taps some pixels apart and a mixing of features, around a residual.

    It begins near the identity. What was not observed has no features, before and after, so that
    the end of a swath, a missing scan and what lies outside the image are the same to it.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = FeatureNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.normal_(self.second.weight, std=1e-2)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Refine features (batch, width, row, column) where `seen` (batch, 1, …) is one."""
        y = nn.functional.leaky_relu(self.first(self.norm(x)), LEAK, inplace=True)
        out: Tensor = self.second(y).add_(x).mul_(seen)
        return out


class PixelBlock(nn.Module):
    """Two layers around a residual, the same for every pixel; begins near the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.drop = nn.Dropout(DROPOUT)
        self.second = nn.Linear(width, width)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.normal_(self.second.weight, std=1e-2)

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (..., width)."""
        y = self.drop(nn.functional.silu(self.first(self.norm(x))))
        out: Tensor = self.second(y).add_(x)
        return out


class PixelTrunk(nn.Module):
    """The branch for single pixels behind its first layer: from features to class logits."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(PixelBlock(config.pixel) for _ in range(config.pixel_blocks)))
        self.head = nn.Linear(config.pixel, config.classes)

    def forward(self, first: Tensor) -> Tensor:
        """Class logits (..., class) from first features (..., pixel width)."""
        x = self.blocks(nn.functional.silu(first))
        out: Tensor = self.head(nn.functional.relu(x))
        return out


class NeighbourTrunk(nn.Module):
    """The branch for neighbours behind its first layer: what they add to the class logits.

    It is told what each pixel says by itself. In that currency all pixels are alike, whichever
    channels they have; where some of them end, nothing else changes.
    """

    rates: Tensor

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.marks = [bisect.bisect_left(config.edges, m * 0.999) + 1 for m in MARKS]
        self.register_buffer("rates", class_rates(config.edges), persistent=False)
        self.mix = nn.Conv2d(len(MARKS) + 2, config.width, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Block(config.width, d) for d in config.dilations)
        self.norm = FeatureNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def summary(self, alone: Tensor) -> Tensor:
        """Return what pixels say by themselves, (batch, number, row, column), from their logits.

        Log-odds of rain, logarithm of the mean rate, and probabilities of exceeding some rates,
        all of order one.
        """
        p = torch.softmax(alone, -1)
        above = [p[..., k:].sum(-1) for k in self.marks]
        odds = torch.logit(above[0], ODDS_FLOOR) / 4
        mean = torch.log(p @ self.rates + MEAN_FLOOR) / 2
        return torch.stack([odds, mean, *above], 1)

    def forward(self, first: Tensor, seen: Tensor, alone: Tensor) -> Tensor:
        """Change of the logits, (batch, row, column, class).

        Parameters
        ----------
        first : Tensor, (batch, width, row, column)
            First features of the neighbourhood.
        seen : Tensor, (batch, 1, row, column)
            One where a pixel was observed, else nought.
        alone : Tensor, (batch, row, column, class)
            Logits of the pixels by themselves.
        """
        x = (first + self.mix(self.summary(alone) * seen)) * seen
        for block in self.blocks:
            x = block(x, seen)
        x = nn.functional.leaky_relu(self.norm(x), LEAK, inplace=True)
        added: Tensor = self.head(x.permute(0, 2, 3, 1))
        return observed_share(seen) * added


def observed_share(seen: Tensor) -> Tensor:
    """Share of the pixels around each one that were observed, (batch, row, column, 1).

    Nought for a lone pixel, one inside a swath without gaps.
    """
    area = NEIGHBOURHOOD**2
    mean = nn.functional.avg_pool2d(seen, NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2)
    return ((mean * area - seen) / (area - 1)).permute(0, 2, 3, 1)
