"""Share of land from a packaged mask of 0.1 degrees."""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["land_fraction"]

_STEPS = 8


@functools.cache
def _mask() -> NDArray[np.uint8]:
    """Eighths of land, north to south, from −180 degrees eastward."""
    with resources.files("xrain.data").joinpath("land_fraction.npz").open("rb") as stream:
        mask: NDArray[np.uint8] = np.load(stream)["eighths"]
    return mask


def land_fraction(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.float32]:
    """Share of land around positions, interpolated between cells of 0.1 degrees.

    Parameters
    ----------
    latitude, longitude : array_like
        Degrees north and east, any shapes that broadcast; longitudes may run from −180 or 0.

    Returns
    -------
    array of float32
        0 over the sea (large lakes count as land, as in the GLOBE elevation model from which the
        mask comes) to 1 over land; NaN where a position is NaN or no latitude.

    See Also
    --------
    xrain.retrieve : Takes the land fraction from here.

    References
    ----------
    Natural Earth, https://www.naturalearthdata.com
    """
    mask = _mask()
    rows, columns = mask.shape
    lat, lon = np.broadcast_arrays(
        np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
    )
    good = np.isfinite(lat) & np.isfinite(lon) & (np.abs(lat) <= 90)  # longitudes come round
    y = np.where(good, (90.0 - lat) * rows / 180.0 - 0.5, 0.0)
    x = np.where(good, (lon + 180.0) % 360.0 * columns / 360.0 - 0.5, 0.0)
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = y - y0, x - x0

    def cell(dy: int, dx: int) -> NDArray[np.float64]:
        row = np.clip(y0 + dy, 0, rows - 1)
        return np.asarray(mask[row, (x0 + dx) % columns] / _STEPS)

    north = cell(0, 0) * (1 - fx) + cell(0, 1) * fx
    south = cell(1, 0) * (1 - fx) + cell(1, 1) * fx
    return np.where(good, north * (1 - fy) + south * fy, np.nan).astype(np.float32)
