"""What a user may give as an area: a definition, a name, or a resolution."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import os
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import LATITUDE, LONGITUDE
from xrain.errors import InputError
from xrain.geo.sphere import unit_vectors, valid_positions

Array = npt.NDArray[Any]

MOST_CELLS: Final = 400_000_000
"""Cells of the largest grid that is made: a global one of some 0.013 degrees."""

REGION: Final = 50.0
"""Swaths that reach at most so many degrees from their middle get an azimuthal projection."""

WANTED: Final = (
    "give an AreaDefinition, the name of a Satpy area, a resolution such as '0.1deg' or '5km', "
    "or another swath"
)

_RESOLUTION = re.compile(r"^\s*(?P<step>\d*\.?\d+)\s*(?P<unit>deg|degrees?|°|km|m)\s*$")
_AREA_NAME = re.compile(r"^([A-Za-z_][\w-]*):", re.MULTILINE)


def area_of(ds: xr.Dataset, area: Any) -> Any:
    """Turn an area, its name or a resolution into a pyresample AreaDefinition.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``latitude`` and ``longitude``; a resolution covers their box.
    area : AreaDefinition or str
        An area, the name of a Satpy area, or a resolution such as ``"0.1deg"`` or ``"5km"``.

    Returns
    -------
    pyresample.AreaDefinition

    Raises
    ------
    InputError
        If it is none of these, has more than 400 million cells, or the dataset has no valid
        position.
    """
    if isinstance(area, str):
        found = _RESOLUTION.match(area)
        area = named_area(area) if found is None else _box(ds, found, area)
    if hasattr(area, "freeze"):
        area = _fitted(ds, area)
    if not hasattr(area, "get_proj_vectors"):
        raise InputError(f"{area!r} is no area: {WANTED}")
    require_size(str(area.area_id), *area.shape)
    return area


def require_size(name: str, rows: int, columns: int, most: int = MOST_CELLS) -> None:
    """Raise an error if a grid has too many cells to be held in memory.

    Parameters
    ----------
    name : str
        Of the grid, for the message.
    rows, columns : int
        Its size.
    most : int, optional
        Most cells; by default 400 million.

    Raises
    ------
    InputError
        If it has more.
    """
    if rows * columns > most:
        raise InputError(
            f"{name} has {rows} × {columns} cells, more than {most:,}; give a coarser "
            "resolution, or an area that is a part of it"
        )


def is_plain(crs: Any) -> bool:
    """Say whether the axes of a map are longitude and latitude, and not those around another pole.

    Parameters
    ----------
    crs : pyproj.CRS
        Coordinate reference system of the map.

    Returns
    -------
    bool
    """
    return bool(crs.is_geographic and not crs.is_derived)


def _fitted(ds: xr.Dataset, area: Any) -> Any:
    """Fit an area that takes its extent, or its projection, from the data."""
    from pyproj.exceptions import ProjError
    from pyresample import SwathDefinition

    lat, lon = _positions(ds)
    known = valid_positions(lat, lon)
    if not known.any():
        raise InputError("the swath has no valid position to fit an area to")
    where: Any = (lon[known].astype(float), lat[known].astype(float))
    if getattr(area, "optimize_projection", False):
        whole = _whole_part(known)
        where = SwathDefinition(*(xr.DataArray(v[whole], dims=("y", "x")) for v in (lon, lat)))
    try:
        return area.freeze(where)
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, ProjError) as error:
        raise InputError(f"the area {area.area_id!r} cannot be fitted: {error}") from error


def _whole_part(known: npt.NDArray[np.bool_]) -> Any:
    """Rows and columns of a swath without a gap: whole scans, or else whole columns."""
    rows, columns = (np.flatnonzero(known.all(axis=1 - k)) for k in (0, 1))
    if rows.size > 1:
        return np.ix_(rows, np.arange(known.shape[1]))
    rows = np.flatnonzero(known.any(axis=1))
    columns = np.flatnonzero(known[rows].all(axis=0))
    if rows.size < 2 or columns.size < 2:
        raise InputError("the swath has too many gaps to fit a projection to")
    return np.ix_(rows, columns)


def _positions(ds: xr.Dataset) -> tuple[Array, Array]:
    for name in (LATITUDE, LONGITUDE):
        if name not in ds.variables:
            raise InputError(f"{name} is missing: an area cannot be fitted to the swath")
    return ds[LATITUDE].values, ds[LONGITUDE].transpose(*ds[LATITUDE].dims).values


def named_area(name: str) -> Any:
    """Load the area of a name from the user's own ``areas.yaml`` files or from Satpy's.

    Parameters
    ----------
    name : str
        Such as ``"eurol"``. Files in the folders of the environment variable
        ``SATPY_CONFIG_PATH`` win over the one that comes with Satpy, which is read without
        importing Satpy.

    Raises
    ------
    InputError
        If no file holds it; the message names areas that are spelled alike.
    """
    config = os.environ.get("SATPY_CONFIG_PATH", "")
    known = _area_names(config)
    if name not in known:
        alike = difflib.get_close_matches(name, known, 3)
        hint = f" (did you mean {', '.join(alike)}?)" if alike else ""
        raise InputError(f"unknown area {name!r}{hint}: {WANTED}")
    return _load(config, name)


@functools.lru_cache(maxsize=8)
def _load(config_path: str, name: str) -> Any:
    from pyresample import load_area

    return load_area(_area_files(config_path), name)


def _area_files(config_path: str) -> list[Path]:
    """Files with named areas, the most important last; `config_path` as SATPY_CONFIG_PATH."""
    folders = [Path(p) for p in reversed(config_path.strip("[]").split(os.pathsep)) if p]
    spec = importlib.util.find_spec("satpy")
    if spec is not None and spec.submodule_search_locations:
        folders.insert(0, Path(spec.submodule_search_locations[0]) / "etc")
    return [file for folder in folders if (file := folder / "areas.yaml").is_file()]


def _area_names(config_path: str) -> list[str]:
    texts = (file.read_text(encoding="utf-8") for file in _area_files(config_path))
    return [name for text in texts for name in _AREA_NAME.findall(text)]


# ---- a box around a swath


def _box(ds: xr.Dataset, found: re.Match[str], text: str) -> Any:
    step = float(found["step"]) / (1000 if found["unit"] == "m" else 1)
    if step <= 0:
        raise InputError(f"a resolution of {text!r} makes no grid: {WANTED}")
    lat, lon = _positions(ds)
    use = valid_positions(lat, lon)
    if not use.any():
        raise InputError("the swath has no valid position to make a grid from")
    make = _metric_box if found["unit"] in ("km", "m") else _degree_box
    return make(lat[use].astype(float), lon[use].astype(float), step)


def _degree_box(lat: Array, lon: Array, step: float) -> Any:
    east, west = longitude_range(lon)
    low_x, high_x = np.floor(west / step) * step, np.ceil(east / step) * step
    low_y = max(np.floor(lat.min() / step) * step, -90.0)
    high_y = min(np.ceil(lat.max() / step) * step, 90.0)
    return _grid(
        f"box_{step:g}deg", {"proj": "longlat", "datum": "WGS84"}, step,
        (low_x, low_y, min(high_x, low_x + 360.0), high_y),
    )  # fmt: skip


def _metric_box(lat: Array, lon: Array, step: float) -> Any:
    """Equal-area grid: azimuthal around the middle of a region, cylindrical around the globe."""
    from pyproj import Proj

    points = unit_vectors(lat, lon).reshape(-1, 3)
    middle = points.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(middle))
    middle = middle / max(length, 1e-9)
    nearest = float((points @ middle).min())
    projection: dict[str, Any] = {"proj": "cea", "lat_ts": 30.0, "datum": "WGS84", "units": "m"}
    if length > 1e-3 and nearest > np.cos(np.deg2rad(REGION)):
        lat_0, lon_0 = np.rad2deg([np.arcsin(middle[2]), np.arctan2(middle[1], middle[0])])
        projection = {
            "proj": "laea", "lat_0": round(float(lat_0), 2), "lon_0": round(float(lon_0), 2),
            "datum": "WGS84", "units": "m",
        }  # fmt: skip
    else:
        east, west = longitude_range(lon)
        projection["lon_0"] = round((east + west) / 2, 2)
    x, y = Proj(projection)(lon, lat)
    meters = 1000 * step
    low, high = ([f(v.min() if f is np.floor else v.max()) for v in (x / meters, y / meters)]
                 for f in (np.floor, np.ceil))  # fmt: skip
    extent = (low[0] * meters, low[1] * meters, high[0] * meters, high[1] * meters)
    return _grid(f"box_{step:g}km", projection, meters, extent)


def _grid(
    name: str, projection: dict[str, Any], step: float, extent: tuple[float, float, float, float]
) -> Any:
    from pyresample import create_area_def

    width = max(round((extent[2] - extent[0]) / step), 1)
    height = max(round((extent[3] - extent[1]) / step), 1)
    require_size(name, height, width)
    west, south = extent[:2]
    whole = (west, south, west + width * step, south + height * step)
    return create_area_def(name, projection, area_extent=whole, shape=(height, width))


def longitude_range(lon: Array) -> tuple[float, float]:
    """Find the shortest arc that holds all longitudes.

    Parameters
    ----------
    lon : ndarray
        Degrees, all known.

    Returns
    -------
    east, west : float
        In degrees, east not less than west; 180 and -180 where no gap is as wide as 5 degrees.
    """
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
