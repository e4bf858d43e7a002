"""Bring arrays of one swath grid onto another, block by block with Dask.

What :class:`xrain.io.swath.SwathSource` does for a file, for arrays that are already there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from xrain.geo.coregister import Match, Window, align, match_nearest, source_rows

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Grid:
    """Positions of a swath.

    Attributes
    ----------
    latitude, longitude : dask.array.Array, shape (scan, pixel)
        Degrees.
    """

    latitude: da.Array
    longitude: da.Array

    @property
    def shape(self) -> tuple[int, int]:
        """Scans and pixels."""
        rows, columns = self.latitude.shape
        return int(rows), int(columns)


@dataclass(frozen=True)
class BlockwiseMatch:
    """The nearest pixels of the same pass of a grid, for those of a reference grid.

    Attributes
    ----------
    source, reference : Grid
        From where to where.
    """

    source: Grid
    reference: Grid

    def bring(self, values: da.Array, fill: float) -> da.Array:
        """Bring values (scan, pixel, ...) onto the reference grid, lazily.

        Parameters
        ----------
        values : dask.array.Array
            On the source grid.
        fill : float
            Where no source pixel lies near.
        """
        blocks = []
        meta = np.empty((0,) * values.ndim, values.dtype)
        for rows, near, match in self._matches:
            shape = (rows.stop - rows.start, self.reference.shape[1], *values.shape[2:])
            task = dask.delayed(_take, pure=True)(match, values[near], fill)
            blocks.append(da.from_delayed(task, shape, values.dtype, meta=meta))
        out: da.Array = da.concatenate(blocks, axis=0)
        return out

    @cached_property
    def _matches(self) -> list[tuple[slice, slice, Any]]:
        """Find the match once for all arrays: reference rows, source rows, indices to come."""
        find = dask.delayed(_find, pure=True)
        total, ratio = self.source.shape[0], self._ratio
        out = []
        for rows in _row_blocks(self.reference.latitude):
            start, stop = align(rows.start, rows.stop)
            here = slice(start, min(stop, self.reference.shape[0]))
            near = source_rows(rows.start, rows.stop, ratio, total)
            match = find(
                *(grid[here] for grid in (self.reference.latitude, self.reference.longitude)),
                *(grid[near] for grid in (self.source.latitude, self.source.longitude)),
                (start, self.reference.shape[0], near.start, total),
                slice(rows.start - start, rows.stop - start),
                ratio,
            )
            out.append((rows, near, match))
        return out

    @property
    def _ratio(self) -> float:
        return self.source.shape[0] / max(self.reference.shape[0], 1)


def _row_blocks(array: da.Array) -> Iterator[slice]:
    first = 0
    for rows in array.chunks[0]:
        yield slice(first, first + rows)
        first += rows


def _find(
    latitude: Array,
    longitude: Array,
    source_latitude: Array,
    source_longitude: Array,
    place: tuple[int, int, int, int],
    cut: slice,
    ratio: float,
) -> Match:
    start, total, source_start, source_total = place
    match = match_nearest(
        Window(latitude, longitude, start, total),
        Window(source_latitude, source_longitude, source_start, source_total),
        ratio,
    )
    return Match(match.row[cut], match.column[cut])


def _take(match: Match, values: Array, fill: float) -> Array:
    return match.take(values, fill)
