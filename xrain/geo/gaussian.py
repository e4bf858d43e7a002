"""Gaussian antenna patterns, and a swath group brought onto another grid with one.

The pattern of an antenna is taken as a Gaussian whose width is that at half power. Its weight is
the same everywhere: for the channels of a granule on one grid (here), for maps
(:mod:`xrain.regrid.operators`) and for references (:mod:`xrain.reference.footprint_mean`). The
simulator smooths whole fields by their spectrum instead (:mod:`xrain.simulate.instrument`).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xrain.geo.cells import spacing
from xrain.geo.coregister import Match, Window, is_placed
from xrain.geo.sphere import unit_vectors

CUT: Final = 1.2
"""Distance, in half-power widths, at which the pattern (there 0.02) is cut off. What lies beyond
holds 1.8 % of the whole."""

LEAST: Final = 1.0
"""Least half-power width in km of a pattern onto which a group is brought."""

NEIGHBOURS: Final = 64
"""Most pixels that a mean is made of."""


def pattern(square: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weight of an antenna pattern, exp(-4 ln 2 r²).

    Parameters
    ----------
    square : ndarray
        Squared distance r² from the axis in half-power widths.

    Returns
    -------
    ndarray
        1 on the axis and 1/2 at half a width; 0 beyond `CUT` or where r is NaN.

    Examples
    --------
    >>> pattern(np.array([0.0, 0.25, 4.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    factor = square.dtype.type(-4 * math.log(2))
    with np.errstate(invalid="ignore"):
        out: npt.NDArray[Any] = np.where(square <= CUT**2, np.exp(factor * square), 0)
    return out.astype(square.dtype, copy=False)


def smooth_onto(
    reference: Window, source: Window, values: npt.NDArray[np.generic], nearest: Match
) -> npt.NDArray[np.float32]:
    """Bring `values` onto the reference grid by Gaussian-weighted footprint matching.

    The weight's half-power width is the coarser of the two local samplings, so that fine
    channels are averaged onto a coarse grid and coarse ones are interpolated onto a fine grid.

    Parameters
    ----------
    reference, source : Window
        Positions of the two grids, of one pass.
    values : ndarray, shape (row, column, channel)
        On the source grid; NaN is left out of the average.
    nearest : Match
        Where no sample is near, the result is NaN.

    Returns
    -------
    ndarray of float32, shape (scan, pixel, channel)
    """
    from pyresample import SwathDefinition, kd_tree

    out = np.full((*nearest.row.shape, values.shape[2]), np.nan, np.float32)
    here, there = is_placed(reference), is_placed(source)
    if not (here.any() and there.any()):
        return out
    width = 1000 * max(_spacing(reference), _spacing(source))
    sigma = width / math.sqrt(4 * math.log(2))  # pyresample's weight is exp(-(r / sigma)²)
    to = SwathDefinition(reference.longitude[here], reference.latitude[here])
    for k in range(values.shape[2]):
        use = there & np.isfinite(values[..., k])
        if use.any():
            grid = SwathDefinition(source.longitude[use], source.latitude[use])
            out[here, k] = kd_tree.resample_gauss(
                grid, values[..., k][use], to, CUT * width, sigma, neighbours=NEIGHBOURS,
                fill_value=np.nan,
            )  # fmt: skip
    out[~nearest.found] = np.nan
    return out


def _spacing(grid: Window) -> float:
    """Wider of the two usual spacings of a grid in km."""
    return float(np.nanmax([*spacing(unit_vectors(grid.latitude, grid.longitude)), LEAST]))
