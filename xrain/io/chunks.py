"""Read rows of a compressed HDF5 array on all cores.

The HDF5 library unpacks one chunk at a time under a global lock. The archive's files are made of
deflated (and often byte-shuffled) chunks, so they can be fetched raw and unpacked side by side.
Anything else is left to the library.
"""

from __future__ import annotations

import functools
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

SMALL = 1 << 18
"""Bytes under which the library alone is faster."""


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="xrain-unpack")


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: a child makes its own pool.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def read_rows(dataset: h5py.Dataset, rows: slice) -> npt.NDArray[Any]:
    """Read ``dataset[rows]``, unpacking its chunks in parallel where that is possible.

    Parameters
    ----------
    dataset : h5py.Dataset
        Any array.
    rows : slice
        With start, stop and no step.
    """
    size = int(np.prod(dataset.shape[1:])) * dataset.dtype.itemsize * (rows.stop - rows.start)
    if size < SMALL or not _unpackable(dataset):
        out: npt.NDArray[Any] = dataset[rows]
        return out
    return _read_parallel(dataset, rows)


def _unpackable(dataset: h5py.Dataset) -> bool:
    """Whether the chunks are deflated, perhaps shuffled, and of plain numbers."""
    chunks = dataset.chunks
    if chunks is None or dataset.compression != "gzip" or dataset.dtype.kind not in "fiu":
        return False
    if not dataset.dtype.isnative or dataset.fletcher32 or dataset.scaleoffset is not None:
        return False
    return bool(chunks[1:] == dataset.shape[1:])


def _read_parallel(dataset: h5py.Dataset, rows: slice) -> npt.NDArray[Any]:
    step = dataset.chunks[0]
    out = np.empty((rows.stop - rows.start, *dataset.shape[1:]), dataset.dtype)
    begin = (0,) * (dataset.ndim - 1)
    jobs = []
    for first in range(rows.start // step * step, rows.stop, step):
        try:
            mask, raw = dataset.id.read_direct_chunk((first, *begin))
        except (OSError, RuntimeError, ValueError):
            return np.asarray(dataset[rows])  # a chunk that was never written
        if mask:
            return np.asarray(dataset[rows])  # a chunk on which a filter was skipped
        job = (raw, dataset.shuffle, dataset.chunks, first - rows.start, out)
        jobs.append(_pool().submit(_unpack, *job))
    for done in jobs:
        done.result()
    return out


def _unpack(
    raw: bytes, shuffled: bool, chunk: tuple[int, ...], start: int, out: npt.NDArray[Any]
) -> None:
    """Unpack one chunk into its place in `out`."""
    data = np.frombuffer(zlib.decompress(raw), np.uint8)
    low, high = max(start, 0), min(start + chunk[0], out.shape[0])
    pick = slice(low - start, high - start)
    if not shuffled:
        out[low:high] = data.view(out.dtype).reshape(chunk)[pick]
        return
    width = out.dtype.itemsize
    per_row = data.size // width // chunk[0]
    planes = data.reshape(width, chunk[0], per_row)[:, pick]
    flat = out[low:high].reshape(high - low, per_row).view(np.uint8)
    place = flat.reshape(high - low, per_row, width)
    for byte in range(width):
        place[..., byte] = planes[byte]
