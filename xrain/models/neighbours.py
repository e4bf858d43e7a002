"""Weigh the entries of a database by their distance from what was measured.

With the errors' covariance S = L Lᵀ, vectors times L⁻¹ are apart by the Mahalanobis distance
alone, so all distances of a block of pixels are one product of matrices. On a CPU entries lie in
cells of neighbours, and cells that cannot matter to any pixel of a block are left out; a GPU is
quicker without asking.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Search", "bisect"]

CELL = 48
"""Entries of a cell, at most."""

GROUP = 512
"""Pixels that share one choice of cells, at most."""

BLOCK = 1 << 22
"""Distances held at once."""

FIRST = 6
"""Cells next to a pixel group in which every pixel looks for its nearest entry first."""

NEGLIGIBLE = 2.0 * math.log(1e9)
"""Twice the logarithm by which an entry weighs less than the best before it may be left out."""

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
        Squared Mahalanobis distance up to which an entry counts as a near neighbour.
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
        device = vectors.device
        self.near = near
        lower = torch.linalg.cholesky(covariance.double().cpu())
        whiten = torch.linalg.inv(lower).T
        wide = vectors.double().cpu()
        self._centre = wide.mean(dim=0)
        white = (wide - self._centre) @ whiten
        # Turned so that the first coordinates hold most of the spread: cells get compact.
        turn = torch.linalg.eigh(white.T @ white).eigenvectors.flip(1)
        self._turn = (whiten @ turn).float().to(device)
        self._centre = self._centre.float().to(device)
        points = (white @ turn).float()
        cells = bisect(points.numpy(), CELL)
        order = torch.from_numpy(np.concatenate(cells))
        sizes = torch.tensor([len(c) for c in cells])
        points = points[order]
        owner = torch.repeat_interleave(torch.arange(len(cells)), sizes)
        centres = torch.zeros(len(cells), points.shape[1]).index_add_(0, owner, points)
        centres /= sizes[:, None]
        reach = (points - centres[owner]).norm(dim=1)
        radii = torch.zeros(len(cells)).scatter_reduce_(0, owner, reach, "amax")
        weight = log_weight.float().cpu()[order]
        best = torch.full((len(cells),), -math.inf).scatter_reduce_(0, owner, weight, "amax")
        kinds = torch.nn.functional.one_hot(classes.long().cpu()[order], count).float()
        self._points = points.to(device)
        self._norms = (points**2).sum(dim=1).to(device)
        self._weight, self._kinds = weight.to(device), kinds.to(device)
        self._owner, self._best = owner.to(device), best.to(device)
        self._centres, self._radii = centres.to(device), radii.to(device)

    def __call__(self, measured: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the entries for pixels.

        Where no entry is near, S is widened until the nearest one is.

        Parameters
        ----------
        measured : Tensor, shape (pixel, coordinate)
            What was measured, K.

        Returns
        -------
        logits : Tensor, shape (pixel, class)
            Logarithm of each class's share of the weight.
        nearest : Tensor, shape (pixel,)
            Squared Mahalanobis distance of the nearest entry.
        """
        points = (measured - self._centre) @ self._turn
        logits = points.new_empty(len(points), self._kinds.shape[1])
        nearest = points.new_empty(len(points))
        for rows, entries in self._blocks(points):
            logits[rows], nearest[rows] = self._weigh(points[rows], entries)
        return logits, nearest

    def _blocks(self, points: Tensor) -> Iterator[tuple[Tensor, Tensor | slice]]:
        """Blocks of pixels, each with the entries that may matter to them."""
        if points.is_cuda or len(points) * len(self._points) <= BLOCK:
            yield from self._cut(torch.arange(len(points), device=points.device), slice(None))
            return
        for group in bisect(points.numpy(), GROUP):
            rows = torch.from_numpy(group)
            yield from self._cut(rows, self._candidates(points[rows]))

    def _cut(
        self, rows: Tensor, entries: Tensor | slice
    ) -> Iterator[tuple[Tensor, Tensor | slice]]:
        """Cut rows so that the distances to all entries fit in a block."""
        count = len(self._points) if isinstance(entries, slice) else len(entries)
        room = BLOCK << 4 if rows.is_cuda else BLOCK
        step = max(room // max(count, 1), 1)
        for first in range(0, len(rows), step):
            yield rows[first : first + step], entries

    def _candidates(self, points: Tensor) -> Tensor | slice:
        """Entries of all cells that may hold weight for one of the pixels."""
        apart = torch.cdist(points, self._centres)
        first = apart.mean(dim=0).topk(min(FIRST, len(self._centres)), largest=False).indices
        some = torch.isin(self._owner, first)
        distance = self._distances(points, some)
        widening = (distance.amin(dim=1) / self.near).clamp_(min=1.0)
        best = (distance - 2 * widening[:, None] * self._weight[some]).amin(dim=1)
        least = (apart - self._radii).clamp_(min=0.0).square_()
        least -= 2 * widening[:, None] * self._best
        wanted = (least < (best + NEGLIGIBLE * widening)[:, None]).any(dim=0)
        return slice(None) if bool(wanted.all()) else wanted[self._owner].nonzero()[:, 0]

    def _distances(self, points: Tensor, entries: Tensor | slice) -> Tensor:
        own = (points**2).sum(dim=1, keepdim=True)
        out = torch.addmm(self._norms[entries], points, self._points[entries].T, alpha=-2.0)
        return out.add_(own).clamp_(min=0.0)

    def _weigh(self, points: Tensor, entries: Tensor | slice) -> tuple[Tensor, Tensor]:
        score = self._distances(points, entries)
        nearest = score.amin(dim=1)
        widening = (nearest / self.near).clamp(min=1.0)
        score.div_(widening[:, None]).mul_(-0.5).add_(self._weight[entries])
        score.sub_(score.amax(dim=1, keepdim=True)).exp_()
        share = score @ self._kinds[entries]
        share /= share.sum(dim=1, keepdim=True)
        return share.clamp_(min=_FLOOR).log_(), nearest
