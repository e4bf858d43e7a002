"""Means over the area of a cell: what every pixel shares with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from xrain.geo.cells import Array, IntArray, Swath, swath_of
from xrain.geo.sphere import EARTH_RADIUS
from xrain.regrid.areas import is_plain
from xrain.regrid.locate import candidates, locate, nearest_pixels
from xrain.regrid.operators import Weighted, matrix
from xrain.regrid.target import Target, cell_index, cell_size

PARTS: Final = 2.5
"""Pieces of a pixel per target cell, along each side, when its area is shared out."""

MOST_PARTS: Final = 64

SLIVER: Final = 0.5
"""Cells of less than this share of the usual area may be missed by every piece."""

_PIECES = 1 << 21
_ROWS = 128


def average_operator(swath: Swath, target: Target, coverage: float) -> Weighted:
    """Weights of the method ``"average"``: the area in km² that a pixel shares with a cell.

    Every pixel's cell is cut into pieces of equal area, and each goes to the target cell that it
    lies in, so that totals are kept. A cell that is covered by less than the share `coverage` of
    its own area stays unobserved.

    Parameters
    ----------
    swath : Swath
        The pixels.
    target : Target
        The cells.
    coverage : float
        Share of a cell that must be covered.

    Returns
    -------
    Weighted
    """
    shares = area_shares(swath, target)
    filled = np.asarray(shares.sum(axis=1)).ravel()
    cell = np.flatnonzero(filled > 0)
    area = cell_areas(target, cell)
    enough = filled[cell] >= coverage * area
    cell, needed = cell[enough], (coverage * area[enough]).astype(np.float32)
    weights = shares[cell]
    holder = _heaviest(weights)
    nearest = nearest_pixels(swath, *target.places(cell), swath.reach)
    nearest = np.where(nearest >= 0, nearest, holder)
    whole = Weighted(cell, nearest, weights, holder, np.maximum(needed, np.float32(1e-9)))
    return _with_slivers(whole, swath, target)


def _with_slivers(made: Weighted, swath: Swath, target: Target) -> Weighted:
    """Give cells near a pole, too narrow for any piece to fall in, the value of their pixel."""
    if target.area is None or not is_plain(target.area.crs):
        return made
    cells = candidates(swath, target, 0.0)
    area = cell_areas(target, cells)
    narrow = area < SLIVER * cell_size(target) ** 2
    cells, area = cells[narrow], area[narrow]
    new = ~np.isin(cells, made.cell)
    places = locate(swath, target, cells[new])
    if not places.cell.size:
        return made
    share = area[new][np.searchsorted(cells[new], places.cell)]
    more = matrix(places.holder[:, None], share[:, None], swath)
    cell = np.concatenate([made.cell, places.cell])
    order = np.argsort(cell)
    return Weighted(
        cell[order],
        np.concatenate([made.nearest, places.nearest])[order],
        sparse.vstack([made.weights, more], format="csr")[order],
        np.concatenate([made.holder, places.holder])[order],
        np.concatenate([cast("Array", made.needed), share / 2])[order],
    )


def cell_areas(target: Target, cells: IntArray) -> Array:
    """Find the area of target cells.

    Parameters
    ----------
    target : Target
        The cells.
    cells : ndarray of int
        Flat indices of those that are wanted.

    Returns
    -------
    ndarray of float32
        In km².
    """
    if target.area is not None and is_plain(target.area.crs):
        # sizes are negative where rows run from the south or columns from the east
        step = np.abs(np.deg2rad([target.area.pixel_size_x, target.area.pixel_size_y]))
        latitude, _ = target.places(cells)
        exact = 2 * np.sin(step[1] / 2) * step[0] * np.cos(np.deg2rad(latitude))
        flat: Array = (exact * EARTH_RADIUS**2).astype(np.float32)
        return flat
    out = np.zeros(target.shape, np.float32)
    used = np.zeros(target.shape[0], bool)
    used[cells // target.shape[1]] = True
    for first in range(0, used.size, _ROWS):
        if used[first : first + _ROWS].any():
            before = min(first, 1)
            part = slice(first - before, first + _ROWS + 1)
            area = swath_of(target.latitude[part], target.longitude[part]).area
            out[first : first + _ROWS] = area[before : before + _ROWS]
    return out.ravel()[cells]


def _heaviest(weights: Any) -> IntArray:
    """Column of the largest entry of each row, which must have one."""
    row = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    largest = np.maximum.reduceat(weights.data, weights.indptr[:-1])
    at = np.flatnonzero(weights.data == largest[row])
    out = np.empty(weights.shape[0], np.int64)
    out[row[at]] = weights.indices[at]
    return out


def area_shares(swath: Swath, target: Target) -> Any:
    """Find the area that each pixel shares with each target cell.

    Parameters
    ----------
    swath : Swath
        The pixels.
    target : Target
        The cells.

    Returns
    -------
    csr_array, shape (cell, pixel)
        In km².
    """
    size = target.shape[0] * target.shape[1]
    total = sparse.csr_array((size, swath.latitude.size), dtype=np.float32)
    for pixel, points, area in _pieces(swath, cell_size(target)):
        cell = _cells_of(target, points)
        use = cell >= 0
        part = area[use].astype(np.float32), (cell[use], pixel[use])
        total = total + sparse.csr_array(part, shape=(size, swath.latitude.size))
    return total


def _pieces(swath: Swath, cell: float) -> Iterator[tuple[IntArray, Array, Array]]:
    """Cut pixels into pieces: their pixel, their middle on the sphere, their area in km²."""
    lengths = (np.nan_to_num(np.linalg.norm(v, axis=-1).ravel() * EARTH_RADIUS)
               for v in (swath.along, swath.across))  # fmt: skip
    known = np.isfinite(swath.points[..., 0]).ravel()
    many = [
        np.clip(2 ** np.ceil(np.log2(np.maximum(PARTS * length / max(cell, 1e-3), 1))),
                1, MOST_PARTS).astype(np.int64)
        for length in lengths
    ]  # fmt: skip
    flat = [v.reshape(-1, 3) for v in (swath.points, swath.along, swath.across)]
    area = swath.area.ravel()
    kind = many[0] * (MOST_PARTS + 1) + many[1]
    for m, n in (divmod(int(k), MOST_PARTS + 1) for k in np.unique(kind[known])):
        pixels = np.flatnonzero(known & (many[0] == m) & (many[1] == n))
        step = max(_PIECES // (m * n), 1)
        u, v = np.meshgrid(_middles(m), _middles(n), indexing="ij")
        u, v = u.reshape(-1, 1), v.reshape(-1, 1)
        for first in range(0, pixels.size, step):
            some = pixels[first : first + step]
            center, along, across = (x[some][:, None] for x in flat)
            points = (center + u * along + v * across).reshape(-1, 3)
            yield np.repeat(some, m * n), points, np.repeat(area[some] / (m * n), m * n)


def _middles(count: int) -> npt.NDArray[np.float32]:
    """Middles of `count` equal parts of (−1/2, 1/2)."""
    return ((np.arange(count) + 0.5) / count - 0.5).astype(np.float32)


def _cells_of(target: Target, points: Array) -> IntArray:
    """Flat index of the target cell that each point lies in, −1 where there is none."""
    points = points / np.linalg.norm(points, axis=-1, keepdims=True)
    latitude = np.rad2deg(np.arcsin(np.clip(points[:, 2], -1, 1).astype(np.float64)))
    longitude = np.rad2deg(np.arctan2(points[:, 1], points[:, 0]).astype(np.float64))
    if target.area is not None:
        return cell_index(target, latitude, longitude)
    grid = swath_of(target.latitude, target.longitude)
    here = Target("", ("place", "one"), latitude[:, None], longitude[:, None])
    places = locate(grid, here, np.arange(latitude.size))
    out = np.full(latitude.size, -1, np.int64)
    out[places.cell] = places.holder
    return out
