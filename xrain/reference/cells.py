"""References as grids of cells: where the cells are, what they hold, which is next to a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from xrain.geo.cells import LONE, step_lengths
from xrain.geo.nearest import nearest_points
from xrain.geo.sphere import EARTH_RADIUS

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]

BLOCK: Final = 128
"""Scans whose surroundings are judged together."""

FAR: Final = -1
"""Row and column of a place that no cell is near to."""


@dataclass(frozen=True)
class Places:
    """Pixels of a radiometer, in the order of its scans.

    Attributes
    ----------
    latitude, longitude : ndarray of float64, shape (place,)
        Degrees, all known.
    points : ndarray of float32, shape (place, 3)
        The same on the unit sphere.
    time : ndarray of datetime64[ns], shape (place,)
        When they were seen, NaT where unknown.
    """

    latitude: Array
    longitude: Array
    points: Array
    time: Array

    def take(self, index: Any) -> Places:
        """Return some of the places."""
        return Places(
            self.latitude[index], self.longitude[index], self.points[index], self.time[index]
        )


@dataclass(frozen=True)
class Found:
    """The cell next to each place, all of shape (place,).

    Attributes
    ----------
    row, column : ndarray of int
        The cell, maybe beyond the edge; negative `row` ``FAR`` only together with ``near`` false.
    frame : ndarray of int
        Which time of a grid.
    near : ndarray of bool
        Whether the reference reaches the place, in space and time.
    lag : ndarray of float64
        Seconds from the place's time to that of the reference, NaN where one is unknown.
    """

    row: IntArray
    column: IntArray
    frame: IntArray
    near: npt.NDArray[np.bool_]
    lag: Array


class Source(Protocol):
    """A reference as the averaging needs it."""

    cell: float
    """Usual size of a cell in km."""

    merged: int
    """Cells of the reference that one cell here stands for."""

    widest: int
    """Most columns to either side that are different ones."""

    def find(self, places: Places) -> Found:
        """Find the cell next to each place."""
        ...

    def steps(self, row: IntArray, column: IntArray) -> tuple[float, float]:
        """Least distance in km from row to row and from column to column around some cells."""
        ...

    def points(self, row: IntArray, column: IntArray) -> Array:
        """Points on the unit sphere (place, row, column, 3) of cells, also beyond the edge."""
        ...

    def size(self, row: IntArray) -> Array | None:
        """Relative area of the cells of rows (place, row); None where all are alike."""
        ...

    def values(self, frame: IntArray, row: IntArray, column: IntArray) -> tuple[Array, Array]:
        """Amount and observed share (place, row, column) of cells; none beyond the edge."""
        ...


def lags(theirs: Array, ours: Array) -> Array:
    """Seconds from `ours` to `theirs`, NaN where one is unknown."""
    gap = theirs - ours
    return np.where(np.isnat(gap), np.nan, gap / np.timedelta64(1, "s"))


class Curved:
    """Cells with positions of their own (row, column): a swath, or a grid on any projection.

    Beyond the edges the positions go on in steps as those at the edge, so that a footprint which
    hangs over knows how much of it does.

    Parameters
    ----------
    points : ndarray, shape (row, column, 3)
        Centres on the unit sphere, NaN where unknown.
    values : ndarray, shape (frame, row, column)
        Values, NaN where missing.
    share : ndarray, shape (frame, row, column), optional
        Observed share of cells that stand for several; by default 1 where there is a value.
    reach : float
        Distance in km from a place at which cells may count.
    """

    def __init__(
        self, points: Array, values: Array, reach: float, share: Array | None = None,
        merged: int = 1,
    ) -> None:  # fmt: skip
        lengths = [v[np.isfinite(v)] for v in (step_lengths(points, axis) for axis in (0, 1))]
        self._steps = tuple(float(np.percentile(v, 5)) if v.size else LONE for v in lengths)
        typical = [float(np.median(v)) if v.size else LONE for v in lengths]
        self.cell = max(typical)
        self.merged = merged
        self.widest = 1 << 30
        self._pad = tuple(2 * (int(reach / max(s, 0.1)) + 2) for s in self._steps)
        self._points = _extended(_extended(_bridged(points), self._pad[0], 0), self._pad[1], 1)
        self._near = reach + float(np.hypot(typical[0], typical[1]))
        rows, columns = self._pad
        around = ((0, 0), (rows, rows), (columns, columns))
        seen = np.isfinite(values).astype(np.float32) if share is None else share
        amount = np.where(seen > 0, np.nan_to_num(values) * seen, 0).astype(np.float32)
        self._amount, self._seen = np.pad(amount, around), np.pad(seen, around)

    def steps(self, row: IntArray, column: IntArray) -> tuple[float, float]:
        """See :class:`Source`."""
        return self._steps[0], self._steps[1]

    def points(self, row: IntArray, column: IntArray) -> Array:
        """See :class:`Source`."""
        out: Array = self._points[self._at(row, 0)[:, :, None], self._at(column, 1)[:, None, :]]
        return out

    def size(self, row: IntArray) -> Array | None:
        """See :class:`Source`."""
        return None

    def values(self, frame: IntArray, row: IntArray, column: IntArray) -> tuple[Array, Array]:
        """See :class:`Source`."""
        at = (frame[:, None, None], self._at(row, 0)[:, :, None], self._at(column, 1)[:, None, :])
        return self._amount[at], self._seen[at]

    def _reached(self, row: Array, column: Array) -> npt.NDArray[np.bool_]:
        """Whether a place next to a cell can have a real one in its footprint."""
        rows, columns = (self._points.shape[k] - 2 * self._pad[k] for k in (0, 1))
        return within(row, rows, self._pad[0] // 2) & within(column, columns, self._pad[1] // 2)

    def _at(self, index: IntArray, axis: int) -> IntArray:
        """Index into the extended arrays."""
        out: IntArray = np.clip(index + self._pad[axis], 0, self._points.shape[axis] - 1)
        return out


class CurvedGrid(Curved):
    """Cells of one time each: a projected or curvilinear grid.

    Parameters
    ----------
    points, values, reach, share, merged
        As in :class:`Curved`.
    frames : callable
        Gives the frame, the seconds to it and whether it is near, from times.
    index : callable, optional
        Gives row and column from latitude and longitude; by default the nearest cell is searched.
    """

    def __init__(
        self, points: Array, values: Array, reach: float, share: Array | None, merged: int, *,
        frames: Callable[[Array], tuple[IntArray, Array, Array]],
        index: Callable[[Array, Array], tuple[Array, Array]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(points, values, reach, share, merged)
        self._frames = frames
        self._index = index

    def find(self, places: Places) -> Found:
        """See :class:`Source`."""
        frame, lag, near = self._frames(places.time)
        if self._index is None:
            row, column, close = nearest(self._points, places.points, self._near)
            row, column = row - self._pad[0], column - self._pad[1]
            close = close & self._reached(row, column)
            return Found(row, column, frame, near & close, lag)
        row, column = self._index(places.latitude, places.longitude)
        inside = self._reached(row, column)
        return Found(whole(row, inside), whole(column, inside), frame, near & inside, lag)


class Swath(Curved):
    """Pixels of an instrument that scans: each scan has its own time.

    Parameters
    ----------
    points, values, reach
        As in :class:`Curved`, with one frame.
    time : ndarray of datetime64[ns], shape (row,)
        When the scans were made, NaT where unknown.
    longest : timedelta64 or None
        Longest time between place and pixel; None does not look at times.
    """

    def __init__(
        self, points: Array, values: Array, reach: float, time: Array,
        longest: np.timedelta64 | None,
    ) -> None:  # fmt: skip
        super().__init__(points, values, reach)
        self._time = np.pad(time, self._pad[0], mode="edge")
        self._longest = longest

    def find(self, places: Places) -> Found:
        """See :class:`Source`; places are looked up in blocks, each near some scans alone."""
        count = places.time.size
        row, column = np.full(count, FAR, np.intp), np.full(count, FAR, np.intp)
        near = np.zeros(count, bool)
        for part, rows in self._meetings(places):
            found = nearest(self._points[rows], places.points[part], self._near)
            row[part], column[part], near[part] = found[0] + rows.start, found[1], found[2]
        lag = lags(self._time[row], places.time)
        if self._longest is not None:
            near &= np.abs(lag) <= self._longest / np.timedelta64(1, "s")
        row, column = row - self._pad[0], column - self._pad[1]
        near &= self._reached(row, column)
        return Found(row, column, np.zeros(count, np.intp), near, lag)

    def _meetings(self, places: Places) -> list[tuple[slice, slice]]:
        """Blocks of places, and the rows that they may meet in space and time."""
        size = 1 << 14
        ours = [slice(k, k + size) for k in range(0, places.time.size, size)]
        total = self._points.shape[0]
        theirs = [slice(k, min(k + BLOCK, total)) for k in range(0, total, BLOCK)]
        boxes = [_box(self._points[b].reshape(-1, 3)) for b in theirs]
        times = [_span(self._time[b]) for b in theirs]
        margin = np.float32(self._near / EARTH_RADIUS)
        out = []
        for part in ours:
            low, high = _box(places.points[part])
            span = _span(places.time[part])
            meet = [
                bool((low <= b[1] + margin).all() and (b[0] <= high + margin).all())
                and self._in_time(span, t)
                for b, t in zip(boxes, times, strict=True)
            ]
            if any(meet):
                first, last = meet.index(True), len(meet) - 1 - meet[::-1].index(True)
                out.append(
                    (part, self._timely(slice(theirs[first].start, theirs[last].stop), span))
                )
        return [(part, rows) for part, rows in out if rows.stop > rows.start]

    def _in_time(self, ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> bool:
        if self._longest is None:
            return True
        return bool(ours[0] <= theirs[1] + self._longest and theirs[0] <= ours[1] + self._longest)

    def _timely(self, rows: slice, span: tuple[Any, Any]) -> slice:
        """Cut rows at both ends that were seen too early or too late."""
        if self._longest is None:
            return rows
        time = self._time[rows]
        good = np.flatnonzero((time >= span[0] - self._longest) & (time <= span[1] + self._longest))
        if not good.size:
            return slice(0, 0)
        return slice(rows.start + int(good[0]), rows.start + int(good[-1]) + 1)


def nearest(points: Array, sought: Array, reach: float) -> tuple[IntArray, IntArray, Array]:
    """Row, column, and whether there is one within `reach` km, of the nearest of some points."""
    index = nearest_points(points, sought, reach)
    close = index >= 0
    row, column = (np.where(close, v, FAR) for v in np.divmod(index, points.shape[1]))
    return row, column, close


def within(index: Array, size: int, beyond: Any) -> npt.NDArray[np.bool_]:
    """Whether an index lies on an axis, or at most `beyond` cells away from it."""
    with np.errstate(invalid="ignore"):
        out: npt.NDArray[np.bool_] = (index >= -0.5 - beyond) & (index <= size - 0.5 + beyond)
    return out


def whole(index: Array, inside: Array) -> IntArray:
    """Round an index to whole cells; ``FAR`` where it is of no use."""
    return np.rint(np.where(inside, index, FAR)).astype(np.intp)


def _bridged(points: Array) -> Array:
    """Fill gaps along the rows by interpolation: what lies there is a place without a value."""
    missing = ~np.isfinite(points[..., 0])
    if not missing.any():
        return points
    out = points.copy()
    rows = np.arange(points.shape[0])
    for column in np.flatnonzero(missing.any(axis=0)):
        gone = missing[:, column]
        if gone.all():
            continue
        first, last = rows[~gone][[0, -1]]
        inner = gone & (rows > first) & (rows < last)
        for k in range(3):
            out[inner, column, k] = np.interp(rows[inner], rows[~gone], points[~gone, column, k])
    length = np.linalg.norm(out, axis=-1, keepdims=True)
    return out / np.where(length > 0.5, length, np.nan).astype(np.float32)


def _extended(points: Array, count: int, axis: int) -> Array:
    """Go on by `count` cells at both ends of an axis, in steps as at the end."""
    points = np.moveaxis(points, axis, 0)
    if points.shape[0] < 2:
        edge = np.full((count, *points.shape[1:]), np.nan, np.float32)
        return np.moveaxis(np.concatenate([edge, points, edge]), 0, axis)
    far = np.arange(1, count + 1, dtype=np.float32).reshape(-1, *[1] * (points.ndim - 1))
    before = points[0] + far[::-1] * (points[0] - points[1])
    after = points[-1] + far * (points[-1] - points[-2])
    out = np.concatenate([before, points, after])
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    return np.moveaxis(out.astype(np.float32), 0, axis)


def _box(points: Array) -> tuple[Array, Array]:
    """Least and largest coordinates; an impossible box where none is known."""
    known = points[np.isfinite(points[..., 0])]
    if not known.size:
        return np.full(3, 9, np.float32), np.full(3, -9, np.float32)
    return known.min(axis=0), known.max(axis=0)


def _span(time: Array) -> tuple[Any, Any]:
    known = time[~np.isnat(time)]
    if not known.size:
        return np.datetime64("NaT", "ns"), np.datetime64("NaT", "ns")
    return known.min(), known.max()
