"""Fit the errors of a Bayesian inversion: the covariance under which a database predicts best.

The covariance is that of the highest likelihood of what pixels truly were, given the entries of
other scenes or days alone. So it contains whatever keeps two pixels of the same rain from looking
the same: noise, the unknowns of a scene, and, where the pixels are real and the database is
simulated, the faults of the simulator. Half of the time some channels are taken away, so that it
also holds for those that are left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.models.bayes import STAGES, StageError
from xrain.training.vectors import Vectors

__all__ = ["Fit", "Target", "fit_error", "log_likelihood", "nearest_distances", "widened"]

FloatArray = NDArray[np.float32]

SOFTNESS = 0.15
"""Standard deviation in the logarithm of the rate within which two rates count as the same."""

START = 0.5
"""Spread of the errors at the start, as a share of the spread of the database."""

OTHER_SURFACE = 0.2
"""Weight of other surfaces at the start."""


@dataclass(frozen=True)
class Target:
    """Pixels whose truth is known: to predict, or to predict from.

    Attributes
    ----------
    vectors : ndarray, shape (pixel, coordinate)
        Brightness temperatures in K, and the air mass if there is one.
    rate : ndarray, shape (pixel,)
        Rain rate in mm/h; 0 where dry.
    surface, group : ndarray of int, shape (pixel,)
        Surface class; scene or day. Pixels of one group do not predict each other.
    weight : ndarray, shape (pixel,)
        What a pixel weighs in the database.
    """

    vectors: FloatArray
    rate: FloatArray
    surface: NDArray[np.integer]
    group: NDArray[np.integer]
    weight: FloatArray


@dataclass(frozen=True)
class Fit:
    """How to search for a covariance.

    Attributes
    ----------
    steps, batch : int
        Optimiser steps, and pixels to predict in each.
    seed : int
        Source of chance.
    """

    steps: int = 50
    batch: int = 256
    seed: int = 0


class _Pair:
    """Pixels to predict beside the database that predicts them, as tensors."""

    def __init__(self, wanted: Target, database: Target, stage: str) -> None:
        self.wanted, self.vectors = _tensor(wanted.vectors), _tensor(database.vectors)
        self.weight = _tensor(database.weight / database.weight.sum()).log()
        self.groups = torch.as_tensor(wanted.group), torch.as_tensor(database.group)
        self.surfaces = torch.as_tensor(wanted.surface), torch.as_tensor(database.surface)
        self.rates = _tensor(wanted.rate), _tensor(database.rate)
        self.stage = stage

    def log_likelihood(
        self, rows: Tensor, covariance: Tensor, others: Tensor, columns: Tensor
    ) -> Tensor:
        """Mean log-likelihood of the truth of some pixels, told by some of the coordinates.

        `others` is the logarithm of the weight of other surfaces.
        """
        lower = torch.linalg.cholesky(covariance[columns][:, columns])
        own, theirs = (
            torch.linalg.solve_triangular(lower, x[:, columns].T, upper=False).T
            for x in (self.wanted[rows], self.vectors)
        )
        distance = torch.cdist(own, theirs).square()
        apart = self.surfaces[0][rows][:, None] != self.surfaces[1]
        score = self.weight - 0.5 * distance + others * apart
        kin = self.groups[0][rows][:, None] == self.groups[1]
        score = torch.log_softmax(score.masked_fill(kin, -1e9), dim=1)
        return torch.logsumexp(score + self._likeness(rows), dim=1).mean()

    def _likeness(self, rows: Tensor) -> Tensor:
        """Logarithm of how far each entry's truth is that of each pixel."""
        mine, theirs = self.rates[0][rows][:, None], self.rates[1]
        if self.stage == STAGES[0]:
            return torch.where((mine > 0) == (theirs > 0), 0.0, -1e9)
        return -0.5 * ((mine.log() - theirs.log()) / SOFTNESS).square()


def _tensor(values: FloatArray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


def fit_error(wanted: Target, database: Target, stage: str, how: Fit | None = None) -> StageError:
    """Find the error covariance of the highest likelihood by gradient ascent (Adam).

    Parameters
    ----------
    wanted, database : Target
        Pixels to predict, and those to predict them from; may be the same.
    stage : str
        ``"detection"``: whether it rains; ``"rate"``: how much, all pixels raining.
    how : Fit, optional
        How to search.
    """
    how = how or Fit()
    pair = _Pair(wanted, database, stage)
    free = _Covariance(pair.vectors.std(dim=0).clamp(min=1e-3))
    optimiser = torch.optim.Adam(
        [{"params": [free.sizes, free.others], "lr": 0.05}, {"params": [free.lower], "lr": 0.02}]
    )
    chance = torch.Generator().manual_seed(how.seed)
    for step in range(how.steps):
        rows = torch.randperm(len(pair.wanted), generator=chance)[: how.batch]
        columns = torch.arange(len(free.sizes))
        if step % 2:
            share = 0.2 + 0.7 * torch.rand(1, generator=chance)
            kept = torch.rand(len(columns), generator=chance) < share
            columns = columns[kept] if kept.any() else columns[:1]
        loss = -pair.log_likelihood(rows, free(), free.others.clamp(max=0.0), columns)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        return _error(free().double().numpy(), float(free.others.clamp(max=0.0).exp()))


class _Covariance:
    """A covariance and the weight of other surfaces, as numbers that are free to move."""

    def __init__(self, spread: Tensor) -> None:
        self._spread = START * spread
        self.sizes = torch.zeros(len(spread), requires_grad=True)
        self.lower = torch.zeros(len(spread), len(spread), requires_grad=True)
        self.others = torch.tensor(float(np.log(OTHER_SURFACE)), requires_grad=True)

    def __call__(self) -> Tensor:
        root = torch.tril(self.lower, -1) + torch.diag(self.sizes.exp())
        root = root * self._spread[:, None]
        return root @ root.T


def log_likelihood(
    wanted: Target, database: Target, stage: str, error: StageError, batch: int = 512
) -> float:
    """Mean log-likelihood of what the pixels truly were."""
    pair = _Pair(wanted, database, stage)
    covariance = torch.tensor(error.covariance)
    columns = torch.arange(len(covariance))
    others = torch.tensor(max(error.other_surface, 1e-9)).log()
    rows = torch.arange(len(pair.wanted))
    total = 0.0
    with torch.inference_mode():
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            total += len(part) * float(pair.log_likelihood(part, covariance, others, columns))
    return total / max(len(rows), 1)


def widened(
    wanted: Target,
    database: Target,
    stage: str,
    error: StageError,
    factors: Sequence[float] = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0),
) -> tuple[StageError, float]:
    """Multiply a covariance by the one of some factors under which the likelihood is highest."""
    tried = [error.times(f) for f in factors]
    best = int(np.argmax([log_likelihood(wanted, database, stage, e) for e in tried]))
    return tried[best], factors[best]


def nearest_distances(
    wanted: Vectors, database: Vectors, stage: str, error: StageError, batch: int = 512
) -> NDArray[np.float32]:
    """Distance of rows to the nearest entry of another group, (row,).

    It is that of :class:`xrain.models.kernel_search.Search`: rare entries are farther than frequent
    ones.
    """
    lower = np.linalg.cholesky(np.array(error.covariance))
    own, theirs = (
        torch.from_numpy(np.linalg.solve(lower, x.vectors.T).T.astype(np.float32))
        for x in (wanted, database)
    )
    weight = _tensor(database.population[:, STAGES.index(stage)]).log()
    weight = weight - weight.amax()
    others = -2.0 * math.log(max(error.other_surface, 1e-9))
    groups, surfaces = (
        (torch.as_tensor(getattr(wanted, n)), torch.as_tensor(getattr(database, n)))
        for n in ("group", "surface")
    )
    out = []
    for first in range(0, len(own), batch):
        part = slice(first, first + batch)
        distance = torch.cdist(own[part], theirs).square() - 2.0 * weight
        distance += others * (surfaces[0][part][:, None] != surfaces[1])
        kin = groups[0][part][:, None] == groups[1]
        out.append(distance.masked_fill(kin, np.inf).amin(dim=1).numpy())
    return np.concatenate(out) if out else np.zeros(0, np.float32)


def _error(covariance: NDArray[np.float64], other_surface: float) -> StageError:
    rows = tuple(tuple(float(f"{x:.6g}") for x in row) for row in (covariance + covariance.T) / 2)
    return StageError(rows, float(f"{other_surface:.4g}"))
