"""The law of total expectation: neighbours tell pixels apart that look alike, and no more.

Among pixels of which a judgement by themselves says the same, a judgement that knows more is right
only if its mean rate is, on average, that of the first; likewise its probability of rain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xrain.conventions import EVENT_RATE
from xrain.models.rain_classes import class_rates

ALIKE = (0.05, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Mean rates in mm/h between the classes of pixels that count as alike."""

MEMORY = 150
"""Batches over which the differences are averaged. In a single one they are mostly chance: its
few storms rain more or less than such pixels do on average."""

LARGEST = 0.5
"""Relative difference that counts at most."""

NONE = 1e-6
"""Amount of rain, or probability, per pixel of all that counts as none: a class that is not met."""

RARE = 0.001
"""Share of the pixels from which a class of them counts in one set."""

QUANTITIES = ("mean", "probability")


class TotalExpectation(nn.Module):
    """Holds the law while neighbours are learned, by multipliers that follow its violation.

    What neighbours add may differ from nought in any one batch; the loss pushes against the
    difference that stays on average over many. It is a method of multipliers, so that chance
    within a batch is not punished.

    Parameters
    ----------
    edges : sequence of float
        Bounds of the network's rain classes, mm/h.
    worlds : int
        Kinds of data that are told apart, each with a judgement of single pixels of its own.
    """

    change: Tensor
    amount: Tensor
    batches: Tensor
    rates: Tensor

    def __init__(self, edges: tuple[float, ...], worlds: int) -> None:
        super().__init__()
        shape = worlds, len(QUANTITIES), len(ALIKE) + 1
        self.register_buffer("change", torch.zeros(shape))
        self.register_buffer("amount", torch.zeros(shape))
        self.register_buffer("batches", torch.zeros(worlds, dtype=torch.int64))
        self.register_buffer("rates", class_rates(edges), persistent=False)
        self.event = event_class(edges)

    @property
    def relative(self) -> Tensor:
        """Mean change over what pixels say alone, (world, quantity, class)."""
        return (self.change / self.amount.clamp(min=NONE)).clamp(-LARGEST, LARGEST)

    def penalty(self, alone: Tensor, both: Tensor, weight: Tensor, world: int) -> Tensor:
        """Note how far a batch is from the law, and return what to add to its loss.

        Parameters
        ----------
        alone, both : Tensor, (pixel, class)
            Logits of the pixels by themselves, and with their neighbours.
        weight : Tensor, (pixel,)
            Weight of each pixel.
        world : int
            Which kind of data it is.
        """
        change, amount = self._sums(alone, both, weight)
        self._note(change, amount, world)
        return self._push(change, world)

    def later(
        self, alone: Tensor, both: Tensor, weight: Tensor, world: int
    ) -> tuple[Tensor, Tensor]:
        """Like :meth:`penalty`, for a part of a batch: what it changes is noted with all parts.

        Parameters
        ----------
        alone, both, weight, world
            As for :meth:`penalty`.

        Returns
        -------
        penalty : Tensor
            By what is known of the batches before.
        seen : Tensor
            For :meth:`note`; of all parts together its sum.
        """
        change, amount = self._sums(alone, both, weight)
        seen = torch.zeros(2, *self.change.shape, device=change.device)
        seen[:, world] = torch.stack([change.detach(), amount])
        parts = torch.zeros_like(seen[:1])
        parts[:, world] = 1.0
        return self._push(change, world), torch.cat([seen, parts])

    def note(self, seen: Tensor) -> None:
        """Note how far a batch of several parts is from the law.

        Parameters
        ----------
        seen : Tensor
            Sum of what :meth:`later` gave for its parts.
        """
        change, amount, parts = seen
        for world in range(len(self.batches)):
            count = parts[world].flatten()[0]
            if count > 0:
                self._note(change[world] / count, amount[world] / count, world)

    def _note(self, change: Tensor, amount: Tensor, world: int) -> None:
        memory = min(1.0 - 1.0 / MEMORY, 1.0 - 1.0 / (int(self.batches[world]) + 1))
        with torch.no_grad():
            self.batches[world] += 1
            self.change[world].lerp_(change, 1.0 - memory)
            self.amount[world].lerp_(amount, 1.0 - memory)

    def _push(self, change: Tensor, world: int) -> Tensor:
        scale = self.amount[world].clamp(min=NONE)
        return (self.relative[world] * change / scale).sum() / change.shape[1]

    def violation(self, alone: Tensor, both: Tensor) -> Tensor:
        """Mean square of the relative changes within one large set of pixels.

        Parameters
        ----------
        alone, both : Tensor, (pixel, class)
            Logits of the pixels by themselves, and with their neighbours. There are so many that
            a class of pixels that look alike holds no single storm only; rarer classes are left
            out.
        """
        weight = torch.full_like(alone[:, 0], 1.0 / max(len(alone), 1))
        change, amount = self._sums(alone, both, weight)
        share = self._share(alone, weight)
        relative = (change / amount.clamp(min=NONE)).clamp(-1.0, 1.0)
        return (relative.square() * (share >= RARE)).sum() / relative.shape[1]

    def _share(self, alone: Tensor, weight: Tensor) -> Tensor:
        """Weight of each class of pixels that look alike."""
        with torch.no_grad():
            return torch.zeros(len(ALIKE) + 1).to(alone).index_add(0, self._alike(alone), weight)

    def _alike(self, alone: Tensor) -> Tensor:
        bounds = torch.tensor(ALIKE, device=alone.device)
        return torch.bucketize(self._said(alone)[0], bounds, right=True)

    def _sums(self, alone: Tensor, both: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Change and amount of mean and probability by class, (quantity, class) each."""
        with torch.no_grad():
            before, alike = self._said(alone), self._alike(alone)
        none = torch.zeros(len(QUANTITIES), len(ALIKE) + 1, device=alone.device)
        change = none.index_add(1, alike, weight * (self._said(both) - before))
        return change, none.index_add(1, alike, weight * before)

    def _said(self, logits: Tensor) -> Tensor:
        """Mean rate and probability of rain, (quantity, pixel)."""
        p = torch.softmax(logits, 1)
        return torch.stack([p @ self.rates, p[:, self.event :].sum(1)])


def event_class(edges: tuple[float, ...]) -> int:
    """First class of rates that count as rain.

    Examples
    --------
    >>> event_class((0.05, 0.1, 0.2))
    2
    """
    inside = [k for k, e in enumerate(edges) if e < EVENT_RATE * (1 - 1e-6)]
    return len(inside) + 1


def expectation_report(
    alone: Tensor, both: Tensor, edges: tuple[float, ...]
) -> list[dict[str, float]]:
    """Tell how far neighbours change mean and probability of pixels that look alike.

    Parameters
    ----------
    alone, both : Tensor, (pixel, class)
        Logits of the pixels by themselves, and with their neighbours.
    edges : tuple of float
        Bounds of the rain classes, mm/h.

    Returns
    -------
    list of dict
        For each class of the mean rate of pixels by themselves that holds any: its lower bound,
        the share of the pixels, and what mean and probability become, over what they were.
    """
    law = TotalExpectation(edges, 1)
    weight = torch.full((len(alone),), 1.0 / max(len(alone), 1))
    change, amount = law._sums(alone, both, weight)
    share = law._share(alone, weight)
    ratio = 1 + change / amount.clamp(min=NONE)
    return [
        {"from": lower, "share": round(float(share[k]), 5)}
        | {q: round(float(ratio[i, k]), 3) for i, q in enumerate(QUANTITIES)}
        for k, lower in enumerate((0.0, *ALIKE))
        if share[k] > 0
    ]
