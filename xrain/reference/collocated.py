"""Collocated reference: any reference file on the pixels of a radiometer.

This is the one way from a reference to the pixels, for training data, comparisons and scores
alike. What the product calls bad and isolated spikes of gridded radar are left out. A product that
lies on the radiometer's own pixels is taken as it is; another radiometer's rain comes from its
nearest pixel; everything else is averaged over the footprint, of which at least
:data:`xrain.conventions.COVERED` must be observed. Of several references the one nearest in time
counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    COVERED,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    PRECIP_FLAG,
    PROBABILITY_OF_PRECIP,
    REFERENCE_FRACTION,
    REFERENCE_LAG,
    REFERENCE_PRECIP,
    REFERENCE_PROBABILITY,
    SCAN,
    SURFACE_PRECIP,
    TIME,
)
from xrain.errors import InputError, NoOverlapError
from xrain.io.radar_qc import despike
from xrain.io.rain_rates import RAIN_RATE, require_rates
from xrain.reference.files import (
    INTERVAL,
    Span,
    open_source,
    positions_differ,
    product_label,
    span_of,
)
from xrain.reference.match import MINUTES, match_footprints, match_reference
from xrain.reference.overlap import MARGIN, near_scans, rows_in_time
from xrain.reference.quality import good_rate

__all__ = [
    "Collocated", "ReferenceFiles", "collocate_files", "collocate_reference", "join_stretches",
    "meeting_scans", "rate_name", "screened_rate",
]  # fmt: skip

Array = npt.NDArray[Any]

WINDOW: Final = np.timedelta64(round(MINUTES * 60), "s")
"""Longest time between radiometer and reference by default."""

ROUNDED: Final = np.timedelta64(2, "s")
"""Products give the times of the radiometer's scans in whole seconds."""

EXTRAS: Final = (PROBABILITY_OF_PRECIP, PRECIP_FLAG)
"""What is taken of a product beside its rate, where it has it on pixels."""


@dataclass(frozen=True)
class Collocated:
    """A reference on the pixels of a radiometer, (scan, pixel).

    Attributes
    ----------
    rate : ndarray of float32
        Rain rate in mm/h, NaN where the reference has none.
    fraction : ndarray of float32
        Share of the footprint that the reference covers.
    lag : ndarray
        Seconds between the two, without sign; infinite where there is nothing.
    extras : mapping of str to ndarray
        Probability and flag of precipitation as far as the reference has them, NaN elsewhere.
    """

    rate: Array
    fraction: Array
    lag: Array
    extras: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> Collocated:
        """Make one of no reference."""
        none = np.zeros(shape, np.float32)
        return cls(none + np.float32(np.nan), none, none + np.float32(np.inf))

    def or_nearer(self, other: Collocated) -> Collocated:
        """Take the reference that is nearer in time, pixel by pixel, where it has a rate."""
        nearer = np.isfinite(other.rate) & ((other.lag < self.lag) | np.isnan(self.rate))
        nearer |= np.isnan(self.rate) & (other.fraction > self.fraction)
        pairs = ((self.rate, other.rate), (self.fraction, other.fraction), (self.lag, other.lag))
        nan = np.full(self.rate.shape, np.nan, np.float32)
        extras = {
            n: np.where(nearer, other.extras.get(n, nan), self.extras.get(n, nan))
            for n in EXTRAS
            if n in self.extras or n in other.extras
        }
        rate, fraction, lag = (np.where(nearer, b, a) for a, b in pairs)
        return Collocated(rate, fraction, lag, extras)

    def to_dataset(self, swath: xr.Dataset) -> xr.Dataset:
        """Make a dataset with the positions of the swath."""
        planes = {SURFACE_PRECIP: self.rate, REFERENCE_FRACTION: self.fraction, **self.extras}
        place = {n: swath[n].variable.transpose(SCAN, PIXEL) for n in (LATITUDE, LONGITUDE)}
        return xr.Dataset({n: ((SCAN, PIXEL), v) for n, v in planes.items()}, place)


# ---- one reference


def rate_name(ds: xr.Dataset, variable: str) -> str:
    """Tell which variable of a reference is its rate: `variable`, or ``rain_rate`` of a grid.

    Raises
    ------
    InputError
        If it has neither.
    """
    for name in (variable, RAIN_RATE):
        if name in ds.variables:
            return name
    rates = [str(n) for n in ds.data_vars if "precip" in str(n) and ds[n].dtype.kind == "f"]
    raise InputError(
        f"{ds.attrs.get('granule', 'the reference')} has no {variable}; there are "
        f"{', '.join(rates)}"
    )


def screened_rate(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """Rain rate, NaN where the product calls it bad; of a radar composite without spikes.

    Raises
    ------
    InputError
        If the product has no such variable, or a grid holds what cannot be rain rates.
    """
    name = rate_name(ds, variable)
    rate = ds[name]
    if name == RAIN_RATE and SCAN not in ds.dims:
        fields = rate.values.reshape(-1, *rate.shape[-2:])
        if np.isfinite(fields).any():
            require_rates(fields, str(ds.attrs.get("granule", "the reference")))
        return rate.copy(data=np.stack([despike(f) for f in fields]).reshape(rate.shape))
    return good_rate(ds, name)


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


def join_stretches(stretches: Iterable[slice]) -> list[slice]:
    """Join stretches of scans that overlap."""
    out: list[slice] = []
    for one in sorted(stretches, key=lambda s: s.start):
        if out and one.start <= out[-1].stop:
            out[-1] = slice(out[-1].start, max(out[-1].stop, one.stop))
        else:
            out.append(one)
    return out


def collocate_reference(
    reference: xr.Dataset,
    swath: xr.Dataset,
    variable: str = SURFACE_PRECIP,
    window: np.timedelta64 = WINDOW,
    covered: float = COVERED,
) -> Collocated:
    """Bring one reference onto a radiometer's pixels.

    Parameters
    ----------
    reference : xarray.Dataset
        A swath or a grid, as :func:`xrain.reference.files.open_source` gives it.
    swath : xarray.Dataset
        The radiometer's, with ``sensor`` among its attributes.
    variable : str
        Rate of the reference.
    window : timedelta64
        Longest time between the two.
    covered : float
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
        return Collocated.nothing(shape)
    name = rate_name(near, variable)
    near = near.assign({name: screened_rate(near, variable)})
    if SCAN in near.dims:
        near = near[[name, LATITUDE, LONGITUDE, TIME, *(n for n in EXTRAS if n in near)]].load()
        own = _on_own_pixels(near, name, swath)
        if own is not None:
            return own
    minutes = float(window / np.timedelta64(1, "m"))
    try:
        found = match_reference(swath, near, max_minutes=minutes, variable=name)
    except NoOverlapError:
        return Collocated.nothing(shape)
    rate = found[REFERENCE_PRECIP].values
    fraction = np.isfinite(rate).astype(np.float32)
    if REFERENCE_FRACTION in found:
        fraction = found[REFERENCE_FRACTION].values
    lag = np.abs(found[REFERENCE_LAG].values)
    extras = {}
    if REFERENCE_PROBABILITY in found:
        extras[PROBABILITY_OF_PRECIP] = found[REFERENCE_PROBABILITY].values
    mean = np.where(fraction >= covered, rate, np.float32(np.nan))
    return Collocated(mean, fraction, np.where(np.isfinite(lag), lag, np.inf), extras)


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


def _on_own_pixels(near: xr.Dataset, name: str, swath: xr.Dataset) -> Collocated | None:
    """Take a product that lies on the radiometer's pixels as it is; None if it does not."""
    if near.sizes[PIXEL] != swath.sizes[PIXEL]:
        return None
    time = swath[TIME].values
    rows = rows_in_time(near[TIME].values, np.nanmin(time) - ROUNDED, np.nanmax(time) + ROUNDED)
    for first in range(rows.start, rows.stop - time.size + 1):
        part = near.isel({SCAN: slice(first, first + time.size)})
        if not positions_differ(swath, part, (SCAN, PIXEL)):
            planes = {
                n: part[n].transpose(SCAN, PIXEL).values.astype(np.float32)
                for n in (name, *EXTRAS)
                if n in part
            }
            rate = planes.pop(name)
            known = np.isfinite(rate)
            lag = np.where(known, np.float32(0), np.float32(np.inf))
            return Collocated(rate, known.astype(np.float32), lag, planes)
    return None


# ---- files


def collocate_files(
    swath: xr.Dataset,
    files: Sequence[Span],
    variable: str = SURFACE_PRECIP,
    window: np.timedelta64 = WINDOW,
    covered: float = COVERED,
) -> Collocated:
    """Bring all references that a stretch of scans met onto its pixels, the nearest in time first.

    Parameters
    ----------
    swath : xarray.Dataset
        Scans as of :func:`meeting_scans`, with ``sensor`` among the attributes.
    files : sequence of Span
        References.
    variable, window, covered
        As for :func:`collocate_reference`.
    """
    found = Collocated.nothing((swath.sizes[SCAN], swath.sizes[PIXEL]))
    time = swath[TIME].values
    if np.isnat(time).all():
        return found
    first, last = np.nanmin(time) - window, np.nanmax(time) + window
    for span in files:
        if first <= span.last and span.first - INTERVAL <= last:
            with open_source(span.path) as reference:
                one = collocate_reference(reference, swath, variable, window, covered)
            found = found.or_nearer(one)
    return found


class ReferenceFiles:
    """Files of one kind that serve as reference, such as the granules of a product.

    Parameters
    ----------
    files : sequence of path
        2A radar, 2A GPROF, 2B CORRA or half-hourly IMERG granules, rain files of xrain, or rain on
        a grid; in any order.

    Raises
    ------
    InputError
        If there is none.
    """

    def __init__(self, files: Sequence[str | os.PathLike[str]]) -> None:
        if not files:
            raise InputError("there is no file to compare with")
        self._spans = [span_of(Path(f), radiometer=False) for f in files]
        labels = []
        for span in self._spans:
            with open_source(span.path) as ds:
                labels.append(product_label(dict(ds.attrs)))
        self.label = " and ".join(dict.fromkeys(labels))

    @property
    def names(self) -> list[str]:
        """Names of the files."""
        return [s.path.name for s in self._spans]

    def on(self, granule: str, swath: xr.Dataset) -> xr.Dataset:
        """Bring what overlaps a granule in time onto its pixels.

        Parameters
        ----------
        granule : str
            Name of the granule for messages.
        swath : xarray.Dataset
            The granule, with ``latitude``, ``longitude`` and ``time``.

        Returns
        -------
        xarray.Dataset
            ``surface_precip`` (scan, pixel) in mm/h, NaN where nothing is known, and what else
            there is of probability and flag.

        Raises
        ------
        InputError
            If no file overlaps the granule in time.
        """
        near = self._overlapping(swath[TIME].values)
        if not near:
            raise InputError(
                f"{granule}: none of {', '.join(self.names)} overlaps it in time; give files "
                "of the same orbit"
            )
        stretches: list[slice] = []
        for span in near:
            with open_source(span.path) as reference:
                stretches += meeting_scans(reference, swath, SURFACE_PRECIP, WINDOW)
        shape = (swath.sizes[SCAN], swath.sizes[PIXEL])
        whole = Collocated.nothing(shape)
        extras: dict[str, Array] = {}
        for rows in join_stretches(stretches):
            part = collocate_files(swath.isel({SCAN: rows}), near)
            whole.rate[rows], whole.fraction[rows] = part.rate, part.fraction
            for name, values in part.extras.items():
                plane = extras.setdefault(name, np.full(shape, np.nan, np.float32))
                plane[rows] = values
        return Collocated(whole.rate, whole.fraction, whole.lag, extras).to_dataset(swath)

    def _overlapping(self, time: Array) -> list[Span]:
        known = time[~np.isnat(time)]
        if not known.size:
            return []
        first, last = known.min() - WINDOW, known.max() + WINDOW
        return [s for s in self._spans if first <= s.last and s.first - INTERVAL <= last]
