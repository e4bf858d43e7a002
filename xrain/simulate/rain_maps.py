"""Rain fields from files: radar composites and any other rain on a grid of known spacing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from xrain.errors import InputError
from xrain.geo.projection import (
    Projection,
    azimuthal_equidistant,
    grid_attributes,
    grid_axes,
    projection_of,
)
from xrain.geo.sphere import EARTH_RADIUS
from xrain.io.radar_qc import despike
from xrain.io.rain_rates import (
    RAIN_RATE,
    open_rain_grid,
    rain_grid,
    require_rates,
    to_mm_per_hour,
)
from xrain.simulate.rain import Field, RainGrid, convective_share

__all__ = ["RainMap", "open_rain_map", "open_rain_maps", "place_map", "radar_source", "sample_map"]

Array = NDArray[np.float64]
_KM_PER_DEGREE = float(np.radians(1)) * EARTH_RADIUS


@dataclass(frozen=True)
class RainMap:
    """A rain field with its own coordinates.

    Attributes
    ----------
    rate : array
        (y, x) rain rate in mm/h without spikes, NaN where nothing was observed.
    y, x : array
        Coordinates of rows and columns, both rising.
    spacing : tuple of float
        Distance of rows and columns in km.
    to_map, to_earth : callable or None
        Turn (latitude, longitude) in degrees into (y, x) and back; None without positions.
    time : numpy.datetime64 or None
        When the field was observed.
    name : str
        Name of the file that it comes from.
    """

    rate: Field
    y: Array
    x: Array
    spacing: tuple[float, float]
    to_map: Projection | None = None
    to_earth: Projection | None = None
    time: np.datetime64 | None = None
    name: str = ""

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width in km."""
        return self.rate.shape[0] * self.spacing[0], self.rate.shape[1] * self.spacing[1]


def open_rain_map(
    source: str | os.PathLike[str] | xr.Dataset | xr.DataArray,
    time: int | str | np.datetime64 | None = None,
    *,
    spacing: float = 4.0,
) -> RainMap:
    """Open a two-dimensional rain field.

    Parameters
    ----------
    source : path-like, Dataset or DataArray
        ``rain_rate`` (or the only variable), a rate in the units of its attribute, on (latitude,
        longitude) in degrees, or on (y, x) in m or km with or without a projection in the
        attribute ``projection`` or a CF grid mapping. NaN is not observed.
    time : int, str or datetime64, optional
        Which time, by number or by value; the first by default.
    spacing : float
        Cells finer than this, in km, are averaged to about it.

    Returns
    -------
    RainMap
        Without isolated spikes (see `xrain.io.radar_qc.despike`).

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    InputError
        If there is no such variable or time, no spacing, or the rates are impossible.
    """
    where, data, attrs = _load(source)
    field, when = _at_time(where, data, time)
    rows, columns = grid_axes(where, field)
    field = field.transpose(rows, columns).sortby([rows, columns])
    rate = despike(_checked(where, field))
    y, x = field[rows].values.astype(np.float64), field[columns].values.astype(np.float64)
    unit_y, unit_x = _kilometres(where, field, rows, columns)
    steps = _step(where, y, rows) * unit_y, _step(where, x, columns) * unit_x
    factors = tuple(max(1, round(spacing / s)) for s in steps)
    to_map, to_earth = projection_of(where, field, rows, attrs)
    return RainMap(
        _averaged(rate, factors), _means(y, factors[0]), _means(x, factors[1]),
        (steps[0] * factors[0], steps[1] * factors[1]), to_map, to_earth, when,
        "" if isinstance(source, xr.Dataset | xr.DataArray) else Path(source).name,
    )  # fmt: skip


def open_rain_maps(path: str | os.PathLike[str], *, spacing: float = 4.0) -> list[RainMap]:
    """Open the rain fields of every time in a file; see :func:`open_rain_map`."""
    times = _load(path)[1].sizes.get("time", 1)
    return [open_rain_map(path, k, spacing=spacing) for k in range(times)]


def _load(
    source: str | os.PathLike[str] | xr.Dataset | xr.DataArray,
) -> tuple[str, xr.DataArray, dict[str, Any]]:
    if isinstance(source, xr.DataArray):
        return "rain field", to_mm_per_hour(source, "rain field"), dict(source.attrs)
    where = "rain field" if isinstance(source, xr.Dataset) else Path(source).name
    ds = rain_grid(source, where) if isinstance(source, xr.Dataset) else open_rain_grid(source)
    return where, ds[RAIN_RATE], grid_attributes(ds, RAIN_RATE)


def _at_time(
    where: str, data: xr.DataArray, time: int | str | np.datetime64 | None
) -> tuple[xr.DataArray, np.datetime64 | None]:
    if "time" in data.dims:
        try:
            if isinstance(time, (int, np.integer)) or time is None:
                data = data.isel(time=time or 0)
            else:
                data = data.sel(time=np.datetime64(time))
        except (IndexError, KeyError, ValueError) as error:
            known = ", ".join(np.datetime_as_string(data.time.values, unit="m")[:12])
            raise InputError(f"{where}: no time {time!r}; there are {known}") from error
    if data.ndim != 2:
        raise InputError(f"{where}: rain_rate has dimensions {data.dims}; two are needed")
    if "time" not in data.coords:
        return data, None
    return data, np.datetime64(int(data["time"].values.astype("datetime64[ns]").astype(int)), "ns")


def _checked(where: str, field: xr.DataArray) -> Field:
    rate = field.values.astype(np.float32)
    require_rates(rate, where)
    return rate


def _kilometres(where: str, field: xr.DataArray, rows: str, columns: str) -> tuple[float, float]:
    """Kilometres per unit of the two coordinates."""
    if rows in {"latitude", "lat"}:
        middle = float(field[rows].mean())
        return _KM_PER_DEGREE, _KM_PER_DEGREE * float(np.cos(np.radians(middle)))
    lengths = {"m": 1e-3, "metre": 1e-3, "meter": 1e-3, "km": 1.0, "kilometre": 1.0}
    unit = str(field[columns].attrs.get("units", "m"))
    if unit not in lengths:
        raise InputError(f"{where}: coordinate {columns} is in {unit!r}; give m or km")
    return lengths[unit], lengths[unit]


def _step(where: str, values: Array, name: str) -> float:
    steps = np.diff(values)
    if steps.size == 0 or steps.min() <= 0 or np.ptp(steps) > 0.02 * steps.mean():
        raise InputError(f"{where}: coordinate {name} is not evenly spaced")
    return float(steps.mean())


def _means(values: Array, factor: int) -> Array:
    count = values.size // factor
    return np.asarray(values[: count * factor].reshape(count, factor).mean(axis=1))


def _averaged(rate: Field, factors: Sequence[int]) -> Field:
    """Average blocks of cells; a block seen for less than half is not observed."""
    fy, fx = factors
    ny, nx = rate.shape[0] // fy, rate.shape[1] // fx
    blocks = rate[: ny * fy, : nx * fx].reshape(ny, fy, nx, fx)
    seen = np.isfinite(blocks).sum(axis=(1, 3))
    total = np.nansum(blocks, axis=(1, 3))
    return np.where(seen * 2 >= fy * fx, total / np.maximum(seen, 1), np.nan).astype(np.float32)


def place_map(rain: RainMap, latitude: float, longitude: float) -> RainMap:
    """Lay a map without positions flat around a point, rows from south to north.

    Parameters
    ----------
    rain : RainMap
        The map.
    latitude, longitude : float
        Where its middle shall lie, in degrees.

    Returns
    -------
    RainMap
        The same with positions, azimuthal equidistant on the mean sphere.
    """
    middle = rain.y.mean(), rain.x.mean()
    unit = rain.spacing[0] / (rain.y[1] - rain.y[0]), rain.spacing[1] / (rain.x[1] - rain.x[0])
    to_plane, from_plane = azimuthal_equidistant(latitude, longitude)

    def to_map(lat: Array, lon: Array) -> tuple[Array, Array]:
        north, east = to_plane(lat, lon)
        return middle[0] + north / unit[0], middle[1] + east / unit[1]

    def to_earth(y: Array, x: Array) -> tuple[Array, Array]:
        return from_plane((y - middle[0]) * unit[0], (x - middle[1]) * unit[1])

    return replace(rain, to_map=to_map, to_earth=to_earth)


def sample_map(
    rain: RainMap, latitude: NDArray[np.floating], longitude: NDArray[np.floating]
) -> Field:
    """Rain rate at positions, NaN outside the map and where it was not observed.

    Parameters
    ----------
    rain : RainMap
        A map with positions.
    latitude, longitude : array
        Degrees.
    """
    if rain.to_map is None:
        raise InputError("the rain field has no positions; place it with place_map first")
    y, x = rain.to_map(np.asarray(latitude, np.float64), np.asarray(longitude, np.float64))
    row = (y - rain.y[0]) / (rain.y[1] - rain.y[0])
    column = (x - rain.x[0]) / (rain.x[1] - rain.x[0])
    return _interpolated(rain.rate, row, column)


def _interpolated(rate: Field, row: Array, column: Array) -> Field:
    """Bilinear interpolation that keeps NaN to the cells nearest to it."""
    inside = (row >= -0.5) & (row <= rate.shape[0] - 0.5)
    inside &= (column >= -0.5) & (column <= rate.shape[1] - 0.5)
    where = np.stack([row, column])
    weight = np.isfinite(rate).astype(np.float32)
    value = ndimage.map_coordinates(np.nan_to_num(rate), where, order=1, mode="nearest")
    seen = ndimage.map_coordinates(weight, where, order=1, mode="nearest")
    out = np.where(inside & (seen >= 0.5), value / np.maximum(seen, 0.5), np.nan)
    return np.asarray(np.maximum(out, 0.0), np.float32)


def radar_source(
    maps: Sequence[RainMap], *, observed: float = 0.75, tries: int = 12
) -> Callable[[tuple[int, int], tuple[float, float], np.random.Generator], RainGrid]:
    """Make a source of rain for training patches from real composites.

    Every field is a window at a random place and direction, enlarged or shrunk by up to a
    third, with rates multiplied by a lognormal factor of 35 %.

    Parameters
    ----------
    maps : sequence of RainMap
        Where windows are cut from.
    observed : float
        Share of a window that must have been observed, if one can be found.
    tries : int
        Windows looked at; the one with the most observed rain is taken.
    """

    def source(
        shape: tuple[int, int], spacing: tuple[float, float], rng: np.random.Generator
    ) -> RainGrid:
        rain = maps[int(rng.integers(len(maps)))]
        windows = [_window(rain, shape, spacing, rng) for _ in range(tries)]
        best = max(windows, key=lambda w: _worth(w[0], w[1], rain.rate, observed))
        rate = _interpolated(rain.rate, *best) * np.exp(0.35 * rng.standard_normal())
        rate = np.minimum(rate, 150.0).astype(np.float32)
        return RainGrid(rate, convective_share(rate, spacing), spacing)

    return source


def _window(
    rain: RainMap, shape: tuple[int, int], spacing: tuple[float, float], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Rows and columns of the map under a window of chance."""
    zoom = float(np.exp(rng.uniform(-0.3, 0.3)))
    turn = rng.uniform(0, 2 * np.pi)
    y = (np.arange(shape[0]) - shape[0] / 2)[:, None] * spacing[0] * zoom
    x = (np.arange(shape[1]) - shape[1] / 2)[None, :] * spacing[1] * zoom
    north, east = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    centre = rng.uniform(0, 1, 2) * rain.rate.shape
    return centre[0] + north / rain.spacing[0], centre[1] + east / rain.spacing[1]


def _worth(row: Array, column: Array, rate: Field, observed: float) -> float:
    """Count the share observed up to what is wanted, then a little for rain."""
    sparse = np.round(row[::8, ::8]).astype(int), np.round(column[::8, ::8]).astype(int)
    inside = (
        (sparse[0] >= 0) & (sparse[0] < rate.shape[0])
        & (sparse[1] >= 0) & (sparse[1] < rate.shape[1])
    )  # fmt: skip
    seen = np.zeros(inside.shape, np.float32)
    seen[inside] = rate[sparse[0][inside], sparse[1][inside]]
    share = float((inside & np.isfinite(seen)).mean())
    return min(share, observed) + 0.2 * float((np.nan_to_num(seen) > 0.1).mean() > 0.02)
