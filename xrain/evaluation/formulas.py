"""Scores computed from sums, so that the sums of many granules, or of drawn groups, suffice.

Every function takes sums along its last axes and keeps the leading ones, such as strata or
bootstrap replicates. What is undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from xrain.evaluation.scores_package import library

__all__ = [
    "FEW_EVENTS",
    "PROBABILITY_EDGES",
    "area_under_curve",
    "contingency_scores",
    "correlation",
    "crps",
    "ratio",
]

Array = NDArray[np.float64]

PROBABILITY_EDGES: Final[Array] = np.unique(
    np.round(np.concatenate([1 / (1 + np.exp(-np.arange(-9, 9.1, 0.15))), np.arange(11) / 10]), 9)
)
"""Edges of the classes of probability: even steps of log-odds, and the tenths."""


FEW_EVENTS: Final = 30
"""Events below which a ratio to the mean reference says nothing: it may be anything."""


def ratio(part: ArrayLike, whole: ArrayLike) -> Array:
    """Divide sums; NaN where the denominator is not positive.

    Examples
    --------
    >>> ratio([1.0, 1.0], [4.0, 0.0]).tolist()
    [0.25, nan]
    """
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan))


def correlation(moments: ArrayLike) -> Array:
    """Pearson correlation from moments.

    Parameters
    ----------
    moments : array_like, shape (..., 6)
        Number of pairs and the sums of x, y, x², y² and x·y.

    Returns
    -------
    ndarray, shape (...)
        NaN where x or y does not vary.

    Examples
    --------
    >>> float(correlation([3, 6.0, 12.0, 14.0, 56.0, 28.0]))
    1.0
    """
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(moments, np.float64), -1, 0)
    mean_x, mean_y = ratio(x, n), ratio(y, n)
    covariance = ratio(xy, n) - mean_x * mean_y
    spread = [np.maximum(ratio(a, n) - m**2, 0) for a, m in ((xx, mean_x), (yy, mean_y))]
    product = np.sqrt(spread[0] * spread[1])
    return np.asarray(np.where(product > 1e-12, np.clip(ratio(covariance, product), -1, 1), np.nan))


def contingency_scores(tables: ArrayLike) -> dict[str, Array]:
    """Scores of detection from a contingency table.

    Parameters
    ----------
    tables : array_like, shape (..., 4)
        Counts of correct negatives, misses, false alarms and hits.

    Returns
    -------
    dict of str to ndarray, shape (...)
        ``pod`` (probability of detection), ``far`` (false-alarm ratio), ``csi`` (critical success
        index) and ``hss`` (Heidke skill score).

    Raises
    ------
    XrainError
        If the package ``scores`` is not installed.

    References
    ----------
    Wilks, D. S. (2019). Statistical Methods in the Atmospheric Sciences, 4th ed., section 9.2.

    Examples
    --------
    >>> float(contingency_scores([940, 10, 20, 30])["pod"])
    0.75
    """
    tables = np.asarray(tables, np.float64)
    names = ("tn_count", "fn_count", "fp_count", "tp_count")
    dims = [f"axis_{k}" for k in range(tables.ndim - 1)]
    counts = {n: xr.DataArray(tables[..., k], dims=dims) for k, n in enumerate(names)}
    table = library("categorical").BasicContingencyManager(
        counts | {"total_count": xr.DataArray(tables.sum(axis=-1), dims=dims)}
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "pod": table.probability_of_detection(),
            "far": table.false_alarm_ratio(),
            "csi": table.critical_success_index(),
            "hss": table.heidke_skill_score(),
        }
    out = {name: np.asarray(value.values, np.float64) for name, value in found.items()}
    wet, dry = tables[..., 1] + tables[..., 3], tables[..., 0] + tables[..., 2]
    out["hss"] = np.where((wet > 0) & (dry > 0), out["hss"], np.nan)
    return out


def area_under_curve(counts: ArrayLike) -> Array:
    """Area under the relative operating characteristic from counts by class of probability.

    Parameters
    ----------
    counts : array_like, shape (..., 2, class)
        Others and events in each class of :data:`PROBABILITY_EDGES`.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    XrainError
        If the package ``scores`` is not installed.
    """
    counts = np.asarray(counts, np.float64)
    if not counts.sum() > 0:  # the package takes no weights of zero alone
        return np.full(counts.shape[:-2], np.nan)
    middle = xr.DataArray((PROBABILITY_EDGES[1:] + PROBABILITY_EDGES[:-1]) / 2, dims="class")
    event = xr.DataArray([0.0, 1.0], dims="event")
    dims = [*(f"axis_{k}" for k in range(counts.ndim - 2)), "event", "class"]
    forecast, truth = xr.broadcast(middle, event)
    found = library("probability").roc_auc(
        forecast,
        truth,
        weights=xr.DataArray(counts, dims=dims),
        reduce_dims=["event", "class"],
        check_args=False,
    )
    return np.asarray(found.values, np.float64)


def crps(loss: ArrayLike, levels: Sequence[float]) -> Array:
    """Continuous ranked probability score from the mean losses of quantiles.

    Twice the integral of the quantile loss over the levels; the loss is zero at the levels 0 and
    1, and interpolated linearly between those given.

    Parameters
    ----------
    loss : array_like, shape (..., level)
        Mean quantile loss in mm/h.
    levels : sequence of float
        Rising levels in (0, 1).

    Returns
    -------
    ndarray, shape (...)
        In mm/h.

    References
    ----------
    Gneiting, T., and Ranjan, R. (2011), doi 10.1198/jbes.2010.08110.

    Examples
    --------
    >>> float(crps([0.25], [0.5]))
    0.25
    """
    loss = np.asarray(loss, np.float64)
    x = np.concatenate([[0.0], levels, [1.0]])
    ends = np.zeros((*loss.shape[:-1], 1))
    return np.asarray(2 * np.trapezoid(np.concatenate([ends, loss, ends], axis=-1), x, axis=-1))
