"""Weigh the entries of a database by their distance from what was measured.

With the errors' covariance S = L Lᵀ, vectors times L⁻¹ are apart by the Mahalanobis distance
alone, so all weights of a block of pixels are the exponential of one product of matrices. On a CPU
entries belong to cells of neighbours, and cells that cannot matter to any pixel of a group are left
out; a GPU is quicker without asking.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Search", "bisect", "cut", "shares"]

CELL = 32
"""Entries of a cell, at most."""

GROUP = 256
"""Pixels that share one choice of cells, at most."""

BLOCK = 1 << 20
"""Weights held at once: so few that they stay in the processor's cache."""

GPU_BLOCK = 1 << 27
"""Weights held at once on a GPU."""

FIRST = 12
"""Cells next to a group of pixels in which each of them looks for its best entry first."""

NEGLIGIBLE = math.log(1e6)
"""Logarithm by which a cell's best entry must fall behind a pixel's best to be left out."""

_FLOOR = 1e-30


def bisect(points: NDArray[np.float32], size: int) -> list[NDArray[np.intp]]:
    """Cut points (n, dimension) at medians into groups of neighbours, of at most `size` each."""
    groups, left = [], [np.arange(len(points))]
    while left:
        index = left.pop()
        if len(index) <= size:
            groups.append(index)
            continue
        own = points[index]
        axis = int(own.var(axis=0).argmax())
        half = len(index) // 2
        order = np.argpartition(own[:, axis], half)
        left += [index[order[half:]], index[order[:half]]]
    return groups


class Search:
    """A database as it is seen with one set of coordinates and one covariance.

    The score of an entry is the logarithm of its weight: that before anything is measured, minus
    half the squared distance. How far a pixel lies from the database is told by its best score.

    Parameters
    ----------
    vectors : Tensor, shape (entry, coordinate)
        The database's vectors, K.
    log_weight : Tensor, shape (entry,)
        Logarithm of each entry's weight before anything is measured.
    classes : Tensor of int, shape (entry,)
        Class of each entry.
    count : int
        Number of classes.
    covariance : Tensor, shape (coordinate, coordinate)
        Covariance S of the errors, K².
    near : float
        Largest near distance: twice what the best score may fall short of the largest weight.

    Attributes
    ----------
    before : Tensor, shape (1, class)
        Logarithm of each class's share of the weight before anything is measured.
    """

    def __init__(
        self,
        vectors: Tensor,
        log_weight: Tensor,
        classes: Tensor,
        count: int,
        covariance: Tensor,
        near: float,
    ) -> None:
        device, self.near = vectors.device, near
        order = torch.argsort(classes.cpu(), stable=True)
        starts = torch.searchsorted(classes.cpu()[order].contiguous(), torch.arange(count + 1))
        self._starts: list[int] = starts.tolist()
        lower = torch.linalg.cholesky(covariance.double().cpu())
        whiten = torch.linalg.inv(lower).T
        wide = vectors.double().cpu()[order]
        centre = wide.mean(dim=0)
        white = (wide - centre) @ whiten
        # Turned so that the first coordinates hold most of the spread: cells get compact.
        turn = torch.linalg.eigh(white.T @ white).eigenvectors.flip(1)
        points = (white @ turn).float()
        weight = log_weight.float().cpu()[order]
        weight = weight - weight.amax()
        self._centre, self._turn = centre.float().to(device), (whiten @ turn).float().to(device)
        rest = [-0.5 * (points**2).sum(dim=1), weight, torch.ones(len(points))]
        self._terms = torch.stack([*points.T, *rest]).to(device)
        self._weight = weight.to(device)
        self.before = shares(weight.exp()[None], self._starts).to(device)
        if not vectors.is_cuda:
            self._make_cells(points, weight)

    def _make_cells(self, points: Tensor, weight: Tensor) -> None:
        cells = bisect(points.numpy(), CELL)
        self._owner = torch.empty(len(points), dtype=torch.int64)
        for k, cell in enumerate(cells):
            self._owner[torch.from_numpy(cell)] = k
        sizes = torch.bincount(self._owner)
        self._centres = torch.zeros(len(cells), points.shape[1])
        self._centres.index_add_(0, self._owner, points).div_(sizes[:, None])
        reach = (points - self._centres[self._owner]).norm(dim=1)
        none = torch.zeros(len(cells))
        self._radii = none.scatter_reduce(0, self._owner, reach, "amax")
        self._best = (none - math.inf).scatter_reduce(0, self._owner, weight, "amax")

    def __call__(self, measured: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the entries for pixels.

        Where no entry is near, S is widened until one is.

        Parameters
        ----------
        measured : Tensor, shape (pixel, coordinate)
            What was measured, K.

        Returns
        -------
        logits : Tensor, shape (pixel, class)
            Logarithm of each class's share of the weight.
        far : Tensor of bool, shape (pixel,)
            Where no entry is near.
        """
        points = (measured - self._centre) @ self._turn
        logits = points.new_empty(len(points), len(self._starts) - 1)
        far = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        doubtful = [torch.arange(len(points), device=points.device)]
        if not points.is_cuda and len(points) * len(self._weight) > BLOCK:
            doubtful = []
            for group in bisect(points.numpy(), GROUP):
                doubtful.append(self._weigh_group(points, torch.from_numpy(group), logits))
        rows = torch.cat(doubtful)
        for part in cut(rows, len(self._weight)):
            logits[part], far[part] = self._weigh_with_care(points[part])
        return logits, far

    def _weigh_group(self, points: Tensor, rows: Tensor, logits: Tensor) -> Tensor:
        """Fill in the logits of pixels that lie near; return the others."""
        apart = torch.cdist(points[rows], self._centres)
        first = apart.mean(dim=0).topk(min(FIRST, len(self._centres)), largest=False).indices
        some = torch.zeros(len(self._centres), dtype=torch.bool)
        some[first] = True
        best = self._scores(points[rows], self._terms[:, some[self._owner].nonzero()[:, 0]]).amax(
            dim=1
        )
        near = -2.0 * best <= self.near
        left, rows, best, apart = rows[~near], rows[near], best[near], apart[near]
        if not len(rows):
            return left
        most = self._best - 0.5 * (apart - self._radii).clamp_(min=0.0).square_()
        wanted = (most > best[:, None] - NEGLIGIBLE).any(dim=0)
        entries = wanted[self._owner].nonzero()[:, 0]
        starts = torch.searchsorted(entries, torch.tensor(self._starts)).tolist()
        terms = self._terms[:, entries]
        for part in cut(torch.arange(len(rows)), len(entries)):
            weight = self._scores(points[rows[part]], terms, best[part]).exp_()
            logits[rows[part]] = shares(weight, starts)
        return left

    @staticmethod
    def _scores(points: Tensor, terms: Tensor, best: Tensor | None = None) -> Tensor:
        """Scores (pixel, entry), less those of `best` (pixel,)."""
        least = -0.5 * (points**2).sum(dim=1)
        least = least if best is None else least - best
        ones = torch.ones_like(least)
        return torch.stack([*points.T, ones, ones, least]).T @ terms

    def _weigh_with_care(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh all entries, however far they are."""
        scores = self._scores(points, self._terms)
        distance = -2.0 * scores.amax(dim=1)
        widening = (distance / self.near).clamp_(min=1.0)
        scores.sub_(self._weight).div_(widening[:, None]).add_(self._weight)
        weight = scores.sub_(scores.amax(dim=1, keepdim=True)).exp_()
        return shares(weight, self._starts), distance > self.near


def cut(rows: Tensor, count: int) -> Iterator[Tensor]:
    """Cut rows so that their weights for so many entries fit in a block."""
    step = max((GPU_BLOCK if rows.is_cuda else BLOCK) // max(count, 1), 1)
    return (rows[first : first + step] for first in range(0, len(rows), step))


def shares(weight: Tensor, starts: list[int]) -> Tensor:
    """Logarithms of the classes' shares of weights (pixel, entry), which are sorted by class."""
    sums = torch.stack([weight[:, a:b].sum(dim=1) for a, b in itertools.pairwise(starts)], dim=1)
    return sums.div_(sums.sum(dim=1, keepdim=True)).clamp_(min=_FLOOR).log_()
