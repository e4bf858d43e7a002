"""Tell brightness temperatures that are unlike anything in training.

Real pixels fill a thin, bent sheet in the space of the channels: each channel may lie in its
usual range while together they make no sense (swapped channels, interference at one frequency,
a dead receiver). The test is a mixture of normal distributions over the channels, fitted to
training pixels by :func:`xrain.training.outlier_test.fit_outlier_test`; a pixel is an outlier
where its density, that of the nearest component alone, is lower than that of nearly all of them.
Channels that are missing are integrated out: a component keeps the mean and the covariance of
those that are there, and its limit keeps its probability (the Mahalanobis distance of a normal
pixel follows a chi-squared law with as many degrees of freedom as channels).

What no single pixel can tell is a receiver that is stuck: it holds one plausible number scan after
scan, where noise alone would move it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.conventions import match_channels

__all__ = ["STUCK_SCANS", "OutlierTest", "choose_outlier_test", "is_one_number", "stuck_channels"]

Array = NDArray[np.float64]

FEWEST = 3
"""Channels under which nothing can be told."""

STUCK_SCANS = 12
"""Scans in a row over which a channel that works never holds one number."""

STUCK = 0.006
"""Largest step in K from scan to scan that is none: granules hold hundredths of a kelvin."""

SAME = 0.05
"""Spread in K over at least four channels under which they are one number: receiver noise alone,
0.3 K and more, spreads them farther."""

_CHUNK = 16_384  # pixels at once, so that they stay in the processor's cache


@dataclass(frozen=True, eq=False)
class OutlierTest:
    """A fitted test laid out for the channels of a swath.

    Attributes
    ----------
    columns : tuple of int
        Position in the swath of each channel that the test knows.
    means : ndarray, shape (component, channel)
        In K.
    covariances : ndarray, shape (component, channel, channel)
        In K².
    limits : ndarray, shape (component,)
        Of the squared Mahalanobis distance with all of the fitted channels.
    fitted : int
        Channels that the test was fitted with.
    """

    columns: tuple[int, ...]
    means: Array
    covariances: Array
    limits: Array
    fitted: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], names: Sequence[str]) -> OutlierTest:
        """Lay out the ``outliers`` of a model card for channels in their order."""
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

    def find(self, tb: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Find pixels that are unlike training.

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
            out[part] = self._find(x)
        return out.reshape(shape)

    def _find(self, x: NDArray[np.float32]) -> NDArray[np.bool_]:
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
    test: OutlierTest, there: tuple[int, ...]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    from scipy.special import gammaincc, gammainccinv  # it would slow down ``ds.rain``

    pick = list(there)
    tail = np.maximum(gammaincc(test.fitted / 2, test.limits / 2), 1e-300)
    limits = 2 * gammainccinv(len(pick) / 2, tail)
    out = []
    for mean, covariance, limit in zip(test.means, test.covariances, limits, strict=True):
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


def choose_outlier_test(
    tests: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> OutlierTest | None:
    """Choose for a list of channels, of a card's tests, the one that knows most of them.

    Parameters
    ----------
    tests : mapping of str to mapping
        The ``outliers`` of a model card, by instrument.
    names : sequence of str
        Names of the channels.

    Returns
    -------
    OutlierTest or None
        None where none knows three of them. Of several that know as many, the one with the
        fewest channels beside them.
    """
    laid = [OutlierTest.from_dict(values, names) for values in tests.values()]
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


def stuck_channels(tb: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find where a channel holds one number along many scans.

    Receiver noise, 0.3 K and more, moves a channel from scan to scan even where the scene is the
    same: two values within 0.006 K of each other are a matter of some per cent, twelve in a row of
    none. A pixel's answer depends on :data:`STUCK_SCANS` − 1 scans on each side, no farther.

    Parameters
    ----------
    tb : ndarray, shape (scan, pixel, channel)
        Brightness temperature, K; NaN where missing, which ends a run.

    Returns
    -------
    ndarray of bool, shape (scan, pixel, channel)

    Examples
    --------
    >>> import numpy as np
    >>> tb = np.random.default_rng(0).normal(250, 0.5, (40, 5, 2)).astype("f4")
    >>> tb[10:30, :, 1] = 243.21
    >>> stuck_channels(tb).sum(axis=0)[0].tolist()
    [0, 20]
    """
    steps = STUCK_SCANS - 1
    if tb.shape[0] < STUCK_SCANS:
        return np.zeros(tb.shape, bool)
    if not _may_be_stuck(tb):
        return np.zeros(tb.shape, bool)
    same = np.abs(np.diff(tb, axis=0)) < STUCK  # False beside a gap
    whole = _window_sums(same, steps) == steps  # of the steps after a scan
    starts = np.concatenate([np.zeros((steps, *tb.shape[1:]), bool), whole])
    ends = np.concatenate([starts, np.zeros((steps, *tb.shape[1:]), bool)])
    return np.asarray(_window_sums(ends, STUCK_SCANS) > 0)


def _may_be_stuck(tb: NDArray[np.float32]) -> bool:
    """Look at few scans, of which three in a row lie in every run that is long enough."""
    third = STUCK_SCANS // 4
    few = tb[::third]
    same = np.abs(few[1:] - few[:-1]) < STUCK
    scan, pixel, channel = np.nonzero(same[:-1] & same[1:])
    steps = np.arange(2 * third + 1)
    runs = tb[
        np.minimum(scan[:, None] * third + steps, len(tb) - 1), pixel[:, None], channel[:, None]
    ]
    return bool((np.abs(np.diff(runs, axis=1)) < STUCK).all(axis=1).any())


def _window_sums(values: NDArray[np.bool_], width: int) -> NDArray[np.int32]:
    """Add up so many rows from each row on, as long as they are there."""
    count = np.cumsum(values, axis=0, dtype=np.int32)
    out = count[width - 1 :].copy()
    out[1:] -= count[:-width]
    return out
