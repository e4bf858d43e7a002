"""The nearest of many points on the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from xrain.geo.sphere import EARTH_RADIUS

__all__ = ["nearest_points"]

Array = npt.NDArray[Any]

_SAMPLE = 2048
"""Points among which coinciding ones are looked for."""


def nearest_points(points: Array, sought: Array, reach: float = np.inf) -> npt.NDArray[np.int64]:
    """Find the nearest of some points for each of some others.

    Parameters
    ----------
    points : ndarray, shape (..., 3)
        Where to look: on the unit sphere, NaN where unknown.
    sought : ndarray, shape (place, 3)
        For which places, NaN where unknown.
    reach : float, optional
        Farthest distance in km; by default any.

    Returns
    -------
    ndarray of int, shape (place,)
        Index into the flattened points, -1 where none lies within reach.

    Examples
    --------
    >>> axes = np.eye(3)
    >>> nearest_points(axes, np.array([[0.1, 0.99, 0.0], [0.0, 0.0, -1.0]]), 1000.0).tolist()
    [1, -1]
    """
    out = np.full(sought.shape[0], -1, np.int64)
    flat = points.reshape(-1, 3)
    known = np.flatnonzero(np.isfinite(flat[:, 0]))
    wanted = np.flatnonzero(np.isfinite(sought[:, 0]))
    if not (known.size and wanted.size):
        return out
    known = known[_distinct(flat[known])]
    # an unbalanced tree is faster to make, and as fast to ask for points in the order of a swath
    tree = cKDTree(flat[known], balanced_tree=False)
    _, found = tree.query(sought[wanted], distance_upper_bound=reach / EARTH_RADIUS)
    index = np.atleast_1d(found)
    near = index < known.size
    out[wanted[near]] = known[index[near]]
    return out


def _distinct(points: Array) -> npt.NDArray[np.intp] | slice:
    """Find the first of each point where many coincide: each would cost a search of all."""
    some = points[:: max(points.shape[0] // _SAMPLE, 1)]
    if np.unique(some, axis=0).shape[0] > 0.9 * some.shape[0]:
        return slice(None)
    first: npt.NDArray[np.intp] = np.unique(points, axis=0, return_index=True)[1]
    return np.sort(first)
