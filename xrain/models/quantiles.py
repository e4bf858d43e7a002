"""A network that gives quantiles, as DRAIN does, and how they become a distribution.

Quantiles are found for y = ln(1 + rate / 0.05 mm/h), which is nought where it is dry and near
to the logarithm where it rains; they rise with their level by construction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["class_logits", "pinball_loss", "rising", "stretched"]

SCALE = 0.05
"""Rate in mm/h below which y is nearly linear in it."""

_LEAST = 1e-7


def stretched(rate: Tensor) -> Tensor:
    """Turn a rate in mm/h into the quantity whose quantiles the network gives."""
    return torch.log1p(rate / SCALE)


def rising(raw: Tensor) -> Tensor:
    """Turn numbers (..., level) into quantiles that rise along the last axis, nought or more."""
    steps = nn.functional.softplus(raw[..., 1:] - 3.0)
    return nn.functional.relu(torch.cat([raw[..., :1], steps], -1).cumsum(-1))


def pinball_loss(raw: Tensor, rate: Tensor, levels: Sequence[float]) -> Tensor:
    """Quantile loss of each pixel, averaged over levels.

    Parameters
    ----------
    raw : Tensor, (..., level)
        What the network gives.
    rate : Tensor, (...)
        True rate in mm/h.
    levels : sequence of float
        Cumulative probabilities.

    Returns
    -------
    Tensor, (...)
    """
    error = stretched(rate)[..., None] - rising(raw)
    level = torch.tensor(levels, dtype=raw.dtype, device=raw.device)
    return torch.maximum(level * error, (level - 1) * error).mean(-1)


def class_logits(raw: Tensor, levels: Sequence[float], edges: Sequence[float]) -> Tensor:
    """Logarithms of the probabilities of the rain classes, (..., class).

    The distribution runs straight between the quantiles. Beyond the last one its tail has the mean
    of the exponential one that the last five quantiles lie on: to spread it evenly up to the last
    class would let one part in a hundred rule the mean.
    """
    quantiles = rising(raw)
    first = max(len(levels) - 5, 0)
    fall = math.log((1 - levels[first]) / (1 - levels[-1])) if len(levels) > 1 else 1.0
    excess = 2 * (quantiles[..., -1:] - quantiles[..., first : first + 1]) / fall
    high = (quantiles[..., -1:] + excess).clamp(max=math.log1p(edges[-1] / SCALE))
    # A step above the one before, however small, so that none lies on top of another.
    rise = torch.arange(1, quantiles.shape[-1] + 2, device=raw.device) * 1e-6
    knots = torch.cat([quantiles, torch.maximum(high, quantiles[..., -1:])], -1) + rise
    level = torch.tensor([*levels, 1.0], dtype=raw.dtype, device=raw.device)
    at = stretched(torch.tensor(edges[:-1], dtype=raw.dtype, device=raw.device))
    index = torch.searchsorted(knots, at.expand(*knots.shape[:-1], -1).contiguous())
    upper = index.clamp(max=knots.shape[-1] - 1)
    lower = (index - 1).clamp(min=0)
    low, top = knots.gather(-1, lower), knots.gather(-1, upper)
    share = ((at - low) / (top - low).clamp(min=1e-9)).clamp(0.0, 1.0)
    below = level[lower] + share * (level[upper] - level[lower])
    below = torch.where(index == 0, level[0] * (at / knots[..., :1]).clamp(0.0, 1.0), below)
    whole = torch.cat([below, torch.ones_like(below[..., :1])], -1)
    parts = torch.diff(whole, dim=-1, prepend=torch.zeros_like(whole[..., :1]))
    return torch.log(parts.clamp(min=_LEAST))
