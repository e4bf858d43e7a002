"""Where in a swath a place lies: which pixel holds it, and how far from its middle.

A swath is a curved grid. Around each pixel it is taken as flat: the steps to the next scan and
to the next pixel span its cell. Nothing here knows of longitudes, so neither the date line nor
a pole matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from xrain.geo.cells import Array, IntArray, Swath
from xrain.geo.nearest import nearest_points
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors
from xrain.regrid.target import Target

HELD: Final = 0.6
"""A pixel holds places up to so many steps from its middle. Half a step would be exact on a flat
grid; the rest closes the cracks between the cells of a curved one."""


_BLOCK_CELLS = 16
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Places:
    """Target cells that lie in a swath, and where.

    Attributes
    ----------
    cell : ndarray of int, shape (place,)
        Flat index of the target cell, ascending.
    points : ndarray of float32, shape (place, 3)
        Their centres on the unit sphere.
    nearest, holder : ndarray of int, shape (place,)
        Flat index of the pixel whose centre is nearest, and of the one whose cell holds it.
    offset : ndarray of float32, shape (place, 2)
        Steps from the holder's middle along the scans and along the pixels.
    """

    cell: IntArray
    points: Array
    nearest: IntArray
    holder: IntArray
    offset: Array


def candidates(swath: Swath, target: Target, reach: float) -> IntArray:
    """Find the target cells that may lie near a pixel; maybe too many.

    Whole blocks of cells are judged by their middle and their corners.

    Parameters
    ----------
    swath : Swath
        The pixels.
    target : Target
        The cells.
    reach : float
        How far from a pixel in km, besides what the pixel itself covers.

    Returns
    -------
    ndarray of int
        Flat indices of the cells, rising.
    """
    from scipy.spatial import cKDTree

    rows, columns = target.shape
    first = [np.arange(0, n, _BLOCK_CELLS) for n in (rows, columns)]
    last = [np.minimum(f + _BLOCK_CELLS, n) - 1
            for f, n in zip(first, (rows, columns), strict=True)]  # fmt: skip
    middle = [(f + e) // 2 for f, e in zip(first, last, strict=True)]
    ways = ((first, first), (first, last), (last, first), (last, last), (middle, middle))
    corners = np.stack([_target_points(target, np.ix_(a[0], b[1])) for a, b in ways])
    center = corners[4]
    with np.errstate(invalid="ignore"):
        radius = np.linalg.norm(corners[:4] - center, axis=-1).max(axis=0)
    known = np.isfinite(corners[..., 0])
    coarse = swath.points[:: 1 + 3 * (swath.points.shape[0] > 64), ::4]
    coarse = coarse[np.isfinite(coarse[..., 0])]
    if not coarse.size:
        return np.empty(0, np.int64)
    margin = (reach + 4 * swath.reach) / EARTH_RADIUS
    gap = np.full(radius.shape, np.inf, np.float64)
    ok = known.all(axis=0)
    if ok.any():
        limit = margin + 1.1 * float(radius[ok].max())
        distance, _ = cKDTree(coarse).query(center[ok], distance_upper_bound=limit)
        gap[ok] = distance - 1.1 * radius[ok]
    keep = (gap <= margin) | (known.any(axis=0) & ~ok)
    wide = np.repeat(np.repeat(keep, _BLOCK_CELLS, 0), _BLOCK_CELLS, 1)[:rows, :columns]
    cells = np.flatnonzero(wide)
    lat, lon = target.places(cells)
    return cells[np.isfinite(lat) & np.isfinite(lon)]


def _target_points(target: Target, at: Any) -> Array:
    lat, lon = (np.asarray(v[at], np.float64) for v in (target.latitude, target.longitude))
    bad = ~(np.isfinite(lat) & np.isfinite(lon))
    return unit_vectors(np.where(bad, np.nan, lat), np.where(bad, np.nan, lon))


def locate(swath: Swath, target: Target, cells: IntArray, radius: float | None = None) -> Places:
    """Find the pixels around target cells; those outside the swath are left out.

    Parameters
    ----------
    swath : Swath
        Where to look.
    target : Target
        Where the cells are.
    cells : ndarray of int
        Flat indices of the target cells to look at.
    radius : float, optional
        Keep cells that lie within so many km of a pixel's centre; by default those that lie in
        a pixel's cell.
    """
    lat, lon = target.places(cells)
    nearest = nearest_pixels(swath, lat, lon, swath.reach if radius is None else radius)
    found = nearest >= 0
    cells, nearest = cells[found], nearest[found]
    points = unit_vectors(lat[found], lon[found])
    holder, offset = hold(swath, points, nearest)
    if radius is None:
        inside = (np.abs(offset) <= HELD).all(axis=1)
        cells, points, nearest = cells[inside], points[inside], nearest[inside]
        holder, offset = holder[inside], offset[inside]
    return Places(cells, points, nearest, holder, offset)


def nearest_pixels(swath: Swath, latitude: Array, longitude: Array, radius: float) -> IntArray:
    """Find the nearest pixel of each place.

    Parameters
    ----------
    swath : Swath
        The pixels.
    latitude, longitude : ndarray, shape (place,)
        In degrees, NaN where unknown.
    radius : float
        Farthest distance in km.

    Returns
    -------
    ndarray of int, shape (place,)
        Flat index of the pixel, −1 where there is none.
    """
    points, sought = (
        unit_vectors(lat, lon, np.float64)
        for lat, lon in ((swath.latitude, swath.longitude), (latitude, longitude))
    )
    return nearest_points(points, sought, radius)


def hold(swath: Swath, points: Array, start: IntArray) -> tuple[IntArray, Array]:
    """Find the pixel whose cell holds each point, walking from a pixel nearby.

    Parameters
    ----------
    swath : Swath
        The pixels.
    points : ndarray, shape (place, 3)
        On the unit sphere.
    start : ndarray of int, shape (place,)
        Flat index of the pixel nearby.

    Returns
    -------
    holder : ndarray of int, shape (place,)
        Flat index of the pixel.
    offset : ndarray of float32, shape (place, 2)
        Steps from its middle along the scans and along the pixels.
    """
    holder, offset = start.copy(), np.empty((start.size, 2), np.float32)
    for first in range(0, start.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        holder[part], offset[part] = _walk(swath, points[part], start[part])
    return holder, offset


def _walk(swath: Swath, points: Array, start: IntArray) -> tuple[IntArray, Array]:
    rows, columns = swath.points.shape[:2]
    flat = [v.reshape(-1, 3) for v in (swath.points, swath.along, swath.across)]
    here = start
    offset = _offset(points, *(v[here] for v in flat))
    for _ in range(3):
        outside = np.flatnonzero((np.abs(offset) > 0.5).any(axis=1))
        if not outside.size:
            break
        moved = False
        for along, across in ((1, 1), (1, 0), (0, 1)):  # missing pixels are walked around
            row, column = np.divmod(here[outside], columns)
            step = np.clip(np.rint(offset[outside]), -2, 2).astype(np.int64)
            row = np.clip(row + along * step[:, 0], 0, rows - 1)
            column = np.clip(column + across * step[:, 1], 0, columns - 1)
            there = row * columns + column
            tried = _offset(points[outside], *(v[there] for v in flat))
            better = np.abs(tried).max(axis=1) < np.abs(offset[outside]).max(axis=1)
            if better.any():
                moved = True
                here = here.copy() if here is start else here
                here[outside[better]] = there[better]
                offset[outside[better]] = tried[better]
            outside = outside[~better]
        if not moved:
            break
    return here, offset


def _offset(points: Array, center: Array, along: Array, across: Array) -> Array:
    """Solve point = center + u along + v across in the plane of the two steps."""
    gap = points - center
    a, b, c = (np.einsum("ik,ik->i", x, y) for x, y in (
        (along, along), (along, across), (across, across)))  # fmt: skip
    p, q = np.einsum("ik,ik->i", gap, along), np.einsum("ik,ik->i", gap, across)
    with np.errstate(invalid="ignore", divide="ignore"):
        det = a * c - b * b
        out = np.stack([(c * p - b * q) / det, (a * q - b * p) / det], axis=1)
    return np.nan_to_num(out.astype(np.float32), nan=np.inf)
