"""Tell brightness temperatures that are unlike anything in training.

Real pixels fill a thin, bent sheet in the space of the channels: each channel may lie in its
usual range while together they make no sense (swapped channels, interference at one frequency,
a dead receiver). The detector is a mixture of normal distributions over the channels, fitted to
training pixels; a pixel is strange where its density, that of the nearest component alone, is
lower than that of nearly all of them. Channels that are missing are integrated out: a component
keeps the mean and the covariance of those that are there, and its limit keeps its probability
(the Mahalanobis distance of a normal pixel follows a chi-squared law with as many degrees of
freedom as channels).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.conventions import match_channels
from xrain.errors import InputError

__all__ = ["Detector", "choose_detector", "fit_detector", "is_one_number"]

Array = NDArray[np.float64]

COMPONENTS = 8
SHARE = 0.002
"""Share of training pixels that the limit leaves outside."""

NOISE = 1.0
"""Variance in K² that every component has at least in every direction."""

SAMPLES = 40_000
ROUNDS = 60
FEWEST = 3
"""Channels under which nothing can be told."""

SAME = 0.05
"""Spread in K over at least four channels under which they are one number: receiver noise alone,
0.3 K and more, spreads them farther."""

_CHUNK = 16_384  # pixels at once, so that they stay in the processor's cache
_DIGITS = 6


def fit_detector(
    tb: NDArray[np.floating[Any]],
    channels: Sequence[str],
    *,
    components: int = COMPONENTS,
    share: float = SHARE,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a detector to training pixels.

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
        Share of the pixels that shall count as strange.
    seed : int
        Seed of the start of the expectation-maximisation (Dempster et al. 1977).

    Returns
    -------
    dict
        Plain values for the ``detector`` of a model card: ``channels``, ``share``, and for each
        component ``mean`` (K), ``covariance`` (K²) and ``limit`` of the squared Mahalanobis
        distance, in the order in which they are best asked.

    Raises
    ------
    InputError
        If there are too few complete rows, or shapes do not fit.
    """
    x = np.asarray(tb, np.float64)
    if x.ndim != 2 or x.shape[1] != len(channels):
        raise InputError(f"tb has shape {x.shape}; (sample, {len(channels)}) is needed")
    x = x[np.isfinite(x).all(axis=1)]
    if len(x) < 20 * components * x.shape[1]:
        raise InputError(
            f"a detector of {components} components over {x.shape[1]} channels needs at least "
            f"{20 * components * x.shape[1]} complete pixels; there are {len(x)}"
        )
    rng = np.random.default_rng(seed)
    x = x[rng.permutation(len(x))[:SAMPLES]]
    weights, means, covariances = _fit_mixture(x, components, rng)
    distances = np.stack(
        [_distance(x, m, c) for m, c in zip(means, covariances, strict=True)], axis=1
    )
    offsets = np.linalg.slogdet(covariances)[1] - 2 * np.log(weights)
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


def _fit_mixture(x: Array, components: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Weights, means and covariances by expectation-maximisation."""
    from scipy.special import logsumexp

    share = _start(x, components, rng)
    for _ in range(ROUNDS):
        total = share.sum(axis=0) + 1e-9
        means = share.T @ x / total[:, None]
        covariances = np.stack([_covariance(x, means[k], share[:, k]) for k in range(components)])
        weights = total / total.sum()
        log = np.stack(
            [_distance(x, m, c) for m, c in zip(means, covariances, strict=True)], axis=1
        )
        log = np.log(weights) - 0.5 * (log + np.linalg.slogdet(covariances)[1])
        share = np.exp(log - logsumexp(log, axis=1, keepdims=True))
    return weights, means, covariances


def _start(x: Array, components: int, rng: np.random.Generator) -> Array:
    """Give each pixel to the nearest of centres that are drawn far apart (k-means++)."""
    scale = np.linalg.cholesky(np.cov(x.T) + NOISE * np.eye(x.shape[1]))
    z = np.linalg.solve(scale, x.T).T
    near = np.full(len(x), np.inf)
    owner = np.zeros(len(x), int)
    pick = int(rng.integers(len(x)))
    for k in range(components):
        distance = ((z - z[pick]) ** 2).sum(axis=1)
        owner[distance < near] = k
        near = np.minimum(near, distance)
        pick = int(rng.choice(len(x), p=near / near.sum()))
    return np.eye(components)[owner]


def _covariance(x: Array, mean: Array, share: Array) -> Array:
    centred = x - mean
    spread = (centred.T * share) @ centred / (share.sum() + 1e-9)
    return np.asarray(spread + NOISE * np.eye(x.shape[1]))


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


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted detector laid out for the channels of a swath.

    Attributes
    ----------
    columns : tuple of int
        Position in the swath of each channel that the detector knows.
    means : ndarray, shape (component, channel)
        In K.
    covariances : ndarray, shape (component, channel, channel)
        In K².
    limits : ndarray, shape (component,)
        Of the squared Mahalanobis distance with all of the fitted channels.
    fitted : int
        Channels that the detector was fitted with.
    """

    columns: tuple[int, ...]
    means: Array
    covariances: Array
    limits: Array
    fitted: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], names: Sequence[str]) -> Detector:
        """Lay out what :func:`fit_detector` returned for channels in their order."""
        found = match_channels(list(names), list(values["channels"]))
        own = [i for i, column in enumerate(found) if column is not None]
        parts = values["components"]
        covariances = np.array([p["covariance"] for p in parts], np.float64)
        return cls(
            tuple(column for column in found if column is not None),
            np.array([p["mean"] for p in parts], np.float64)[:, own],
            covariances[:, own][:, :, own],
            np.array([p["limit"] for p in parts], np.float64),
            len(values["channels"]),
        )

    def strange(self, tb: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell pixels that are unlike training.

        Parameters
        ----------
        tb : ndarray, shape (..., channel)
            Brightness temperature, K; NaN where missing.

        Returns
        -------
        ndarray of bool, shape (...)
            False where fewer than three known channels are there.
        """
        shape, tb = tb.shape[:-1], tb.reshape(-1, tb.shape[-1])
        out = np.zeros(len(tb), bool)
        whole = self.columns == tuple(range(tb.shape[1]))
        for first in range(0, len(tb), _CHUNK):
            part = slice(first, first + _CHUNK)
            x = tb[part] if whole else tb[part][:, self.columns]
            out[part] = self._strange(x)
        return out.reshape(shape)

    def _strange(self, x: NDArray[np.float32]) -> NDArray[np.bool_]:
        gaps = np.isnan(x)
        if not gaps.any():
            return self._outside(x, tuple(range(x.shape[1])))
        out = np.zeros(len(x), bool)
        patterns, owner = np.unique(_codes(gaps), return_inverse=True)
        for k in range(len(patterns)):
            rows = np.flatnonzero(owner == k)
            there = tuple(int(c) for c in np.flatnonzero(~gaps[rows[0]]))
            out[rows] = self._outside(x[rows][:, there], there)
        return out

    def _outside(self, x: NDArray[np.float32], there: tuple[int, ...]) -> NDArray[np.bool_]:
        """Ask the components one by one about the pixels that none has accepted yet."""
        if len(there) < FEWEST:
            return np.zeros(len(x), bool)
        left = np.arange(len(x))
        for mean, whitening, limit in self._marginals(there):
            z = (x[left] - mean) @ whitening
            left = left[~(np.einsum("ij,ij->i", z, z) <= limit)]
            if not left.size:
                break
        out = np.zeros(len(x), bool)
        out[left] = True
        return out

    def _marginals(
        self, there: tuple[int, ...]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
        """Mean, whitening matrix and limit of each component over the channels that are there."""
        return _marginals(self, there)


@functools.lru_cache(maxsize=4096)
def _marginals(
    detector: Detector, there: tuple[int, ...]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    from scipy.special import gammaincc, gammainccinv  # it would slow down ``ds.rain``

    pick = list(there)
    tail = np.maximum(gammaincc(detector.fitted / 2, detector.limits / 2), 1e-300)
    limits = 2 * gammainccinv(len(pick) / 2, tail)
    out = []
    for mean, covariance, limit in zip(detector.means, detector.covariances, limits, strict=True):
        whitening = np.linalg.inv(np.linalg.cholesky(covariance[np.ix_(pick, pick)])).T
        out.append((mean[pick].astype(np.float32), whitening.astype(np.float32), float(limit)))
    return out


def _codes(gaps: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Tell each row's pattern by one number."""
    packed = np.packbits(gaps, axis=1)
    code = np.zeros(len(gaps), np.int64)
    for column in packed.T:
        code = (code << 8) | column
    return code


def choose_detector(
    detectors: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> Detector | None:
    """Choose for a list of channels, of a card's detectors, the one that knows most of them.

    Parameters
    ----------
    detectors : mapping of str to mapping
        What :func:`fit_detector` returned, by instrument.
    names : sequence of str
        Names of the channels.

    Returns
    -------
    Detector or None
        None where none knows three of them. Of several that know as many, the one with the
        fewest channels beside them.
    """
    laid = [Detector.from_dict(values, names) for values in detectors.values()]
    best = max(laid, key=lambda d: (len(d.columns), -d.fitted), default=None)
    return best if best is not None and len(best.columns) >= FEWEST else None


def is_one_number(tb: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell pixels whose channels, four or more, all hold the same number, shape (...)."""
    last = tb.shape[-1] - 1
    same = np.full(tb.shape[:-1], last >= 3)
    for a, b in {(0, last), (0, last // 2), (0, 1 if last else 0)}:
        same &= ~(np.abs(tb[..., a] - tb[..., b]) >= SAME)  # a gap says nothing yet
    few = tb[same]
    spread = np.fmax.reduce(few, axis=-1) - np.fmin.reduce(few, axis=-1)
    same[same] = (spread < SAME) & (np.isfinite(few).sum(axis=-1) >= 4)
    return same
