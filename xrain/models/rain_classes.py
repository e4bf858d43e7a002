"""The classes of rain rate that networks and databases tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EDGES = tuple(0.05 * 2.0 ** (k / 3) for k in range(36))
"""Bounds of the rain classes in mm/h: three to an octave, so that 0.1 mm/h is one of them."""


def class_rates(edges: Sequence[float]) -> Tensor:
    """Mean rate of each class in mm/h, for rates spread evenly in their logarithm; 0 if dry."""
    e = torch.tensor(edges, dtype=torch.float64)
    rates = (e[1:] - e[:-1]) / torch.log(e[1:] / e[:-1])
    return torch.cat([torch.zeros(1, dtype=torch.float64), rates]).float()


def classes(rain: Tensor, edges: Sequence[float]) -> Tensor:
    """Class of each rate: 0 below the first edge, the last class above the last but one; NaN −1."""
    bounds = torch.tensor(edges[:-1], dtype=rain.dtype, device=rain.device)
    out = torch.bucketize(torch.nan_to_num(rain), bounds, right=True)
    return torch.where(torch.isnan(rain), -1, out)


def rain_classes(rate: NDArray[np.float32]) -> NDArray[np.intp]:
    """Class of each rate, 0 if dry."""
    return np.asarray(np.searchsorted(np.array(EDGES[:-1], np.float32), rate, side="right"))
