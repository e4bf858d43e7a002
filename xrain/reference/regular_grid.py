"""Grids whose rows are latitudes and whose columns are longitudes, and axes that go on for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xrain.geo.sphere import EARTH_RADIUS, unit_vectors
from xrain.reference.cells import Found, Places, whole, within

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]


class Degrees:
    """Cells of a grid whose rows are latitudes and whose columns are longitudes.

    Parameters
    ----------
    latitude, longitude : Axis
        The two axes in degrees.
    values, share, merged
        As in :class:`Curved`.
    reach : float
        Distance in km from a place at which cells may count.
    frames : callable
        Gives the frame, the seconds to it and whether it is near, from times.
    """

    def __init__(
        self, latitude: Axis, longitude: Axis, values: Array, reach: float,
        share: Array | None, merged: int, *,
        frames: Callable[[Array], tuple[IntArray, Array, Array]],
    ) -> None:  # fmt: skip
        self._latitude, self._longitude, self._frames = latitude, longitude, frames
        self._step = abs(latitude.step) * np.pi / 180 * EARTH_RADIUS
        self.cell = self._step
        self.merged = merged
        self.widest = (longitude.size - 1) // 2 if longitude.round else longitude.size
        self._margin = reach + self._step
        seen = np.isfinite(values).astype(np.float32) if share is None else share
        self._amount = np.where(seen > 0, np.nan_to_num(values) * seen, 0).astype(np.float32)
        self._seen = seen

    def find(self, places: Places) -> Found:
        """See :class:`Source`."""
        frame, lag, near = self._frames(places.time)
        row = self._latitude.index(places.latitude)
        column = self._longitude.index(self._longitude.fold(places.longitude))
        scale = np.maximum(np.cos(np.radians(places.latitude)), 1e-3)
        beyond = self._margin / (abs(self._longitude.step) * np.pi / 180 * EARTH_RADIUS * scale)
        inside = within(row, self._latitude.size, self._margin / self._step)
        if not self._longitude.round:
            inside &= within(column, self._longitude.size, beyond)
        return Found(whole(row, inside), whole(column, inside), frame, near & inside, lag)

    def steps(self, row: IntArray, column: IntArray) -> tuple[float, float]:
        """See :class:`Source`; columns crowd towards the poles."""
        highest = float(np.abs(self._latitude.at(row)).max())
        scale = max(np.cos(np.radians(min(highest, 90.0))), 1e-6)
        wide = abs(self._longitude.step) * np.pi / 180 * EARTH_RADIUS * scale
        return self._step, max(float(wide), 360 / self._longitude.size * 1e-3)

    def points(self, row: IntArray, column: IntArray) -> Array:
        """See :class:`Source`."""
        latitude = self._latitude.at(row)
        latitude = np.where(np.abs(latitude) <= 90, latitude, np.nan)
        lat, lon = np.broadcast_arrays(latitude[:, :, None], self._longitude.at(column)[:, None, :])
        return unit_vectors(lat, lon)

    def size(self, row: IntArray) -> Array | None:
        """See :class:`Source`."""
        return np.maximum(np.cos(np.radians(self._latitude.at(row))), 0).astype(np.float32)

    def values(self, frame: IntArray, row: IntArray, column: IntArray) -> tuple[Array, Array]:
        """See :class:`Source`."""
        if self._longitude.round:
            column = column % self._longitude.size
        there = within(row, self._latitude.size, -0.5)[:, :, None]
        there = there & within(column, self._longitude.size, -0.5)[:, None, :]
        at = (
            frame[:, None, None],
            np.clip(row, 0, self._latitude.size - 1)[:, :, None],
            np.clip(column, 0, self._longitude.size - 1)[:, None, :],
        )
        return self._amount[at] * there, self._seen[at] * there


class Axis:
    """Coordinates of the rows or the columns of a grid, in order, evenly spaced or nearly.

    Parameters
    ----------
    values : ndarray
        Rising or falling.
    longitude : bool
        Whether they are degrees of longitude, which come round again.
    step : float, optional
        Distance of neighbours, for a single one; by default that of those given, or 1.
    """

    def __init__(self, values: Array, longitude: bool = False, step: float | None = None) -> None:
        self.values = np.asarray(values, np.float64)
        self.size = self.values.size
        between = float(self.values[-1] - self.values[0]) / max(self.size - 1, 1)
        self.step = between or step or 1.0
        self.longitude = longitude
        self.round = longitude and abs(self.step) * self.size >= 360 - abs(self.step) / 2

    def fold(self, longitude: Array) -> Array:
        """Turn longitudes so that they come near the axis."""
        middle = (self.values[0] + self.values[-1]) / 2
        out: Array = middle + (longitude - middle + 180) % 360 - 180
        return out

    def index(self, value: Array) -> Array:
        """Fractional index of values, also beyond the ends."""
        turned = self.values[::-1] if self.step < 0 else self.values
        inner = np.interp(value, turned, np.arange(self.size))
        if self.step < 0:
            inner = self.size - 1 - inner
        low, high = turned[0], turned[-1]
        out: Array = inner + (np.minimum(value - low, 0) + np.maximum(value - high, 0)) / self.step
        return out

    def at(self, index: IntArray) -> Array:
        """Value at whole indices, also beyond the ends."""
        inner = np.clip(index, 0, self.size - 1)
        out: Array = self.values[inner] + (index - inner) * self.step
        return out
