"""The cells that values are brought to: a map grid, or the pixels of another swath."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import LATITUDE, LONGITUDE
from xrain.errors import InputError
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors
from xrain.regrid.areas import area_of, is_plain

__all__ = ["Target", "cell_index", "cell_size", "grid_position", "require_swath", "target_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Target:
    """Cells that values are brought to.

    Attributes
    ----------
    name : str
        What the attribute ``area`` of the result says.
    dims : tuple of str
        The two dimensions of the result.
    latitude, longitude : ndarray, shape (row, column)
        Centres in degrees; NaN where a map shows no place on earth.
    coords : dict
        Further coordinates of the result.
    area : AreaDefinition or None
        The grid; None for a swath.
    """

    name: str
    dims: tuple[str, str]
    latitude: Array
    longitude: Array
    coords: dict[str, Any] = field(default_factory=dict)
    area: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.latitude.shape[0], self.latitude.shape[1]

    def places(self, cells: Array) -> tuple[Array, Array]:
        """Latitude and longitude in degrees, float64, of cells by their flat index."""
        at = np.divmod(cells, self.shape[1])
        return self.latitude[at].astype(np.float64), self.longitude[at].astype(np.float64)


def target_of(ds: xr.Dataset, area: Any) -> Target:
    """Turn what a user gives as an area into cells.

    Parameters
    ----------
    ds : xarray.Dataset
        The swath to be resampled, with ``latitude`` and ``longitude``.
    area : AreaDefinition, DynamicAreaDefinition, str, xarray.Dataset or SwathDefinition
        As in :func:`xrain.resample`.

    Returns
    -------
    Target

    Raises
    ------
    InputError
        If it is nothing of that kind, or a grid of too many cells.
    """
    if isinstance(area, xr.Dataset):
        return _swath_target(area)
    if hasattr(area, "get_lonlats") and not hasattr(area, "get_proj_vectors"):
        return _definition_target(area)
    return _area_target(area_of(ds, area))


def _area_target(area: Any) -> Target:
    x, y = (np.asarray(v, np.float64) for v in area.get_proj_vectors())
    if is_plain(area.crs):
        shape = (y.size, x.size)
        lon = x + area.crs.prime_meridian.longitude
        lon = np.where(np.abs(lon) > 180, (lon + 180) % 360 - 180, lon)
        lons = np.broadcast_to(lon, shape)
        lats = np.broadcast_to(y[:, None], shape)
    elif area.crs.is_geographic:  # a rotated pole, whose degrees are none of latitude
        lons, lats = _rotation(area.crs).transform(*np.meshgrid(x, y), direction="INVERSE")
    else:
        lons, lats = area.get_lonlats()
        lats = np.where(np.isfinite(lons), lats, np.nan)
        lons = np.where(np.isfinite(lats), lons, np.nan)
    return Target(str(area.area_id), ("y", "x"), lats, lons, {"y": y, "x": x}, area)


def _swath_target(ds: xr.Dataset) -> Target:
    require_swath(ds)
    lat, lon = ds[LATITUDE], ds[LONGITUDE]
    dims = (str(lat.dims[0]), str(lat.dims[1]))
    kept = {str(n): c for n, c in ds.coords.items() if set(c.dims) <= set(dims) and c.ndim}
    coords = {n: c.variable for n, c in kept.items() if n not in (LATITUDE, LONGITUDE)}
    name = " ".join(str(ds.attrs[k]) for k in ("sensor", "platform") if ds.attrs.get(k))
    lats, lons = lat.values, lon.transpose(*dims).values
    return Target(name or "swath", dims, lats, lons, coords)


def _definition_target(swath: Any) -> Target:
    lons, lats = (np.asarray(v) for v in swath.get_lonlats())
    if lats.ndim != 2:
        raise InputError(f"a swath to resample to needs two dimensions, this has {lats.ndim}")
    dims = getattr(swath.lons, "dims", ("y", "x"))
    return Target("swath", (str(dims[0]), str(dims[1])), lats, lons)


def require_swath(ds: xr.Dataset) -> None:
    """Raise an error unless a dataset has positions over two dimensions.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath.

    Raises
    ------
    InputError
        If it has none.
    """
    for name in (LATITUDE, LONGITUDE):
        if name not in ds.variables:
            raise InputError(f"{name} is missing: without positions nothing can be resampled")
        if ds[name].ndim != 2:
            raise InputError(
                f"{name} has dimensions {ds[name].dims}; a swath (scan, pixel) is needed"
            )
    if set(ds[LATITUDE].dims) != set(ds[LONGITUDE].dims):
        raise InputError(
            f"{LATITUDE} has dimensions {ds[LATITUDE].dims}, but {LONGITUDE} {ds[LONGITUDE].dims}"
        )


# ---- places in a grid


def cell_index(target: Target, latitude: Array, longitude: Array) -> npt.NDArray[np.int64]:
    """Flat index of the grid cell that holds each place, −1 outside; for areas only.

    Parameters
    ----------
    target : Target
        With an area.
    latitude, longitude : ndarray of float64
        In degrees; not finite where unknown.

    Returns
    -------
    ndarray of int
    """
    column, row = grid_position(target, latitude, longitude)
    rows, columns = target.shape
    with np.errstate(invalid="ignore"):
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    flat = np.full(np.shape(latitude), -1, np.int64)
    flat[inside] = row[inside].astype(np.int64) * columns + column[inside].astype(np.int64)
    return flat


def grid_position(target: Target, latitude: Array, longitude: Array) -> tuple[Array, Array]:
    """Fractional column and row of places in an area, 0 at its first corner.

    Rows may run from the north or the south, columns from the west or the east.

    Parameters
    ----------
    target : Target
        With an area.
    latitude, longitude : ndarray of float64
        In degrees.

    Returns
    -------
    column, row : ndarray
    """
    area = target.area
    first, last, end, begin = area.area_extent  # left, lower, right, upper edge
    rows, columns = target.shape
    wide, high = (end - first) / columns, (last - begin) / rows
    if not is_plain(area.crs):
        x, y = _project(area.crs, longitude, latitude)
        if not area.crs.is_geographic:
            return (x - first) / wide, (y - begin) / high
        longitude, latitude = x, y
    else:
        longitude = longitude - area.crs.prime_meridian.longitude
    # rounding must not push the first edge to the other end of the globe
    along = (longitude - first) * np.sign(wide)
    x = (along + 1e-9) % 360.0 - 1e-9
    return x / abs(wide), (latitude - begin) / high


def _project(crs: Any, longitude: Array, latitude: Array) -> tuple[Array, Array]:
    """Coordinates of places in a map; infinite where it does not show them."""
    from pyproj import Proj

    if crs.is_geographic:
        x, y = _rotation(crs).transform(longitude, latitude)
    else:
        x, y = Proj(crs)(longitude, latitude)
    return np.asarray(x), np.asarray(y)


def _rotation(crs: Any) -> Any:
    """Make the way from longitude and latitude to those around another pole."""
    from pyproj import Transformer

    return Transformer.from_crs(crs.source_crs, crs, always_xy=True)


def cell_size(target: Target) -> float:
    """Usual width of a cell: the root of the median area.

    Parameters
    ----------
    target : Target
        The cells.

    Returns
    -------
    float
        In km; 0 where no cell lies on earth.
    """
    i, j = (np.rint(np.linspace(0, max(n - 2, 0), min(max(n - 1, 1), 64))).astype(int)
            for n in target.shape)  # fmt: skip
    below, beside = (np.minimum(k + 1, n - 1) for k, n in zip((i, j), target.shape, strict=True))
    corners = (
        unit_vectors(target.latitude[at].astype(float), target.longitude[at].astype(float))
        for at in (np.ix_(i, j), np.ix_(below, beside), np.ix_(i, beside), np.ix_(below, j))
    )
    first, last, right, left = corners
    area = np.linalg.norm(np.cross(last - first, left - right), axis=-1) / 2
    area = area[np.isfinite(area) & (area > 0)]
    return float(np.sqrt(np.median(area)) * EARTH_RADIUS) if area.size else 0.0
