"""Scores of estimates against truth: pure functions of arrays.

Every function takes arrays of one shape, counts along the last axis and leaves the others; a
pair with a NaN does not count. The scores themselves come from the package ``scores`` wherever
it has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from xrain.evaluation.scores_package import library

__all__ = [
    "bootstrap_intervals",
    "event_scores",
    "probability_scores",
    "quantile_coverage",
    "rate_scores",
]

Array = NDArray[np.float64]
Scores = dict[str, Array]

_SAMPLE = "sample"
_BATCH = 2_000_000  # resampled values held at once


def _labelled(*values: ArrayLike) -> list[xr.DataArray]:
    """Wrap arrays for ``scores``, with NaN in all wherever one has it."""
    arrays = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in values))
    lost = np.any([np.isnan(a) for a in arrays], axis=0)
    dims = [*(f"axis_{i}" for i in range(lost.ndim - 1)), _SAMPLE]
    return [xr.DataArray(np.where(lost, np.nan, a), dims=dims) for a in arrays]


def rate_scores(estimate: ArrayLike, truth: ArrayLike) -> Scores:
    """Score rates.

    Parameters
    ----------
    estimate, truth : array_like, shape (..., sample)
        Rates in mm/h.

    Returns
    -------
    dict of str to ndarray, shape (...)
        ``correlation`` (Pearson), ``rmse``, ``mae`` and ``bias`` (estimate − truth) in mm/h, and
        ``relative_bias``, the bias as a share of the mean truth. NaN where undefined.

    Raises
    ------
    XrainError
        If the package ``scores`` is not installed.
    """
    continuous = library("continuous")
    pearson = library("continuous.correlation").pearsonr
    f, o = _labelled(estimate, truth)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "correlation": pearson(f, o, reduce_dims=_SAMPLE),
            "rmse": continuous.rmse(f, o, reduce_dims=_SAMPLE),
            "mae": continuous.mae(f, o, reduce_dims=_SAMPLE),
            "bias": continuous.additive_bias(f, o, reduce_dims=_SAMPLE),
            "relative_bias": continuous.multiplicative_bias(f, o, reduce_dims=_SAMPLE) - 1.0,
        }
    return {name: np.asarray(value.values, np.float64) for name, value in found.items()}


def event_scores(forecast: ArrayLike, event: ArrayLike) -> Scores:
    """Score a detection.

    Parameters
    ----------
    forecast, event : array_like, shape (..., sample)
        1 for yes, 0 for no.

    Returns
    -------
    dict of str to ndarray, shape (...)
        ``pod`` (probability of detection), ``far`` (false-alarm ratio), ``csi`` (critical success
        index) and ``hss`` (Heidke skill score); NaN where undefined.

    Raises
    ------
    XrainError
        If the package ``scores`` is not installed.
    """
    f, o = _labelled(forecast, event)
    table = library("categorical").BinaryContingencyManager(f, o).transform(reduce_dims=_SAMPLE)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "pod": table.probability_of_detection(),
            "far": table.false_alarm_ratio(),
            "csi": table.critical_success_index(),
            "hss": table.heidke_skill_score(),
        }
    return {name: np.asarray(value.values, np.float64) for name, value in found.items()}


def probability_scores(probability: ArrayLike, event: ArrayLike) -> Scores:
    """Score probabilities.

    Parameters
    ----------
    probability : array_like, shape (..., sample)
        Between 0 and 1.
    event : array_like, shape (..., sample)
        1 where it happened, else 0.

    Returns
    -------
    dict of str to ndarray, shape (...)
        ``auc``, the area under the relative operating characteristic, and ``brier``, the mean
        squared error of the probability.

    Raises
    ------
    XrainError
        If the package ``scores`` is not installed.
    """
    probabilistic = library("probability")
    p, o = _labelled(probability, event)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "auc": probabilistic.roc_auc(p, o, reduce_dims=_SAMPLE),
            "brier": probabilistic.brier_score(p, o, reduce_dims=_SAMPLE),
        }
    return {name: np.asarray(value.values, np.float64) for name, value in found.items()}


def quantile_coverage(quantile: ArrayLike, truth: ArrayLike) -> Array:
    """Share of truths at or under a quantile, which should be its level; shape (...)."""
    q, o = (x.values for x in _labelled(quantile, truth))
    return _share(o <= q, o)


def _share(hits: NDArray[np.bool_], truth: Array) -> Array:
    count = np.isfinite(truth).sum(axis=-1)
    share = (hits & np.isfinite(truth)).sum(axis=-1) / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, share, np.nan))


def bootstrap_intervals(
    score: Callable[..., Mapping[str, Array]],
    arrays: Sequence[ArrayLike],
    groups: ArrayLike,
    replicates: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Give percentile intervals of scores by drawing whole groups with replacement.

    Pixels of one day share their weather, so single pixels are no independent draws: days are
    (the block bootstrap of Efron and Tibshirani 1993, ch. 8, with days for blocks).

    Parameters
    ----------
    score : callable
        Takes `arrays` with an axis of replicates before the last one, gives scores by name.
    arrays : sequence of array_like, shape (sample,)
        What is scored.
    groups : array_like, shape (sample,)
        What belongs together, such as the day.
    replicates : int
        How many times to draw.
    seed : int
        Seed of the draws.
    level : float
        Probability that the interval holds.

    Returns
    -------
    dict of str to tuple of float
        Lower and upper bound by name of the score; NaN if it is defined in no draw.
    """
    values = [np.asarray(a, np.float64) for a in arrays]
    rng = np.random.default_rng(seed)
    members = _members(np.asarray(groups))
    batch = max(_BATCH // max(values[0].size, 1), 1)
    drawn: dict[str, list[Array]] = {}
    for first in range(0, replicates, batch):
        index = _draw(members, min(batch, replicates - first), rng)
        picked = [np.where(index < 0, np.nan, v[index]) for v in values]
        for name, found in score(*picked).items():
            drawn.setdefault(name, []).append(found)
    tails = (0.5 - level / 2, 0.5 + level / 2)
    return {name: _bounds(np.concatenate(found), tails) for name, found in drawn.items()}


def _members(groups: NDArray[Any]) -> list[NDArray[np.intp]]:
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])


def _draw(
    members: list[NDArray[np.intp]], replicates: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """List the pixels of each draw by their index, filled up with −1."""
    draws = rng.integers(len(members), size=(replicates, len(members)))
    rows = [np.concatenate([members[k] for k in draw]) for draw in draws]
    out = np.full((replicates, max(map(len, rows))), -1)
    for k, row in enumerate(rows):
        out[k, : len(row)] = row
    return out


def _bounds(found: Array, tails: tuple[float, float]) -> tuple[float, float]:
    good = found[np.isfinite(found)]
    if not good.size:
        return np.nan, np.nan
    low, high = np.quantile(good, tails)
    return float(low), float(high)
