"""What a reference saw inside the footprints of a radiometer.

The rate of a footprint is the mean over the reference's pixels around it, weighted by their area
and by a Gaussian that falls to one half on the ellipse of the footprint. Where the reference is
coarser than the footprint, the ellipse grows to its pixels. The fraction says how much of the
Gaussian lies on pixels where the reference has a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.spatial import cKDTree

from xrain.conventions import LATITUDE, LONGITUDE, PIXEL, SCAN, SURFACE_PRECIP, TIME
from xrain.footprint import footprint_directions, footprint_widths, nominal_incidence
from xrain.geometry import EARTH_RADIUS, unit_vectors
from xrain.regrid.locate import swath_of
from xrain.sensors import Sensor
from xrain.simulate.rain_maps import RainMap

__all__ = ["GridReference", "Matched", "Reference", "SwathReference", "match"]

Array = npt.NDArray[Any]

CUT: Final = 1.1
"""Distance, in half-power widths, at which the Gaussian (there 0.035) is cut off."""

MASS: Final = 1 - 2.0 ** (-4 * CUT**2)
"""Share of the Gaussian inside the cut."""

BLOCK: Final = 32
"""Scans that are matched together: about a minute, so that passes do not mix."""

_PAIRS: Final = 2_000_000
_MOST: Final = 600


@dataclass(frozen=True)
class Points:
    """Pixels of a reference near a block.

    Attributes
    ----------
    place : ndarray, shape (pixel, 3)
        On the unit sphere.
    rate : ndarray, shape (pixel,)
        Rain rate in mm/h, all known.
    area : ndarray, shape (pixel,)
        Area in km².
    time : ndarray of datetime64, shape (pixel,)
        When it was seen.
    """

    place: Array
    rate: Array
    area: Array
    time: Array


class Reference(Protocol):
    """Where a reference saw rain, and when."""

    def around(
        self, center: Array, radius: float, first: np.datetime64, last: np.datetime64
    ) -> Points | None:
        """Find pixels within `radius` (on the unit sphere) of a place, seen between two times."""


@dataclass(frozen=True)
class Matched:
    """A reference on the pixels of a radiometer, (scan, pixel).

    Attributes
    ----------
    rate : ndarray of float32
        Rain rate in mm/h, NaN where the reference has none.
    fraction : ndarray of float32
        Share of the footprint that the reference covers.
    """

    rate: Array
    fraction: Array


class SwathReference:
    """Pixels of a swath, such as those of a radar.

    Parameters
    ----------
    ds : xarray.Dataset
        ``surface_precip`` (scan, pixel), NaN where it shall not count, with positions and time.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        lat, lon = (ds[n].transpose(SCAN, PIXEL).values for n in (LATITUDE, LONGITUDE))
        swath = swath_of(lat, lon)
        self._place, self._area = swath.points, swath.area
        self._rate = ds[SURFACE_PRECIP].transpose(SCAN, PIXEL).values
        self._time = ds[TIME].values.astype("datetime64[ns]")

    def around(
        self, center: Array, radius: float, first: np.datetime64, last: np.datetime64
    ) -> Points | None:
        """See :class:`Reference`."""
        (rows,) = np.nonzero((self._time >= first) & (self._time <= last))
        if not rows.size:
            return None
        rows = rows[_near(self._place[rows, ::4], center, radius).any(axis=1)]
        if not rows.size:
            return None
        place, rate, area = self._place[rows], self._rate[rows], self._area[rows]
        use = _near(place, center, radius) & np.isfinite(rate) & np.isfinite(area)
        if not use.any():
            return None
        time = np.broadcast_to(self._time[rows][:, None], use.shape)
        return Points(place[use], rate[use], area[use], time[use])


class GridReference:
    """Cells of a map, such as a radar composite, at one time.

    Parameters
    ----------
    field : RainMap
        Rain with positions and time.
    """

    def __init__(self, field: RainMap) -> None:
        self._map = field

    def around(
        self, center: Array, radius: float, first: np.datetime64, last: np.datetime64
    ) -> Points | None:
        """See :class:`Reference`."""
        field = self._map
        if field.time is None or field.to_earth is None or not first <= field.time <= last:
            return None
        window = self._window(center, radius)
        if window is None:
            return None
        y, x = np.meshgrid(field.y[window[0]], field.x[window[1]], indexing="ij")
        swath = swath_of(*field.to_earth(y, x))
        rate = field.rate[window]
        use = _near(swath.points, center, radius) & np.isfinite(rate) & np.isfinite(swath.area)
        if not use.any():
            return None
        time = np.full(int(use.sum()), field.time)
        return Points(swath.points[use], rate[use], swath.area[use], time)

    def covers(self, latitude: Array, longitude: Array) -> npt.NDArray[np.bool_]:
        """Whether places in degrees lie on the map."""
        if self._map.to_map is None:
            return np.zeros(latitude.shape, bool)
        inside = np.ones(latitude.shape, bool)
        axes = (self._map.y, self._map.x)
        for axis, values in zip(axes, self._map.to_map(latitude, longitude), strict=True):
            inside &= (values >= axis[0]) & (values <= axis[-1])
        return inside

    def _window(self, center: Array, radius: float) -> tuple[slice, slice] | None:
        """Rows and columns of the cells around a place; None if there are fewer than two."""
        if self._map.to_map is None:
            return None
        places = self._map.to_map(*_disc(center, radius))
        found = []
        for axis, values in zip((self._map.y, self._map.x), places, strict=True):
            values = values[np.isfinite(values)]
            if not values.size:
                return None
            first, end = np.searchsorted(axis, [values.min(), values.max()])
            if end - first < 2:
                return None
            found.append(slice(int(first), int(end)))
        return found[0], found[1]


def _near(place: Array, center: Array, radius: float) -> npt.NDArray[np.bool_]:
    """Which points lie within a distance of another, all on the unit sphere."""
    with np.errstate(invalid="ignore"):
        out: npt.NDArray[np.bool_] = place @ center >= 1 - radius**2 / 2
    return out


def _disc(center: Array, radius: float) -> tuple[Array, Array]:
    """Latitude and longitude of points all over a disc around a place."""
    east = np.array([-center[1], center[0], 0.0])
    east = east / np.linalg.norm(east) if np.linalg.norm(east) > 1e-6 else np.array([1.0, 0, 0])
    north = np.cross(center, east)
    turn = np.linspace(0, 2 * np.pi, 33)[:, None, None]
    reach = radius * np.linspace(0, 1.05, 5)[None, :, None]
    points = center + reach * (np.cos(turn) * east + np.sin(turn) * north)
    points = (points / np.linalg.norm(points, axis=-1, keepdims=True)).reshape(-1, 3)
    return np.degrees(np.arcsin(points[:, 2])), np.degrees(np.arctan2(points[:, 1], points[:, 0]))


def match(
    swath: xr.Dataset, sensor: Sensor, references: Sequence[Reference], window: np.timedelta64
) -> Matched:
    """Average references over the footprints of a radiometer.

    Parameters
    ----------
    swath : xarray.Dataset
        The radiometer's, with ``latitude``, ``longitude`` (scan, pixel) and ``time``.
    sensor : Sensor
        The radiometer; the footprint is that of its rain channel.
    references : sequence of Reference
        Where several have seen a pixel, the one nearest in time counts.
    window : timedelta64
        Longest time between radiometer and reference.
    """
    lat, lon = (swath[n].transpose(SCAN, PIXEL).values for n in (LATITUDE, LONGITUDE))
    time = swath[TIME].values.astype("datetime64[ns]")
    place = unit_vectors(lat, lon)
    along, across = footprint_directions(lat, lon, sensor.scan_type)
    angle = nominal_incidence(sensor, lat.shape[1])
    widths = np.stack(footprint_widths(sensor, sensor.rain_channel, angle), axis=-1)
    widths = np.broadcast_to(widths / EARTH_RADIUS, (*lat.shape, 2))
    rate, fraction = (np.full(lat.shape, v, np.float32) for v in (np.nan, 0))
    for first in range(0, lat.shape[0], BLOCK):
        rows = slice(first, first + BLOCK)
        if np.isnat(time[rows]).all():
            continue
        block = _Block(place[rows], along[rows], across[rows], widths[rows], time[rows])
        rate[rows], fraction[rows] = block.match(references, window)
    return Matched(rate, fraction)


@dataclass(frozen=True)
class _Block:
    """Some scans of a radiometer; places and directions are vectors, widths those of the sphere."""

    place: Array
    along: Array
    across: Array
    widths: Array
    time: Array

    def match(self, references: Sequence[Reference], window: np.timedelta64) -> tuple[Array, Array]:
        shape = self.place.shape[:2]
        rate, fraction = (np.full(shape, v, np.float32) for v in (np.nan, 0))
        best = np.full(shape, window.astype("timedelta64[ns]"))
        known = np.isfinite(self.place[..., 0]) & ~np.isnat(self.time)[:, None]
        if not known.any():
            return rate, fraction
        center = self.place[known].mean(axis=0, dtype=np.float64)
        center /= np.linalg.norm(center)
        away = np.linalg.norm(self.place[known] - center, axis=-1)
        radius = float(away.max() + 2 * self.widths.max())
        span = np.nanmin(self.time) - window, np.nanmax(self.time) + window
        for reference in references:
            points = reference.around(center, radius, *span)
            if points is None:
                continue
            mean, part, gap = self._average(points, known)
            nearer = (gap <= best) & (part > 0)
            nearer &= (gap < best) | (part > fraction)
            rate[nearer], fraction[nearer], best[nearer] = mean[nearer], part[nearer], gap[nearer]
        return rate, fraction

    def _average(self, points: Points, known: Array) -> tuple[Array, Array, Array]:
        """Mean rate, covered share, and time between the two, of every footprint."""
        shape = known.shape
        mean, part = np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32)
        gap = np.full(shape, np.timedelta64(2**62, "ns"))
        grain = np.sqrt(float(np.median(points.area))) / EARTH_RADIUS
        widths = np.maximum(self.widths, grain)
        limit = CUT * float(widths.max())
        tree = cKDTree(points.place)
        index = np.flatnonzero(known)
        lone, _ = tree.query(self.place.reshape(-1, 3)[index], distance_upper_bound=limit)
        index = index[np.isfinite(lone)]
        most = int(min(np.pi * limit**2 / grain**2 * 1.5 + 8, _MOST, len(points.rate)))
        step = max(_PAIRS // most, 1)
        for first in range(0, index.size, step):
            at = np.unravel_index(index[first : first + step], shape)
            mean[at], part[at], gap[at] = self._weigh(points, tree, at, widths[at], most)
        return mean, part, gap

    def _weigh(
        self, points: Points, tree: Any, at: Any, widths: Array, most: int
    ) -> tuple[Array, Array, Array]:
        here = self.place[at]
        reach = CUT * float(widths.max())
        distance, near = tree.query(here, k=list(range(1, most + 1)), distance_upper_bound=reach)
        inside = np.isfinite(distance)
        near = np.where(inside, near, 0)
        offset = (points.place[near] - here[:, None]).astype(np.float32)
        u = np.einsum("ijk,ik->ij", offset, self.along[at]) / widths[:, :1]
        v = np.einsum("ijk,ik->ij", offset, self.across[at]) / widths[:, 1:]
        square = u * u + v * v
        inside &= square <= CUT**2
        weight = np.where(inside, np.exp2(-4 * square) * points.area[near], 0)
        total = weight.sum(axis=1)
        whole = widths.prod(axis=1) * (np.pi / (4 * np.log(2)) * MASS * EARTH_RADIUS**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (weight * points.rate[near]).sum(axis=1) / total
        return (
            mean,
            np.minimum(total / whole, 1),
            np.abs(points.time[near[:, 0]] - self.time[at[0]]),
        )
