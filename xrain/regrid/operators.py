"""Methods of resampling as sparse weights: once from the positions, then for every variable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from xrain.errors import InputError
from xrain.geo.cells import Array, IntArray, Swath, jumps
from xrain.geo.gaussian import CUT, pattern
from xrain.geo.sphere import EARTH_RADIUS
from xrain.regrid.locate import Places

MOST_WEIGHTS: Final = 200_000_000
"""Most pairs of a cell and a pixel for which weights are made: some 5 GB."""

_CHUNK = 1 << 17
_SAMPLE = 1 << 10


class Operator(Protocol):
    """Weights from the pixels of a swath to the cells of a target.

    Attributes
    ----------
    cell : ndarray of int, shape (place,)
        Flat indices of the target cells that are observed, ascending.
    nearest : ndarray of int, shape (place,)
        Flat index of the pixel nearest to each.
    """

    @property
    def cell(self) -> IntArray:
        """Flat indices of the observed cells."""
        ...

    @property
    def nearest(self) -> IntArray:
        """Flat indices of their pixels."""
        ...

    def __call__(self, values: Array) -> Array:
        """Bring float values (pixel, k) to (place, k), NaN where none is observed."""
        ...


@dataclass(frozen=True)
class Nearest:
    """The nearest pixel's value."""

    cell: IntArray
    nearest: IntArray

    def __call__(self, values: Array) -> Array:
        """Bring values (pixel, k) to (place, k)."""
        out: Array = values[self.nearest]
        return out


@dataclass(frozen=True)
class Weighted:
    """A weighted mean of the pixels around, over those that have a value.

    Attributes
    ----------
    weights : csr_array, shape (place, pixel)
        Not normalised.
    holder : ndarray of int, shape (place,)
        Flat index of the pixel whose cell holds the cell's centre. Where scans are skewed it is
        not always the nearest.
    needed : ndarray of float32 or None
        Sum of weights of pixels with a value that a cell needs; None where the holder must have
        one.
    """

    cell: IntArray
    nearest: IntArray
    weights: Any
    holder: IntArray
    needed: Array | None = None

    def __call__(self, values: Array) -> Array:
        """Bring values (pixel, k) to (place, k), NaN where too little is known."""
        known = np.isfinite(values)
        whole = bool(known.all())
        total = self.weights @ (values if whole else np.where(known, values, 0))
        one = np.ones((values.shape[0], 1), np.float32)
        share = self.weights @ (one if whole else known.astype(np.float32))
        enough = known[self.holder] if self.needed is None else share >= self.needed[:, None]
        ok = (share > 0) & enough
        out: Array = np.where(ok, total / np.where(ok, share, 1), np.nan)
        return out.astype(values.dtype, copy=False)


def nearest_operator(places: Places) -> Nearest:
    """Weights of the method ``"nearest"``.

    Parameters
    ----------
    places : Places
        The cells in the swath.

    Returns
    -------
    Nearest
    """
    return Nearest(places.cell, places.nearest)


# ---- bilinear


def bilinear_operator(swath: Swath, places: Places) -> Weighted:
    """Weights of the method ``"bilinear"``: the four pixels around, in the swath's own grid.

    Parameters
    ----------
    swath : Swath
        The pixels.
    places : Places
        The cells in the swath.

    Returns
    -------
    Weighted
    """
    rows, columns = swath.points.shape[:2]
    row, column = np.divmod(places.holder, columns)
    low_row, s = _lower(row, places.offset[:, 0], rows)
    low_column, t = _lower(column, places.offset[:, 1], columns)
    s, t = _refined(swath, places.points, low_row, low_column, s, t)
    s = np.where(np.isin(low_row + 1, jumps(swath.points)), np.rint(s), s)
    corner, weight = [], []
    for up, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        r, c = np.minimum(low_row + up, rows - 1), np.minimum(low_column + right, columns - 1)
        corner.append(r * columns + c)
        weight.append((s if up else 1 - s) * (t if right else 1 - t))
    weights = matrix(np.stack(corner, 1), np.stack(weight, 1).astype(np.float32), swath)
    return Weighted(places.cell, places.nearest, weights, places.holder)


def _lower(index: IntArray, offset: Array, count: int) -> tuple[IntArray, Array]:
    """Lower corner and fraction towards the next one, within the swath."""
    place = np.clip(index + offset.astype(np.float64), 0, count - 1)
    low = np.clip(np.floor(place).astype(np.int64), 0, max(count - 2, 0))
    return low, place - low


def _refined(
    swath: Swath, points: Array, row: IntArray, column: IntArray, s: Array, t: Array
) -> tuple[Array, Array]:
    """Solve for the fractions inside the quadrilateral of four pixels, by Newton's method."""
    rows, columns = swath.points.shape[:2]
    below, beside = np.minimum(row + 1, rows - 1), np.minimum(column + 1, columns - 1)
    p00, p01 = swath.points[row, column], swath.points[row, beside]
    p10, p11 = swath.points[below, column], swath.points[below, beside]
    first, second = s, t
    for _ in range(2):
        u, v = first[:, None], second[:, None]
        along = (1 - v) * (p10 - p00) + v * (p11 - p01)
        across = (1 - u) * (p01 - p00) + u * (p11 - p10)
        gap = points - (p00 + u * along + v * (p01 - p00))
        a, b, c = (np.einsum("ik,ik->i", x, y) for x, y in (
            (along, along), (along, across), (across, across)))  # fmt: skip
        p, q = np.einsum("ik,ik->i", gap, along), np.einsum("ik,ik->i", gap, across)
        with np.errstate(invalid="ignore", divide="ignore"):
            det = a * c - b * b
            first, second = first + (c * p - b * q) / det, second + (a * q - b * p) / det
    good = np.isfinite(first) & np.isfinite(second)
    good &= (np.abs(first - s) < 0.5) & (np.abs(second - t) < 0.5)
    return np.clip(np.where(good, first, s), 0, 1), np.clip(np.where(good, second, t), 0, 1)


# ---- Gaussian


def gaussian_operator(swath: Swath, places: Places, footprint: Array) -> Weighted:
    """Weights of the method ``"gaussian"``.

    The weight of a pixel of area A and half-power width F at a distance d is
    A F⁻² exp(−4 ln 2 (d / F)²): the pattern of an antenna that sees the pixel, and A against
    the crowding of pixels where scans lie close.

    Parameters
    ----------
    swath : Swath
        The pixels.
    places : Places
        The cells.
    footprint : ndarray of float32, shape (scan, pixel)
        F in km.

    Returns
    -------
    Weighted

    Raises
    ------
    InputError
        If the cells have so many pixels in their footprints that the weights do not fit into
        memory.
    """
    width = footprint.ravel() / np.float32(EARTH_RADIUS)
    known = np.flatnonzero(np.isfinite(swath.points[..., 0]).ravel() & np.isfinite(width))
    # widths that differ by a quarter of an octave are looked up together
    classes = np.floor(4 * np.log2(width[known])).astype(int)
    groups = [known[classes == k] for k in np.unique(classes)]
    trees = [cKDTree(swath.points.reshape(-1, 3)[g], balanced_tree=False) for g in groups]
    share = swath.area.ravel() / np.float32(EARTH_RADIUS**2) / width**2
    rows, many = [], 0.0
    for first in range(0, places.cell.size, _CHUNK):
        points = places.points[first : first + _CHUNK]
        part = sparse.csr_array((len(points), width.size), dtype=np.float32)
        here = cKDTree(points, balanced_tree=False)
        for tree, group in zip(trees, groups, strict=True):
            reach = CUT * float(width[group].max())
            many += _expected_pairs(tree, points, reach)
            _require_memory(many)
            pairs = here.sparse_distance_matrix(tree, reach, output_type="ndarray")
            place, pixel = pairs["i"], group[pairs["j"]]
            weight = pattern((pairs["v"] / width[pixel]).astype(np.float32) ** 2) * share[pixel]
            part = part + sparse.csr_array((weight, (place, pixel)), shape=part.shape)
        rows.append(part)
    empty = sparse.csr_array((0, width.size), dtype=np.float32)
    weights = sparse.vstack(rows or [empty], format="csr")
    return Weighted(places.cell, places.nearest, weights, places.holder)


def _expected_pairs(tree: cKDTree, points: Array, reach: float) -> float:
    """Estimate from some points how many pixels all of them have within reach."""
    some = points[:: max(len(points) // _SAMPLE, 1)]
    found = tree.query_ball_point(some, reach, return_length=True)
    return float(np.mean(found)) * len(points)


def _require_memory(pairs: float) -> None:
    if pairs > MOST_WEIGHTS:
        raise InputError(
            f"the footprints hold more than {MOST_WEIGHTS:,} pairs of a cell and a pixel: choose "
            "coarser cells, a narrower footprint or a smaller area"
        )


def matrix(pixels: IntArray, weights: Array, swath: Swath) -> Any:
    """Put weights into a sparse array.

    Parameters
    ----------
    pixels : ndarray of int, shape (place, k)
        Flat indices of the pixels of each place.
    weights : ndarray, shape (place, k)
        Their weights.
    swath : Swath
        The pixels.

    Returns
    -------
    csr_array, shape (place, pixel)
    """
    count, width = pixels.shape
    at = (np.repeat(np.arange(count), width), pixels.ravel())
    return sparse.csr_array((weights.ravel(), at), shape=(count, swath.latitude.size))
