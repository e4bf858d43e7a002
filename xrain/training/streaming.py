"""Patches that stay in a compressed store and are read as they are drawn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["GroupReader", "StreamedArray"]

Array = npt.NDArray[Any]

MEMORY: Final = 1_000_000_000
"""Bytes of unpacked groups that are kept for the next draws."""


class GroupReader:
    """Reads whole groups of a store, and keeps those read last.

    Parameters
    ----------
    readers : sequence of callable
        For each group what reads its arrays, by name.
    patches : sequence of int
        Patches in each group.
    memory : int
        Bytes that may be kept.
    """

    def __init__(
        self,
        readers: Sequence[Callable[[], dict[str, Array]]],
        patches: Sequence[int],
        memory: int = MEMORY,
    ) -> None:
        self._readers = readers
        self._ends = np.cumsum(patches)
        self._memory = memory
        self._kept: OrderedDict[int, dict[str, Array]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Number of patches."""
        return int(self._ends[-1])

    def arrays(
        self, shapes: Mapping[str, tuple[int, ...]], names: Sequence[str]
    ) -> list[StreamedArray]:
        """Make arrays of all patches, by name and shape of a patch."""
        return [StreamedArray(self, n, shapes[n]) for n in names]

    def patch(self, name: str, number: int) -> Array:
        """Read one patch of an array.

        Parameters
        ----------
        name : str
            The array.
        number : int
            The patch, counted over all groups.

        Returns
        -------
        ndarray
        """
        index = int(np.searchsorted(self._ends, number, side="right"))
        first = int(self._ends[index - 1]) if index else 0
        out: Array = self._group(index)[name][number - first]
        return out

    def _group(self, index: int) -> dict[str, Array]:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        read = self._readers[index]()  # outside the lock, so that threads unpack side by side
        with self._lock:
            self._kept[index] = read
            while len(self._kept) > 1 and self._bytes() > self._memory:
                self._kept.popitem(last=False)
        return read

    def _bytes(self) -> int:
        return sum(a.nbytes for group in self._kept.values() for a in group.values())


class StreamedArray:
    """Patches of a store as an array that is read where it is indexed.

    Parameters
    ----------
    reader : GroupReader
        Of the store.
    name : str
        The array.
    shape : tuple of int
        Of one patch.
    """

    def __init__(self, reader: GroupReader, name: str, shape: tuple[int, ...]) -> None:
        self._reader = reader
        self._name = name
        self.shape = (reader.count, *shape)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        """Read a patch, some patches, a part of one, or single pixels of several.

        Parameters
        ----------
        key : int, array of int, or tuple of which this is the first
            Which patches; further indices are arrays of the same length beside an array.
        """
        first, *rest = key if isinstance(key, tuple) else (key,)
        if np.ndim(first) == 0:
            one: Array = self._reader.patch(self._name, int(first))[tuple(rest)]
            return one
        parts = [
            self._reader.patch(self._name, int(p))[tuple(r[k] for r in rest)]
            for k, p in enumerate(first)
        ]
        return np.stack(parts)
