"""The network: what a pixel tells by itself, corrected by what its neighbours add.

It knows no satellite, no file and no dataset. One set of weights serves any list of channels:
a small perceptron turns each channel's description (frequency, sideband offset, polarization,
incidence angle, footprint, noise) into the kernels of the first layers, which sum over
the channels that are there. For a fixed list the kernels are folded into ordinary convolutions.

Two branches share the work. The first is a perceptron on the pixel alone. The second, a U-Net on
its features and on the channels around it, changes the first one's result, the more so the more
neighbours there are: a lone pixel is judged by the first branch only, so what is learned from
tables of separate pixels reaches whole swaths and costs no convolution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xrain.errors import ModelError
from xrain.models.architecture import Classifier
from xrain.models.quantiles import class_logits
from xrain.models.trunk import Trunk, UNetConfig
from xrain.sensors import Channel

AUXILIARY = ("incidence", "land")
"""Planes beside the channels: cosine of the incidence angle, and land fraction."""

TB_OFFSET, TB_SCALE = 230.0, 40.0
"""Brightness temperatures enter as (K − 230) / 40, so that they are of order one."""

ACCENT = 3.0
"""Factor by which values enter the branch for single pixels more strongly than the other: a few
kelvin between V and H matter there."""

_CENTRES = (6.925, 10.65, 18.7, 22.8, 31.4, 36.6, 53.0, 89.0, 118.75, 150.0, 166.0, 183.31)
_RBF_WIDTH = 0.12
_DESCRIPTION = len(_CENTRES) + 9


def describe(channels: Sequence[Channel]) -> Tensor:
    """Numbers that tell the network what each channel is, shape (channel, features)."""
    rows = []
    for c in channels:
        bumps = [math.exp(-((math.log(c.frequency / f) / _RBF_WIDTH) ** 2) / 2) for f in _CENTRES]
        vertical = {"V": 1.0, "QV": 1.0, "H": 0.0, "QH": 0.0}.get(c.polarization, 0.5)
        mixed = 0.0 if c.polarization in ("V", "H") else 1.0
        rows.append([
            *bumps,
            math.log(c.frequency / 40.0),
            vertical,
            mixed,
            1.0 if c.sideband_offset else 0.0,
            c.sideband_offset / 7.0,
            math.log1p(c.sideband_offset) - 1.0,
            math.cos(math.radians(c.incidence_angle)),
            math.log(max(math.sqrt(c.footprint[0] * c.footprint[1]), 1.0)) - 2.5,
            c.nedt,
        ])  # fmt: skip
    return torch.tensor(rows, dtype=torch.float32)


NEIGHBOURHOOD = 5
"""Rows and columns of the window in which neighbours are counted."""


def neighbours(planes: Tensor) -> Tensor:
    """Share of the pixels around each one that were observed, (batch, row, column, 1).

    Nought for a lone pixel, one inside a swath without gaps.
    """
    count = planes.shape[1] // 2
    seen = planes[:, count : 2 * count - len(AUXILIARY)].amax(1, keepdim=True)
    area = NEIGHBOURHOOD**2
    mean = nn.functional.avg_pool2d(seen, NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2)
    return ((mean * area - seen) / (area - 1)).permute(0, 2, 3, 1)


def _kernel_maker(hidden: int, count: int) -> nn.Sequential:
    """Perceptron from a channel's description to so many numbers of its kernels."""
    out = nn.Sequential(
        nn.Linear(_DESCRIPTION, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, count),
    )
    # Features of order one at the start: the residual blocks would drown smaller ones.
    nn.init.normal_(out[-1].weight, std=0.7)  # type: ignore[arg-type]
    return out


class ConstellationUNet(nn.Module):
    """One network for every channel list.

    Parameters
    ----------
    config : UNetConfig
        Shape of the network.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width, pixel = config.widths[0], config.pixel
        self.maker = _kernel_maker(config.hidden, 2 * 9 * width)
        self.own_maker = _kernel_maker(config.hidden, 2 * pixel)
        self.auxiliary = nn.Parameter(torch.zeros(width, 2 * len(AUXILIARY), 3, 3))
        self.bias = nn.Parameter(torch.zeros(width))
        self.own_auxiliary = nn.Parameter(torch.zeros(pixel, 2, len(AUXILIARY)))
        self.own_bias = nn.Parameter(torch.zeros(pixel))
        self.trunk = Trunk(config)

    def near_kernel(self, description: Tensor) -> Tensor:
        """First kernel of the neighbourhood for channels described by (channel, features).

        Returns a tensor (width, 2 × (channels + auxiliaries), 3, 3), values first, then masks.
        """
        channels, width = description.shape[0], self.config.widths[0]
        made = self.maker(description).reshape(channels, 2, width, 3, 3) / math.sqrt(9 * 13)
        extra = self.auxiliary.view(width, 2, len(AUXILIARY), 3, 3)
        return torch.cat([made.permute(2, 1, 0, 3, 4), extra], dim=2).reshape(width, -1, 3, 3)

    def own_kernel(self, description: Tensor) -> Tensor:
        """First kernel of the pixels alone, (pixel width, 2 × (channels + auxiliaries))."""
        channels, width = description.shape[0], self.config.pixel
        made = self.own_maker(description).view(channels, 2, width) / math.sqrt(13)
        values, masks = torch.cat([made.permute(2, 1, 0), self.own_auxiliary], dim=2).unbind(1)
        return torch.cat([ACCENT * values, masks], dim=1)

    def forward(self, planes: Tensor, description: Tensor) -> Tensor:
        """Class logits (batch, class, row, column).

        Parameters
        ----------
        planes : Tensor
            From :func:`stack_planes`.
        description : Tensor, (channel, features)
            From :func:`describe`.
        """
        own = self.own_kernel(description)
        out: Tensor = self.trunk(
            nn.functional.conv2d(planes, self.near_kernel(description), self.bias, padding=1),
            nn.functional.linear(planes.permute(0, 2, 3, 1), own, self.own_bias),
            neighbours(planes),
        )
        return out

    def alone(self, planes: Tensor, description: Tensor) -> Tensor:
        """Class logits (pixel, class) of lone pixels, from planes (pixel, plane)."""
        own = nn.functional.linear(planes, self.own_kernel(description), self.own_bias)
        return self.trunk.alone(own)[1]

    def fold(self, channels: Sequence[Channel]) -> FoldedUNet:
        """Fix the channel list: the kernels become ordinary layers."""
        with torch.no_grad():
            description = describe(channels).to(self.bias)
            near, own = self.near_kernel(description), self.own_kernel(description)
        return FoldedUNet(self, near, own)


class FoldedUNet(Classifier):
    """The network for one channel list."""

    def __init__(self, network: ConstellationUNet, near: Tensor, own: Tensor) -> None:
        super().__init__()
        self.config = network.config
        self.stem = nn.Conv2d(near.shape[1], near.shape[0], 3, padding=1)
        self.own = nn.Linear(own.shape[1], own.shape[0])
        pairs = ((self.stem, near, network.bias), (self.own, own, network.own_bias))
        for layer, weight, bias in pairs:
            layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
            layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.trunk = network.trunk

    def forward(self, planes: Tensor) -> Tensor:
        """Run the trunk on the planes of :func:`stack_planes`: (batch, output, row, column)."""
        own = self.own(planes.permute(0, 2, 3, 1))
        out: Tensor = self.trunk(self.stem(planes), own, neighbours(planes))
        return out

    def classify(self, tb: Tensor, incidence: Tensor, land: Tensor) -> tuple[Tensor, None]:
        """Run the network on an image; it cannot tell what is strange to it."""
        planes = stack_planes(tb, incidence, land)
        if planes.shape[2:] == (1, 1):
            out = self.trunk.alone(self.own(planes.permute(0, 2, 3, 1)))[1]
        else:
            out = self(planes).permute(0, 2, 3, 1)
        if self.config.levels:
            out = class_logits(out, self.config.levels, self.config.edges)
        return out, None


def stack_planes(tb: Tensor, incidence: Tensor, land: Tensor) -> Tensor:
    """Input planes of the network; NaN means missing.

    Parameters
    ----------
    tb : Tensor, shape (batch, row, column, channel)
        Brightness temperature, K.
    incidence : Tensor, shape (batch, row, column)
        Earth incidence angle, degrees.
    land : Tensor, shape (batch, row, column)
        Land fraction, 0 to 1.

    Returns
    -------
    Tensor, shape (batch, 2 × (channel + 2), row, column), in channels-last order
        Scaled values with 0 where missing, then masks.
    """
    channels = tb.shape[3]
    count = channels + len(AUXILIARY)
    out = tb.new_empty((*tb.shape[:3], 2 * count))
    values, masks = out[..., :count], out[..., count:]
    torch.sub(tb, TB_OFFSET, out=values[..., :channels]).div_(TB_SCALE)
    values[..., channels] = torch.cos(torch.deg2rad(incidence)).sub_(0.6).mul_(3.0)
    values[..., channels + 1] = land
    masks.copy_(torch.isfinite(values))
    values.nan_to_num_(nan=0.0)
    return out.permute(0, 3, 1, 2)


def class_rates(edges: Sequence[float]) -> Tensor:
    """Mean rate of each class in mm/h, for rates spread evenly in their logarithm; 0 if dry."""
    e = torch.tensor(edges, dtype=torch.float64)
    rates = (e[1:] - e[:-1]) / torch.log(e[1:] / e[:-1])
    return torch.cat([torch.zeros(1, dtype=torch.float64), rates]).float()


def load_network(
    architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> ConstellationUNet:
    """Build the network that a card describes, with its weights.

    Raises
    ------
    ModelError
        If the card's architecture is unknown or the weights do not fit it.
    """
    if architecture.get("kind") != "constellation-unet":
        raise ModelError(f"unknown architecture {architecture.get('kind')!r} on the model card")
    network = ConstellationUNet(UNetConfig.from_dict(architecture))
    try:
        network.load_state_dict({k: v.float() for k, v in tensors.items()})
    except RuntimeError as error:
        raise ModelError(f"the weights do not fit the model card: {error}") from error
    return network.eval().requires_grad_(False)
