"""From the probabilities of the rain classes to mean, probability and quantiles of the rate."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from xrain.conventions import CERTAIN_RATE, EVENT_RATE
from xrain.errors import InputError, ModelError
from xrain.models.event import event_shares, split_edges
from xrain.models.rain_classes import class_rates

__all__ = ["DOUBT", "OUTER", "WIDENING", "Posterior", "Rain"]

WIDENING = 0.5
"""Share of the training rain distribution that is mixed into the quantiles of an input unlike
the training data: its interval then spans what rain does at all."""

DOUBT = 0.5
"""Chance of rain in that distribution, at least: such an input does not tell that it is dry."""

OUTER = 0.9
"""Level from which on a quantile is never below the mean, and 1 less it, up to which it is never
above it: the mean of a skewed distribution may exceed its 95 % quantile, and an interval that
leaves out its own best estimate would mislead."""


class Rain(NamedTuple):
    """What a posterior says of the rain over pixels.

    Attributes
    ----------
    mean : Tensor, shape (pixel,)
        Mean rate in mm/h.
    quantiles : Tensor, shape (quantile, pixel)
        Quantiles of the rate in mm/h.
    probability : Tensor, shape (pixel,)
        Probability of at least 0.1 mm/h.
    detected : Tensor of bool, shape (pixel,)
        Whether precipitation is reported.
    """

    mean: Tensor
    quantiles: Tensor
    probability: Tensor
    detected: Tensor


class Posterior:
    """The distribution of the rain rate, given the logits of its classes.

    Within a class the rate is spread evenly in its logarithm. The event is a rate of at least
    0.1 mm/h (:data:`xrain.conventions.EVENT_RATE`), wherever the bounds of the classes lie: the
    class that holds 0.1 mm/h is split there.

    Parameters
    ----------
    edges : sequence of float
        Bounds of the rain classes in mm/h, ascending; rates under the first are the dry class.
    quantiles : sequence of float
        Cumulative probabilities in (0, 1).
    climatology : sequence of float, optional
        Distribution over the rain classes in training, mixed into the quantiles of inputs that
        are unlike the training data.
    prevalence : float
        Frequency of the event for which the logits hold; needed for another `prior`.
    threshold : float
        Probability of the event above which precipitation is reported.
    device : str
        Where the logits are.

    Raises
    ------
    ModelError
        If no class lies above 0.1 mm/h.
    """

    def __init__(
        self,
        edges: Sequence[float],
        quantiles: Sequence[float],
        climatology: Sequence[float] | None = None,
        *,
        prevalence: float = 0.0,
        threshold: float = 0.5,
        device: str = "cpu",
    ) -> None:
        if edges[-1] <= EVENT_RATE:
            raise ModelError(f"the model has no rain class above {EVENT_RATE} mm/h")
        bounds = split_edges(edges)
        self._event = 1 + bisect.bisect_left(bounds, EVENT_RATE * (1 - 1e-5))
        shares = event_shares(edges)
        self._split = len(bounds) > len(edges)
        self._share = shares[self._event - 1] if self._split else 0.0
        self.rates = class_rates(bounds).to(device)
        self._log_edges = torch.log(torch.tensor(bounds)).to(device)
        self._quantiles = torch.tensor(list(quantiles), dtype=torch.float32, device=device)
        self._climatology: Tensor | None = None
        if climatology is not None:
            whole = torch.tensor(list(climatology), dtype=torch.float32, device=device)
            self._climatology = torch.softmax(self._with_event(whole.log()[None]), 1)[0]
        self.prevalence = prevalence
        self.threshold = threshold

    def __call__(
        self,
        logits: Tensor,
        outlier: Tensor,
        *,
        given_rain: bool = False,
        prior: float | Tensor | None = None,
    ) -> Rain:
        """Derive mean, quantiles, probability and detection.

        Parameters
        ----------
        logits : Tensor, shape (pixel, class)
            Logarithms of the class probabilities, up to a constant for each pixel.
        outlier : Tensor of bool, shape (pixel,)
            Where the input is unlike the training data. The quantiles, not the mean, are there
            spread by a mixture with the training distribution.
        given_rain : bool
            Whether mean and quantiles hold on the condition that the event occurs. Probability
            and detection stay as they are.
        prior : float or Tensor, shape (pixel,), optional
            Frequency of the event that is expected before the measurement; it shifts the odds of
            the classes above 0.1 mm/h, and everything with them. NaN, like None, leaves the
            model's own.

        Returns
        -------
        Rain
            Detected are pixels whose probability exceeds the threshold, and those whose
            (unconditional) mean is at least 1 mm/h.

        Raises
        ------
        InputError
            If a prior is given and the model's own prevalence is unknown.
        """
        logits = self._with_event(logits)
        if prior is not None:
            logits = self._shifted(logits, prior)
        p = torch.softmax(logits, dim=1)
        probability = self.event_probability(p)
        mean = p @ self.rates
        detected = (probability > self.threshold) | (mean >= CERTAIN_RATE)
        if given_rain:
            p = self._given_event(logits)
            mean = p @ self.rates
        return Rain(mean, self._all_quantiles(p, mean, outlier, given_rain), probability, detected)

    def class_probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes, of which one begins at 0.1 mm/h; from their logits."""
        return torch.softmax(self._with_event(logits), dim=1)

    def event_probability(self, p: Tensor) -> Tensor:
        """Probability of at least 0.1 mm/h, from those of the classes (pixel, class)."""
        return p[:, self._event :].sum(1).clamp(0.0, 1.0)

    def _with_event(self, logits: Tensor) -> Tensor:
        """Split the class that holds 0.1 mm/h in two."""
        if not self._split:
            return logits
        k = self._event - 1
        parts = logits[:, k : k + 1] + torch.log(
            logits.new_tensor([1.0 - self._share, self._share])
        )
        return torch.cat([logits[:, :k], parts, logits[:, k + 1 :]], dim=1)

    def _shifted(self, logits: Tensor, prior: float | Tensor) -> Tensor:
        """Logits for another frequency of the event."""
        if not 0.0 < self.prevalence < 1.0:
            raise InputError("the model's card does not tell the prevalence to shift from")
        own = math.log(self.prevalence / (1.0 - self.prevalence))
        wanted = torch.as_tensor(prior, dtype=logits.dtype, device=logits.device)
        shift = torch.logit(wanted, eps=1e-6).sub(own).nan_to_num(nan=0.0).reshape(-1, 1)
        return torch.cat([logits[:, : self._event], logits[:, self._event :] + shift], dim=1)

    def _given_event(self, logits: Tensor) -> Tensor:
        """Class probabilities on the condition that the event occurs."""
        raining = torch.softmax(logits[:, self._event :], dim=1)
        return torch.nn.functional.pad(raining, (self._event, 0))

    def _all_quantiles(self, p: Tensor, mean: Tensor, outlier: Tensor, given_rain: bool) -> Tensor:
        """Quantiles (quantile, pixel) in mm/h, widened where the input is an outlier."""
        level = self._quantiles[:, None]
        out = p.new_zeros((len(self._quantiles), p.shape[0]))
        if not len(self._quantiles):
            return out
        # where even the highest quantile lies in the dry class, all are zero
        some = (p[:, 0] < self._quantiles.max()) | outlier
        rows = some.nonzero()[:, 0]
        found = self._quantile_rates(p[rows])
        odd = outlier[rows]
        if self._climatology is not None and bool(odd.any()):
            found[:, odd] = self._widened(found[:, odd], p[rows[odd]], given_rain)
        out[:, rows] = found
        out = torch.where(level >= OUTER, torch.maximum(out, mean), out)
        return torch.where(level <= 1.0 - OUTER, torch.minimum(out, mean), out)

    def _widened(self, own: Tensor, p: Tensor, given_rain: bool) -> Tensor:
        """Quantiles (quantile, pixel) moved outward to those of a mixture with the climatology."""
        assert self._climatology is not None  # noqa: S101  asked by the caller
        whole = self._climatology.to(p)
        rains = whole[self._event :] / whole[self._event :].sum()
        if given_rain:
            whole = torch.nn.functional.pad(rains, (self._event, 0))
        elif whole[self._event :].sum() < DOUBT:
            dry = whole[: self._event] / whole[: self._event].sum()
            whole = torch.cat([(1.0 - DOUBT) * dry, DOUBT * rains])
        mixed = self._quantile_rates((1 - WIDENING) * p + WIDENING * whole)
        level = self._quantiles[:, None]
        outward = torch.where(level < 0.5, torch.minimum(own, mixed), torch.maximum(own, mixed))
        return torch.where(level == 0.5, own, outward)

    def _quantile_rates(self, p: Tensor) -> Tensor:
        """Return rates (quantile, pixel) where the cumulated probabilities reach the quantiles."""
        cdf = torch.cumsum(p, dim=1)
        wanted = self._quantiles.expand(p.shape[0], -1)
        index = torch.searchsorted(cdf, wanted.contiguous()).clamp_(max=p.shape[1] - 1)
        return self.rates_at(p, cdf, index).T

    def rates_at(self, p: Tensor, cdf: Tensor, index: Tensor) -> Tensor:
        """Find the quantiles in the classes that hold them.

        Parameters
        ----------
        p, cdf : Tensor, shape (pixel, class)
            Probabilities of the classes, and their sums.
        index : Tensor of int, shape (pixel, quantile)
            Classes in which the sums reach the levels of the quantiles.

        Returns
        -------
        Tensor, shape (pixel, quantile)
            Rates in mm/h.
        """
        wanted = self._quantiles.expand(p.shape[0], -1)
        before = (index - 1).clamp(min=0)
        share = (wanted - cdf.gather(1, before)) / p.gather(1, index).clamp_(min=1e-12)
        low, high = self._log_edges[before], self._log_edges[index]
        rate = torch.exp(low + share.clamp_(0, 1) * (high - low))
        return torch.where(index == 0, 0.0, rate)
