"""What a user may give as an area, and the target cells that it stands for."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import ATTRIBUTES, LATITUDE, LONGITUDE
from xrain.errors import InputError
from xrain.geometry import EARTH_RADIUS, unit_vectors

Array = npt.NDArray[Any]

MOST_CELLS: Final = 400_000_000
"""Cells of the largest grid that is made: a global one of 0.0125 degrees."""

REGION: Final = 50.0
"""Swaths that reach at most so many degrees from their middle get an azimuthal projection."""

WANTED: Final = (
    "give an AreaDefinition, the name of a Satpy area, a resolution such as '0.1deg' or '5km', "
    "or another swath"
)

_RESOLUTION = re.compile(r"^\s*(?P<step>\d*\.?\d+)\s*(?P<unit>deg|degrees?|°|km|m)\s*$")
_AREA_NAME = re.compile(r"^([A-Za-z_][\w-]*):", re.MULTILINE)


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
        Centres in degrees; not finite where a map shows no place on earth.
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

    def all_coords(self) -> dict[str, Any]:
        """Coordinates of the result, latitude and longitude in float32 among them."""
        places = {LATITUDE: self.latitude, LONGITUDE: self.longitude}
        return self.coords | {
            name: (self.dims, np.asarray(v, np.float32), ATTRIBUTES[name])
            for name, v in places.items()
        }


def target_of(ds: xr.Dataset, area: Any) -> Target:
    """Turn what a user gives as an area into cells.

    Parameters
    ----------
    ds : xarray.Dataset
        The swath to be resampled, with ``latitude`` and ``longitude``.
    area : AreaDefinition, str, xarray.Dataset or SwathDefinition
        As in :func:`xrain.resample`.

    Raises
    ------
    InputError
        If it is nothing of that kind.
    """
    if isinstance(area, xr.Dataset):
        return _swath_target(area)
    if hasattr(area, "get_lonlats") and not hasattr(area, "get_proj_vectors"):
        return _definition_target(area)
    return _area_target(area_of(ds, area))


def area_of(ds: xr.Dataset, area: Any) -> Any:
    """Turn an area, its name or a resolution into a pyresample AreaDefinition.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``latitude`` and ``longitude``; a resolution covers their box.
    area : AreaDefinition or str
        An area, the name of a Satpy area, or a resolution such as ``"0.1deg"`` or ``"5km"``.

    Raises
    ------
    InputError
        If it is none of these, or the dataset has no valid position.
    """
    if isinstance(area, str):
        found = _RESOLUTION.match(area)
        area = named_area(area) if found is None else _box(ds, found, area)
    if hasattr(area, "freeze"):  # one that takes its extent from the data
        area = area.freeze((ds[LONGITUDE].values, ds[LATITUDE].values))
    if not hasattr(area, "get_proj_vectors"):
        raise InputError(f"{area!r} is no area: {WANTED}")
    return area


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


def _area_target(area: Any) -> Target:
    x, y = area.get_proj_vectors()
    if area.crs.is_geographic:
        shape = (y.size, x.size)
        lons = np.broadcast_to(np.where(np.abs(x) > 180, (x + 180) % 360 - 180, x), shape)
        lats = np.broadcast_to(y[:, None], shape)
    else:
        lons, lats = area.get_lonlats()
    return Target(str(area.area_id), ("y", "x"), lats, lons, {"y": y, "x": x}, area)


def _swath_target(ds: xr.Dataset) -> Target:
    require_swath(ds)
    lat, lon = ds[LATITUDE], ds[LONGITUDE]
    dims = (str(lat.dims[0]), str(lat.dims[1]))
    kept = {str(n): c for n, c in ds.coords.items() if set(c.dims) <= set(dims) and c.ndim}
    coords = {n: c.variable for n, c in kept.items() if n not in (LATITUDE, LONGITUDE)}
    name = " ".join(str(ds.attrs[k]) for k in ("sensor", "platform") if ds.attrs.get(k))
    return Target(name or "swath", dims, lat.values, lon.values, coords)


def _definition_target(swath: Any) -> Target:
    lons, lats = (np.asarray(v) for v in swath.get_lonlats())
    if lats.ndim != 2:
        raise InputError(f"a swath to resample to needs two dimensions, this has {lats.ndim}")
    dims = getattr(swath.lons, "dims", ("y", "x"))
    return Target("swath", (str(dims[0]), str(dims[1])), lats, lons)


def require_swath(ds: xr.Dataset) -> None:
    """Raise InputError unless a dataset has positions over two dimensions."""
    for name in (LATITUDE, LONGITUDE):
        if name not in ds.variables:
            raise InputError(f"{name} is missing: without positions nothing can be resampled")
        if ds[name].ndim != 2:
            raise InputError(
                f"{name} has dimensions {ds[name].dims}; a swath (scan, pixel) is needed"
            )


# ---- a box around a swath


def _box(ds: xr.Dataset, found: re.Match[str], text: str) -> Any:
    step = float(found["step"]) / (1000 if found["unit"] == "m" else 1)
    if step <= 0:
        raise InputError(f"a resolution of {text!r} makes no grid: {WANTED}")
    lat, lon = ds[LATITUDE].values, ds[LONGITUDE].values
    use = np.isfinite(lat) & np.isfinite(lon)
    if not use.any():
        raise InputError("the swath has no valid position to make a grid from")
    make = _metric_box if found["unit"] in ("km", "m") else _degree_box
    return make(lat[use], lon[use], step)


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
    projection: dict[str, Any] = {"proj": "cea", "lat_ts": 30.0, "datum": "WGS84", "units": "km"}
    if length > 1e-3 and nearest > np.cos(np.deg2rad(REGION)):
        lat_0, lon_0 = np.rad2deg([np.arcsin(middle[2]), np.arctan2(middle[1], middle[0])])
        projection = {
            "proj": "laea", "lat_0": round(float(lat_0), 2), "lon_0": round(float(lon_0), 2),
            "datum": "WGS84", "units": "km",
        }  # fmt: skip
    else:
        east, west = longitude_range(lon)
        projection["lon_0"] = round((east + west) / 2, 2)
    x, y = Proj(projection)(lon, lat)
    low, high = ([f(v.min() if f is np.floor else v.max()) for v in (x / step, y / step)]
                 for f in (np.floor, np.ceil))  # fmt: skip
    extent = (low[0] * step, low[1] * step, high[0] * step, high[1] * step)
    return _grid(f"box_{step:g}km", projection, step, extent)


def _grid(
    name: str, projection: dict[str, Any], step: float, extent: tuple[float, float, float, float]
) -> Any:
    from pyresample import create_area_def

    width = max(round((extent[2] - extent[0]) / step), 1)
    height = max(round((extent[3] - extent[1]) / step), 1)
    if width * height > MOST_CELLS:
        raise InputError(
            f"{name} would have {height} × {width} cells around the swath; "
            "give a coarser resolution, or an AreaDefinition of a part"
        )
    west, south = extent[:2]
    whole = (west, south, west + width * step, south + height * step)
    return create_area_def(name, projection, area_extent=whole, shape=(height, width))


def longitude_range(lon: Array) -> tuple[float, float]:
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


# ---- places in a grid


def cell_index(target: Target, latitude: Array, longitude: Array) -> npt.NDArray[np.int64]:
    """Flat index of the grid cell that holds each place, −1 outside; for areas only.

    Parameters
    ----------
    target : Target
        With an area.
    latitude, longitude : ndarray of float64
        In degrees; not finite where unknown.
    """
    column, row = grid_position(target, latitude, longitude)
    rows, columns = target.shape
    with np.errstate(invalid="ignore"):
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    flat = np.full(np.shape(latitude), -1, np.int64)
    flat[inside] = row[inside].astype(np.int64) * columns + column[inside].astype(np.int64)
    return flat


def grid_position(target: Target, latitude: Array, longitude: Array) -> tuple[Array, Array]:
    """Fractional column and row of places in an area, 0 at its upper left corner."""
    area = target.area
    west, south, east, north = area.area_extent
    rows, columns = target.shape
    if area.crs.is_geographic:
        step = (east - west) / columns
        # rounding must not push the western edge to the other end of the globe
        x = (longitude - west + 1e-9) % 360.0 - 1e-9
        return x / step, (north - latitude) / ((north - south) / rows)
    from pyproj import Proj

    x, y = Proj(area.crs)(longitude, latitude)
    return (x - west) / ((east - west) / columns), (north - y) / ((north - south) / rows)


def cell_size(target: Target) -> float:
    """Usual width of a cell in km: the root of the median area."""
    rows, columns = target.shape
    i = np.linspace(0, max(rows - 2, 0), min(rows, 64)).astype(int)
    j = np.linspace(0, max(columns - 2, 0), min(columns, 64)).astype(int)
    corner, beside, below = (
        unit_vectors(target.latitude[at].astype(float), target.longitude[at].astype(float))
        for at in (
            np.ix_(i, j), np.ix_(i, np.minimum(j + 1, columns - 1)),
            np.ix_(np.minimum(i + 1, rows - 1), j),
        )
    )  # fmt: skip
    area = np.linalg.norm(np.cross(beside - corner, below - corner), axis=-1)
    area = area[np.isfinite(area) & (area > 0)]
    return float(np.sqrt(np.median(area)) * EARTH_RADIUS) if area.size else 0.0
