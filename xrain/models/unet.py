"""The network: what a pixel tells by itself, corrected by what its neighbours add.

It knows no satellite, no file and no dataset. One set of weights serves any list of channels:
a small perceptron turns each channel's description (frequency, sideband offset, polarization)
into the kernels of the first layers, which sum over the channels that are there. For a fixed list
the kernels are folded into ordinary layers.

Two branches share the work. The first is a perceptron on the pixel alone. The second is a stack of
convolutions on what the first says of the pixels around, and on their channels. It changes the
first one's result, the more so the more neighbours there are: a lone pixel is judged by the first
branch only, so what is learned from tables of separate pixels reaches whole swaths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xrain.errors import ModelError
from xrain.models.architecture import Classifier
from xrain.models.trunk import NeighbourTrunk, PixelTrunk, UNetConfig
from xrain.sensors import Channel

AUXILIARY = ("incidence", "land")
"""Planes beside the channels: cosine of the incidence angle, and land fraction."""

TB_OFFSET, TB_SCALE = 230.0, 40.0
"""Brightness temperatures enter as (K − 230) / 40, so that they are of order one."""

ACCENT = 10.0
"""Factor by which values enter the branch for single pixels more strongly than the other: a few
kelvin between V and H matter there."""

SPREAD = 1.5
"""Standard deviation of that branch's first biases: its ridges begin at different temperatures."""

_CENTRES = (6.925, 10.65, 18.7, 22.8, 31.4, 36.6, 53.0, 89.0, 118.75, 150.0, 166.0, 183.31)
_RBF_WIDTH = 0.12
_DESCRIPTION = len(_CENTRES) + 6


def describe(channels: Sequence[Channel]) -> Tensor:
    """Numbers that tell the network what each channel is, shape (channel, features).

    Footprint and noise are left out: what is assumed of an instrument beside its channels must
    not change what the same brightness temperatures mean.
    """
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
        ])  # fmt: skip
    return torch.tensor(rows, dtype=torch.float32)


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


class PixelBranch(nn.Module):
    """The judgement of a pixel by itself, for any list of channels.

    Parameters
    ----------
    config : UNetConfig
        Shape of the network.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.width = config.pixel
        self.maker = _kernel_maker(config.pixel_hidden, 2 * config.pixel)
        self.auxiliary = nn.Parameter(torch.zeros(config.pixel, 2, len(AUXILIARY)))
        self.bias = nn.Parameter(SPREAD * torch.randn(config.pixel))
        self.trunk = PixelTrunk(config)

    def kernel(self, description: Tensor) -> Tensor:
        """Kernel of the first layer, (width, 2 × (channels + auxiliaries))."""
        channels = description.shape[0]
        made = self.maker(description).view(channels, 2, self.width) / math.sqrt(13)
        values, masks = torch.cat([made.permute(2, 1, 0), self.auxiliary], dim=2).unbind(1)
        return torch.cat([ACCENT * values, masks], dim=1)

    def forward(self, planes: Tensor, description: Tensor) -> Tensor:
        """Class logits (..., class) of pixels, from planes (..., plane)."""
        first = nn.functional.linear(planes, self.kernel(description), self.bias)
        out: Tensor = self.trunk(first)
        return out


class NeighbourBranch(nn.Module):
    """What the neighbours add to the judgements of single pixels, for any list of channels.

    Parameters
    ----------
    config : UNetConfig
        Shape of the network.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.width = config.width
        self.maker = _kernel_maker(config.hidden, 2 * 9 * config.width)
        self.auxiliary = nn.Parameter(torch.zeros(config.width, 2 * len(AUXILIARY), 3, 3))
        self.bias = nn.Parameter(torch.zeros(config.width))
        self.trunk = NeighbourTrunk(config)

    def kernel(self, description: Tensor) -> Tensor:
        """Kernel of the first layer, (width, 2 × (channels + auxiliaries), 3, 3)."""
        channels = description.shape[0]
        made = self.maker(description).reshape(channels, 2, self.width, 3, 3) / math.sqrt(9 * 13)
        extra = self.auxiliary.view(self.width, 2, len(AUXILIARY), 3, 3)
        both = torch.cat([made.permute(2, 1, 0, 3, 4), extra], dim=2)
        return both.reshape(self.width, -1, 3, 3)

    def forward(self, planes: Tensor, description: Tensor, alone: Tensor) -> Tensor:
        """Change of the logits (batch, row, column, class).

        Parameters
        ----------
        planes : Tensor
            From :func:`stack_planes`.
        description : Tensor, (channel, features)
            From :func:`describe`.
        alone : Tensor, (batch, row, column, class)
            Logits of the pixels by themselves.
        """
        first = nn.functional.conv2d(planes, self.kernel(description), self.bias, padding=1)
        out: Tensor = self.trunk(first, observed(planes), alone)
        return out


class ConstellationUNet(nn.Module):
    """One network for every channel list.

    Parameters
    ----------
    config : UNetConfig
        Shape of the network.

    See Also
    --------
    xrain.load_model : A network with its weights.

    References
    ----------
    Viltard, N., et al., 2023: DRAIN, arXiv 2303.01220.

    Pfreundschuh, S., et al., 2022: GPROF-NN, doi 10.5194/amt-15-5033-2022.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.pixel = PixelBranch(config)
        self.neighbours = NeighbourBranch(config)

    def forward(self, planes: Tensor, description: Tensor) -> Tensor:
        """Class logits (batch, row, column, class).

        Parameters
        ----------
        planes : Tensor
            From :func:`stack_planes`.
        description : Tensor, (channel, features)
            From :func:`describe`.
        """
        alone: Tensor = self.pixel(planes.permute(0, 2, 3, 1), description)
        out: Tensor = alone + self.neighbours(planes, description, alone)
        return out

    def fold(self, channels: Sequence[Channel]) -> FoldedUNet:
        """Fix the channel list: the kernels become ordinary layers."""
        with torch.no_grad():
            description = describe(channels).to(self.neighbours.bias)
            near, own = self.neighbours.kernel(description), self.pixel.kernel(description)
        return FoldedUNet(self, near, own)


class FoldedUNet(Classifier):
    """The network for one channel list."""

    def __init__(self, network: ConstellationUNet, near: Tensor, own: Tensor) -> None:
        super().__init__()
        self.config = network.config
        self.stem = nn.Conv2d(near.shape[1], near.shape[0], 3, padding=1)
        self.own = nn.Linear(own.shape[1], own.shape[0])
        pairs = ((self.stem, near, network.neighbours.bias), (self.own, own, network.pixel.bias))
        for layer, weight, bias in pairs:
            layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
            layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.pixel, self.neighbours = network.pixel.trunk, network.neighbours.trunk

    def forward(self, planes: Tensor) -> Tensor:
        """Class logits (batch, row, column, class) from the planes of :func:`stack_planes`."""
        alone: Tensor = self.pixel(self.own(planes.permute(0, 2, 3, 1)))
        added: Tensor = self.neighbours(self.stem(planes), observed(planes), alone)
        return alone + added

    def prepare(self, tb: Tensor, incidence: Tensor, land: Tensor) -> Tensor:
        """Scale what was measured and say what is there."""
        return pixel_planes(tb, incidence, land)

    def judge(self, planes: Tensor) -> tuple[Tensor, None]:
        """Judge pixels by themselves; the network cannot tell what is unlike its training."""
        return self.pixel(self.own(planes)), None

    def refine(self, planes: Tensor, logits: Tensor) -> Tensor:
        """Add what the neighbours tell."""
        image = planes.permute(2, 0, 1)[None]
        added: Tensor = self.neighbours(self.stem(image), observed(image), logits[None])
        return logits + added[0]


def observed(planes: Tensor) -> Tensor:
    """One where any channel was observed, else nought, (batch, 1, row, column)."""
    count = planes.shape[1] // 2
    return planes[:, count : 2 * count - len(AUXILIARY)].amax(1, keepdim=True)


def pixel_planes(tb: Tensor, incidence: Tensor, land: Tensor) -> Tensor:
    """Input of the network; NaN means missing.

    Parameters
    ----------
    tb : Tensor, shape (..., channel)
        Brightness temperature, K.
    incidence : Tensor, shape (...)
        Earth incidence angle, degrees.
    land : Tensor, shape (...)
        Land fraction, 0 to 1.

    Returns
    -------
    Tensor, shape (..., 2 × (channel + 2))
        Scaled values with 0 where missing, then masks.
    """
    channels = tb.shape[-1]
    count = channels + len(AUXILIARY)
    out = tb.new_empty((*tb.shape[:-1], 2 * count))
    values, masks = out[..., :count], out[..., count:]
    torch.sub(tb, TB_OFFSET, out=values[..., :channels]).div_(TB_SCALE)
    values[..., channels] = torch.cos(torch.deg2rad(incidence)).sub_(0.6).mul_(3.0)
    values[..., channels + 1] = land
    masks.copy_(torch.isfinite(values))
    # A pixel without any channel is as one outside the image, of which angle and land are unknown.
    masks[..., channels:] *= masks[..., :channels].amax(-1, keepdim=True)
    values[..., channels:] *= masks[..., channels:]
    values.nan_to_num_(nan=0.0)
    return out


def stack_planes(tb: Tensor, incidence: Tensor, land: Tensor) -> Tensor:
    """Lay the input of images (batch, row, column) out as (batch, plane, row, column)."""
    return pixel_planes(tb, incidence, land).permute(0, 3, 1, 2)


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
    if integers := [k for k, v in tensors.items() if not v.is_floating_point()]:
        raise ModelError(f"the weights {', '.join(integers[:3])} are no floating-point numbers")
    try:
        config = UNetConfig.from_dict(architecture)
        with torch.device("meta"):  # shapes without memory: the card may ask for any size
            wanted = {k: v.shape for k, v in ConstellationUNet(config).state_dict().items()}
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ModelError(f"the architecture on the model card is wrong: {error!r:.300}") from error
    if wanted != {k: v.shape for k, v in tensors.items()}:
        raise ModelError("the weights do not fit the model card: other names or shapes")
    network = ConstellationUNet(config)
    network.load_state_dict({k: v.float() for k, v in tensors.items()})
    return network.eval().requires_grad_(False)
