"""Bring a swath onto a map grid with pyresample."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
    PRECIP_FLAG,
    PRECIP_FLAG_FILL,
    QUALITY,
    QUALITY_FILL,
    QUALITY_FLAGS,
    RETRIEVAL_QUALITY,
)
from xrain.errors import InputError
from xrain.geometry import EARTH_RADIUS, unit_vectors

_RESOLUTION = re.compile(r"^\s*(?P<step>\d*\.?\d+)\s*(deg|degrees?|°)\s*$")

_FILL = {
    RETRIEVAL_QUALITY: QUALITY_FLAGS["no_usable_channel"],
    PRECIP_FLAG: PRECIP_FLAG_FILL,
    QUALITY: QUALITY_FILL,
}


def swath_spacing(latitude: npt.NDArray[Any], longitude: npt.NDArray[Any]) -> float:
    """Largest usual distance between neighbouring pixels of a swath in km.

    The 99th percentile of the distances to the next scan and to the next pixel, so that a few
    jumps of the geolocation do not count.
    """
    points = unit_vectors(latitude, longitude)
    steps = [points[1:] - points[:-1], points[:, 1:] - points[:, :-1]]
    lengths = np.concatenate([np.sqrt((s * s).sum(-1)).ravel() for s in steps])
    lengths = lengths[np.isfinite(lengths)]
    return float(np.percentile(lengths, 99) * EARTH_RADIUS) if lengths.size else 10.0


def area_of(ds: xr.Dataset, area: Any) -> Any:
    """Turn what a user gives as an area into a pyresample AreaDefinition.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``latitude`` and ``longitude``; a resolution covers their box.
    area : AreaDefinition or str
        An area, or a resolution such as ``"0.1deg"``.

    Raises
    ------
    InputError
        If it is neither, or the dataset has no valid position.
    """
    if not isinstance(area, str):
        if hasattr(area, "get_proj_vectors"):
            return area
        raise InputError(f"{area!r} is no area; give an AreaDefinition or a resolution '0.1deg'")
    found = _RESOLUTION.match(area)
    if found is None or float(found["step"]) <= 0:
        raise InputError(f"unknown area {area!r}; give an AreaDefinition or a resolution '0.1deg'")
    return _box(ds, float(found["step"]))


def _box(ds: xr.Dataset, step: float) -> Any:
    from pyresample import create_area_def

    lat, lon = ds[LATITUDE].values, ds[LONGITUDE].values
    use = np.isfinite(lat) & np.isfinite(lon)
    if not use.any():
        raise InputError("the swath has no valid position to make a grid from")
    east, west = _longitude_range(lon[use])
    south, north = float(lat[use].min()), float(lat[use].max())
    low_x, low_y = np.floor(west / step) * step, max(np.floor(south / step) * step, -90.0)
    high_x, high_y = np.ceil(east / step) * step, min(np.ceil(north / step) * step, 90.0)
    width = max(round((high_x - low_x) / step), 1)
    height = max(round((high_y - low_y) / step), 1)
    return create_area_def(
        f"box_{step:g}deg",
        {"proj": "longlat", "datum": "WGS84"},
        area_extent=(low_x, low_y, low_x + width * step, low_y + height * step),
        shape=(height, width),
    )


def _on_globe(area: Any) -> Any:
    """Give the grid points of a geographic area beyond 180 degrees as pyresample wants them."""
    from pyresample import SwathDefinition

    lons, lats = area.get_lonlats()
    if not area.crs.is_geographic or (np.abs(lons) <= 180).all():
        return area
    wrapped = xr.DataArray((lons + 180) % 360 - 180, dims=("y", "x")).chunk()
    return SwathDefinition(wrapped, xr.DataArray(lats, dims=("y", "x")).chunk())


def _longitude_range(lon: npt.NDArray[Any]) -> tuple[float, float]:
    """East and west end of the shortest arc that holds all longitudes; east ≥ west."""
    turned = np.sort(np.unique(np.round(lon % 360, 2)))
    gaps = np.diff(np.append(turned, turned[0] + 360))
    widest = int(np.argmax(gaps))
    if gaps[widest] < 5.0:
        return 180.0, -180.0
    west = float(turned[(widest + 1) % turned.size])
    east = float(turned[widest])
    if west > east:
        west -= 360
    if west >= 180:
        west, east = west - 360, east - 360
    return east, west


def resample(ds: xr.Dataset, area: Any, *, radius_of_influence: float | None = None) -> xr.Dataset:
    """Bring a swath onto a map grid by nearest neighbour.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath with ``latitude`` and ``longitude``.
    area : pyresample.AreaDefinition or str
        The grid, or a resolution such as ``"0.1deg"`` over the swath's box.
    radius_of_influence : float, optional
        Farthest pixel in m; by default three quarters of the diagonal of the swath's widest
        sampling, so that no hole opens inside the swath.

    Returns
    -------
    xarray.Dataset
        Every variable that lies on the swath, on dimensions (y, x); NaN, or the flag for no
        observation, where the swath does not reach. Lazy if `ds` is.

    Raises
    ------
    InputError
        If the area is unknown, or the dataset is no swath with positions.
    """
    from pyresample import SwathDefinition
    from pyresample.kd_tree import XArrayResamplerNN

    _require_swath(ds)
    target = area_of(ds, area)
    lat, lon = ds[LATITUDE], ds[LONGITUDE]
    if radius_of_influence is None:
        radius_of_influence = 0.75 * np.sqrt(2) * swath_spacing(lat.values, lon.values) * 1000
    source = SwathDefinition(lon.chunk(), lat.chunk())
    resampler = XArrayResamplerNN(
        source, _on_globe(target), radius_of_influence=radius_of_influence
    )
    resampler.get_neighbour_info()
    out = {}
    for name, values in ds.data_vars.items():
        if set(lat.dims) <= set(values.dims):
            fill = _FILL.get(str(name), np.nan)
            made = resampler.get_sample_from_neighbour_info(values.chunk(), fill_value=fill)
            made = made.drop_vars("crs", errors="ignore").astype(values.dtype)
            made.attrs = dict(values.attrs)
            out[name] = made if values.chunks else made.compute()
    attrs = {**ds.attrs, "area": target.area_id}
    grid = xr.Dataset(out, attrs=attrs)
    lons, lats = target.get_lonlats()
    if "x" not in grid.coords:
        grid = grid.assign_coords(dict(zip("xy", target.get_proj_vectors(), strict=True)))
    return grid.assign_coords(
        {
            LATITUDE: (("y", "x"), lats.astype(np.float32), ds[LATITUDE].attrs),
            LONGITUDE: (("y", "x"), lons.astype(np.float32), ds[LONGITUDE].attrs),
        }
    )


def _require_swath(ds: xr.Dataset) -> None:
    for name in (LATITUDE, LONGITUDE):
        if name not in ds.variables:
            raise InputError(f"{name} is missing: without positions nothing can be resampled")
        if ds[name].ndim != 2:
            raise InputError(
                f"{name} has dimensions {ds[name].dims}; a swath (scan, pixel) is needed"
            )
