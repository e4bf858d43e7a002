"""Leave out what a product itself calls bad."""

from __future__ import annotations

from typing import Final

import xarray as xr

from xrain.conventions import BAND, QUALITY, QUALITY_FLAGS, RETRIEVAL_QUALITY

__all__ = ["good_rate"]

_DROPPED: Final = ("bad_geolocation", "no_usable_channel", "suspect_radiance")
_LOW_QUALITY: Final = 2
"""From this value on, 2A radar ("bad") and GPROF ("extreme care") pixels are left out."""


def good_rate(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Rain rate of a product or of a retrieval, NaN where its own flags call it bad.

    Parameters
    ----------
    ds : xarray.Dataset
        As of :func:`xrain.open_reference` or :func:`xrain.retrieve`.
    name : str
        The rate.
    """
    rate = ds[name]
    if RETRIEVAL_QUALITY in ds.variables:
        bits = sum(QUALITY_FLAGS[n] for n in _DROPPED)
        return rate.where((ds[RETRIEVAL_QUALITY].fillna(0).astype(int) & bits) == 0)
    if "scan_quality" in ds.variables:
        rate = rate.where(_first_band(ds["scan_quality"]) == 0)
    if QUALITY in ds.variables and not str(ds.attrs.get("product", "")).startswith("2B"):
        quality = _first_band(ds[QUALITY])
        rate = rate.where((quality >= 0) & (quality < _LOW_QUALITY))
    return rate


def _first_band(array: xr.DataArray) -> xr.DataArray:
    """Values of the Ku band, which covers the whole swath."""
    return array.isel({BAND: 0}) if BAND in array.dims else array
