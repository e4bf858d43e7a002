"""Transects: a radiometer's pixels along the ground track of a radar, with the radar's rain.

The pixels come as they occur in nature, dry ones included, and those of an overpass are
neighbours along the track.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    CHANNEL,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    SCAN,
    SURFACE_PRECIP,
    TB,
    TIME,
)
from xrain.errors import FileFormatError, InputError
from xrain.sensors.describe import find_owner

__all__ = ["OVERPASS", "SCAN_NUMBER", "is_transects", "open_transects", "smooth_along_track",
           "transect_swath"]  # fmt: skip

Array = NDArray[np.float64]

OVERPASS: Final = "overpass"
SCAN_NUMBER: Final = "scan_number"

NEIGHBOURS: Final = 2
"""Pixels before and after one that are averaged with it: five, some 25 km."""

_VARIABLES: Final = (TB, SURFACE_PRECIP, OVERPASS, SCAN_NUMBER, LATITUDE, LONGITUDE)


def is_transects(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of transects, by its variables; False if it cannot be read."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            return OVERPASS in ds.variables and TB in ds and SCAN in ds[TB].dims
    except (OSError, ValueError):
        return False


def open_transects(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a file of transects into memory.

    Parameters
    ----------
    path : path
        NetCDF with ``tb(scan, channel)`` in K, and along ``scan`` ``surface_precip`` in mm/h,
        ``overpass`` and ``scan_number``, ``latitude`` and ``longitude``. What else it holds is
        left out.

    Returns
    -------
    xarray.Dataset
        These variables in the order of overpasses and scans, NaN where unknown, and the attribute
        ``sensor`` of the file, or of the one instrument that has all its channels by name.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is no netCDF.
    InputError
        If a variable is missing.

    Examples
    --------
    >>> ds = xrain.io.transects.open_transects("gmi_corra_conus.nc")  # doctest: +SKIP
    >>> ds.sizes["scan"]  # doctest: +SKIP
    169483
    """
    path = Path(path)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            missing = [n for n in _VARIABLES if n not in opened.variables]
            missing += [CHANNEL] if CHANNEL not in opened.coords else []
            if missing:
                raise InputError(f"{path}: transects need {', '.join(missing)}")
            ds = opened[list(_VARIABLES)].reset_coords().load()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as a netCDF file: {error}") from error
    if set(ds[TB].dims) != {SCAN, CHANNEL}:
        raise InputError(f"{path}: transects need {TB}({SCAN}, {CHANNEL}), not {ds[TB].dims}")
    order = np.lexsort([ds[SCAN_NUMBER].values, ds[OVERPASS].values])
    ds = ds.isel({SCAN: order}).set_coords([LATITUDE, LONGITUDE]).transpose(SCAN, CHANNEL)
    owner = find_owner([str(n) for n in ds[CHANNEL].values])
    if not ds.attrs.get("sensor") and owner is not None:
        ds.attrs["sensor"] = owner.name
    return ds


def transect_swath(ds: xr.Dataset) -> xr.Dataset:
    """Lay transects out as a swath one pixel wide.

    Parameters
    ----------
    ds : xarray.Dataset
        As of :func:`open_transects`.

    Returns
    -------
    xarray.Dataset
        With dimensions (scan, pixel) and a ``time`` (scan) that is of use to tell neighbours
        alone: overpasses lie days apart, scans a second.
    """
    swath = ds.expand_dims({PIXEL: 1}, axis=1).transpose(SCAN, PIXEL, CHANNEL)
    place = {n: ((SCAN, PIXEL), ds[n].values[:, None]) for n in (LATITUDE, LONGITUDE)}
    _, number = np.unique(ds[OVERPASS].values, return_inverse=True)
    second = ds[SCAN_NUMBER].values.astype("m8[s]")
    time = np.datetime64("2000-01-01", "ns") + number.astype("m8[D]") + second
    out = swath.drop_vars([LATITUDE, LONGITUDE, OVERPASS, SCAN_NUMBER])
    return out.assign_coords({**place, TIME: (SCAN, time)})


def smooth_along_track(rate: Array, overpass: NDArray[np.integer]) -> Array:
    """Average a rate over each pixel and two on either side in the same overpass.

    Parameters
    ----------
    rate : ndarray, shape (scan,)
        In the order of overpasses and scans.
    overpass : ndarray of int, shape (scan,)
        What each pixel belongs to.

    Examples
    --------
    >>> smooth_along_track(np.array([5.0, 0, 0, 0, 0, 9]), np.array([1, 1, 1, 1, 1, 2])).tolist()
    [1.6666666666666667, 1.25, 1.0, 0.0, 0.0, 9.0]
    """
    total, count = np.zeros(rate.size), np.zeros(rate.size)
    index = np.arange(rate.size)
    for shift in range(-NEIGHBOURS, NEIGHBOURS + 1):
        other = index + shift
        inside = (other >= 0) & (other < rate.size)
        other = np.where(inside, other, index)
        same = inside & (overpass[other] == overpass)
        total += np.where(same, rate[other], 0.0)
        count += same
    return total / count
