"""Where a radiometer and a reference saw the same place at about the same time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.spatial import cKDTree

from xrain.conventions import LATITUDE, LONGITUDE, PIXEL, SCAN, TIME
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors

__all__ = ["near_scans", "rows_in_time"]

Array = npt.NDArray[Any]

STEP: Final = (8, 3)
"""Every so many scans and pixels one is looked at."""

REACH: Final = 200.0
"""Distance in km below which two of the looked-at pixels may have neighbours that meet: half the
diagonal between those of the coarsest swath, and that of the other."""

MARGIN: Final = 16
"""Scans added before and after, so that no meeting pixel is lost between those looked at."""


def near_scans(swath: xr.Dataset, reference: xr.Dataset, window: np.timedelta64) -> list[slice]:
    """Find the scans of a swath near which the reference looked within a time.

    Parameters
    ----------
    swath : xarray.Dataset
        The radiometer's, with ``latitude``, ``longitude`` and ``time``.
    reference : xarray.Dataset
        Another swath.
    window : timedelta64
        Longest time between the two.

    Returns
    -------
    list of slice
        Stretches of scans, maybe somewhat too long; empty if the two do not meet.
    """
    ours, row = _events(swath, window)
    theirs, _ = _events(reference, window)
    if not (ours.size and theirs.size):
        return []
    distance, _ = cKDTree(theirs).query(ours, p=np.inf, distance_upper_bound=REACH / EARTH_RADIUS)
    rows = np.unique(row[np.isfinite(distance)])
    if not rows.size:
        return []
    breaks = np.flatnonzero(np.diff(rows) > 2 * (MARGIN + STEP[0])) + 1
    total = swath.sizes[SCAN]
    return [
        slice(max(int(part[0]) - MARGIN, 0), min(int(part[-1]) + MARGIN + 1, total))
        for part in np.split(rows, breaks)
    ]


def _events(ds: xr.Dataset, window: np.timedelta64) -> tuple[Array, Array]:
    """Take some pixels as points in space and time, and their scans; a window is a reach long."""
    scans, pixels = ds.sizes[SCAN], ds.sizes[PIXEL]
    rows = np.unique(np.append(np.arange(0, scans, STEP[0]), scans - 1))
    columns = np.unique(np.append(np.arange(0, pixels, STEP[1]), pixels - 1))
    place = [ds[n].transpose(SCAN, PIXEL).values[np.ix_(rows, columns)] for n in
             (LATITUDE, LONGITUDE)]  # fmt: skip
    points = unit_vectors(*place).astype(np.float64)
    time = ds[TIME].values[rows].astype("datetime64[ns]")
    seconds = (time - np.datetime64("2000-01-01", "ns")) / window.astype("timedelta64[ns]")
    seconds = np.where(np.isnat(time), np.nan, seconds) * (REACH / EARTH_RADIUS)
    late = np.broadcast_to(seconds[:, None], points.shape[:2])
    events = np.concatenate([points, late[..., None]], axis=-1).reshape(-1, 4)
    known = np.isfinite(events).all(axis=1)
    return events[known], np.repeat(rows, columns.size)[known]


def rows_in_time(time: Array, first: np.datetime64, last: np.datetime64) -> slice:
    """Stretch of scans whose times lie between two; empty if none does."""
    (rows,) = np.nonzero((time >= first) & (time <= last))
    return slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else slice(0, 0)
