"""Bring a reference onto the pixels of a radiometer: radar, gridded rain, another radiometer."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
    PIXEL,
    PROBABILITY_OF_PRECIP,
    REFERENCE_COUNT,
    REFERENCE_DISTANCE,
    REFERENCE_FRACTION,
    REFERENCE_LAG,
    REFERENCE_PRECIP,
    REFERENCE_PROBABILITY,
    SCAN,
    SURFACE_PRECIP,
    TIME,
)
from xrain.errors import InputError, NoOverlapError
from xrain.geo.footprint import footprint_directions, footprint_widths, pixel_incidence
from xrain.geo.gaussian import CUT
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors, valid_positions
from xrain.io.rain_rates import to_mm_per_hour
from xrain.naming import known_names
from xrain.reference.cells import Places, Swath
from xrain.reference.footprint_mean import Footprints, average
from xrain.reference.gridded import grid_source
from xrain.reference.output import Footprint, footprint_text, no_overlap, on_swath
from xrain.sensors import Sensor, find_sensor

__all__ = ["match_footprints", "match_pixels", "match_reference"]

Array = npt.NDArray[Any]

MINUTES: Final = 15.0
"""Longest time between radiometer and reference by default: half that between fields of IMERG."""


def match_footprints(
    swath: xr.Dataset,
    reference: xr.Dataset,
    *,
    footprint: Footprint = None,
    max_minutes: float | None = MINUTES,
    variable: str | None = None,
) -> xr.Dataset:
    """Average a reference over the footprints of a radiometer.

    Parameters
    ----------
    swath : xarray.Dataset
        A radiometer's, or rain retrieved from it, with ``latitude`` and ``longitude`` (scan,
        pixel) in degrees, ``time`` (scan), and the attribute ``sensor``.
    reference : xarray.Dataset
        A radar's swath (scan, pixel) as :func:`xrain.open_reference` gives it, or rain on a grid:
        in latitude and longitude, of one or two dimensions each, or in y and x with a
        projection in the attribute ``projection`` or a CF grid mapping; with or without a
        dimension ``time``, of which the nearest is taken.
    footprint : str, float or (float, float), optional
        A channel of the sensor, half-power widths in km along and across the line of sight, or
        one width for both. By default that of the channel whose resolution retrieved rain has:
        next to 37 GHz for imagers, 89 GHz for cross-track sounders. The sensor's tables tell the
        widths, which for a sounder grow towards the ends of its scan.
    max_minutes : float, optional
        Longest time between scan and reference; None does not look at times.
    variable : str, optional
        Rate of the reference; by default ``surface_precip``, ``rain_rate``, or the only one. It
        is converted from the units of its attribute, and is in mm h-1 where it has none.

    Returns
    -------
    xarray.Dataset
        On the swath's (scan, pixel): ``reference_precip`` in mm h-1, NaN where nothing was
        observed; ``reference_fraction``, the share of the footprint with a value;
        ``reference_count``, the reference's pixels with a value; and
        ``reference_time_difference`` in s, positive where the reference is later.

    Raises
    ------
    NoOverlapError
        If they have no place and time in common.
    InputError
        If a position, time, projection or footprint is missing or wrong.

    See Also
    --------
    xrain.match_reference : Chooses the way by itself.
    xrain.reference.match_pixels : The nearest pixel.

    Notes
    -----
    The antenna pattern is a Gaussian with its long axis along the line of sight, cut off at 1.2
    half-power widths. Where the reference is coarser than the footprint, the pattern is as wide as
    the reference's own pixels. Cells finer than a quarter of the footprint are averaged first,
    which widens it by less than 2 %.

    Examples
    --------
    >>> from xrain.testing import fake_swath
    >>> grid = xr.Dataset(
    ...     {"rain_rate": (("latitude", "longitude"), np.full((180, 360), 2.0))},
    ...     {"latitude": np.arange(-89.5, 90), "longitude": np.arange(-179.5, 180)},
    ... )
    >>> found = match_footprints(fake_swath("GMI", 8, 16), grid, max_minutes=None)
    >>> float(found["reference_precip"].mean())
    2.0
    """
    longest = _longest(max_minutes)
    swath, reference = known_names(swath), known_names(reference)
    grid = _pixels(swath)
    prints, known = _footprints(swath, grid, footprint)
    name = _variable(reference, variable)
    reference = reference.assign({name: to_mm_per_hour(reference[name], "the reference")})
    _require_time(swath, reference, name, longest)
    reach = CUT * float(prints.widths.max(initial=0))
    if {SCAN, PIXEL} <= set(reference[name].dims):
        source: Any = _swath_source(reference, name, reach, longest)
        found = source.find(prints.places)
    else:
        source, found = grid_source(reference, name, prints.places, prints.widths, longest)
    if source is None or not found.near.any():
        raise NoOverlapError(no_overlap(swath, reference, max_minutes))
    means = average(source, prints, found)
    values = {
        REFERENCE_PRECIP: means.mean,
        REFERENCE_FRACTION: means.fraction,
        REFERENCE_COUNT: means.count,
        REFERENCE_LAG: np.where(means.count > 0, found.lag, np.nan).astype(np.float32),
    }
    return on_swath(swath, reference, known, values, {"footprint": footprint_text(footprint)})


def match_pixels(
    swath: xr.Dataset,
    other: xr.Dataset,
    *,
    max_minutes: float | None = MINUTES,
    max_distance: float | None = None,
    variable: str | None = None,
) -> xr.Dataset:
    """Take, for every pixel of a radiometer, the nearest one of another swath.

    Parameters
    ----------
    swath : xarray.Dataset
        As in :func:`match_footprints`; the sensor may be unknown.
    other : xarray.Dataset
        Rain on another radiometer's swath, such as 2A GPROF, or another retrieval.
    max_minutes : float, optional
        Longest time between the two; None does not look at times.
    max_distance : float, optional
        Longest distance in km; by default the diagonal of the other's cells.
    variable : str, optional
        Rate of the other; by default ``surface_precip``, ``rain_rate``, or the only one.

    Returns
    -------
    xarray.Dataset
        On the swath's (scan, pixel): ``reference_precip`` in mm h-1; ``reference_probability``
        where the other has ``probability_of_precip``; ``reference_distance`` in km and
        ``reference_time_difference`` in s, NaN where there is no pixel.

    Raises
    ------
    NoOverlapError
        If they have no place and time in common.
    InputError
        If a position or time is missing.

    See Also
    --------
    xrain.match_reference : Chooses the way by itself.
    xrain.reference.match_footprints : Means over footprints.

    Examples
    --------
    >>> from xrain.testing import fake_swath
    >>> swath = fake_swath("GMI", 8, 16)
    >>> other = swath[["latitude", "longitude", "time"]]
    >>> other["surface_precip"] = (("scan", "pixel"), np.full((8, 16), 2.0))
    >>> found = match_pixels(swath, other)
    >>> float(found["reference_precip"].mean()), float(found["reference_distance"].max())
    (2.0, 0.0)
    """
    longest = _longest(max_minutes)
    swath, other = known_names(swath), known_names(other)
    latitude, longitude, time = _pixels(swath)
    places, known = _places(latitude, longitude, time)
    name = _variable(other, variable)
    other = other.assign({name: to_mm_per_hour(other[name], "the reference")})
    _require_time(swath, other, name, longest)
    source = _swath_source(other, name, 0.0, longest)
    found = source.find(places)
    rows, columns = other.sizes[SCAN], other.sizes[PIXEL]
    hit = found.near & (found.row >= 0) & (found.row < rows)
    hit &= (found.column >= 0) & (found.column < columns)
    at = np.where(hit, found.row * columns + found.column, 0)
    distance = _distance(places, other, at)
    hit &= np.isfinite(distance)
    if max_distance is not None:
        hit &= distance <= max_distance
    if not hit.any():
        raise NoOverlapError(no_overlap(swath, other, max_minutes))
    values: dict[str, Array] = {
        ours: np.where(hit, _plane(other, theirs).ravel()[at], np.nan).astype(np.float32)
        for ours, theirs in (
            (REFERENCE_PRECIP, name),
            (REFERENCE_PROBABILITY, PROBABILITY_OF_PRECIP),
        )
        if theirs in other
    }
    values[REFERENCE_DISTANCE] = np.where(hit, distance, np.nan).astype(np.float32)
    values[REFERENCE_LAG] = np.where(hit, found.lag, np.nan).astype(np.float32)
    return on_swath(swath, other, known, values, {})


def match_reference(
    swath: xr.Dataset,
    reference: xr.Dataset,
    *,
    footprint: Footprint = None,
    max_minutes: float | None = MINUTES,
    variable: str | None = None,
) -> xr.Dataset:
    """Bring any reference onto a radiometer's pixels.

    Rain of another radiometer goes pixel by pixel, see :func:`match_pixels`; everything else is
    averaged over footprints, see :func:`match_footprints`, which has the same parameters.

    Parameters
    ----------
    swath, reference : xarray.Dataset
        The radiometer's, and what is brought onto its pixels.
    footprint, max_minutes, variable
        As of :func:`match_footprints`.

    Returns
    -------
    xarray.Dataset
        As of :func:`match_pixels` or :func:`match_footprints`.

    Raises
    ------
    NoOverlapError
        If they have no place and time in common.
    InputError
        If a position, time, projection or footprint is missing or wrong.

    See Also
    --------
    xrain.open_reference : Read the reference.
    xrain.reference.match_footprints : Means over footprints.
    xrain.compare : Scores of several retrievals against it.

    Examples
    --------
    >>> from xrain.testing import fake_swath
    >>> swath = fake_swath("GMI", 8, 16)
    >>> other = swath[["latitude", "longitude", "time"]].assign_attrs(sensor="TMI")
    >>> other["surface_precip"] = (("scan", "pixel"), np.full((8, 16), 2.0))
    >>> sorted(match_reference(swath, other).data_vars)
    ['reference_distance', 'reference_precip', 'reference_time_difference']
    """
    options: dict[str, Any] = {"max_minutes": max_minutes, "variable": variable}
    name = str(reference.attrs.get("sensor", ""))
    if {SCAN, PIXEL} <= set(reference.dims) and name and find_sensor(name) is not None:
        return match_pixels(swath, reference, **options)
    return match_footprints(swath, reference, footprint=footprint, **options)


# ---- what is given


def _longest(max_minutes: float | None) -> np.timedelta64 | None:
    if max_minutes is None:
        return None
    if not max_minutes > 0:
        raise InputError(f"max_minutes is {max_minutes:g}; it must be more than 0, or None")
    return np.timedelta64(round(max_minutes * 60e9), "ns")


def _pixels(swath: xr.Dataset) -> tuple[Array, Array, Array]:
    """Latitude and longitude (scan, pixel) and time (scan), NaT where it is not given."""
    missing = [n for n in (LATITUDE, LONGITUDE) if n not in swath.variables]
    if missing:
        raise InputError(f"{' and '.join(missing)} missing: without positions nothing is matched")
    if {*swath[LATITUDE].dims} != {SCAN, PIXEL}:
        raise InputError(
            f"{LATITUDE} has dimensions {swath[LATITUDE].dims}; a swath (scan, pixel) is needed"
        )
    latitude, longitude = (_plane(swath, n).astype(np.float64) for n in (LATITUDE, LONGITUDE))
    wrong = ~valid_positions(latitude, longitude)
    latitude[wrong] = longitude[wrong] = np.nan
    scans = swath.sizes[SCAN]
    time = np.full(scans, np.datetime64("NaT", "ns"))
    if TIME in swath.variables and swath[TIME].dims == (SCAN,):
        time = swath[TIME].values.astype("datetime64[ns]")
    return latitude, longitude, time


def _plane(ds: xr.Dataset, name: str) -> Array:
    out: Array = ds[name].transpose(SCAN, PIXEL).values
    return out


def _places(latitude: Array, longitude: Array, time: Array) -> tuple[Places, Array]:
    """Pixels with a position, and which they are."""
    known = np.isfinite(latitude)
    lat, lon = latitude[known], longitude[known]
    when = np.broadcast_to(time[:, None], latitude.shape)[known]
    return Places(lat, lon, unit_vectors(lat, lon), when), known


def _variable(reference: xr.Dataset, wanted: str | None) -> str:
    names = [str(n) for n, v in reference.data_vars.items() if v.ndim >= 2]
    choices = [wanted] if wanted else [SURFACE_PRECIP, "rain_rate", *(names * (len(names) == 1))]
    for name in choices:
        if name in reference.data_vars:
            return str(name)
    raise InputError(
        f"the reference has no {wanted or SURFACE_PRECIP}; there are {', '.join(names) or 'none'}."
        " Say with variable=… which is its rate in mm h-1"
    )


def _require_time(
    swath: xr.Dataset, reference: xr.Dataset, name: str, longest: np.timedelta64 | None
) -> None:
    if longest is None:
        return
    lacking = [
        text
        for text, ds, there in (
            ("the swath", swath, TIME in swath.variables),
            ("the reference", reference, TIME in reference[name].coords or TIME in reference.dims),
        )
        if not there
    ]
    if lacking:
        raise InputError(
            f"{' and '.join(lacking)} has no time; give it, or max_minutes=None to match by place"
        )


def _footprints(
    swath: xr.Dataset, grid: tuple[Array, Array, Array], footprint: Footprint
) -> tuple[Footprints, Array]:
    latitude, longitude, time = grid
    name = str(swath.attrs.get("sensor", ""))
    sensor = find_sensor(name) if name else None
    widths = _widths(swath, sensor, footprint)
    scan_type = sensor.scan_type if sensor else "conical"
    places, known = _places(latitude, longitude, time)
    along, across = footprint_directions(latitude, longitude, scan_type)
    return Footprints(places, along[known], across[known], widths[known]), known


def _widths(swath: xr.Dataset, sensor: Sensor | None, footprint: Footprint) -> Array:
    """Half-power widths (scan, pixel, 2) in km along and across the line of sight."""
    shape = (swath.sizes[SCAN], swath.sizes[PIXEL], 2)
    if footprint is not None and not isinstance(footprint, str):
        size = np.broadcast_to(np.asarray(footprint, np.float32), (2,))
        if not (np.isfinite(size) & (size > 0)).all():
            raise InputError(f"footprint is {footprint!r}; it is a width in km or a pair of them")
        return np.broadcast_to(size, shape)
    if sensor is None:
        raise InputError(
            f"the sensor {swath.attrs.get('sensor')!r} is not known, so its footprint is not; "
            "give footprint=… in km, or the attribute sensor"
        )
    channel = sensor.channel(footprint) if footprint else sensor.rain_channel
    angle = pixel_incidence(swath.transpose(SCAN, PIXEL, ...), sensor)
    return np.stack(footprint_widths(sensor, channel, angle), axis=-1).astype(np.float32)


def _swath_source(
    reference: xr.Dataset, name: str, reach: float, longest: np.timedelta64 | None
) -> Swath:
    latitude, longitude, time = _pixels(reference)
    values = _plane(reference, name).astype(np.float32)
    points = unit_vectors(latitude, longitude)
    values = np.where(np.isfinite(points[..., 0]), values, np.nan)
    return Swath(points, values[None], reach, time, longest)


def _distance(places: Places, other: xr.Dataset, at: Array) -> Array:
    latitude, longitude, _ = _pixels(other)
    there = unit_vectors(latitude, longitude).reshape(-1, 3)[at]
    out: Array = np.linalg.norm(there - places.points, axis=-1) * EARTH_RADIUS
    return out
