"""Fields on a grid of latitude, longitude and time, brought to pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xrain.errors import InputError
from xrain.geo.sphere import valid_positions

__all__ = ["DegreeGrid", "interpolate"]

FARTHEST: Final = np.timedelta64(3, "h")
"""Longest time before the first field or after the last one for which it still stands."""

_SEAM: Final = 1.01
"""Steps of longitude that a grid around the globe may lack to 360 degrees."""


@dataclass(frozen=True)
class DegreeGrid:
    """A field on regular axes.

    Attributes
    ----------
    values : ndarray, shape (time, latitude, longitude)
        The field.
    time : ndarray of datetime64, shape (time,)
        Ascending.
    latitude, longitude : ndarray
        Degrees north and east, ascending or descending; longitudes may run from 0 or from −180.
    step : timedelta64 or None
        Time from one field to the next; None for one alone.
    name : str
        Name of the field, for messages.
    attrs : dict
        Its attributes.
    """

    values: npt.NDArray[Any]
    time: npt.NDArray[np.datetime64]
    latitude: npt.NDArray[Any]
    longitude: npt.NDArray[Any]
    step: Any = None
    name: str = "the field"
    attrs: dict[str, Any] = field(default_factory=dict)


def interpolate(
    grid: DegreeGrid,
    latitude: npt.NDArray[Any],
    longitude: npt.NDArray[Any],
    time: npt.NDArray[np.datetime64],
) -> npt.NDArray[np.float32]:
    """Interpolate a field in space and time.

    Parameters
    ----------
    grid : DegreeGrid
        The field.
    latitude, longitude : ndarray, shape (...)
        Degrees north and east of the pixels; what is no position gets NaN.
    time : ndarray of datetime64, shape (...)
        Time of each pixel.

    Returns
    -------
    ndarray of float32, shape (...)
        Linear in time, and in latitude and longitude between the four points around. NaN where a
        pixel lies outside the grid, or one of these points is NaN.

    Raises
    ------
    InputError
        If no pixel lies within the grid's area, or none within its time.
    """
    from scipy.interpolate import RegularGridInterpolator

    axes, values = _ascending(grid)
    where = [
        _moments(grid, time),
        _within(latitude, axes[1]),
        _beyond(longitude, axes[2][0]),
    ]
    good = valid_positions(latitude, longitude)
    _require_inside(grid, good, where, axes, time)
    out = np.full(np.shape(latitude), np.nan, np.float32)
    points = np.stack([w[good] for w in where], axis=-1)
    find = RegularGridInterpolator(axes, values, bounds_error=False, fill_value=np.nan)
    out[good] = find(points)
    return out


def _ascending(grid: DegreeGrid) -> tuple[list[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """Axes in hours and degrees that ascend, closed around the globe, and values to them."""
    values = np.asarray(grid.values, np.float64)
    latitude = np.asarray(grid.latitude, np.float64)
    longitude = np.asarray(grid.longitude, np.float64)
    for name, axis in (("latitude", latitude), ("longitude", longitude)):
        if len(axis) < 2 or not np.isfinite(axis).all():
            raise InputError(f"{grid.name}: {name} needs two finite values at least")
    order = np.argsort(latitude)
    latitude, values = latitude[order], values[:, order]
    start = longitude[0] if longitude[1] > longitude[0] else longitude[-1]
    east = (longitude - start) % 360.0
    order = np.argsort(east)
    east, values = east[order], values[:, :, order]
    if (np.diff(latitude) <= 0).any() or (np.diff(east) <= 0).any():
        raise InputError(f"{grid.name}: a latitude or longitude occurs twice")
    if 360.0 - east[-1] <= _SEAM * np.diff(east).max():
        east = np.append(east, 360.0)
        values = np.concatenate([values, values[:, :, :1]], axis=2)
    hours = _hours(grid.time, grid.time[0])
    if len(hours) == 1:
        hours, values = np.array([0.0, 1.0]), np.concatenate([values, values])
    return [hours, latitude, east + start], values


def _hours(time: npt.NDArray[np.datetime64], origin: Any) -> npt.NDArray[np.float64]:
    out = (time - origin) / np.timedelta64(1, "h")
    return np.where(np.isnat(time), np.nan, out)


def _moments(grid: DegreeGrid, time: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    """Hours after the first field; what lies little outside is taken to the nearest field."""
    slack = _hours(np.array([grid.time[0] + _slack(grid)]), grid.time[0])[0]
    hours = _hours(time, grid.time[0])
    last = _hours(grid.time[-1:], grid.time[0])[0]
    inside = (hours >= -slack) & (hours <= last + slack)
    return np.where(inside, np.clip(hours, 0.0, last), np.nan)


def _slack(grid: DegreeGrid) -> Any:
    return FARTHEST if grid.step is None else min(FARTHEST, grid.step.astype("timedelta64[s]"))


def _within(latitude: npt.NDArray[Any], axis: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Latitudes; those less than a step beyond the outermost row, as at a pole, are taken to it."""
    step = np.diff(axis).max()
    close = (latitude >= axis[0] - step) & (latitude <= axis[-1] + step)
    return np.where(close, np.clip(latitude, axis[0], axis[-1]), np.nan)


def _beyond(longitude: npt.NDArray[Any], start: float) -> npt.NDArray[np.float64]:
    return np.asarray((longitude - start) % 360.0 + start, np.float64)


def _require_inside(
    grid: DegreeGrid,
    good: npt.NDArray[np.bool_],
    where: list[npt.NDArray[np.float64]],
    axes: list[npt.NDArray[np.float64]],
    time: npt.NDArray[np.datetime64],
) -> None:
    """Refuse a field that has nothing to do with the pixels."""
    if not good.any():
        raise InputError("no pixel has a position")
    hours, north, east = where
    if not (good & np.isfinite(hours)).any():
        span = [np.datetime_as_string(t, "m") for t in (np.nanmin(time), np.nanmax(time))]
        theirs = [np.datetime_as_string(t, "m") for t in (grid.time[0], grid.time[-1])]
        raise InputError(
            f"{grid.name} holds for {theirs[0]} to {theirs[1]}, the pixels are of {span[0]} to "
            f"{span[1]}"
        )
    inside = np.isfinite(north) & (east <= axes[2][-1]) & good
    if not inside.any():
        raise InputError(
            f"{grid.name} covers {axes[1][0]:g} to {axes[1][-1]:g}° N and {axes[2][0]:g} to "
            f"{axes[2][-1]:g}° E, and no pixel lies there"
        )
