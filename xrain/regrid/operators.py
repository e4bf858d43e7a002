"""Methods of resampling as sparse weights: once from the positions, then for every variable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from xrain.geometry import EARTH_RADIUS
from xrain.regrid.locate import (
    Array,
    IntArray,
    Places,
    Swath,
)

CUT: Final = 1.2
"""Distance, in half-power widths, at which a Gaussian weight (there 0.02) is cut off."""

GROWTH: Final = 5.0
"""Percentile of the pixels' areas that counts as that of nadir, where a footprint is smallest."""

_CHUNK = 1 << 17
_GAP = 3.0


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
    """Weights of the method ``"nearest"``."""
    return Nearest(places.cell, places.nearest)


# ---- bilinear


def bilinear_operator(swath: Swath, places: Places) -> Weighted:
    """Weights of the method ``"bilinear"``: the four pixels around, in the swath's own grid."""
    rows, columns = swath.points.shape[:2]
    row, column = np.divmod(places.holder, columns)
    low_row, s = _lower(row, places.offset[:, 0], rows)
    low_column, t = _lower(column, places.offset[:, 1], columns)
    s, t = _refined(swath, places.points, low_row, low_column, s, t)
    s = np.where(_is_jump(swath)[low_row], np.rint(s), s)
    corner, weight = [], []
    for up, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        r, c = np.minimum(low_row + up, rows - 1), np.minimum(low_column + right, columns - 1)
        corner.append(r * columns + c)
        weight.append((s if up else 1 - s) * (t if right else 1 - t))
    entries = (np.stack(corner, 1), np.stack(weight, 1).astype(np.float32))
    return Weighted(places.cell, places.nearest, matrix([entries], swath), places.holder)


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


def _is_jump(swath: Swath) -> npt.NDArray[np.bool_]:
    """Find the scans after which the swath jumps, as between granules that do not adjoin."""
    step = np.linalg.norm(np.diff(swath.points, axis=0), axis=-1)
    known = np.isfinite(step)
    mean = np.where(known, step, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    usual = np.median(mean[mean > 0]) if (mean > 0).any() else np.inf
    return np.append(mean > _GAP * usual, False)


# ---- Gaussian


def gaussian_operator(swath: Swath, places: Places, footprint: Array) -> Weighted:
    """Weights of the method ``"gaussian"``.

    The weight of a pixel of area A and half-power width F at a distance d is
    A F⁻² exp(−4 ln 2 (d / F)²): the pattern of an antenna that sees the pixel, and A against
    the crowding of pixels where scans lie close.

    Parameters
    ----------
    footprint : ndarray of float32, shape (scan, pixel)
        F in km.
    """
    width = footprint / np.float32(EARTH_RADIUS)
    area = swath.area / np.float32(EARTH_RADIUS**2)
    chunks = [slice(k, k + _CHUNK) for k in range(0, places.cell.size, _CHUNK)]
    parts = (_gaussian_entries(swath, places, part, width, area) for part in chunks)
    return Weighted(places.cell, places.nearest, matrix(parts, swath), places.holder)


def _gaussian_entries(
    swath: Swath, places: Places, part: slice, width: Array, area: Array
) -> tuple[Any, Array]:
    """Sparse entries of some places: (place, pixel) pairs and their weights."""
    rows, columns = area.shape
    holder, offset = places.holder[part], places.offset[part]
    along, across = (v.reshape(-1, 3)[holder] for v in (swath.along, swath.across))
    a, b, c = (np.einsum("ik,ik->i", x, y) for x, y in (
        (along, along), (along, across), (across, across)))  # fmt: skip
    cut = np.float32(CUT) * width.ravel()[holder]
    row, column = np.divmod(holder, columns)
    # an ellipse of the metric a, b, c reaches so many steps along each axis
    det = np.maximum(a * c - b * b, 1e-20)
    window = [
        min(int(np.ceil(np.percentile(cut * np.sqrt(m / det), 99.5))) + 1, n)
        for m, n in ((c, rows), (a, columns))
    ] if holder.size else [0, 0]  # fmt: skip
    found = []
    for i in range(-window[0], window[0] + 1):
        x = i - offset[:, 0]
        for j in range(-window[1], window[1] + 1):
            y = j - offset[:, 1]
            near = (a * x + 2 * b * y) * x + c * y * y <= 1.5 * cut * cut
            near &= (row + i >= 0) & (row + i < rows) & (column + j >= 0) & (column + j < columns)
            at = np.flatnonzero(near)
            found.append((at, holder[at] + (i * columns + j)))
    place = np.concatenate([f[0] for f in found])
    pixel = np.concatenate([f[1] for f in found])
    gap = places.points[part][place] - swath.points.reshape(-1, 3)[pixel]
    squared = np.einsum("ik,ik->i", gap, gap) / width.ravel()[pixel] ** 2
    keep = squared <= CUT**2
    place, pixel, squared = place[keep], pixel[keep], squared[keep]
    weight = np.exp(-4 * math.log(2) * squared) * area.ravel()[pixel] / width.ravel()[pixel] ** 2
    return (place, pixel, holder.size), weight.astype(np.float32)


def footprint_widths(swath: Swath, nadir: float | None, grows: bool) -> Array:
    """Half-power width in km of what each pixel sees, (scan, pixel).

    Parameters
    ----------
    swath : Swath
        The pixels.
    nadir : float or None
        Width where it is smallest; None where nothing is known but the sampling.
    grows : bool
        Whether it grows towards the ends of a scan; then it does as the sampling does.
    """
    spacing = swath.spacing
    if nadir is None:
        return spacing
    width = np.full_like(spacing, nadir)
    if grows:
        size = np.sqrt(swath.area)
        known = size[np.isfinite(size)]
        if known.size:
            width *= np.maximum(size / np.percentile(known, GROWTH), 1)
    return np.maximum(width, spacing)


def matrix(parts: Any, swath: Swath) -> Any:
    """Put entries of several blocks of places one under the other."""
    blocks = []
    for index, weight in parts:
        if isinstance(index, tuple):
            place, pixel, count = index
        else:
            count, width = index.shape
            place, pixel = np.repeat(np.arange(count), width), index.ravel()
        shape = (count, swath.latitude.size)
        blocks.append(sparse.csr_array((weight.ravel(), (place, pixel)), shape=shape))
    if not blocks:
        return sparse.csr_array((0, swath.latitude.size), dtype=np.float32)
    return sparse.vstack(blocks, format="csr")
