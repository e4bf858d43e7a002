"""Rain or snow: a small network for single pixels, beside every model of rain.

It knows the channels of GMI, to which the nearest channels of another radiometer are put, the
land fraction, and what may be known of the air from a model or reanalysis.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xrain.conventions import ANCILLARY
from xrain.errors import ModelError
from xrain.models.architecture import PHASE_KIND
from xrain.models.card import ModelCard
from xrain.models.store import PHASE_MODEL, load_tensors
from xrain.sensors import Channel
from xrain.sensors.nearest import stand_ins

__all__ = ["FoldedPhase", "PhaseConfig", "PhaseModel", "PhaseNetwork", "PhaseOdds", "load_phase"]

DRY, RAIN, SNOW = 0, 1, 2
"""Classes, in the order of the logits."""


@dataclass(frozen=True)
class PhaseConfig:
    """Shape of the network.

    Attributes
    ----------
    channels : int
        Channels of the instrument that it knows.
    hidden : int
        Width of its two hidden layers.
    """

    channels: int = 13
    hidden: int = 40

    @property
    def inputs(self) -> int:
        """Channels, land fraction, and ancillary fields."""
        return self.channels + 1 + len(ANCILLARY)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a card has it."""
        return {"kind": PHASE_KIND, **asdict(self)}


class PhaseOdds(NamedTuple):
    """What the network says of pixels.

    Attributes
    ----------
    logits : Tensor, shape (pixel, 3)
        Logarithms of the probabilities of dry, rain and snow, up to a constant.
    log_snowfall : Tensor, shape (pixel,)
        Logarithm of the mean snowfall rate in mm/h of water, given that it snows.
    """

    logits: Tensor
    log_snowfall: Tensor


class PhaseNetwork(nn.Module):
    """Two hidden layers over what is known; what is missing has a vector of its own.

    Parameters
    ----------
    config : PhaseConfig
        Its shape.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, config: PhaseConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("offset", torch.zeros(config.inputs))
        self.register_buffer("scale", torch.ones(config.inputs))
        self.first = nn.Linear(config.inputs, config.hidden)
        self.absent = nn.Parameter(0.1 * torch.randn(config.inputs, config.hidden))
        self.second = nn.Linear(config.hidden, config.hidden)
        self.last = nn.Linear(config.hidden, 4)

    def forward(self, inputs: Tensor) -> PhaseOdds:
        """Judge pixels.

        Parameters
        ----------
        inputs : Tensor, shape (pixel, input)
            Brightness temperatures in K in the order of GMI's channels, land fraction, and the
            ancillary fields in the order of :data:`xrain.conventions.ANCILLARY`; NaN where
            missing.
        """
        missing = inputs.isnan()
        scaled = torch.where(missing, 0.0, (inputs - self.offset) / self.scale)
        hidden = self.first(scaled)
        hidden = hidden + missing.to(hidden.dtype) @ self.absent
        out = self.last(torch.relu(self.second(torch.relu(hidden))))
        return PhaseOdds(out[:, :3], out[:, 3])


class FoldedPhase(nn.Module):
    """The network for some of its inputs, the others being unknown in every pixel.

    Parameters
    ----------
    network : PhaseNetwork
        The whole network.
    present : sequence of int
        Positions of the inputs that there are.
    """

    def __init__(self, network: PhaseNetwork, present: Sequence[int]) -> None:
        super().__init__()
        gone = [k for k in range(network.config.inputs) if k not in present]
        weight = (network.first.weight / network.scale)[:, list(present)].T.contiguous()
        offset = network.offset[list(present)]
        bias = network.first.bias + network.absent[gone].sum(0) - offset @ weight
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("offset", offset)
        self.register_buffer("absent", network.absent[list(present)])
        self.second, self.last = network.second, network.last

    weight: Tensor
    bias: Tensor
    offset: Tensor
    absent: Tensor

    def forward(self, inputs: Tensor) -> PhaseOdds:
        """Judge pixels (pixel, input), of which some may lack inputs: NaN."""
        if bool(inputs.sum().isnan()):
            missing = inputs.isnan()
            filled = torch.where(missing, self.offset, inputs)
            hidden = torch.addmm(self.bias, filled, self.weight)
            hidden = hidden + missing.to(hidden.dtype) @ self.absent
        else:
            hidden = torch.addmm(self.bias, inputs, self.weight)
        out = self.last(self.second(hidden.relu_()).relu_())
        return PhaseOdds(out[:, :3], out[:, 3])


class PhaseModel(NamedTuple):
    """The network with its card."""

    card: ModelCard
    network: PhaseNetwork

    def places(self, channels: Sequence[Channel]) -> list[int | None]:
        """Which of some channels to put in the place of each one that the network knows."""
        return stand_ins(channels, self.card.inputs)


def build_phase(architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> PhaseNetwork:
    """Build the network that a card describes.

    Raises
    ------
    ModelError
        If the architecture is another one, or the tensors do not fit it.
    """
    try:
        if architecture["kind"] != PHASE_KIND:
            raise ModelError(f"a model of kind {architecture['kind']!r} does not tell the phase")
        network = PhaseNetwork(PhaseConfig(architecture["channels"], architecture["hidden"]))
        network.load_state_dict(dict(tensors))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the weights of the phase do not fit their card: {error}") from error
    return network.eval().requires_grad_(False)


@functools.lru_cache(maxsize=4)
def load_phase(name: str = PHASE_MODEL) -> PhaseModel:
    """Load the model that tells rain from snow.

    Parameters
    ----------
    name : str
        Name, with a version or without, or a folder.

    Raises
    ------
    ModelError
        If there is no such model, or it is broken.
    FetchError
        If its files must be fetched and cannot be.
    """
    card, tensors, _ = load_tensors(name)
    return PhaseModel(card, build_phase(card.architecture, tensors))
