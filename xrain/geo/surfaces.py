"""Surface classes: ocean, land, and the rest, which is coast and ice."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from xrain.conventions import LATITUDE, LONGITUDE
from xrain.geo.land import land_fraction

__all__ = ["SHARE", "SURFACES", "dataset_surfaces", "surface_index", "surface_masks"]

SURFACES = ("ocean", "land", "rest")
"""Names of the surface classes; the rest is coast and ice."""

LAND_FRACTION = "land_fraction"
SEA_ICE_FRACTION = "sea_ice_fraction"
SHARE = 0.01
"""Share of another surface from which on a pixel belongs to neither ocean nor land."""


def surface_masks(
    land: ArrayLike, sea_ice: ArrayLike | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Tell ocean, land and the rest (coast and ice) apart.

    Parameters
    ----------
    land : array_like
        Land fraction, 0 to 1.
    sea_ice : array_like, optional
        Sea-ice fraction, 0 to 1; NaN is no ice.

    Returns
    -------
    dict of str to ndarray of bool
        ``ocean``: less than 1 % of land and of ice; ``land``: more than 99 % of land; ``rest``.
    """
    land = np.asarray(land, np.float64)
    frozen = np.zeros(land.shape, bool) if sea_ice is None else np.asarray(sea_ice) >= SHARE
    ocean = (land < SHARE) & ~frozen
    solid = land > 1 - SHARE
    return {"ocean": ocean, "land": solid, "rest": ~ocean & ~solid}


def surface_index(land: ArrayLike, sea_ice: ArrayLike | None = None) -> NDArray[np.intp]:
    """Tell surfaces apart by their position in :data:`SURFACES`; unknown is the rest.

    Parameters
    ----------
    land, sea_ice
        As for :func:`surface_masks`.

    Examples
    --------
    >>> surface_index([0.0, 1.0, 0.3, 0.0], [0.0, 0.0, 0.0, 0.5]).tolist()
    [0, 1, 2, 2]
    """
    masks = surface_masks(land, sea_ice)
    return np.select([masks["ocean"], masks["land"]], [0, 1], 2)


def dataset_surfaces(ds: xr.Dataset) -> dict[str, NDArray[np.bool_]]:
    """Surface masks of a dataset: from its own fractions, else from the packaged land mask."""
    if LAND_FRACTION in ds:
        land = ds[LAND_FRACTION].values
    else:
        land = land_fraction(ds[LATITUDE].values, ds[LONGITUDE].values)
    ice = ds[SEA_ICE_FRACTION].values if SEA_ICE_FRACTION in ds else None
    return surface_masks(land, ice)
