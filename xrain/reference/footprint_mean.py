"""Means of a reference over footprints: Gaussian antenna patterns, each on its own ellipse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xrain.geo.gaussian import CUT, pattern
from xrain.geo.sphere import EARTH_RADIUS
from xrain.reference.cells import Found, Places, Source

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]

_CELLS: Final = 1 << 20
_GROUP: Final = 1 << 14


@dataclass(frozen=True)
class Footprints:
    """Ellipses on the ground.

    Attributes
    ----------
    places : Places
        Their centres.
    along, across : ndarray of float32, shape (place, 3)
        Unit vectors on the ground along and across the line of sight.
    widths : ndarray of float32, shape (place, 2)
        Half-power widths in km along and across.
    """

    places: Places
    along: Array
    across: Array
    widths: Array

    def take(self, index: Any) -> Footprints:
        """Return some of them."""
        return Footprints(
            self.places.take(index), self.along[index], self.across[index], self.widths[index]
        )


@dataclass(frozen=True)
class Means:
    """A reference over footprints, all of shape (place,).

    Attributes
    ----------
    mean : ndarray of float32
        Weighted mean of the cells with a value, NaN where there is none.
    fraction : ndarray of float32
        Share of the pattern's weight that lies on cells with a value.
    count : ndarray of int32
        Cells with a value inside the cut.
    """

    mean: Array
    fraction: Array
    count: Array


def average(source: Source, prints: Footprints, found: Found) -> Means:
    """Average a reference over footprints.

    The weight of a cell is its area times exp(−4 ln 2 (x²/a² + y²/b²)) at a distance of x km
    along and y km across the line of sight, with half-power widths a and b that are at least a
    cell. Work goes in blocks, so that memory stays small.

    Parameters
    ----------
    source : Source
        The reference.
    prints : Footprints
        Where to average.
    found : Found
        The cell next to each of them; those that are not near get no mean.
    """
    count = prints.places.time.size
    out = Means(
        np.full(count, np.nan, np.float32), np.zeros(count, np.float32), np.zeros(count, np.int32)
    )
    index = np.flatnonzero(found.near)
    widths = np.maximum(prints.widths, np.float32(source.cell))
    for part, window in _blocks(source, index, found, widths):
        mean, fraction, cells = _block(source, prints.take(part), widths[part], found, part, window)
        out.mean[part], out.fraction[part], out.count[part] = mean, fraction, cells
    return out


def _blocks(
    source: Source, index: IntArray, found: Found, widths: Array
) -> Iterator[tuple[IntArray, tuple[int, int]]]:
    """Blocks of footprints that need windows of cells of about the same size."""
    largest = widths[index].max(axis=1)
    for first in range(0, index.size, _GROUP):
        group = index[first : first + _GROUP]
        size = largest[first : first + _GROUP]
        classes = np.floor(4 * np.log2(np.maximum(size, 1e-3)))
        for one in np.unique(classes):
            alike = group[classes == one]
            window = _window(source, alike, found, float(size[classes == one].max()))
            step = max(_CELLS // ((2 * window[0] + 1) * (2 * window[1] + 1)), 1)
            for start in range(0, alike.size, step):
                yield alike[start : start + step], window


def _window(source: Source, index: IntArray, found: Found, width: float) -> tuple[int, int]:
    """Rows and columns to either side that the cut may reach."""
    row, column = found.row[index][:, None], found.column[index][:, None]
    steps = source.steps(row, column)
    reach = CUT * width + 0.75 * np.hypot(*np.minimum(steps, source.cell))
    rows, columns = (int(np.ceil(reach / s)) for s in steps)
    return rows, min(columns, source.widest)


def _block(
    source: Source, prints: Footprints, widths: Array, found: Found, index: IntArray,
    window: tuple[int, int],
) -> tuple[Array, Array, Array]:  # fmt: skip
    row = found.row[index][:, None] + np.arange(-window[0], window[0] + 1)
    column = found.column[index][:, None] + np.arange(-window[1], window[1] + 1)
    weight = _weights(source.points(row, column), prints, widths)
    size = source.size(row)
    if size is not None:
        weight *= size[:, :, None]
    amount, seen = source.values(found.frame[index], row, column)
    whole = weight.sum(axis=(1, 2))
    covered = np.einsum("ijk,ijk->i", weight, seen)
    total = np.einsum("ijk,ijk->i", weight, amount)
    counted = ((weight > 0) * seen).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(covered > 0, total / covered, np.nan)
        fraction = np.where(whole > 0, covered / whole, 0)
    return mean, fraction, np.rint(counted * source.merged)


def _weights(points: Array, prints: Footprints, widths: Array) -> Array:
    """Antenna pattern at points (place, row, column, 3), 0 beyond the cut or where unknown."""
    count, rows, columns = points.shape[:3]
    axes = np.stack([prints.along, prints.across], axis=-1) * (
        np.float32(EARTH_RADIUS) / widths[:, None, :]
    )
    # both axes lie at right angles to the centre, so its own part drops out
    flat = points.reshape(count, rows * columns, 3)
    offset = np.matmul(flat, axes.astype(np.float32))
    square = np.einsum("ijk,ijk->ij", offset, offset)
    return pattern(square).reshape(count, rows, columns)
