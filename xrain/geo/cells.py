"""The cells of a swath: where its pixels lie, and the steps between them.

There is one definition of the step between pixels, for maps, footprints, matching and spectra. It
passes over missing positions, jumps between granules that do not adjoin, and scans that are
there twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xrain.geo.sphere import EARTH_RADIUS, unit_vectors, valid_positions

__all__ = [
    "LONE",
    "Array",
    "IntArray",
    "Swath",
    "jumps",
    "spacing",
    "step_lengths",
    "steps",
    "steps_at",
    "swath_of",
    "unrepeated_scans",
]

Array = npt.NDArray[Any]

IntArray = npt.NDArray[np.int64]

UNEVEN: Final = 2.0
"""Steps to both sides that differ more than this are not averaged: one of them is a jump."""

LONE: Final = 10.0
"""Width in km of the cell of a pixel that has no neighbour."""

SAME: Final = 0.01
"""Distance in km below which two pixels are one that is there twice: 10 m, some 20 times the
rounding of a position in float32, and a hundredth of the finest sampling."""

LONGEST: Final = 1000.0
"""Length in km from which on a step is none: such pixels are no neighbours in a swath."""

GAP: Final = 3.0
"""Scans that lie farther apart than so many usual steps do not adjoin."""


@dataclass(frozen=True)
class Swath:
    """A swath as points on the unit sphere.

    Attributes
    ----------
    latitude, longitude : ndarray, shape (scan, pixel)
        Degrees, NaN where unknown.
    points : ndarray of float32, shape (scan, pixel, 3)
        Centres of the pixels.
    along, across : ndarray of float32, shape (scan, pixel, 3)
        Steps to the next scan and to the next pixel.
    """

    latitude: Array
    longitude: Array
    points: Array
    along: Array
    across: Array

    @property
    def area(self) -> Array:
        """Area of each pixel's cell in km², (scan, pixel)."""
        out: Array = np.linalg.norm(np.cross(self.along, self.across), axis=-1)
        return out * np.float32(EARTH_RADIUS**2)

    @property
    def spacing(self) -> Array:
        """Longer of the two steps in km, (scan, pixel)."""
        out: Array = np.maximum(
            np.linalg.norm(self.along, axis=-1), np.linalg.norm(self.across, axis=-1)
        )
        return out * np.float32(EARTH_RADIUS)

    @property
    def reach(self) -> float:
        """Distance in km within which every place inside the swath has a pixel."""
        known = self.spacing[np.isfinite(self.points[..., 0])]
        return 1.2 * float(np.percentile(known, 99.5)) if known.size else LONE


def swath_of(latitude: Array, longitude: Array) -> Swath:
    """Make a swath of positions.

    Parameters
    ----------
    latitude, longitude : ndarray, shape (scan, pixel)
        Degrees; what is no position counts as missing.

    Returns
    -------
    Swath
        With the steps of :func:`steps`; where a pixel has no neighbour to one side, the step is
        as long as the other and perpendicular to it.
    """
    valid = valid_positions(latitude, longitude)
    lat, lon = (np.where(valid, v, np.nan).astype(np.float64) for v in (latitude, longitude))
    points = unit_vectors(lat, lon)
    along, across = steps(points, 0), steps(points, 1)
    along = _filled(along, across, points)
    across = _filled(across, along, points)
    return Swath(lat, lon, points, along, across)


# ---- steps


def steps(points: Array, axis: int) -> Array:
    """Step from each pixel to the next along an axis.

    Parameters
    ----------
    points : ndarray, shape (scan, pixel, 3)
        On the unit sphere, NaN where unknown.
    axis : int
        0 for the next scan, 1 for the next pixel.

    Returns
    -------
    ndarray, shape (scan, pixel, 3)
        The mean of the steps from the pixel before and to the pixel behind. Where they differ
        by a factor of 2 or point backwards, the shorter one; where one is unknown, the other.
        Pixels at the same place count as one. NaN where there is no neighbour within 1000 km.
    """
    if not points.size:
        return points
    step = np.diff(points, axis=axis)
    length = np.linalg.norm(step, axis=-1)
    pad = [(0, 0)] * 3
    sides, lengths = [], []
    for before in (1, 0):
        pad[axis] = (before, 1 - before)
        sides.append(np.pad(step, pad, constant_values=np.nan))
        lengths.append(np.pad(length, pad[:2], constant_values=np.nan))
    if (length <= SAME / EARTH_RADIUS).any():
        sides[0] = _over_repeats(sides[0], lengths[0], axis)
        sides[1] = np.flip(
            _over_repeats(np.flip(sides[1], axis), np.flip(lengths[1], axis), axis), axis
        )
    return _joined(*sides)


def steps_at(points: Array, row: Any, column: Any) -> tuple[Array, Array]:
    """Find the steps of :func:`steps` along both axes at some pixels.

    Parameters
    ----------
    points : ndarray, shape (scan, pixel, 3)
        On the unit sphere, NaN where unknown.
    row, column : ndarray of int
        Indices of the pixels, of one shape.

    Returns
    -------
    along, across : ndarray, shape (..., 3)
        NaN where there is no neighbour, or it lies at the same place.
    """
    here = points[row, column]
    out = []
    for axis, index in enumerate((row, column)):
        last = points.shape[axis] - 1
        sides = []
        for move in (-1, 1):
            at = [row, column]
            at[axis] = np.clip(index + move, 0, last)
            side = move * (points[tuple(at)] - here)
            same = np.einsum("...k,...k->...", side, side) <= (SAME / EARTH_RADIUS) ** 2
            sides.append(np.where(same[..., None], np.float32(np.nan), side))
        out.append(_joined(*sides))
    return out[0], out[1]


def _over_repeats(side: Array, length: Array, axis: int) -> Array:
    """Give pixels that repeat the one before the step by which that one was reached."""
    repeated = length <= SAME / EARTH_RADIUS
    shape = [1, 1]
    shape[axis] = -1
    index = np.arange(side.shape[axis]).reshape(shape)
    source = np.maximum.accumulate(np.where(repeated, 0, index), axis=axis)
    out: Array = np.take_along_axis(side, source[..., None], axis)
    return out


def _joined(before: Array, behind: Array) -> Array:
    """Mean of the steps to both sides, or the one that is no jump."""
    squares = [np.einsum("...k,...k->...", s, s) for s in (before, behind)]
    squares = [np.where(s <= (LONGEST / EARTH_RADIUS) ** 2, s, np.inf) for s in squares]
    shorter = np.where((squares[0] <= squares[1])[..., None], before, behind)
    shorter[np.isinf(squares[0]) & np.isinf(squares[1])] = np.nan
    even = np.maximum(*squares) <= UNEVEN**2 * np.minimum(*squares)
    even &= np.isfinite(squares[0]) & np.isfinite(squares[1])
    even &= np.einsum("...k,...k->...", before, behind) > 0
    out: Array = np.where(even[..., None], (before + behind) / 2, shorter)
    return out


def _filled(steps: Array, others: Array, points: Array) -> Array:
    """Where a step is unknown, take one as long as the other and perpendicular to it."""
    missing = ~np.isfinite(steps[..., 0])
    if not missing.any():
        return steps
    other = others[missing]
    axis = np.eye(3, dtype=np.float32)[np.abs(points[missing]).argmin(-1)]
    alone = np.cross(points[missing], axis)
    alone *= np.float32(LONE / EARTH_RADIUS) / np.linalg.norm(alone, axis=-1, keepdims=True)
    other = np.where(np.isfinite(other), other, alone)
    out = steps.copy()
    out[missing] = np.cross(points[missing], other)
    return out


def step_lengths(points: Array, axis: int) -> Array:
    """Distances of neighbours along an axis in km.

    Parameters
    ----------
    points : ndarray, shape (..., 3)
        On the unit sphere, NaN where unknown.
    axis : int
        Along which axis.

    Returns
    -------
    ndarray
        One shorter along the axis; NaN where a position is missing or there twice.
    """
    length = np.linalg.norm(np.diff(points, axis=axis), axis=-1) * EARTH_RADIUS
    out: Array = np.where(length > SAME, length, np.nan)
    return out


def spacing(points: Array) -> tuple[float, float]:
    """Usual distance of neighbours along the track and along the scan.

    Parameters
    ----------
    points : ndarray, shape (scan, pixel, 3)
        On the unit sphere, NaN where unknown.

    Returns
    -------
    along, across : float
        Medians in km; NaN where nothing is known.
    """
    known = [v[np.isfinite(v)] for v in (step_lengths(points, k) for k in (0, 1))]
    along, across = (float(np.median(v)) if v.size else float("nan") for v in known)
    return along, across


def jumps(points: Array) -> IntArray:
    """Find the scans before which a swath jumps, as between granules that do not adjoin.

    Parameters
    ----------
    points : ndarray, shape (scan, pixel, 3)
        On the unit sphere, NaN where unknown.

    Returns
    -------
    ndarray of int
        Indices of scans that lie more than `GAP` times the usual step from the one before.
    """
    length = step_lengths(points, 0)
    known = np.isfinite(length)
    mean = np.where(known, length, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    usual = np.median(mean[mean > 0]) if (mean > 0).any() else np.inf
    out: IntArray = np.flatnonzero(mean > GAP * usual).astype(np.int64) + 1
    return out


def unrepeated_scans(latitude: Array, longitude: Array, time: Array | None = None) -> IntArray:
    """Find the scans that do not repeat an earlier one.

    Files of one orbit that overlap hold some scans twice. On a map they would count twice.

    Parameters
    ----------
    latitude, longitude : ndarray, shape (scan, pixel)
        Degrees.
    time : ndarray, shape (scan,) or (scan, pixel), optional
        When each was made. Scans of other times are others, wherever they look.

    Returns
    -------
    ndarray of int
        Indices, rising. Scans without any valid position are all kept.

    Examples
    --------
    >>> latitude = np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]])
    >>> unrepeated_scans(latitude, np.zeros((3, 2))).tolist()
    [0, 1]
    """
    rows = np.arange(latitude.shape[0], dtype=np.int64)
    if time is not None and time.ndim == 1 and np.unique(time).size == rows.size:
        return rows
    known = valid_positions(latitude, longitude).any(axis=1)
    columns = [latitude, longitude] if time is None else [latitude, longitude, time]
    seen: set[bytes] = set()
    new = np.ones(rows.size, bool)
    for row in rows[known]:
        key = b"".join(np.ascontiguousarray(c[row]).tobytes() for c in columns)
        new[row] = key not in seen
        seen.add(key)
    out: IntArray = rows[new]
    return out
