"""Fit what tells brightness temperatures that are unlike anything in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.errors import InputError

__all__ = ["COMPONENTS", "fit_outlier_test"]

Array = NDArray[np.float64]

COMPONENTS = 8
SHARE = 0.002
"""Share of training pixels that the limit leaves outside."""

NOISE = 1.0
"""Variance in K² that every component has at least in every direction."""

SAMPLES = 40_000
ROUNDS = 60
_DIGITS = 6


def fit_outlier_test(
    tb: NDArray[np.floating[Any]],
    channels: Sequence[str],
    *,
    components: int = COMPONENTS,
    share: float = SHARE,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a mixture of normal distributions to training pixels.

    Parameters
    ----------
    tb : ndarray, shape (sample, channel)
        Brightness temperature, K: what the model saw in training, simulated and real, in the
        proportion in which it saw them. Rows with a NaN are left out.
    channels : sequence of str
        Names of the channels.
    components : int
        Normal distributions of the mixture.
    share : float
        Share of the pixels that shall count as outliers.
    seed : int
        Seed of the start of the expectation-maximisation.

    Returns
    -------
    dict
        Plain values for the ``outliers`` of a model card: ``channels``, ``share``, and for each
        component ``mean`` (K), ``covariance`` (K²) and ``limit`` of the squared Mahalanobis
        distance, in the order in which they are best asked.

    Raises
    ------
    InputError
        If there are too few complete rows, or shapes do not fit.

    References
    ----------
    Dempster, A. P., N. M. Laird and D. B. Rubin (1977), Maximum likelihood from incomplete data
    via the EM algorithm, J. R. Stat. Soc. B, 39, 1-38.
    """
    from sklearn.mixture import GaussianMixture

    x = _complete_rows(tb, channels, components)
    x = x[np.random.default_rng(seed).permutation(len(x))[:SAMPLES]]
    mixture = GaussianMixture(
        components, reg_covar=NOISE, max_iter=ROUNDS, init_params="k-means++", random_state=seed
    ).fit(x)
    means, covariances = mixture.means_, mixture.covariances_
    distances = np.stack(
        [_distance(x, m, c) for m, c in zip(means, covariances, strict=True)], axis=1
    )
    offsets = np.linalg.slogdet(covariances)[1] - 2 * np.log(mixture.weights_)
    limit = float(np.quantile((distances + offsets).min(axis=1), 1 - share))
    limits = limit - offsets
    return {
        "channels": list(channels),
        "share": share,
        "components": [
            {
                "mean": _rounded(means[k]),
                "covariance": [_rounded(row) for row in covariances[k]],
                "limit": _rounded(limits[k : k + 1])[0],
            }
            for k in _best_order(distances <= limits)
            if limits[k] > 0
        ],
    }


def _complete_rows(
    tb: NDArray[np.floating[Any]], channels: Sequence[str], components: int
) -> Array:
    x = np.asarray(tb, np.float64)
    if x.ndim != 2 or x.shape[1] != len(channels):
        raise InputError(f"tb has shape {x.shape}; (sample, {len(channels)}) is needed")
    x = x[np.isfinite(x).all(axis=1)]
    needed = 20 * components * x.shape[1]
    if len(x) < needed:
        raise InputError(
            f"a mixture of {components} components over {x.shape[1]} channels needs at least "
            f"{needed} complete pixels; there are {len(x)}"
        )
    return x


def _distance(x: Array, mean: Array, covariance: Array) -> Array:
    """Squared Mahalanobis distances."""
    z = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T)
    return np.asarray((z**2).sum(axis=0))


def _best_order(inside: NDArray[np.bool_]) -> list[int]:
    """Order of components in which the most pixels are accepted soonest."""
    left, order = np.ones(len(inside), bool), list[int]()
    while len(order) < inside.shape[1]:
        gain = inside[left].sum(axis=0)
        gain[order] = -1
        order.append(int(gain.argmax()))
        left &= ~inside[:, order[-1]]
    return order


def _rounded(values: Array) -> list[float]:
    return [float(f"{v:.{_DIGITS}g}") for v in values]
