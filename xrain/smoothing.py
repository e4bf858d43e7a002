"""Bring a swath group onto another grid by Gaussian-weighted footprint matching."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xrain.geometry import (
    EARTH_RADIUS,
    Match,
    Window,
    is_placed,
    squared_distance,
    unit_vectors,
)


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
    # pyresample's weight is exp(-(r / sigma)²), half at half the width
    sigma = max(_spacing(reference), _spacing(source)) / np.sqrt(4 * np.log(2)) * 1000
    to = SwathDefinition(reference.longitude[here], reference.latitude[here])
    for k in range(values.shape[2]):
        use = there & np.isfinite(values[..., k])
        if use.any():
            grid = SwathDefinition(source.longitude[use], source.latitude[use])
            out[here, k] = kd_tree.resample_gauss(
                grid, values[..., k][use], to, 2 * sigma, sigma, neighbours=64, fill_value=np.nan
            )
    out[~nearest.found] = np.nan
    return out


def _spacing(grid: Window) -> float:
    """Median of the wider of the two spacings of a grid in km."""
    points = unit_vectors(grid.latitude, grid.longitude)
    steps = [
        float(np.nanmedian(np.sqrt(squared_distance(points[1:], points[:-1]))))
        if points.shape[0] > 1
        else 0.0,
        float(np.nanmedian(np.sqrt(squared_distance(points[:, 1:], points[:, :-1]))))
        if points.shape[1] > 1
        else 0.0,
    ]
    return max(max(steps), 1.0 / EARTH_RADIUS) * EARTH_RADIUS
