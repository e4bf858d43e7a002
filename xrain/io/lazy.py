"""Arrays of an HDF5 file that are read when they are indexed."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray, CachingFileManager
from xarray.backends.locks import HDF5_LOCK
from xarray.core import indexing

from xrain.conventions import ATTRIBUTES
from xrain.io.hdf5 import name_of, tell_damage

Array = npt.NDArray[Any]

CHUNK_SCANS = 512
"""Scans of a Dask chunk by default, rounded up to whole chunks of the file."""


class FileReader:
    """Calls readers on one file, which is opened when needed; travels between processes.

    Parameters
    ----------
    source : str or file object
        An HDF5 file.
    """

    def __init__(self, source: Any) -> None:
        self.name = name_of(source)
        place = os.path.abspath(source) if isinstance(source, str) else source
        self._manager = CachingFileManager(h5py.File, place, mode="r")
        if not isinstance(source, str):
            # The HDF5 library would read a file object after Python has ended, and crash.
            atexit.register(_close_if_there, weakref.ref(self))

    def close(self) -> None:
        """Close the file."""
        self._manager.close()

    def read(self, reader: Callable[..., Array], group: str, *args: Any) -> Array:
        """Call ``reader(file, group, …)`` on the open file; FileFormatError if it is damaged."""
        with (
            tell_damage(self.name, group),
            HDF5_LOCK,
            self._manager.acquire_context(needs_lock=False) as file,
        ):
            return reader(file, group, *args)


def _close_if_there(reader: weakref.ref[FileReader]) -> None:
    if (left := reader()) is not None:
        left.close()


class LazyArray(BackendArray):
    """An array of a granule that is read when it is indexed.

    Parameters
    ----------
    shape : tuple of int
        First axis: scans.
    dtype : numpy dtype
        Type of the values.
    read : callable
        ``read(rows)``, or ``read(rows, indices of the last axis)`` where `by_last` is true.
    by_last : bool
        Whether the last axis can be read in part.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, read: Callable[..., Array],
        by_last: bool = False,
    ) -> None:  # fmt: skip
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._read = read
        self._by_last = by_last

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Array:
        out: Array = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._get
        )
        return out

    def _get(self, key: tuple[int | slice, ...]) -> Array:
        rows, first = _enclose(key[0], self.shape[0])
        rest = list(key[1:])
        if self._by_last:
            last = np.arange(self.shape[-1])[rest[-1]]
            values = self._read(rows, [int(i) for i in np.atleast_1d(last)])
            rest[-1] = slice(None) if last.ndim else 0
        else:
            values = self._read(rows)
        out: Array = values[(first, *rest)]
        return out


def _enclose(key: int | slice, size: int) -> tuple[slice, int | slice]:
    """Rows to read for an index, and the index to apply to what was read."""
    if not isinstance(key, slice):
        row = int(key) % size
        return slice(row, row + 1), 0
    picked = range(size)[key]
    if len(picked) == 0:
        return slice(0, 0), slice(None)
    low, high = min(picked[0], picked[-1]), max(picked[0], picked[-1])
    return slice(low, high + 1), slice(None, None, key.step)


def chunk_scans(in_file: int, scans: int) -> int:
    """Count the scans of a Dask chunk: whole chunks of the file, cutting across them is slow."""
    step = max(min(in_file, scans), 1)
    return max(min(-(-CHUNK_SCANS // step) * step, scans), 1)


def lazy_variable(
    dims: tuple[str, ...],
    array: LazyArray,
    name: str,
    chunks: Mapping[str, int],
    attrs: Mapping[str, Any] | None = None,
) -> xr.Variable:
    """Wrap an array as a variable with the attributes of its name, or with `attrs`."""
    full = {d: chunks.get(d, n) for d, n in zip(dims, array.shape, strict=True)}
    return xr.Variable(
        dims,
        indexing.LazilyIndexedArray(array),
        ATTRIBUTES[name] if attrs is None else attrs,
        {"preferred_chunks": full},
    )
