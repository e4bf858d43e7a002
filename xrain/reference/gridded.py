"""Rain on any CF grid as cells for the averaging: in degrees, curvilinear, or projected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import LATITUDE, LONGITUDE, TIME
from xrain.errors import InputError
from xrain.geo.gaussian import CUT
from xrain.geo.nearest import nearest_points
from xrain.geo.projection import Projection, grid_attributes, grid_axes, projection_of
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors
from xrain.reference.cells import CurvedGrid, Found, Places, Source, lags
from xrain.reference.regular_grid import Axis, Degrees

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
Frames = Callable[[Array], tuple[IntArray, Array, Array]]

FINE: Final = 4.0
"""Cells finer than the footprint by more than this are averaged before."""

_NAMES: Final = {LATITUDE: (LATITUDE, "lat", "nav_lat"), LONGITUDE: (LONGITUDE, "lon", "nav_lon")}
_WHERE: Final = "the reference"


@dataclass(frozen=True)
class _Window:
    """Rows and columns of a grid that are looked at."""

    first: tuple[int, int]
    end: tuple[int, int]
    factors: tuple[int, int]

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.first[0], self.end[0]), slice(self.first[1], self.end[1])


def grid_source(
    reference: xr.Dataset,
    name: str,
    places: Places,
    widths: Array,
    longest: np.timedelta64 | None,
) -> tuple[Source | None, Found]:
    """Make the cells of a grid around some places, and find the one next to each place.

    Parameters
    ----------
    reference : xarray.Dataset
        With the grid's coordinates.
    name : str
        Its rate.
    places : Places
        Where it is wanted; nothing else is read.
    widths : ndarray, shape (place, 2)
        Half-power widths in km.
    longest : timedelta64 or None
        Longest time between place and field.

    Returns
    -------
    source : Source or None
        None if the grid does not reach any of the places.
    found : Found
        The cells.
    """
    if TIME in reference[name].coords and reference[name][TIME].ndim == 2:
        return _timed_cells(reference, name, places, widths, longest)
    frames, used = _frames(reference, name, places.time, longest)
    nothing = _nowhere(places)
    if not used.size:
        return None, nothing
    field = reference[name]
    field = field.isel({TIME: used}) if TIME in field.dims else field.expand_dims(TIME)
    where = _positions(reference, name)
    if where is not None:
        source: Source | None = _curvilinear(field, where, widths, frames)
    else:
        source = _regular(reference, name, field, places, widths, frames)
    return source, nothing if source is None else source.find(places)


def _timed_cells(
    reference: xr.Dataset, name: str, places: Places, widths: Array, longest: np.timedelta64 | None
) -> tuple[Source | None, Found]:
    """Find the cells of a grid each of which was seen at a time of its own."""
    time, where = reference[name][TIME], _positions(reference, name)
    if where is None:
        raise InputError(
            f"the reference has a time for each cell: give {LATITUDE} and {LONGITUDE} of each too"
        )
    source, found = grid_source(reference.drop_vars(TIME), name, places, widths, None)
    dims = where[0].dims
    lat, lon = (v.transpose(*dims).values for v in where)
    points = unit_vectors(lat, lon, np.float64)
    cell = nearest_points(points, places.points)
    times = time.transpose(*dims).values.astype("datetime64[ns]").ravel()
    lag = np.where(cell >= 0, lags(times[cell], places.time), np.nan)
    near = found.near
    if longest is not None:
        near = near & (np.abs(lag) <= longest / np.timedelta64(1, "s"))
    return source, replace(found, near=near, lag=lag)


def _nowhere(places: Places) -> Found:
    count = places.time.size
    index, none = np.zeros(count, np.intp), np.zeros(count, bool)
    return Found(index, index, index, none, np.full(count, np.nan))


def _frames(
    reference: xr.Dataset, name: str, time: Array, longest: np.timedelta64 | None
) -> tuple[Frames, IntArray]:
    """Way from times to the nearest field, and the fields that are needed at all."""
    fields = _field_times(reference, name)
    order = np.argsort(fields)
    edges = fields[order][:-1] + np.diff(fields[order]) // 2

    def pick(when: Array) -> tuple[IntArray, Array, Array]:
        index = np.searchsorted(edges, when) if edges.size else np.zeros(when.size, np.intp)
        frame = order[np.minimum(index, order.size - 1)]
        lag = lags(fields[frame], when)
        near = np.ones(when.size, bool)
        if longest is not None:
            with np.errstate(invalid="ignore"):
                near = np.abs(lag) <= longest / np.timedelta64(1, "s")
        return frame, lag, near

    frame, _, near = pick(time)
    used = np.unique(frame[near])

    def frames(when: Array) -> tuple[IntArray, Array, Array]:
        frame, lag, near = pick(when)
        return np.minimum(np.searchsorted(used, frame), max(used.size - 1, 0)), lag, near

    return frames, used


def _field_times(reference: xr.Dataset, name: str) -> Array:
    """Tell the times of the fields: the middle of their bounds where these are given."""
    if TIME not in reference[name].coords:
        return np.full(1, np.datetime64("NaT", "ns"))
    time = reference[name][TIME]
    bounds = time.attrs.get("bounds") or time.encoding.get("bounds")
    if bounds in reference.variables:
        both = np.atleast_2d(reference[bounds].values).astype("datetime64[ns]")
        middle: Array = both[:, 0] + (both[:, 1] - both[:, 0]) // 2
        return middle
    return np.atleast_1d(time.values).astype("datetime64[ns]")


def _positions(reference: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Latitude and longitude of two dimensions, None if the grid has none."""
    found = []
    for names in _NAMES.values():
        of_two = [n for n in names if n in reference.variables and reference[n].ndim == 2]
        if not of_two:
            return None
        found.append(reference[of_two[0]])
    return found[0], found[1]


def _curvilinear(
    field: xr.DataArray,
    where: tuple[xr.DataArray, xr.DataArray],
    widths: Array,
    frames: Frames,
) -> Source:
    latitude, longitude = where
    dims = latitude.dims
    lat, lon = (v.transpose(*dims).values.astype(np.float64) for v in (latitude, longitude))
    values = field.transpose(TIME, *dims).values.astype(np.float32)
    reach = CUT * float(widths.max())
    return CurvedGrid(unit_vectors(lat, lon), values, reach, None, 1, frames=frames)


def _projected(
    reference: xr.Dataset, name: str, field: xr.DataArray
) -> tuple[str, str, Projection, Projection]:
    """Names of the rows and columns of a field, and the ways from and to latitude, longitude."""
    if field.ndim != 2:
        raise InputError(
            f"{name} of the reference has dimensions {reference[name].dims}; time and two of a "
            "grid are needed, or scan and pixel"
        )
    rows, columns = grid_axes(_WHERE, field)
    to_map, to_earth = projection_of(_WHERE, field, rows, grid_attributes(reference, name))
    if to_map is None or to_earth is None:
        raise InputError(
            f"the reference has dimensions {rows} and {columns} but no projection; give it as "
            "the attribute projection (PROJ or WKT), or give latitude and longitude"
        )
    return rows, columns, to_map, to_earth


def _regular(
    reference: xr.Dataset,
    name: str,
    field: xr.DataArray,
    places: Places,
    widths: Array,
    frames: Frames,
) -> Source | None:
    rows, columns, to_map, to_earth = _projected(reference, name, field.isel({TIME: 0}, drop=True))
    field = field.transpose(TIME, rows, columns)
    in_degrees = rows in _NAMES[LATITUDE]
    axes = Axis(field[rows].values), Axis(field[columns].values, longitude=in_degrees)
    window = _window(axes, to_map, to_earth, places, widths)
    if window is None:
        return None
    values, share = _averaged(field[(slice(None), *window.slices)].values, window.factors)
    near = tuple(
        Axis(_means(a, f, e, k), longitude=a.longitude, step=k * a.step)
        for a, f, e, k in zip(axes, window.first, window.end, window.factors, strict=True)
    )
    merged = window.factors[0] * window.factors[1]
    reach = CUT * float(widths.max())
    if in_degrees:
        return Degrees(near[0], near[1], values, reach, share, merged, frames=frames)
    points = _points(to_earth, *np.meshgrid(near[0].values, near[1].values, indexing="ij"))
    return CurvedGrid(
        points,
        values,
        reach,
        share,
        merged,
        frames=frames,
        index=_indexer(to_map, near[0], near[1]),
    )


def _indexer(to_map: Projection, rows: Axis, columns: Axis) -> Projection:
    """Way from latitude and longitude to fractional row and column."""

    def index(latitude: Array, longitude: Array) -> tuple[Array, Array]:
        y, x = to_map(latitude, longitude)
        return rows.index(y), columns.index(x)

    return index


def _points(to_earth: Projection, y: Array, x: Array) -> Array:
    latitude, longitude = to_earth(y, x)
    wrong = ~np.isfinite(latitude) | ~np.isfinite(longitude)
    return unit_vectors(np.where(wrong, np.nan, latitude), np.where(wrong, np.nan, longitude))


def _window(
    axes: tuple[Axis, Axis],
    to_map: Projection,
    to_earth: Projection,
    places: Places,
    widths: Array,
) -> _Window | None:
    """Rows and columns around the places, and how many cells become one."""
    steps = _steps(axes, to_earth)
    factors = [max(int(float(widths.min()) / (FINE * s)), 1) for s in steps]
    reach = CUT * float(widths.max())
    margins = [reach / s + 2 for s in steps]
    if axes[1].longitude:  # columns crowd towards the poles
        scale = max(float(np.cos(np.radians(np.abs(places.latitude).max()))), 1e-3)
        margins[1] = reach / (abs(axes[1].step) * np.pi / 180 * EARTH_RADIUS * scale) + 2
    first, end = [], []
    for k, at in enumerate(to_map(places.latitude, places.longitude)):
        axis = axes[k]
        if axis.round:
            while axis.size % factors[k]:
                factors[k] -= 1
            first.append(0)
            end.append(axis.size)
            continue
        index = axis.index(axis.fold(at) if axis.longitude else at)
        index = index[(index > -margins[k]) & (index < axis.size + margins[k])]
        if not index.size:
            return None
        first.append(max(int(index.min() - margins[k]), 0))
        end.append(min(int(index.max() + margins[k]) + 1, axis.size))
    return _Window((first[0], first[1]), (end[0], end[1]), (factors[0], factors[1]))


def _steps(axes: tuple[Axis, Axis], to_earth: Projection) -> tuple[float, float]:
    """Distance of rows and of columns in km in the middle of the grid."""
    row, column = axes[0].size // 2, axes[1].size // 2
    y, x = (np.array([a.values[k], a.values[k] + a.step]) for a, k in
            zip(axes, (row, column), strict=True))  # fmt: skip
    points = _points(to_earth, np.array([y[0], y[1], y[0]]), np.array([x[0], x[0], x[1]]))
    down, right = (float(np.linalg.norm(points[k] - points[0])) * EARTH_RADIUS for k in (1, 2))
    return max(down, 1e-3), max(right, 1e-3)


def _means(axis: Axis, first: int, end: int, factor: int) -> Array:
    """Middles of groups of cells; the last group may hang over the end."""
    count = -(-(end - first) // factor)
    index = first + np.arange(count * factor)
    out: Array = axis.at(index).reshape(count, factor).mean(axis=1)
    return out


def _averaged(values: Array, factors: tuple[int, int]) -> tuple[Array, Array | None]:
    """Mean of groups of cells over those with a value, and the share of these."""
    values = values.astype(np.float32, copy=False)
    if factors == (1, 1):
        return values, None
    over = [(0, -n % k) for n, k in zip(values.shape[1:], factors, strict=True)]
    values = np.pad(values, [(0, 0), *over], constant_values=np.nan)
    shape = [values.shape[0]]
    for n, k in zip(values.shape[1:], factors, strict=True):
        shape += [n // k, k]
    groups = values.reshape(shape)
    seen = np.isfinite(groups)
    count = seen.sum(axis=(2, 4), dtype=np.int32)
    total = np.where(seen, groups, 0).sum(axis=(2, 4))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return mean, (count / np.float32(factors[0] * factors[1])).astype(np.float32)
