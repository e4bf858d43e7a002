"""What tables of real pixels teach of the distribution over the rain classes, each in its own way.

Transects hold pixels as frequent in rain as nature. Tables of matched pixels are chosen by what was
found in them: one of raining pixels tells how hard it rains where it does, one of raining and dry
ones what tells them apart; how often it rains they do not say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xrain.conventions import EVENT_RATE
from xrain.models.rain_classes import class_rates, classes

__all__ = [
    "TableOdds",
    "balanced_tilt",
    "blurred",
    "dry_loss",
    "event_loss",
    "event_odds",
    "first_event_class",
    "log_odds",
    "natural_loss",
    "rate_loss",
    "share_loss",
]

HARDEST = 150.0
"""Rate in mm/h to which rain is cut in the loss of the mean: one far above would rule it."""

BLUR = 1.5
"""Standard deviation in classes by which the radar's rate in a pixel of a transect is blurred: a
5 km ray is no footprint. Without it the network learns single heavy pixels by heart (correlation
on overpasses kept apart .70 without, .75 with it)."""


def first_event_class(edges: Sequence[float]) -> int:
    """Lowest class that counts as precipitation, of at least 0.1 mm/h.

    Examples
    --------
    >>> first_event_class([0.05, 0.1, 0.2])
    2
    """
    return next(k for k, edge in enumerate(edges, 1) if edge >= EVENT_RATE * (1 - 1e-6))


def log_odds(frequency: float) -> float:
    """Logarithm of the odds of a frequency."""
    return math.log(frequency / (1.0 - frequency))


def event_odds(logits: Tensor, first: int) -> Tensor:
    """Logarithm of the odds of classes from `first` on, (pixel,)."""
    return torch.logsumexp(logits[:, first:], 1) - torch.logsumexp(logits[:, :first], 1)


def natural_loss(
    logits: Tensor,
    rate: Tensor,
    weight: Tensor,
    edges: Sequence[float],
    given_rain: float,
    mean: float,
) -> Tensor:
    """Loss of pixels as frequent in rain as nature.

    The radar's threshold lies near 0.1 mm/h, so a pixel below it may belong to any of the classes
    below. The loss of the mean rate is the squared error over the mean rate plus 1 mm/h, which is
    least where the mean is right.

    Parameters
    ----------
    logits : Tensor, (pixel, class)
        Of the network.
    rate : Tensor, (pixel,)
        Rain in mm/h, 0 where dry.
    weight : Tensor, (pixel,)
        How much of nature each pixel stands for; all together one.
    edges : sequence of float
        Bounds of the classes, mm/h.
    given_rain, mean : float
        Weights of the loss of the class on the condition that it rains, and of the mean.
    """
    first = first_event_class(edges)
    log_shares = nn.functional.log_softmax(logits, 1)
    wet, target = rate >= EVENT_RATE, blurred(classes(rate, edges), first, logits.shape[1])
    below = torch.logsumexp(log_shares[:, :first], 1)
    loss = -torch.where(wet, (target * log_shares).sum(1), below)
    estimate = log_shares.exp() @ class_rates(edges).to(logits)
    error = (estimate - rate.clamp(max=HARDEST)) ** 2 / (estimate.detach() + 1.0)
    total = (weight * (loss + mean * error)).sum()
    if bool(wet.any()):
        rains = nn.functional.cross_entropy(logits[wet][:, first:], target[wet][:, first:])
        total = total + given_rain * rains
    return total


def blurred(target: Tensor, first: int, count: int) -> Tensor:
    """Spread each class over its neighbours among those from `first` on, (pixel, class)."""
    place = torch.arange(count)
    kernel = torch.exp(-0.5 * ((place[:, None] - place) / BLUR) ** 2)
    kernel[:, :first] = 0.0
    return (kernel / kernel.sum(1, keepdim=True))[target]


TILTED_FROM = 2.0
"""Rate in mm/h above which classes are made more or less likely by :func:`balanced_tilt`."""


def balanced_tilt(logits: Tensor, mean_rate: float, edges: Sequence[float]) -> Tensor:
    """Find what to add to the logits of heavy rain, (class,), so that the mean rate is right.

    What regularises a network takes heavy rain away. The odds of each octave above 2 mm/h are
    multiplied by one factor, found by bisection.

    Parameters
    ----------
    logits : Tensor, (pixel, class)
        Of pixels as frequent in rain as nature.
    mean_rate : float
        Their true mean rate in mm/h.
    edges : sequence of float
        Bounds of the classes, mm/h.
    """
    rates = class_rates(edges).to(logits)
    octaves = torch.log2(rates.clamp(min=TILTED_FROM) / TILTED_FROM)
    low, high = -0.5, 0.5
    for _ in range(20):
        middle = 0.5 * (low + high)
        found = float((torch.softmax(logits + middle * octaves, 1) @ rates).mean())
        low, high = (middle, high) if found < mean_rate else (low, middle)
    return middle * octaves


def rate_loss(logits: Tensor, rate: Tensor, edges: Sequence[float], mean: float = 0.0) -> Tensor:
    """Cross-entropy of the rate's class on the condition that it rains, and error of its mean.

    The heaviest classes stay in, though a table may end below them: without them nothing ties them
    to the pixels of the table, and a few wild estimates spoil the rest.

    Parameters
    ----------
    logits : Tensor, (pixel, class)
        Of the network.
    rate : Tensor, (pixel,)
        Rain in mm/h; what lies below the lowest class does not count.
    edges : sequence of float
        Bounds of the classes, mm/h.
    mean : float
        Weight of the error of the mean, as in :func:`natural_loss`.
    """
    known = rate >= edges[0]
    if not bool(known.any()):
        return logits.sum() * 0.0
    rains, truth = logits[known][:, 1:], rate[known]
    loss = nn.functional.cross_entropy(rains, classes(truth, edges) - 1)
    estimate = torch.softmax(rains, 1) @ class_rates(edges)[1:].to(logits)
    return loss + mean * ((estimate - truth) ** 2 / (estimate.detach() + 1.0)).mean()


def share_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy of the probabilities (pixel, class) of a teacher, on that condition.

    The teacher's classes are the lowest ones of rain.
    """
    log_shares = nn.functional.log_softmax(logits[:, 1:], 1)[:, : shares.shape[1]]
    return -(shares * log_shares).sum(1).mean()


def event_loss(odds: Tensor, event: Tensor, trust: Tensor) -> Tensor:
    """Cross-entropy of whether it rained, given the odds in the table and what each counts."""
    return nn.functional.binary_cross_entropy_with_logits(odds, event, trust)


class TableOdds(nn.Module):
    """How the odds of precipitation in a table go with those in nature.

    A table of events is a sample of another prevalence, and another instrument decided what an
    event is. In the first table, the prevalence apart, an event is taken to be one of 0.1 mm/h.
    In the others the logarithm of the odds may be shifted, by surface and temperature, and scaled.

    Parameters
    ----------
    prevalence : sequence of float
        Share of events in each table.
    natural : float
        That in nature.
    """

    def __init__(self, prevalence: Sequence[float], natural: float) -> None:
        super().__init__()
        self.centre = log_odds(natural)
        self.first = log_odds(prevalence[0]) - self.centre
        others = torch.tensor([log_odds(p) - self.centre for p in prevalence[1:]])
        self.shift = nn.Parameter(others[:, None, None].repeat(1, 2, 2))
        self.log_slope = nn.Parameter(torch.zeros(len(others)))

    def forward(self, odds: Tensor, table: int, land: Tensor, cold: Tensor) -> Tensor:
        """Odds in a table.

        Parameters
        ----------
        odds : Tensor, (pixel,)
            Logarithm of the odds in nature.
        table : int
            Number of the table.
        land, cold : Tensor, (pixel,)
            Whether a pixel lies on land, and how surely it is cold enough for snow.
        """
        if table == 0:
            return odds + self.first
        shift = self.shift[table - 1][land]
        moved = shift[:, 0] * (1.0 - cold) + shift[:, 1] * cold
        return self.log_slope[table - 1].exp() * (odds - self.centre) + self.centre + moved


def dry_loss(logits: Tensor, first: int, trust: Tensor) -> Tensor:
    """Cross-entropy of pixels in which it does not rain 0.1 mm/h, given what each counts."""
    return (trust * nn.functional.softplus(event_odds(logits, first))).mean()
