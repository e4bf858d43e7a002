"""Map grids: which axes they have, and how they lie on the earth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.errors import InputError
from xrain.geo.sphere import EARTH_RADIUS

__all__ = [
    "Projection",
    "azimuthal_equidistant",
    "grid_attributes",
    "grid_axes",
    "projection_of",
]

Array = NDArray[np.float64]
Projection = Callable[[Array, Array], tuple[Array, Array]]
"""Turns two coordinates into two others."""

_DEGREES = ("latitude", "lat")
_ROW_NAMES = (*_DEGREES, "y")


def azimuthal_equidistant(latitude: float, longitude: float) -> tuple[Projection, Projection]:
    """Lay the sphere flat around a place, distances from which stay right.

    Parameters
    ----------
    latitude, longitude : float
        The place in degrees.

    Returns
    -------
    to_plane : callable
        Turns latitude and longitude in degrees into km to the north and to the east.
    to_earth : callable
        The way back; longitudes from −180 to 180.

    References
    ----------
    Snyder 1987, *Map Projections: A Working Manual*, chapter 25.

    Examples
    --------
    >>> to_plane, to_earth = azimuthal_equidistant(10.0, 20.0)
    >>> north, east = to_plane(np.array([11.0]), np.array([20.0]))
    >>> round(float(north[0]), 1), abs(round(float(east[0]), 1))
    (111.2, 0.0)
    """
    from pyproj import Proj

    plane = Proj(proj="aeqd", lat_0=latitude, lon_0=longitude, R=EARTH_RADIUS, to_meter=1)

    def to_plane(lat: Array, lon: Array) -> tuple[Array, Array]:
        east, north = plane(lon, lat)
        return np.asarray(north), np.asarray(east)

    def to_earth(north: Array, east: Array) -> tuple[Array, Array]:
        lon, lat = plane(east, north, inverse=True)
        return np.asarray(lat), np.asarray(lon)

    return to_plane, to_earth


def grid_axes(where: str, field: xr.DataArray) -> tuple[str, str]:
    """Names of the row and the column dimension of a field.

    Parameters
    ----------
    where : str
        Name of the field for messages.
    field : DataArray
        Of two dimensions.

    Returns
    -------
    rows, columns : str

    Raises
    ------
    InputError
        If one of them has no coordinate.
    """
    first, second = (str(d) for d in field.dims)
    missing = [d for d in (first, second) if d not in field.coords]
    if missing:
        raise InputError(
            f"{where}: the field has no spacing: dimension {', '.join(missing)} lacks a "
            "coordinate. Give latitude and longitude in degrees, or y and x in m or km"
        )
    return (second, first) if second in _ROW_NAMES else (first, second)


def grid_attributes(source: xr.Dataset, name: str) -> dict[str, Any]:
    """Attributes of a dataset, of one of its variables, and of that variable's grid mapping.

    Parameters
    ----------
    source : Dataset
        With the variable.
    name : str
        Of the variable.

    Returns
    -------
    dict
        The later ones win.
    """
    data = source[name]
    attrs = dict(source.attrs) | dict(data.attrs)
    mapping = attrs.get("grid_mapping") or data.encoding.get("grid_mapping")
    if mapping in source.variables:
        attrs |= source[mapping].attrs
    return attrs


def projection_of(
    where: str, field: xr.DataArray, rows: str, attrs: Mapping[str, Any]
) -> tuple[Projection | None, Projection | None]:
    """Ways from (latitude, longitude) in degrees to (row, column) coordinates and back.

    Parameters
    ----------
    where : str
        Name of the field for messages.
    field : DataArray
        With its coordinates.
    rows : str
        Its row dimension; latitude or lat means a grid in degrees.
    attrs : mapping
        Where ``projection``, ``crs_wkt`` or ``proj4`` tell the projection.

    Returns
    -------
    to_map, to_earth : callable or None
        None where the grid has no position.

    Raises
    ------
    InputError
        If the projection is not understood.
    """
    columns = str(next(d for d in field.dims[::-1] if d != rows))
    if rows in _DEGREES or field[rows].attrs.get("standard_name") == "latitude":
        west = float(field[columns].min())

        def fold(lat: Array, lon: Array) -> tuple[Array, Array]:
            return lat, (lon - west) % 360.0 + west

        return fold, lambda lat, lon: (lat, lon)
    text = attrs.get("projection") or attrs.get("crs_wkt") or attrs.get("proj4")
    if text is None:
        return None, None
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"{where}: projection {text!r} is not understood") from error
    own = 1e3 if str(field[columns].attrs.get("units", "m")).startswith("k") else 1.0
    scale = own / float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else own
    forth = Transformer.from_crs("EPSG:4326", crs, always_xy=True)

    def to_map(lat: Array, lon: Array) -> tuple[Array, Array]:
        x, y = forth.transform(lon, lat)
        return np.asarray(y) / scale, np.asarray(x) / scale

    def to_earth(y: Array, x: Array) -> tuple[Array, Array]:
        lon, lat = forth.transform(
            np.asarray(x) * scale, np.asarray(y) * scale, direction="INVERSE"
        )
        return np.asarray(lat), np.asarray(lon)

    return to_map, to_earth
