"""Channels that are sampled at every second pixel only, as the low ones of TMI and AMSR."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fill_between_samples"]

FloatArray = npt.NDArray[np.float32]
_REACH = 3


def fill_between_samples(tb: FloatArray) -> FloatArray:
    """Fill pixels that lie between the samples of a channel.

    A footprint of 10 GHz covers several pixels of 89 GHz, so that half as many samples tell as
    much. Left missing, they would let the estimate jump from pixel to pixel.

    Parameters
    ----------
    tb : ndarray of float32, shape (scan, pixel, channel)
        Brightness temperature in K; NaN where missing.

    Returns
    -------
    ndarray of float32
        The same with the mean of the two neighbours along the scan, at its end that of the one,
        where a channel is there and missing in turn over seven pixels, and another channel is
        there at the pixel itself. Other gaps stay: a pixel that is lost has neighbours on all
        sides, and nothing is known where nothing was measured.

    Examples
    --------
    >>> import numpy as np
    >>> scan = np.float32([[200, np.nan, 204, np.nan, 206, np.nan, 210, np.nan]])
    >>> other = np.full_like(scan, 250)
    >>> fill_between_samples(np.stack([scan, other], axis=-1))[..., 0].tolist()
    [[200.0, 202.0, 204.0, 205.0, 206.0, 208.0, 210.0, 210.0]]
    """
    if tb.shape[1] <= _REACH or not tb.shape[0]:
        return tb
    odd = np.flatnonzero(np.isnan(tb).any(axis=(0, 1)))
    if not odd.size:
        return tb
    out, measured = tb.copy(), np.isfinite(tb).any(axis=-1)
    for k in odd:
        plane = tb[..., k]
        wanted = _between(plane) & measured
        if wanted.any():
            out[..., k] = np.where(wanted, _mean_of_neighbours(plane), plane)
    return out


def _between(plane: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell pixels at which a channel is missing while it is there and missing in turn around."""
    there = np.isfinite(plane)
    out = ~there
    for step in range(1, _REACH + 1):
        for side in (-step, step):
            moved = _moved(there, side, step % 2 == 1)
            out &= moved if step % 2 else ~moved
    return out


def _moved(values: npt.NDArray[Any], by: int, beyond: Any) -> npt.NDArray[Any]:
    """Values of the pixels `by` places on, `beyond` outside the scan."""
    out = np.full_like(values, beyond)
    size = values.shape[1]
    to = slice(max(-by, 0), size - max(by, 0))
    out[:, to] = values[:, max(by, 0) : size + min(by, 0)]
    return out


def _mean_of_neighbours(plane: FloatArray) -> FloatArray:
    left, right = (_moved(plane, by, np.float32(np.nan)) for by in (-1, 1))
    left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    out: FloatArray = (left + right) / np.float32(2)
    return out
