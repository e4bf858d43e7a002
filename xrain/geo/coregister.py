"""Bring swath groups onto one another.

A radiometer's feed horns look at different places at the same moment, so the groups of a
granule have grids of their own. :func:`match_nearest` finds for every pixel of a reference
grid the nearest pixel of another one *of the same pass*: a polar orbiter sees the pole twice
in one granule, an hour apart, and a plain search in space would mix the two.

Both grids are smooth, so the fractional row and column of the match are too. They are solved
on a coarse net of nodes and interpolated; where the geolocation is broken or jumps, those
pixels alone are searched one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xrain.geo.cells import LONE, steps_at
from xrain.geo.nearest import nearest_points
from xrain.geo.sphere import (
    EARTH_RADIUS,
    FloatArray,
    squared_distance,
    unit_vectors,
    valid_positions,
)

IndexArray = npt.NDArray[np.int32]
IntArray = npt.NDArray[np.intp]


NODE_ROWS, NODE_COLUMNS = 16, 4
"""Rows and columns from node to node. The match changes slowly along the track and fast near the
ends of a conical scan."""

NODE_LEAP = 4
"""Every so many nodes one is searched from afar; the others start from what these found."""

ROW_WINDOW = 48
"""Rows by which a match may lie away from its expected row. Groups of one scan are never more
than some 10 scans apart (100 km); the next overpass is hundreds of scans away."""

LIMIT_FACTOR = 0.75
"""Farthest match, as a share of the diagonal of the local sampling cell. Half a diagonal
reaches every point inside the source grid."""

SMOOTH = 2.0
"""Most by which the solved offset may bend from node to node, in rows or columns. Where it bends
more, the geolocation jumps, and the pixels around are searched one by one."""

_FAR_STEPS = (16, 8, 4, 2, 1, 1, 1)
_NEAR_STEPS = (2, 1, 1)
_EXACT_BELOW = 2048
_BLOCK = 64


@dataclass(frozen=True)
class Match:
    """For every reference pixel the row and column of its source pixel, −1 where there is none.

    Attributes
    ----------
    row, column : ndarray of int32, shape (scan, pixel)
        Indices into the source grid.
    """

    row: IndexArray
    column: IndexArray

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """Where a match exists."""
        return self.row >= 0

    def take(self, values: npt.NDArray[np.generic], fill: float) -> npt.NDArray[np.generic]:
        """Bring `values` (row, column, ...) of the source onto the reference grid.

        Pixels without a match get `fill`.
        """
        flat = values.reshape((-1, *values.shape[2:]))
        if not flat.size:
            return np.full_like(flat, fill, shape=(*self.row.shape, *flat.shape[1:]))
        index = self.row * np.int32(values.shape[1]) + self.column
        out: npt.NDArray[np.generic] = flat.take(index, axis=0, mode="clip")
        missing = ~self.found
        if missing.any():
            out[missing] = fill
        return out


def _hill_climb(
    target: FloatArray,
    source: FloatArray,
    start: tuple[FloatArray, FloatArray],
    steps: tuple[int, ...],
) -> tuple[IntArray, IntArray]:
    """Walk from a first guess to the nearest source pixel, in steps that get smaller."""
    rows, cols = source.shape[:2]
    row = np.clip(np.rint(np.nan_to_num(start[0])), 0, rows - 1).astype(np.intp)
    col = np.clip(np.rint(np.nan_to_num(start[1])), 0, cols - 1).astype(np.intp)
    around = np.array([-1, 0, 1])
    for step in steps:
        r = np.clip(row + step * np.repeat(around, 3)[:, None], 0, rows - 1)
        c = np.clip(col + step * np.tile(around, 3)[:, None], 0, cols - 1)
        distance = np.nan_to_num(squared_distance(target, source[r, c]), nan=np.inf)
        best = distance.argmin(axis=0)[None]
        row = np.take_along_axis(r, best, 0)[0]
        col = np.take_along_axis(c, best, 0)[0]
    return row, col


def _solve(
    target: FloatArray, source: FloatArray, start: tuple[FloatArray, FloatArray], steps: Any
) -> FloatArray:
    """Fractional row and column of the nearest point of the source grid, and its local metric.

    Returns an array (5, point): row, column, squared row spacing, product, squared column
    spacing; NaN where a position is missing.
    """
    row, col = _hill_climb(target, source, start, steps)
    along, across = steps_at(source, row, col)
    gap = target - source[row, col]
    a, b, c = (np.einsum("ik,ik->i", x, y) for x, y in (
        (along, along), (along, across), (across, across)))  # fmt: skip
    p, q = np.einsum("ik,ik->i", gap, along), np.einsum("ik,ik->i", gap, across)
    with np.errstate(invalid="ignore", divide="ignore"):
        det = a * c - b * b
        out = np.stack([row + (c * p - b * q) / det, col + (a * q - b * p) / det, a, b, c])
    out[:, ~np.isfinite(out).all(axis=0)] = np.nan
    return out


def _spread(field: FloatArray, count: int, nodes: IntArray, axis: int) -> FloatArray:
    """Interpolate a field on nodes linearly to 0 … count − 1 along one axis."""
    position = np.interp(np.arange(count), nodes, np.arange(nodes.size))
    low = np.minimum(position.astype(np.intp), max(nodes.size - 2, 0))
    shape = [1] * field.ndim
    shape[axis] = count
    weight = (position - low).astype(field.dtype).reshape(shape)
    first = field.take(low, axis)
    last = field.take(np.minimum(low + 1, nodes.size - 1), axis)
    last -= first
    last *= weight
    last += first
    out: FloatArray = last
    return out


def _nodes(count: int, step: int) -> IntArray:
    """Multiples of a step in [0, count), and the last of them all."""
    return np.unique(np.append(np.arange(0, count, step), count - 1))


def _bends(fine: FloatArray, expected: FloatArray, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Nodes where the match (2, row, column) is missing, or jumps inside the source grid."""
    with np.errstate(invalid="ignore"):
        inside = (fine[0] > -1) & (fine[0] < shape[0]) & (fine[1] > -1) & (fine[1] < shape[1])
        bad = np.asarray(np.isnan(fine).any(axis=0), bool)
        for axis in (0, 1):
            if bad.shape[axis] > 2:
                bend = np.abs(np.diff(fine - expected, 2, axis=axis + 1)).max(axis=0) > SMOOTH
                a, b, c = (np.moveaxis(inside, axis, 0)[k : k - 2 or None] for k in range(3))
                bend &= np.moveaxis(a & b & c, 0, axis)
                bad |= np.pad(bend, [(1, 1) if k == axis else (0, 0) for k in range(2)])
    return bad


def _choose(
    fine: FloatArray, base: IntArray, shape: tuple[int, int]
) -> tuple[IndexArray, IndexArray, npt.NDArray[np.bool_]]:
    """Take the pixel that is nearest to a fractional index in the local metric.

    In a given row, at x rows from the match, the nearest column lies (b / c) x away from the
    match's own; the nearest row is among the four around the match even where rows and columns
    are far from perpendicular, as at the edge of a conical scan. Rows count from `base`, so
    that rounding does not depend on where a block begins.
    """
    fine_row, fine_col, a, b, c = fine
    skew = b / c
    lowest, highest = -base[:, None], shape[0] - 1 - base[:, None]
    row0 = np.clip(np.floor(fine_row), lowest + 1, np.maximum(highest - 2, lowest + 1))
    row0 = row0.astype(np.float32)
    best = np.full(row0.shape, np.inf, np.float32)
    row, col = np.zeros(row0.shape, np.float32), np.zeros(row0.shape, np.float32)
    for step in (-1, 0, 1, 2):
        r = np.minimum(row0 + np.float32(step), highest.astype(np.float32))
        x = fine_row - r
        k = np.clip(np.rint(fine_col + skew * x), 0, shape[1] - 1)
        y = fine_col - k
        d = (a * x + 2 * b * y) * x + c * y * y
        nearer = d < best
        np.copyto(best, d, where=nearer)
        np.copyto(row, r, where=nearer)
        np.copyto(col, k, where=nearer)
    near = np.asarray(best <= LIMIT_FACTOR**2 * (a + c), bool)
    return row.astype(np.int32) + base[:, None].astype(np.int32), col.astype(np.int32), near


@dataclass(frozen=True)
class Window:
    """Positions in degrees of the rows at hand of a grid of `total` rows, from row `start` on."""

    latitude: FloatArray
    longitude: FloatArray
    start: int
    total: int


def is_placed(grid: Window) -> npt.NDArray[np.bool_]:
    """Say where a grid has positions.

    Parameters
    ----------
    grid : Window
        Some scans of a grid.

    Returns
    -------
    ndarray of bool, shape (scan, pixel)
    """
    return valid_positions(grid.latitude, grid.longitude)


def source_rows(start: int, stop: int, ratio: float, total: int) -> slice:
    """Rows of a source grid that can match the reference rows [start, stop).

    Parameters
    ----------
    start, stop : int
        Reference rows.
    ratio : float
        Source rows per reference row.
    total : int
        Rows of the source grid.

    Returns
    -------
    slice
    """
    first, last = align(start, stop)
    low = int(first * ratio) - ROW_WINDOW
    high = int(np.ceil(last * ratio)) + ROW_WINDOW + 1
    return slice(min(max(low, 0), max(total - 1, 0)), max(min(high, total), min(1, total)))


def align(start: int, stop: int) -> tuple[int, int]:
    """Grow a range of rows so that the match inside does not depend on how a granule is cut.

    Parameters
    ----------
    start, stop : int
        Reference rows.

    Returns
    -------
    start, stop : int
        Ends of the larger range, the second maybe beyond the last row.
    """
    step = NODE_ROWS * NODE_LEAP
    return max((start // step - 1) * step, 0), (-(-stop // step) + 1) * step + 1


def match_nearest(reference: Window, source: Window, ratio: float = 1.0) -> Match:
    """Find for every reference pixel the nearest source pixel of the same pass.

    Parameters
    ----------
    reference : Window
        Rows to be matched, (scan, pixel); give the rows of :func:`align`, and the result does
        not depend on how a granule is cut.
    source : Window
        At least the rows of :func:`source_rows`.
    ratio : float, default: 1
        Source rows per reference row.

    Returns
    -------
    Match
        Indices relative to the first row of `source`; −1 where no source pixel lies within
        three quarters of the diagonal of the local sampling cell, or a position is missing.
    """
    points = unit_vectors(source.latitude, source.longitude)
    placed = is_placed(source)
    if not placed.all():
        points[~placed] = np.nan
    given = is_placed(reference)
    row = np.full(given.shape, -1, np.int32)
    col = np.full(given.shape, -1, np.int32)
    if not (given.any() and np.isfinite(points).any()):
        return Match(row, col)
    if given.size < _EXACT_BELOW or min(points.shape[:2]) < 2:
        doubtful = given
    else:
        row, col, doubtful = _match_smooth(reference, given, points, source.start, ratio)
    _match_one_by_one(reference, points, doubtful, row, col, source.start, ratio)
    return Match(row, col)


def _match_smooth(
    reference: Window,
    given: npt.NDArray[np.bool_],
    points: FloatArray,
    source_start: int,
    ratio: float,
) -> tuple[IndexArray, IndexArray, npt.NDArray[np.bool_]]:
    """Solve the match on nodes and interpolate; say which pixels that cannot be trusted for."""
    rows, cols = given.shape
    start = reference.start
    node_row, node_col = _nodes(rows, NODE_ROWS), _nodes(cols, NODE_COLUMNS)
    expected: Sequence[FloatArray] = np.meshgrid(
        (node_row + start) * ratio - source_start,
        node_col * ((points.shape[1] - 1) / max(cols - 1, 1)),
        indexing="ij",
    )
    fine = _solve_grid(_points_at(reference, np.ix_(node_row, node_col)), points, expected)
    size = (points.shape[0], points.shape[1])
    bad = _bends(fine[:2], np.stack(expected), size)
    touched = _spread(np.where(bad, np.float32(1), 0), rows, node_row, 0)
    doubtful = _spread(touched, cols, node_col, 1) > 0
    fine[0] -= expected[0]
    fine = np.where(bad, 0, fine).astype(np.float32)
    fine[2, bad] = fine[4, bad] = 1.0
    fine = _spread(fine, rows, node_row, 1)
    here = (np.arange(rows) + start) * ratio - source_start
    base = np.floor(here).astype(np.intp)
    fine[0] += (here - base).astype(np.float32)[:, None]
    row = np.empty((rows, cols), np.int32)
    col, near = np.empty_like(row), np.empty((rows, cols), bool)
    for first in range(0, rows, _BLOCK):
        b = slice(first, first + _BLOCK)
        row[b], col[b], near[b] = _choose(_spread(fine[:, b], cols, node_col, 2), base[b], size)
    near &= given
    np.copyto(row, -1, where=~near)
    np.copyto(col, -1, where=~near)
    gone = ~np.isfinite(points[..., 0])
    if gone.any():
        doubtful |= near & gone[row, col]
    return row, col, doubtful & given


def _points_at(grid: Window, index: Any) -> npt.NDArray[np.float32]:
    """Points on the unit sphere of some pixels of a grid."""
    return unit_vectors(grid.latitude[index], grid.longitude[index])


def _solve_grid(
    target: FloatArray, points: FloatArray, expected: Sequence[FloatArray]
) -> FloatArray:
    """Solve every node: few of them from afar, the others from what these found."""
    rows, cols = target.shape[:2]
    some_row, some_col = _nodes(rows, NODE_LEAP), _nodes(cols, NODE_LEAP)
    few = np.ix_(some_row, some_col)
    guess = [e[few] for e in expected]
    flat = _solve(
        target[few].reshape(-1, 3), points, (guess[0].ravel(), guess[1].ravel()), _FAR_STEPS
    )
    begin = []
    for k in range(2):
        offset = np.nan_to_num(flat[k].reshape(guess[k].shape) - guess[k])
        wide = _spread(_spread(offset, rows, some_row, 0), cols, some_col, 1)
        begin.append(expected[k] + wide)
    near = _solve(target.reshape(-1, 3), points, (begin[0].ravel(), begin[1].ravel()), _NEAR_STEPS)
    return near.reshape(5, rows, cols)


def _match_one_by_one(
    reference: Window,
    points: FloatArray,
    wanted: npt.NDArray[np.bool_],
    row: IndexArray,
    col: IndexArray,
    source_start: int,
    ratio: float,
) -> None:
    """Search the wanted pixels in a tree of the rows scanned about the same time; in place."""
    start, block = reference.start, ROW_WINDOW
    for first in range(0, wanted.shape[0], block):
        at = np.nonzero(wanted[first : first + block])
        if at[0].size == 0:
            continue
        low = int((first + start) * ratio) - source_start - ROW_WINDOW
        high = int((first + start + block) * ratio) - source_start + ROW_WINDOW
        low, high = max(low, 0), max(min(high, points.shape[0]), 0)
        here = (at[0] + first, at[1])
        row[here], col[here] = _search(_points_at(reference, here), points, low, high)


def _search(
    target: FloatArray, points: FloatArray, low: int, high: int
) -> tuple[IndexArray, IndexArray]:
    """Nearest source pixel in rows [low, high) for a list of positions, −1 where too far."""
    index = nearest_points(points[low:high], target)
    r, c = np.divmod(np.maximum(index, 0) + low * points.shape[1], points.shape[1])
    near = squared_distance(target, points[r, c]) <= LIMIT_FACTOR**2 * _cell(points, r, c)
    near &= index >= 0
    return (
        np.where(near, r, -1).astype(np.int32),
        np.where(near, c, -1).astype(np.int32),
    )


def _cell(points: FloatArray, row: npt.NDArray[np.intp], col: npt.NDArray[np.intp]) -> FloatArray:
    """Squared diagonal of the sampling cell; one spacing stands in for another that is missing."""
    a, c = (np.einsum("...k,...k->...", v, v) for v in steps_at(points, row, col))
    a, c = np.where(np.isnan(a), c, a), np.where(np.isnan(c), a, c)
    lone = (LONE / EARTH_RADIUS) ** 2
    return np.where(np.isnan(a), lone, a) + np.where(np.isnan(c), lone, c)
