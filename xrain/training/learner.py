"""What learns: the network, and beside it what only its training needs.

Neighbours are learned relative to a judgement of single pixels that is right in the same world.
What a simulator draws and what nature does are two worlds: a pixel tells more in the first. So the
simulation has a branch for single pixels of its own, beside which simulated swaths teach what
neighbours add; observed swaths teach it beside the network's own. Else the neighbours would learn
to undo what real pixels have taught.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from xrain.models.rain_classes import classes
from xrain.models.trunk import UNetConfig
from xrain.models.unet import ConstellationUNet, PixelBranch, observed
from xrain.training.batches import Batch, Pixels
from xrain.training.total_expectation import TotalExpectation, event_class

RATES = 0.3
"""Weight of the rate's class on the condition that it rains, beside that of all classes. Most
pixels are dry: without it the branch learns late how hard it rains."""

TRUST = 0.5
"""Share of what simulated neighbours tell that is believed. On kept-apart lines of real pixels the
factor on what simulation had taught that predicts best is one half (cross-entropy .3240 without
neighbours, .3227 with half of it, .3236 with all), and a real swath rained 1.23 times as much as
its pixels by themselves when all was believed."""

OBSERVED, SIMULATED = 0, 1
"""Numbers of the two worlds."""


Drawn = TypeVar("Drawn", Batch, Pixels)


class Learner(nn.Module):
    """A network and, for its training, the simulation's own branch for single pixels.

    Parameters
    ----------
    config : UNetConfig
        Shape of the network.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.network = ConstellationUNet(config)
        self.simulated = PixelBranch(config)
        self.law = TotalExpectation(config.edges, worlds=2)

    def branch(self, simulated: bool) -> PixelBranch:
        """Judgement of single pixels that is right in one of the two worlds."""
        return self.simulated if simulated else self.network.pixel

    def expect_climate(self, frequencies: list[float]) -> None:
        """Begin with the frequencies of the classes instead of learning them first."""
        for branch in (self.simulated, self.network.pixel):
            head = branch.trunk.head.state_dict()
            head["weight"].mul_(0.1)
            head["bias"].copy_(torch.tensor(frequencies).log())

    def adopt(self) -> None:
        """Take the simulation's judgement of single pixels for that of the network."""
        self.network.pixel.load_state_dict(self.simulated.state_dict())

    def hold_pixels(self) -> None:
        """Let the branches for single pixels neither learn nor forget."""
        self.eval()
        self.simulated.requires_grad_(False)
        self.network.pixel.requires_grad_(False)

    def lone_loss(self, branch: PixelBranch, batch: Pixels, description: Tensor) -> Tensor:
        """Loss of a branch for single pixels on lone pixels."""
        logits = branch(batch.planes, description).float()
        edges = self.network.config.edges
        loss = pixel_loss(logits, batch.rain, edges, observed=not batch.simulated)
        return (loss * batch.weight).sum() + RATES * given_rain_loss(logits, batch.rain, edges)

    def square_loss(
        self, batch: Batch, description: Tensor, law: float, seen: list[Tensor] | None = None
    ) -> Tensor:
        """Loss of the branch for neighbours on squares, with the law of total expectation.

        Parameters
        ----------
        batch : Batch
            The squares.
        description : Tensor
            Of their channels.
        law : float
            Weight of the law.
        seen : list of Tensor, optional
            Takes what the law has to note, if `batch` is one part of several.
        """
        with torch.no_grad():
            alone = self.branch(batch.simulated)(batch.planes.permute(0, 2, 3, 1), description)
        added = self.network.neighbours(batch.planes, description, alone)
        if batch.simulated:
            added = added / TRUST
        edges = self.network.config.edges
        chosen = batch.weight > 0
        weight = batch.weight[chosen]
        before, after = alone[chosen].float(), (alone + added)[chosen].float()
        loss = pixel_loss(after, batch.rain[chosen], edges, observed=not batch.simulated)
        world = SIMULATED if batch.simulated else OBSERVED
        if seen is None:
            return (loss * weight).sum() + law * self.law.penalty(before, after, weight, world)
        penalty, noted = self.law.later(before, after, weight, world)
        seen.append(noted)
        return (loss * weight).sum() + law * penalty

    def swath_loss(self, planes: Tensor, description: Tensor) -> Tensor:
        """Push an observed swath without labels towards the law of total expectation."""
        with torch.no_grad():
            alone = self.network.pixel(planes.permute(0, 2, 3, 1), description)
        both = alone + self.network.neighbours(planes, description, alone)
        seen = observed(planes)[:, 0] > 0
        return self.law.violation(alone[seen].float(), both[seen].float())


def pixel_loss(logits: Tensor, rain: Tensor, edges: tuple[float, ...], *, observed: bool) -> Tensor:
    """Cross-entropy of the rain classes (pixel, class), 0 where the rain is unknown.

    What a reference does not see is no rain: of observed pixels all classes below 0.1 mm/h are one.

    Parameters
    ----------
    logits : Tensor, (..., class)
        Of the network.
    rain : Tensor, (...)
        True rate in mm/h, NaN where unknown.
    edges : tuple of float
        Bounds of the classes, mm/h.
    observed : bool
        Whether nature made the pixels, not a simulator.
    """
    target = classes(rain, edges)
    found = torch.log_softmax(logits, -1)
    loss = -found.gather(-1, target.clamp(min=0)[..., None])[..., 0]
    if observed:
        first = event_class(edges)
        loss = torch.where(target < first, -torch.logsumexp(found[..., :first], -1), loss)
    return torch.where(target < 0, 0.0, loss)


def given_rain_loss(logits: Tensor, rain: Tensor, edges: tuple[float, ...]) -> Tensor:
    """Cross-entropy of the rate's class on the condition that it rains, (pixel, class)."""
    wet = torch.nan_to_num(rain) >= edges[0]
    if not bool(wet.any()):
        return logits.sum() * 0.0
    return nn.functional.cross_entropy(logits[wet][:, 1:], classes(rain[wet], edges) - 1)


def on_device(batch: Drawn, device: str) -> Drawn:
    """Copy a batch to where the network is."""
    fields = {k: getattr(batch, k).to(device) for k in ("planes", "rain", "weight")}
    return replace(batch, **fields)
