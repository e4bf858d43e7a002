"""Leave out what a product itself calls bad."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    BAND,
    CHANNEL,
    PIXEL,
    QUALITY,
    QUALITY_FLAGS,
    RETRIEVAL_QUALITY,
    SCAN,
    SWATH,
    TB,
)
from xrain.sensors import Sensor

__all__ = ["good_rate", "good_tb"]

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


def good_tb(ds: xr.Dataset, sensor: Sensor) -> npt.NDArray[Any]:
    """Brightness temperatures (scan, pixel, channel) of a granule, NaN where it calls them bad."""
    tb = ds[TB].transpose(SCAN, PIXEL, CHANNEL).values
    if QUALITY not in ds or SWATH not in ds[QUALITY].dims:
        return tb
    groups = {c.name: c.swath for c in sensor.channels}
    quality = ds[QUALITY].transpose(SCAN, PIXEL, SWATH)
    names = [str(s) for s in ds[SWATH].values]
    order = [names.index(groups[str(c)]) for c in ds[CHANNEL].values]
    return np.where((quality.values < 0)[..., order], np.float32(np.nan), tb)


def _first_band(array: xr.DataArray) -> xr.DataArray:
    """Values of the Ku band, which covers the whole swath."""
    return array.isel({BAND: 0}) if BAND in array.dims else array
