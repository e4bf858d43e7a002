"""Boxes of degrees: which places lie in one, and the part of a dataset that does."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import LATITUDE, LONGITUDE
from xrain.errors import InputError, NoOverlapError
from xrain.naming import known_names

__all__ = ["Extent", "crop", "in_extent", "require_extent"]

Extent = tuple[float, float, float, float]
"""West, east, south and north in degrees; west > east crosses the date line."""


def require_extent(extent: Extent) -> None:
    """Raise an error unless four numbers are a box of degrees.

    Parameters
    ----------
    extent : tuple of float
        West, east, south and north.

    Raises
    ------
    InputError
        If they are not.
    """
    west, east, south, north = extent
    sound = all(map(math.isfinite, extent)) and -90 <= south < north <= 90
    if not (sound and -360 <= west <= 360 and -360 <= east <= 360 and west != east):
        raise InputError(f"extent {tuple(extent)}: give west, east, south, north in degrees")


def in_extent(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, extent: Extent
) -> npt.NDArray[np.bool_]:
    """Say which places lie in a box.

    Parameters
    ----------
    latitude, longitude : array_like
        Degrees north and east, of shapes that broadcast; NaN where unknown.
    extent : tuple of float
        West, east, south and north in degrees.

    Returns
    -------
    ndarray of bool

    Examples
    --------
    >>> in_extent([0.0, 0.0, 0.0], [179.0, -179.0, 0.0], (170, -170, -10, 10)).tolist()
    [True, True, False]
    """
    west, east, south, north = extent
    lat, lon = np.asarray(latitude), np.asarray(longitude)
    with np.errstate(invalid="ignore"):
        inside = (lat >= south) & (lat <= north) & ((lon - west) % 360 <= _width(west, east))
    out: npt.NDArray[np.bool_] = inside & (np.abs(lon) <= 360)
    return out


def _width(west: float, east: float) -> float:
    return (east - west) % 360 or 360.0


def crop(ds: xr.Dataset, extent: Extent) -> xr.Dataset:
    """Cut a dataset to the part that lies in a box.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath, a table of pixels, or a grid, with latitude and longitude. Positions are read;
        everything else stays lazy if it is.
    extent : tuple of float
        West, east, south and north in degrees; west > east crosses the date line.

    Returns
    -------
    xarray.Dataset
        Of a swath every scan and every pixel number of which some pixel lies in the box; of a
        grid its rows and columns. On a grid of degrees that the box crosses at its seam, the
        longitudes go on beyond it, so that they ascend.

    Raises
    ------
    InputError
        If the box makes no sense, or the dataset has no positions.
    NoOverlapError
        If nothing lies in the box.

    See Also
    --------
    xrain.resample : Bring a swath onto a map grid.

    Notes
    -----
    Pixels outside the box stay where their scan and their number are needed; none is masked.
    Crop the rain rather than the temperatures: a pixel at the new edge has lost the neighbours
    that the network would use.

    Examples
    --------
    >>> lat, lon = np.meshgrid(np.arange(5.0), np.arange(120.0, 130.0), indexing="ij")
    >>> ds = xr.Dataset(coords={"lat": (("scan", "pixel"), lat), "lon": (("scan", "pixel"), lon)})
    >>> dict(crop(ds, (122, 124, 1, 2)).sizes)
    {'scan': 2, 'pixel': 3}
    """
    require_extent(extent)
    ds = known_names(ds)
    if LATITUDE not in ds.variables or LONGITUDE not in ds.variables:
        raise InputError("latitude and longitude are needed to crop a dataset")
    lat, lon = ds[LATITUDE], ds[LONGITUDE]
    if lat.dims != lon.dims and set(lat.dims) == set(lon.dims):
        lon = lon.transpose(*lat.dims)
    if lat.dims == lon.dims:
        out = _crop_pixels(ds, lat, in_extent(lat.values, lon.values, extent))
    else:
        out = _crop_degrees(ds, lat, lon, extent)
    if out is None:
        west, east, south, north = extent
        box = f"{south:g} to {north:g}° N, {west:g} to {east:g}° E"
        raise NoOverlapError(f"nothing lies in {box}: choose another box")
    return out


def _crop_pixels(
    ds: xr.Dataset, lat: xr.DataArray, inside: npt.NDArray[np.bool_]
) -> xr.Dataset | None:
    """Crop a swath, a table or a grid with positions of each cell."""
    if not inside.any():
        return None
    kept: dict[Hashable, Any] = {}
    for axis, dim in enumerate(lat.dims):
        others = tuple(k for k in range(lat.ndim) if k != axis)
        used = np.flatnonzero(inside.any(axis=others))
        regular = dim in ds.indexes  # an axis of a map, which stays regular
        kept[dim] = slice(int(used[0]), int(used[-1]) + 1) if regular else used
    return ds.isel(kept)


def _crop_degrees(
    ds: xr.Dataset, lat: xr.DataArray, lon: xr.DataArray, extent: Extent
) -> xr.Dataset | None:
    """Crop a grid whose latitude and longitude are its axes."""
    if lat.ndim != 1 or lon.ndim != 1:
        raise InputError(
            f"latitude has dimensions {lat.dims} and longitude {lon.dims}: those of a swath, a "
            "table or a grid are needed"
        )
    west, east = extent[:2]
    rows = np.flatnonzero(in_extent(lat.values, west, extent))
    beyond = (lon.values - west) % 360
    columns = np.flatnonzero(beyond <= _width(west, east))
    if not (rows.size and columns.size):
        return None
    columns = _from_west(columns, beyond, lon.values)
    out = ds.isel({lat.dims[0]: rows, lon.dims[0]: columns})
    return _continued(out)


def _from_west(columns: Any, beyond: Any, longitude: Any) -> Any:
    """Order columns from the west, or from the east if the grid runs that way."""
    ordered = columns[np.argsort(beyond[columns], kind="stable")]
    eastward = np.median(np.diff(longitude)) >= 0 if longitude.size > 1 else True
    return ordered if eastward else ordered[::-1]


def _continued(ds: xr.Dataset) -> xr.Dataset:
    """Let longitudes go on beyond the seam of the grid."""
    lon = ds[LONGITUDE]
    steps = np.diff(lon.values)
    turns = np.concatenate([[0.0], np.cumsum(-360.0 * np.round(steps / 360.0))])
    if not turns.any():
        return ds
    turn = xr.DataArray(turns.astype(lon.dtype), dims=lon.dims)
    names = [LONGITUDE, *(n for n in (lon.attrs.get("bounds"),) if n in ds.variables)]
    return ds.assign_coords({n: (ds[n] + turn).assign_attrs(ds[n].attrs) for n in names})
