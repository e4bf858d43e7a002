"""Read rows of a compressed HDF5 array on all cores, and trust no length that a file claims.

The HDF5 library unpacks one chunk at a time under a global lock, and returns uninitialised memory
where a chunk unpacks to less than it should. The archive's files are made of deflated (and often
byte-shuffled) chunks, so they are fetched raw and unpacked side by side here, each to the length
that it must have. Anything else is left to the library.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt

try:  # unpacks deflated chunks more than twice as fast, where it is installed
    from isal import isal_zlib as deflate
except ImportError:
    import zlib as deflate  # type: ignore[no-redef]

Array = npt.NDArray[Any]

SMALL: Final = 1 << 18
"""Bytes under which chunks are unpacked in the thread that asks for them."""

_SHUFFLE: Final = 1
_DEFLATE: Final = 2
"""Bits of the filters that a chunk may have skipped, in the order of h5py and netCDF-4."""


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="xrain-unpack")


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: a child makes its own pool.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def read_rows(dataset: h5py.Dataset, rows: slice) -> Array:
    """Read ``dataset[rows]``, unpacking its chunks in parallel where that is possible.

    Parameters
    ----------
    dataset : h5py.Dataset
        Any array of numbers.
    rows : slice
        With start, stop and no step.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        If a chunk does not unpack, or not to its length.
    """
    start, stop, _ = rows.indices(dataset.shape[0]) if dataset.ndim else (0, 0, 1)
    if start >= stop or not _unpackable(dataset):
        out: Array = dataset[rows]
        return out
    return _read_unpacked(dataset, start, stop)


def _unpackable(dataset: h5py.Dataset) -> bool:
    """Whether the chunks are deflated, perhaps shuffled, and of plain numbers."""
    if dataset.chunks is None or dataset.compression != "gzip" or dataset.dtype.kind not in "fiu":
        return False
    filters = dataset.id.get_create_plist().get_nfilters()
    return bool(dataset.dtype.isnative and filters == 1 + dataset.shuffle)


def _read_unpacked(dataset: h5py.Dataset, start: int, stop: int) -> Array:
    out = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
    shuffled = dataset.shuffle
    jobs = []
    for begin in _chunk_starts(dataset, start, stop):
        try:
            mask, raw = dataset.id.read_direct_chunk(begin)
        except (OSError, RuntimeError, ValueError):  # a chunk that was never written
            _let_library_read(dataset, begin, start, out)
            continue
        if not shuffled:  # deflation is then the first filter
            mask = mask << 1 | _SHUFFLE
        jobs.append((raw, mask, dataset.chunks, (begin[0] - start, *begin[1:]), out))
    if out.nbytes < SMALL or len(jobs) < 2:
        for job in jobs:
            _unpack(*job)
    else:
        for done in [_pool().submit(_unpack, *job) for job in jobs]:
            done.result()
    return out


def _chunk_starts(dataset: h5py.Dataset, start: int, stop: int) -> Iterator[tuple[int, ...]]:
    """Corners of the chunks that hold some of the rows."""
    first, *rest = dataset.chunks
    axes = [range(start // first * first, stop, first)]
    axes += [range(0, n, c) for n, c in zip(dataset.shape[1:], rest, strict=True)]
    return itertools.product(*axes)


def _let_library_read(
    dataset: h5py.Dataset, begin: tuple[int, ...], start: int, out: Array
) -> None:
    first = slice(max(begin[0], start), min(begin[0] + dataset.chunks[0], start + out.shape[0]))
    rest = tuple(slice(b, b + c) for b, c in zip(begin[1:], dataset.chunks[1:], strict=True))
    out[(slice(first.start - start, first.stop - start), *rest)] = dataset[(first, *rest)]


def _unpack(
    raw: bytes, mask: int, chunk: tuple[int, ...], begin: tuple[int, ...], out: Array
) -> None:
    """Unpack one chunk, whose corner lies at `begin`, into its place in `out`."""
    data = _inflate(raw, mask, int(np.prod(chunk)) * out.itemsize)
    low, high = max(begin[0], 0), min(begin[0] + chunk[0], out.shape[0])
    pick = slice(low - begin[0], high - begin[0])
    rest = (slice(b, b + c) for b, c in zip(begin[1:], chunk[1:], strict=True))
    if mask & _SHUFFLE:
        whole = data.view(out.dtype).reshape(chunk)[pick]
    elif chunk[1:] == out.shape[1:]:
        _unshuffle(data, chunk[0], pick, out[low:high])
        return
    else:
        whole = np.empty((high - low, *chunk[1:]), out.dtype)
        _unshuffle(data, chunk[0], pick, whole)
    target = out[(slice(low, high), *rest)]
    target[...] = whole[tuple(slice(n) for n in target.shape)]


def _inflate(raw: bytes, mask: int, size: int) -> npt.NDArray[np.uint8]:
    if not mask & _DEFLATE:
        try:  # a byte more tells a chunk that is too long
            raw = deflate.decompressobj().decompress(raw, size + 1)
        except deflate.error as error:  # type: ignore[misc]
            raise ValueError(f"a chunk cannot be unpacked: {error}") from error
    if len(raw) != size:
        raise ValueError(f"a chunk unpacks to {len(raw)} bytes or more instead of {size}")
    return np.frombuffer(raw, np.uint8)


def _unshuffle(data: npt.NDArray[np.uint8], rows: int, pick: slice, out: Array) -> None:
    """Put the bytes of some rows of a shuffled chunk, which lie in planes, back in order."""
    width = out.dtype.itemsize
    planes = data.reshape(width, rows, -1)[:, pick]
    flat = out.reshape(out.shape[0], planes.shape[2]).view(np.uint8)
    place = flat.reshape(out.shape[0], planes.shape[2], width)
    for byte in range(width):
        place[..., byte] = planes[byte]
