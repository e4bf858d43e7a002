"""Which pixels of a swath, or cells of a grid, see stations: one for each overpass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.spatial import cKDTree

from xrain.conventions import LATITUDE, LONGITUDE
from xrain.geo.cells import LONE, spacing, swath_of
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors, valid_positions
from xrain.regrid.locate import HELD, hold

__all__ = ["Sightings", "grid_sightings", "swath_sightings"]

Array = npt.NDArray[Any]

APART: Final = 50
"""Scans between two sightings from which on they belong to two overpasses: more than those that
see a place at once, less than those of the way around."""

LATER: Final = np.timedelta64(5, "m")
"""The same in time: a satellite passes over a place in less, and comes back after an orbit."""

WIDEST: Final = 8.0
"""Usual steps between pixels in which the nearest one must lie: the pixels at the end of a
sounder's scan are four times as far apart as those in the middle."""

AROUND: Final = 2
"""Scans and pixels to either side that tell the cell of a pixel."""


@dataclass(frozen=True)
class Sightings:
    """Pixels that see stations.

    Attributes
    ----------
    station : ndarray of int, shape (sighting,)
        Which station.
    row, column : ndarray of int, shape (sighting,)
        Scan and pixel, or row and column of the grid.
    distance : ndarray of float, shape (sighting,)
        From the middle of the pixel to the station, km.
    """

    station: Array
    row: Array
    column: Array
    distance: Array


def swath_sightings(
    latitude: Array,
    longitude: Array,
    stations: xr.Dataset,
    reach: float | None,
    time: Array | None = None,
) -> Sightings:
    """Find the nearest pixel to each station in each overpass.

    Parameters
    ----------
    latitude, longitude : ndarray, shape (scan, pixel)
        Degrees.
    stations : xarray.Dataset
        As :func:`xrain.points.stations.stations_of` gives them.
    reach : float, optional
        Farthest distance in km; by default a station must lie in the cell of a pixel.
    time : ndarray of datetime64, shape (scan,), optional
        Of the scans; NaT where unknown.

    Returns
    -------
    Sightings
    """
    valid = valid_positions(latitude, longitude)
    lat, lon = (np.where(valid, v, np.nan).astype(np.float64) for v in (latitude, longitude))
    points = unit_vectors(lat, lon, np.float64)
    sought = unit_vectors(stations[LATITUDE].values, stations[LONGITUDE].values, np.float64)
    usual = [s for s in spacing(points) if np.isfinite(s)]
    far = WIDEST * max([*usual, LONE]) if reach is None else reach
    found: list[tuple[int, int, int, float]] = []
    for number, place, pixels in _near(points, sought, far):
        for row, column, distance in _passes(points, place, pixels, time):
            if reach is not None or _holds(lat, lon, place, row, column):
                found.append((number, row, column, distance))
    return _sightings(found)


def _near(points: Array, sought: Array, far: float) -> list[tuple[int, Array, Array]]:
    """Pixels within a distance of each station."""
    flat = points.reshape(-1, 3)
    known = np.flatnonzero(np.isfinite(flat[:, 0]))
    if not known.size:
        return []
    tree = cKDTree(flat[known], balanced_tree=False)
    chord = 2 * np.sin(min(far / EARTH_RADIUS, np.pi) / 2)
    near = tree.query_ball_point(sought, chord)
    return [(k, sought[k], known[np.sort(n)]) for k, n in enumerate(near) if len(n)]


def _passes(
    points: Array, place: Array, pixels: Array, time: Array | None
) -> list[tuple[int, int, float]]:
    """Nearest pixel of each overpass, and its distance in km."""
    rows, columns = np.divmod(pixels, points.shape[1])
    chord = np.linalg.norm(points[rows, columns] - place, axis=-1)
    another = np.diff(rows) > APART
    if time is not None:
        another |= np.abs(np.diff(time[rows])) > LATER
    out = []
    for part in np.split(np.arange(rows.size), np.flatnonzero(another) + 1):
        best = part[np.argmin(chord[part])]
        arc = 2 * np.arcsin(min(float(chord[best]) / 2, 1.0))
        out.append((int(rows[best]), int(columns[best]), EARTH_RADIUS * arc))
    return out


def _holds(lat: Array, lon: Array, place: Array, row: int, column: int) -> bool:
    """Whether a place lies in the cell of a pixel or of one beside it."""
    rows, columns = (slice(max(k - AROUND, 0), k + AROUND + 1) for k in (row, column))
    swath = swath_of(lat[rows, columns], lon[rows, columns])
    start = (row - rows.start) * swath.latitude.shape[1] + column - columns.start
    _, offset = hold(swath, place[None].astype(np.float32), np.array([start]))
    return bool((np.abs(offset) <= HELD).all())


def _sightings(found: list[tuple[int, int, int, float]]) -> Sightings:
    station, row, column, distance = np.array(found, float).reshape(-1, 4).T
    return Sightings(station.astype(int), row.astype(int), column.astype(int), distance)


def grid_sightings(
    latitude: Array, longitude: Array, stations: xr.Dataset, reach: float | None
) -> Sightings:
    """Find the cell of a grid of degrees that holds each station.

    Parameters
    ----------
    latitude, longitude : ndarray, shape (row,) and (column,)
        Degrees of the middle of the cells.
    stations : xarray.Dataset
        As :func:`xrain.points.stations.stations_of` gives them.
    reach : float, optional
        Farthest distance in km; by default a station must lie in a cell.

    Returns
    -------
    Sightings
    """
    lat, lon = stations[LATITUDE].values, stations[LONGITUDE].values
    off_row = np.abs(lat[:, None] - latitude)
    off_column = np.abs((lon[:, None] - longitude + 180) % 360 - 180)
    row, column = off_row.argmin(axis=1), off_column.argmin(axis=1)
    here = unit_vectors(latitude[row].astype(float), longitude[column].astype(float), np.float64)
    chord = np.linalg.norm(here - unit_vectors(lat, lon, np.float64), axis=-1)
    distance = 2 * EARTH_RADIUS * np.arcsin(np.minimum(chord / 2, 1.0))
    if reach is None:
        station = np.arange(lat.size)
        half = [np.median(np.abs(np.diff(v))) / 2 if v.size > 1 else 180.0
                for v in (latitude, longitude)]  # fmt: skip
        inside = off_row[station, row] <= half[0] * 1.0001
        inside &= off_column[station, column] <= half[1] * 1.0001
    else:
        inside = distance <= reach
    number = np.flatnonzero(inside)
    return Sightings(number, row[number], column[number], distance[number])
