r"""Weigh the entries of a database for pixels each of which lacks other channels.

With a set of channels of its own every pixel has its own precision matrix :math:`A`, the inverse of
the errors' covariance over what was measured. Its squared distance to an entry,

.. math:: (y - y_i)^T A (y - y_i) = y^T A y - 2 y^T A y_i + \sum_{ab} A_{ab} y_{ia} y_{ib},

is linear in the entry's coordinates and their products, so that one product of matrices serves all
pixels, whatever each lacks, and nothing is prepared for a set of channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xrain.models.kernel_search import cut, shares

__all__ = ["GapSearch"]


class GapSearch:
    """A database with one covariance, asked about pixels with gaps.

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
        Largest near distance with all coordinates; in proportion to those that are there.
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
        device, self._near = vectors.device, near
        order = torch.argsort(classes, stable=True)
        starts = torch.searchsorted(classes[order].contiguous(), torch.arange(count + 1).to(device))
        self._starts: list[int] = starts.tolist()
        self._covariance = covariance.double().to(device)
        # Products of whitened coordinates are of order one, and their sums keep their digits.
        self._lower = torch.linalg.cholesky(self._covariance)
        wide = vectors.double()[order]
        self._centre = wide.mean(dim=0)
        points = torch.linalg.solve_triangular(self._lower, (wide - self._centre).T, upper=False)
        rows, columns = torch.triu_indices(len(points), len(points)).to(device)
        self._pairs = rows, columns
        weight = log_weight.to(points)[order]
        self._weight = (weight - weight.amax()).float()
        ones = torch.ones_like(points[:1])
        self._terms = torch.cat([points[rows] * points[columns], points, ones]).float()
        self.before = shares(self._weight.exp()[None], self._starts)

    def __call__(self, measured: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the entries for pixels; see :class:`xrain.models.kernel_search.Search`.

        Parameters
        ----------
        measured : Tensor, shape (pixel, coordinate)
            What was measured, K; NaN where missing.

        Returns
        -------
        logits : Tensor, shape (pixel, class)
            Logarithm of each class's share of the weight.
        far : Tensor of bool, shape (pixel,)
            Where no entry is near.
        """
        logits = measured.new_empty(len(measured), len(self._starts) - 1)
        far = torch.zeros(len(measured), dtype=torch.bool, device=measured.device)
        for part in cut(torch.arange(len(measured), device=measured.device), len(self._weight)):
            there = torch.isfinite(measured[part])
            near = self._near * there.sum(dim=1) / measured.shape[1]
            distance = -2.0 * (self._coefficients(measured[part], there) @ self._terms)
            scores = self._weight - 0.5 * distance.clamp_(min=0.0)
            best = -2.0 * scores.amax(dim=1)
            widening = (best / near).clamp_(min=1.0)
            scores.sub_(self._weight).div_(widening[:, None]).add_(self._weight)
            weight = scores.sub_(scores.amax(dim=1, keepdim=True)).exp_()
            logits[part], far[part] = shares(weight, self._starts), best > near
        return logits, far

    def _coefficients(self, measured: Tensor, there: Tensor) -> Tensor:
        """Make what multiplies the terms to minus half the squared distance, (pixel, term)."""
        mask = there.double()
        both = mask[:, :, None] * mask[:, None, :]
        lone = torch.diag_embed(
            1.0 - mask
        )  # stands for what is missing, so that all can be inverted
        precision = torch.linalg.inv(self._covariance * both + lone) * both
        turned = self._lower.T @ precision @ self._lower
        own = torch.where(there, measured.double() - self._centre, 0.0)
        own = torch.linalg.solve_triangular(self._lower, own.T, upper=False).T
        linear = (turned @ own[:, :, None])[:, :, 0]
        rows, columns = self._pairs
        twice = torch.where(rows == columns, 0.5, 1.0)
        constant = -0.5 * (own * linear).sum(dim=1, keepdim=True)
        return torch.cat([-twice * turned[:, rows, columns], linear, constant], dim=1).float()
