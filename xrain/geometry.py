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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.floating]
IndexArray = npt.NDArray[np.int32]

EARTH_RADIUS = 6371.0
"""Mean radius of the earth in km."""

NODE_STEP = 8
"""Rows and columns between the nodes on which the match is solved."""

ROW_WINDOW = 48
"""Rows by which a match may lie away from its expected row. Groups of one scan are never more
than some 10 scans apart (100 km); the next overpass is hundreds of scans away."""

LIMIT_FACTOR = 0.75
"""Farthest match, as a share of the diagonal of the local sampling cell. Half a diagonal
reaches every point inside the source grid."""

NODE_TOLERANCE = 0.1
"""A match is searched anew where its distance differs from the interpolated one by more than
this, in squared distance as a share of the sampling cell's diagonal."""

_SEARCH_STEPS = (16, 8, 4, 2, 1, 1, 1, 1)
_EXACT_BELOW = 2048


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
        index = np.where(self.found, self.row * np.int32(values.shape[1]) + self.column, 0)
        out = flat[index]
        out[~self.found] = fill
        return out


def unit_vectors(latitude: FloatArray, longitude: FloatArray) -> npt.NDArray[np.float32]:
    """Points on the unit sphere, shape (..., 3), float32; NaN where a position is missing."""
    lat = np.deg2rad(latitude, dtype=np.float32)
    lon = np.deg2rad(longitude, dtype=np.float32)
    out = np.empty((*lat.shape, 3), np.float32)
    cos_lat = np.cos(lat)
    np.multiply(cos_lat, np.cos(lon), out=out[..., 0])
    np.multiply(cos_lat, np.sin(lon), out=out[..., 1])
    np.sin(lat, out=out[..., 2])
    return out


def _squared_distance(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float32]:
    d = a - b
    out: npt.NDArray[np.float32] = np.einsum("...k,...k->...", d, d).astype(np.float32)
    return out


def _tangents(
    source: FloatArray, row: npt.NDArray[np.intp], col: npt.NDArray[np.intp]
) -> tuple[FloatArray, FloatArray]:
    """Vectors from one source pixel to the next row and the next column, by differences."""
    rows, cols = source.shape[:2]
    up, down = np.minimum(row + 1, rows - 1), np.maximum(row - 1, 0)
    right, left = np.minimum(col + 1, cols - 1), np.maximum(col - 1, 0)
    along = (source[up, col] - source[down, col]) / np.maximum(up - down, 1)[..., None]
    across = (source[row, right] - source[row, left]) / np.maximum(right - left, 1)[..., None]
    return along, across


def _hill_climb(
    target: FloatArray, source: FloatArray, row: npt.NDArray[np.intp], col: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Walk from (row, col) to the nearest source pixel, in steps that get smaller."""
    rows, cols = source.shape[:2]
    for step in _SEARCH_STEPS:
        best = np.full(row.shape, np.inf, np.float32)
        best_row, best_col = row, col
        for dr in (-step, 0, step):
            for dc in (-step, 0, step):
                r = np.clip(row + dr, 0, rows - 1)
                c = np.clip(col + dc, 0, cols - 1)
                d = np.nan_to_num(_squared_distance(target, source[r, c]), nan=np.inf)
                nearer = d < best
                best = np.where(nearer, d, best)
                best_row = np.where(nearer, r, best_row)
                best_col = np.where(nearer, c, best_col)
        row, col = best_row, best_col
    return row, col


@dataclass(frozen=True)
class _Nodes:
    """The match solved on the nodes: offsets from the expected index, and the local metric."""

    row: FloatArray
    col: FloatArray
    along: FloatArray  # squared spacing of rows, of columns, and their product
    across: FloatArray
    mixed: FloatArray


def _solve_nodes(
    target: FloatArray, source: FloatArray, expected_row: FloatArray, expected_col: FloatArray
) -> _Nodes:
    row, col = _hill_climb(
        target,
        source,
        np.clip(np.rint(expected_row), 0, source.shape[0] - 1).astype(np.intp),
        np.clip(np.rint(expected_col), 0, source.shape[1] - 1).astype(np.intp),
    )
    along, across = _tangents(source, row, col)
    gap = target - source[row, col]
    a = np.einsum("...k,...k->...", along, along)
    b = np.einsum("...k,...k->...", along, across)
    c = np.einsum("...k,...k->...", across, across)
    p = np.einsum("...k,...k->...", gap, along)
    q = np.einsum("...k,...k->...", gap, across)
    with np.errstate(invalid="ignore", divide="ignore"):
        det = a * c - b * b
        fine_row = row + (c * p - b * q) / det - expected_row
        fine_col = col + (a * q - b * p) / det - expected_col
    return _Nodes(fine_row, fine_col, a, c, b)


def _weights(count: int, nodes: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Matrix (count, nodes) of linear interpolation from `nodes` to 0 … count − 1."""
    position = np.interp(np.arange(count), nodes, np.arange(nodes.size))
    low = np.minimum(position.astype(np.intp), max(nodes.size - 2, 0))
    out = np.zeros((count, nodes.size), np.float32)
    out[np.arange(count), low] = 1.0 - (position - low)
    if nodes.size > 1:
        out[np.arange(count), low + 1] = position - low
    return out


def _choose(
    fine_row: FloatArray,
    fine_col: FloatArray,
    metric: tuple[FloatArray, FloatArray, FloatArray],
    shape: tuple[int, int],
) -> tuple[IndexArray, IndexArray, FloatArray]:
    """Take the pixel that is nearest to a fractional index in the local metric.

    In a given row, at x rows from the match, the nearest column lies (b / c) x away from the
    match's own; the nearest row is among the four around the match even where rows and columns
    are far from perpendicular, as at the edge of a conical scan.
    """
    a, b, c = metric
    skew = b / c
    row0 = np.clip(np.floor(fine_row), 1, max(shape[0] - 3, 1))
    best = np.full(row0.shape, np.inf, np.float32)
    row, col = np.zeros(row0.shape, np.float32), np.zeros(row0.shape, np.float32)
    for step in (-1, 0, 1, 2):
        r = np.clip(row0 + step, 0, shape[0] - 1)
        x = fine_row - r
        k = np.clip(np.rint(fine_col + skew * x), 0, shape[1] - 1)
        y = fine_col - k
        d = (a * x + 2 * b * y) * x + c * y * y
        nearer = d < best
        np.copyto(best, d, where=nearer)
        np.copyto(row, r, where=nearer)
        np.copyto(col, k, where=nearer)
    return row.astype(np.int32), col.astype(np.int32), best


@dataclass(frozen=True)
class Window:
    """Positions in degrees of the rows at hand of a grid of `total` rows, from row `start` on."""

    latitude: FloatArray
    longitude: FloatArray
    start: int
    total: int


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
    """
    first, last = align(start, stop)
    low = int(first * ratio) - ROW_WINDOW
    high = int(np.ceil(last * ratio)) + ROW_WINDOW + 1
    return slice(min(max(low, 0), max(total - 1, 0)), max(min(high, total), min(1, total)))


def align(start: int, stop: int) -> tuple[int, int]:
    """Grow [start, stop) to multiples of the node step, so that any cut gives one result."""
    return start // NODE_STEP * NODE_STEP, -(-stop // NODE_STEP) * NODE_STEP + 1


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
    target = unit_vectors(reference.latitude, reference.longitude)
    points = unit_vectors(source.latitude, source.longitude)
    shape = (target.shape[0], target.shape[1])
    row = np.full(shape, -1, np.int32)
    col = np.full(shape, -1, np.int32)
    if target.size == 0 or not np.isfinite(points).any():
        return Match(row, col)
    if target.size // 3 < _EXACT_BELOW or min(points.shape[:2]) < 2:
        doubtful = np.isfinite(target[..., 0])
    else:
        row, col, doubtful = _match_smooth(target, points, reference.start, source.start, ratio)
    _match_one_by_one(target, points, doubtful, row, col, (reference.start, source.start, ratio))
    return Match(row, col)


def _match_smooth(
    target: FloatArray, points: FloatArray, start: int, source_start: int, ratio: float
) -> tuple[IndexArray, IndexArray, npt.NDArray[np.bool_]]:
    """Solve the match on nodes and interpolate; say which pixels that cannot be trusted for."""
    rows, cols = target.shape[:2]
    node_row = np.unique(np.append(np.arange(0, rows, NODE_STEP), rows - 1))
    node_col = np.unique(np.append(np.arange(0, cols, NODE_STEP), cols - 1))
    row0 = (np.arange(rows) + start) * ratio - source_start
    col0 = np.arange(cols) * ((points.shape[1] - 1) / max(cols - 1, 1))
    nodes = _solve_nodes(
        target[np.ix_(node_row, node_col)],
        points,
        np.broadcast_to(row0[node_row, None], (node_row.size, node_col.size)),
        np.broadcast_to(col0[None, node_col], (node_row.size, node_col.size)),
    )
    up, across = _weights(rows, node_row), _weights(cols, node_col)

    def spread(field: FloatArray) -> npt.NDArray[np.float32]:
        return up @ field.astype(np.float32) @ across.T

    a, b, c = spread(nodes.along), spread(nodes.mixed), spread(nodes.across)
    row, col, expected = _choose(
        spread(nodes.row) + row0[:, None].astype(np.float32),
        spread(nodes.col) + col0[None, :].astype(np.float32),
        (a, b, c),
        (points.shape[0], points.shape[1]),
    )
    true = _squared_distance(target, points[row, col])
    cell = a + c
    with np.errstate(invalid="ignore"):
        outside = np.minimum(true, expected) > 2.0 * LIMIT_FACTOR**2 * cell
        trusted = outside | (np.abs(true - expected) <= NODE_TOLERANCE * cell)
        far = ~(true <= LIMIT_FACTOR**2 * cell)
    doubtful = ~trusted & np.isfinite(target[..., 0])
    row[far], col[far] = -1, -1
    return row, col, doubtful


def _match_one_by_one(
    target: FloatArray,
    points: FloatArray,
    wanted: npt.NDArray[np.bool_],
    row: IndexArray,
    col: IndexArray,
    grid: tuple[int, int, float],
) -> None:
    """Search the wanted pixels in a tree of the rows scanned about the same time; in place."""
    start, source_start, ratio = grid
    block = ROW_WINDOW
    for first in range(0, target.shape[0], block):
        at = np.nonzero(wanted[first : first + block])
        if at[0].size == 0:
            continue
        low = int((first + start) * ratio) - source_start - ROW_WINDOW
        high = int((first + start + block) * ratio) - source_start + ROW_WINDOW
        low, high = max(low, 0), max(min(high, points.shape[0]), 0)
        here = (at[0] + first, at[1])
        row[here], col[here] = _search(target[here], points, low, high)


def _search(
    target: FloatArray, points: FloatArray, low: int, high: int
) -> tuple[IndexArray, IndexArray]:
    """Nearest source pixel in rows [low, high) for a list of positions, −1 where too far."""
    none = np.full(target.shape[0], -1, np.int32)
    candidates = np.nonzero(np.isfinite(points[low:high, :, 0]))
    if candidates[0].size == 0:
        return none, none.copy()
    tree = cKDTree(points[low:high][candidates])
    distance, index = tree.query(target)
    r, c = candidates[0][index] + low, candidates[1][index]
    near = distance**2 <= LIMIT_FACTOR**2 * _cell(points, r, c)
    return (
        np.where(near, r, -1).astype(np.int32),
        np.where(near, c, -1).astype(np.int32),
    )


def _cell(points: FloatArray, row: npt.NDArray[np.intp], col: npt.NDArray[np.intp]) -> FloatArray:
    """Squared diagonal of the sampling cell; one spacing stands in for another that is missing."""
    along, across = _tangents(points, row, col)
    a = np.einsum("...k,...k->...", along, along)
    c = np.einsum("...k,...k->...", across, across)
    a = np.where(a > 0, a, np.nan)
    c = np.where(c > 0, c, np.nan)
    a, c = np.where(np.isnan(a), c, a), np.where(np.isnan(c), a, c)
    lone = (10.0 / EARTH_RADIUS) ** 2
    return np.where(np.isnan(a), lone, a) + np.where(np.isnan(c), lone, c)


def smooth_onto(
    reference: Window, source: Window, values: npt.NDArray[np.generic], nearest: Match
) -> npt.NDArray[np.float32]:
    """Bring `values` onto the reference grid by Gaussian-weighted footprint matching.

    The weight's half-power width is the coarser of the two local samplings, so that fine
    channels are averaged onto a coarse grid and coarse ones are interpolated onto a fine grid.

    Parameters
    ----------
    reference, source : Window
        Positions of the two grids, of one pass.
    values : ndarray, shape (row, column, channel)
        On the source grid; NaN is left out of the average.
    nearest : Match
        Where no sample is near, the result is NaN.

    Returns
    -------
    ndarray of float32, shape (scan, pixel, channel)
    """
    from pyresample import SwathDefinition, kd_tree

    out = np.full((*nearest.row.shape, values.shape[2]), np.nan, np.float32)
    here, there = _finite(reference), _finite(source)
    if not (here.any() and there.any()):
        return out
    sigma = max(_spacing(reference), _spacing(source)) / np.sqrt(8 * np.log(2)) * 1000
    to = SwathDefinition(reference.longitude[here], reference.latitude[here])
    for k in range(values.shape[2]):
        use = there & np.isfinite(values[..., k])
        if use.any():
            grid = SwathDefinition(source.longitude[use], source.latitude[use])
            out[here, k] = kd_tree.resample_gauss(
                grid, values[..., k][use], to, 3 * sigma, sigma, neighbours=16, fill_value=np.nan
            )
    out[~nearest.found] = np.nan
    return out


def _finite(grid: Window) -> npt.NDArray[np.bool_]:
    out: npt.NDArray[np.bool_] = np.isfinite(grid.latitude) & np.isfinite(grid.longitude)
    return out


def _spacing(grid: Window) -> float:
    """Median of the wider of the two spacings of a grid in km."""
    points = unit_vectors(grid.latitude, grid.longitude)
    steps = [
        float(np.nanmedian(np.sqrt(_squared_distance(points[1:], points[:-1]))))
        if points.shape[0] > 1
        else 0.0,
        float(np.nanmedian(np.sqrt(_squared_distance(points[:, 1:], points[:, :-1]))))
        if points.shape[1] > 1
        else 0.0,
    ]
    return max(max(steps), 1.0 / EARTH_RADIUS) * EARTH_RADIUS
