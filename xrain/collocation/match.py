"""A reference on the pixels of some scans of a radiometer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.collocation.overlap import MARGIN, near_scans, rows_in_time
from xrain.collocation.sources import rate_name, screened_rate
from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
    PIXEL,
    REFERENCE_FRACTION,
    REFERENCE_LAG,
    REFERENCE_PRECIP,
    SCAN,
    TIME,
)
from xrain.errors import InputError, NoOverlapError
from xrain.evaluation.evaluate import positions_differ
from xrain.matching import match_footprints

__all__ = ["Matched", "match", "meeting_scans"]

Array = npt.NDArray[Any]

ROUNDED: Final = np.timedelta64(2, "s")
"""Products give the times of the radiometer's scans in whole seconds."""

INTERVAL: Final = np.timedelta64(1, "h")
"""A field of a grid may be named after the start of an interval as long as this."""


@dataclass(frozen=True)
class Matched:
    """A reference on the pixels of a radiometer, (scan, pixel).

    Attributes
    ----------
    rate : ndarray of float32
        Rain rate in mm/h, NaN where the reference has none.
    fraction : ndarray of float32
        Share of the footprint that the reference covers.
    lag : ndarray
        Seconds between the two, without sign; infinite where there is nothing.
    """

    rate: Array
    fraction: Array
    lag: Array

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> Matched:
        """Make one of no reference."""
        none = np.zeros(shape, np.float32)
        return cls(none + np.float32(np.nan), none, none + np.float32(np.inf))

    def or_nearer(self, other: Matched) -> Matched:
        """Take the reference that is nearer in time, pixel by pixel, where it has a rate."""
        nearer = np.isfinite(other.rate) & ((other.lag < self.lag) | np.isnan(self.rate))
        nearer |= np.isnan(self.rate) & (other.fraction > self.fraction)
        pairs = ((self.rate, other.rate), (self.fraction, other.fraction), (self.lag, other.lag))
        return Matched(*(np.where(nearer, b, a) for a, b in pairs))


def meeting_scans(
    reference: xr.Dataset, swath: xr.Dataset, variable: str, window: np.timedelta64
) -> list[slice]:
    """Find the scans of a radiometer near which a reference looked; maybe somewhat too many.

    Parameters
    ----------
    reference : xarray.Dataset
        A swath; or a grid, of which only the place counts.
    swath : xarray.Dataset
        Positions and times of the radiometer.
    variable : str
        Rate of the reference.
    window : timedelta64
        Longest time between the two.
    """
    if SCAN in reference.dims:
        return near_scans(swath, reference, window)
    one = reference.isel({TIME: [0]}) if TIME in reference.dims else reference
    name = rate_name(one, variable)
    try:
        found = match_footprints(swath, one, max_minutes=None, variable=name)
    except NoOverlapError:
        return []
    rows = np.flatnonzero((found[REFERENCE_FRACTION] > 0).any(PIXEL).values)
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > MARGIN) + 1)
    return [slice(int(r[0]), int(r[-1]) + 1) for r in parts if r.size]


def match(
    reference: xr.Dataset, swath: xr.Dataset, variable: str, window: np.timedelta64, least: float
) -> Matched:
    """Bring a reference onto a radiometer's pixels.

    Parameters
    ----------
    reference : xarray.Dataset
        A swath or a grid, as :func:`xrain.collocation.sources.open_source` gives it.
    swath : xarray.Dataset
        The radiometer's, with ``sensor`` among its attributes.
    variable : str
        Rate of the reference.
    window : timedelta64
        Longest time between the two.
    least : float
        Share of a footprint that the reference must cover.

    Raises
    ------
    InputError
        If the reference has no such rate, position or time.
    """
    shape = (swath.sizes[SCAN], swath.sizes[PIXEL])
    time = swath[TIME].values
    near = _in_time(reference, np.nanmin(time) - window, np.nanmax(time) + window)
    if near is None:
        return Matched.nothing(shape)
    name, rate = rate_name(near, variable), screened_rate(near, variable)
    near = near.assign({name: rate})
    if SCAN in near.dims:
        near = near[[name, LATITUDE, LONGITUDE, TIME]].load()
        own = _on_own_pixels(near[name], near, swath)
        if own is not None:
            known = np.isfinite(own)
            return Matched(own, known.astype(np.float32), np.where(known, np.float32(0), np.inf))
    minutes = float(window / np.timedelta64(1, "m"))
    try:
        found = match_footprints(swath, near, max_minutes=minutes, variable=name)
    except NoOverlapError:
        return Matched.nothing(shape)
    fraction = found[REFERENCE_FRACTION].values
    mean = np.where(fraction >= least, found[REFERENCE_PRECIP].values, np.float32(np.nan))
    lag = np.abs(found[REFERENCE_LAG].values)
    return Matched(mean, fraction, np.where(np.isfinite(lag), lag, np.inf))


def _in_time(reference: xr.Dataset, first: np.datetime64, last: np.datetime64) -> xr.Dataset | None:
    """Take scans or fields of a reference between two times; None if there are none."""
    if SCAN in reference.dims:
        rows = rows_in_time(reference[TIME].values, first, last)
        return reference.isel({SCAN: rows}) if rows.stop > rows.start else None
    if TIME not in reference.variables:
        raise InputError("a gridded reference needs the coordinate time")
    if TIME not in reference.dims:
        return reference
    rows = rows_in_time(reference[TIME].values, first - INTERVAL, last)
    return reference.isel({TIME: rows}) if rows.stop > rows.start else None


def _on_own_pixels(rate: xr.DataArray, near: xr.Dataset, swath: xr.Dataset) -> Array | None:
    """Rate of a product that lies on the radiometer's pixels; None if it does not."""
    if near.sizes[PIXEL] != swath.sizes[PIXEL]:
        return None
    time = swath[TIME].values
    rows = rows_in_time(near[TIME].values, np.nanmin(time) - ROUNDED, np.nanmax(time) + ROUNDED)
    for first in range(rows.start, rows.stop - time.size + 1):
        part = {SCAN: slice(first, first + time.size)}
        if not positions_differ(swath, near.isel(part), (SCAN, PIXEL)):
            out: Array = rate.isel(part).transpose(SCAN, PIXEL).values
            return out
    return None
