"""Elliptical weighted averaging with pyresample's ``fornav``, across the date line too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from xrain.geo.cells import Array, IntArray, Swath
from xrain.regrid.locate import Places
from xrain.regrid.target import Target, cell_size, grid_position

ROWS: Final = 2
"""Scans from whose distance ``fornav`` takes the ellipses of both: the fewest there can be."""

LEAST_PIXELS: Final = 3
"""``fornav`` takes the width of an ellipse from the pixels on both sides."""

DISTANCE: Final = 1.0
"""Size of an ellipse, in cells of the swath, at which its weight has fallen to 1 %; larger where
the cells of the grid are, so that all pixels in them count."""


@dataclass(frozen=True)
class Ewa:
    """The method ``"ewa"``: every pixel is spread over an ellipse of the size of its cell.

    Attributes
    ----------
    column, row : ndarray of float32, shape (scan, pixel)
        Where the pixels lie in the grid; scans are a multiple of `ROWS`.
    turn : float
        Columns once around the globe; 0 where the grid does not know of it.
    reach : int
        Cells that an ellipse may reach from its middle.
    distance : float
        Size of the ellipses.
    """

    target: Target
    cell: IntArray
    nearest: IntArray
    column: Array
    row: Array
    turn: float
    reach: int
    distance: float

    def __call__(self, values: Array) -> Array:
        """Bring values (pixel, k) to (place, k)."""
        scans, pixels = self.column.shape
        count = values.shape[1]
        padded = np.full((scans * pixels, count), np.nan, np.float32)
        padded[: values.shape[0]] = values
        planes = tuple(np.ascontiguousarray(v).reshape(scans, pixels) for v in padded.T)
        out: Array = values[self.nearest].astype(values.dtype)
        known = np.isfinite(out)
        made = np.full(out.shape, np.nan, np.float32)
        for turns in (0, 1, -1) if self.turn else (0,):
            passed = self._spread(planes, self.column + np.float32(turns * self.turn))
            if passed is not None:
                made = np.where(np.isfinite(made), made, passed)
        np.copyto(out, made, where=known & np.isfinite(made))
        return out

    def _spread(self, planes: tuple[Array, ...], column: Array) -> Array | None:
        """Values on the places from pixels at these columns; None if none is in the grid."""
        from pyresample.ewa import fornav

        near = (column > -self.reach) & (column < self.target.shape[1] + self.reach)
        rows = np.flatnonzero(near.any(axis=1))
        if not rows.size:
            return None
        part = slice(rows[0] // ROWS * ROWS, (rows[-1] // ROWS + 1) * ROWS)
        planes = tuple(np.where(near[part], p[part], np.float32(np.nan)) for p in planes)
        try:
            _, made = fornav(
                np.ascontiguousarray(column[part]), np.ascontiguousarray(self.row[part]),
                self.target.area, planes, rows_per_scan=ROWS, fill=np.nan,
                weight_distance_max=self.distance, weight_delta_max=float(self.reach),
            )  # fmt: skip
        except RuntimeError:  # fornav says so where nothing falls into the grid
            return None
        made = made if isinstance(made, list | tuple) else (made,)
        return np.stack([np.asarray(m).ravel()[self.cell] for m in made], axis=1)


def ewa_operator(swath: Swath, target: Target, places: Places) -> Ewa:
    """Prepare the method ``"ewa"``.

    Parameters
    ----------
    swath : Swath
        The pixels.
    target : Target
        With an area.
    places : Places
        Its cells in the swath.

    Returns
    -------
    Ewa
    """
    column, row = (np.asarray(v, np.float64) - 0.5
                   for v in grid_position(target, swath.latitude, swath.longitude))  # fmt: skip
    turn = _turn(target.area)
    if turn:
        column = _unrolled(column, turn)
    column, row = _padded(column), _padded(row)
    size = max(cell_size(target), 1e-3)
    distance = max(DISTANCE, size / float(np.nanmedian(swath.spacing)))
    reach = 2 + int(np.ceil(distance * swath.reach / size))
    return Ewa(target, places.cell, places.nearest, column, row, turn, reach, distance)


def _turn(area: Any) -> float:
    """Columns once around the globe; 0 for a map that is not made of degrees."""
    if not area.crs.is_geographic:
        return 0.0
    west, _, east, _ = area.area_extent
    return abs(float(360.0 * area.shape[1] / (east - west)))


def _unrolled(column: Array, turn: float) -> Array:
    """Let the columns of neighbouring pixels and of the scans of a pair never jump."""
    scans, pixels = column.shape
    known = np.isfinite(column)
    last = np.maximum.accumulate(np.where(known, np.arange(pixels), 0), axis=1)
    filled = np.nan_to_num(np.take_along_axis(column, last, 1))
    out = np.unwrap(filled, period=turn, axis=1)
    even = out[: scans // ROWS * ROWS].reshape(-1, ROWS, pixels)
    middle = even[:, :, pixels // 2]
    even[:, 1:] -= (np.rint((middle[:, 1:] - middle[:, :1]) / turn) * turn)[..., None]
    return np.where(known, out, np.nan)


def _padded(values: Array) -> Array:
    """Continue a grid position by the scans that are missing to a whole number of pairs."""
    missing = -values.shape[0] % ROWS
    if missing:
        step = values[-1] - values[-2] if values.shape[0] > 1 else np.ones(values.shape[1])
        more = values[-1] + step * np.arange(1, missing + 1)[:, None]
        values = np.concatenate([values, more])
    return values.astype(np.float32)
