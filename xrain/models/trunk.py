"""The network behind its first layers: residual blocks, two branches, and what shapes them.

There is no normalisation over space, so a tile with enough halo gives the same numbers as the
whole swath.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DROPOUT = 0.3
"""Share of features that the branch for single pixels forgets while it learns: of real pixels
there are few."""


@dataclass(frozen=True)
class UNetConfig:
    """Shape of the network.

    Attributes
    ----------
    widths : tuple of int
        Features at each resolution; each further one halves the grid.
    blocks : int
        Residual blocks at each resolution, on the way down and on the way up.
    edges : tuple of float
        Bounds of the rain-rate classes in mm/h, ascending and evenly spaced in their logarithm;
        rates under the first are the dry class.
    hidden : int
        Width of the perceptron that makes the kernels.
    pixel : int
        Features of the branch for single pixels.
    pixel_blocks : int
        Residual blocks of that branch.
    levels : tuple of float
        Cumulative probabilities at which the network gives quantiles of the rate, ascending; if
        empty, it gives the logits of the classes.
    """

    widths: tuple[int, ...] = (16, 32, 96, 224)
    blocks: int = 1
    edges: tuple[float, ...] = tuple(float(x) for x in np.geomspace(0.05, 150.0, 32))
    hidden: int = 64
    pixel: int = 128
    pixel_blocks: int = 1
    levels: tuple[float, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UNetConfig:
        """Rebuild a configuration from the ``architecture`` of a model card."""
        return cls(
            tuple(values["widths"]),
            int(values["blocks"]),
            tuple(values["edges"]),
            int(values["hidden"]),
            int(values["pixel"]),
            int(values["pixel_blocks"]),
            tuple(values["levels"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values for a model card."""
        return {"kind": "constellation-unet", **asdict(self)}

    @property
    def classes(self) -> int:
        """Number of classes, the dry one included."""
        return len(self.edges)

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for a pixel."""
        return len(self.levels) or self.classes

    @property
    def features(self) -> int:
        """Features of the finest grid."""
        return max(self.widths[0], self.pixel)

    @property
    def stride(self) -> int:
        """Pixels of the finest grid in one of the coarsest."""
        return 1 << (len(self.widths) - 1)

    @property
    def reach(self) -> int:
        """Farthest pixel that can change the result at a pixel, in rows or columns."""
        depth = len(self.widths)
        convolutions = [2 * self.blocks * (1 if k == depth - 1 else 2) for k in range(depth)]
        return 1 + sum(n << k for k, n in enumerate(convolutions)) + self.stride - 1

    @property
    def halo(self) -> int:
        """Rows beside a tile that make it exact: the reach, rounded up to the stride."""
        return -(-self.reach // self.stride) * self.stride


class PixelNorm(nn.Module):
    """Layer norm over the features of each pixel; it looks at no neighbour."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, width, row, column) over its features."""
        last = x.permute(0, 2, 3, 1)
        out = nn.functional.layer_norm(last, last.shape[3:], self.weight, self.bias)
        return out.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Two convolutions around a residual; begins as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.normal_(self.second.weight, std=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Refine features (batch, width, row, column)."""
        y = nn.functional.relu(self.first(self.norm(x)), inplace=True)
        out: Tensor = self.second(y).add_(x)
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


class Trunk(nn.Module):
    """Everything behind the first layers, from first features to class logits."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        widths, blocks = config.widths, config.blocks
        self.pixel = nn.Sequential(*(PixelBlock(config.pixel) for _ in range(config.pixel_blocks)))
        self.pixel_head = nn.Linear(config.pixel, config.outputs)
        self.mix = nn.Linear(config.pixel, widths[0])
        self.down = nn.ModuleList(_blocks(w, blocks) for w in widths)
        self.up = nn.ModuleList(_blocks(w, blocks) for w in widths[:-1])
        pairs = list(itertools.pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.head = nn.Linear(widths[0], config.outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        for layer in (*self.shrink, *self.grow):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def alone(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """Features and class logits of pixels by themselves, from first features (..., width)."""
        own = self.pixel(own)
        return own, self.pixel_head(nn.functional.relu(own))

    def forward(self, near: Tensor, own: Tensor, share: Tensor) -> Tensor:
        """Judge pixels by themselves and by their neighbours.

        Parameters
        ----------
        near : Tensor, (batch, width, row, column)
            First features of the neighbourhood; rows and columns multiples of the stride.
        own : Tensor, (batch, row, column, pixel width)
            First features of the pixels alone.
        share : Tensor, (batch, row, column, 1)
            Share of the neighbours that were observed.

        Returns
        -------
        Tensor, (batch, class, row, column)
            Class logits.
        """
        own, alone = self.alone(own)
        x = near + self.mix(own).permute(0, 3, 1, 2)
        kept = []
        for level, blocks in enumerate(self.down):
            x = blocks(x)
            if level < len(self.shrink):
                kept.append(x)
                x = self.shrink[level](x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](self.grow[level](x) + kept[level])
        added: Tensor = self.head(nn.functional.relu(x).permute(0, 2, 3, 1))
        return (alone + share * added).permute(0, 3, 1, 2)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))
