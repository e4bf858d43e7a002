"""Where the scans of a swath are interrupted: what lies before is no neighbour of what follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import LATITUDE, LONGITUDE, TIME
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors, valid_positions

__all__ = ["find_breaks"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

JUMP = 10.0
"""Usual steps from one scan to the next beyond which scans are not neighbours."""

WRONG = 5.0
"""Steps by which the time of one scan may differ from what its neighbours say."""

FEWEST = 3
"""Known scans under which no usual step can be told."""


def find_breaks(ds: xr.Dataset, tb: xr.DataArray) -> IntArray:
    """Find the scans at which a swath is interrupted.

    Times tell it, whatever they are: dates, numbers, cftime objects, of scans or of pixels, rising
    or falling. Where there are none, positions do.

    Parameters
    ----------
    ds : xarray.Dataset
        The swath, or a table of pixels, which has no neighbours and no breaks.
    tb : xarray.DataArray
        Its brightness temperatures, with the scans along the first dimension.

    Returns
    -------
    ndarray of int
        Numbers of the scans that follow an interruption, ascending.
    """
    if tb.ndim < 3 or tb.shape[0] < FEWEST:
        return np.zeros(0, np.intp)
    time = scan_times(ds, str(tb.dims[0]))
    if time is not None and np.isfinite(time).sum() >= FEWEST:
        return _time_breaks(time)
    return _position_breaks(ds, tb)


def scan_times(ds: xr.Dataset, scan: str) -> FloatArray | None:
    """Time of each scan in a unit of its own, NaN where unknown; None if there are no times."""
    if TIME not in ds.variables or scan not in ds[TIME].dims:
        return None
    rest = [d for d in ds[TIME].dims if d != scan]
    values = _as_numbers(ds[TIME].transpose(scan, *rest).values)
    if values is None or values.ndim == 1:
        return values
    values = values.reshape(len(values), -1)
    known = np.isfinite(values).any(axis=1)
    out = np.full(len(values), np.nan)
    out[known] = np.nanmedian(values[known], axis=1)
    return out


def _as_numbers(values: npt.NDArray[Any]) -> FloatArray | None:
    """Turn times of any kind into numbers, NaN where unknown; None if they are no times."""
    kind = values.dtype.kind
    if kind in "iuf":
        return values.astype(np.float64)
    if kind in "mM":
        out = values.astype(f"{kind}8[ns]").astype(np.int64).astype(np.float64) / 1e9
        out[np.isnat(values)] = np.nan
        return out
    if kind != "O":
        return None
    flat = values.ravel()
    first = next((t for t in flat if hasattr(t, "timetuple")), None)
    if first is None:
        return None
    seconds = [(t - first).total_seconds() if hasattr(t, "timetuple") else np.nan for t in flat]
    return np.array(seconds, np.float64).reshape(values.shape)


def _time_breaks(time: FloatArray) -> IntArray:
    """Find jumps of the time, forward or backward, of more than ten usual steps.

    Single scans with a wrong time are passed over, and so are neighbours whose times are
    exchanged; a few scans that come twice are a break.
    """
    known = np.flatnonzero(np.isfinite(time))
    steps = np.abs(np.diff(time[known]) / np.diff(known))
    if not (steps > 0).any():
        return np.zeros(0, np.intp)
    usual = np.median(steps[steps > 0])  # times may be given to the minute only
    ahead = time[known] / usual - known
    known = known[np.abs(ahead - _running_median(ahead)) <= WRONG]
    step = np.diff(time[known]) / usual
    jump = np.abs(step) > JUMP * np.diff(known)
    return np.asarray(known[1:][jump | _repeats(time[known] / usual, step)])


def _running_median(values: FloatArray, width: int = 5) -> FloatArray:
    """Median of the values around each one; at the ends of those that there are."""
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    return np.asarray(np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


def _repeats(time: FloatArray, step: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell steps against the direction of the scans around, after which scans come again."""
    out = np.zeros(len(step), bool)
    if len(step) < FEWEST:
        return out
    against = step * np.sign(_running_median(step)) <= -0.5
    inner = against[1:-1]
    # two scans that are exchanged leave the way from before them to behind them as it was
    out[1:-1] = inner & (np.abs(time[3:] - time[:-3]) < 2.0)
    return out


def _position_breaks(ds: xr.Dataset, tb: xr.DataArray) -> IntArray:
    """Find jumps of the position of more than ten usual steps."""
    none = np.zeros(0, np.intp)
    names = (LATITUDE, LONGITUDE)
    if any(n not in ds.variables or set(ds[n].dims) != set(tb.dims[:2]) for n in names):
        return none
    columns = np.unique(np.linspace(0, max(tb.shape[1] - 1, 0), 5).round().astype(int)[1:-1])
    if tb.shape[1] == 0:
        return none
    where = tb.dims[1]
    latitude, longitude = (
        ds[n].transpose(*tb.dims[:2]).isel({where: columns}).values.astype(float) for n in names
    )
    valid = valid_positions(latitude, longitude)
    known = np.flatnonzero(valid.all(axis=1))
    if len(known) < FEWEST:
        return none
    points = unit_vectors(latitude[known], longitude[known])
    apart = np.linalg.norm(np.diff(points, axis=0), axis=-1) * EARTH_RADIUS
    step = np.median(apart, axis=1) / np.diff(known)
    if not (step > 0).any():
        return none
    return np.asarray(known[1:][step > JUMP * np.median(step[step > 0])])
