"""Sums over overpasses, few intervals of time in memory and the others on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xrain.errors import InputError, OutputError

__all__ = ["KEPT", "NAMES", "Sums"]

Array = npt.NDArray[Any]

NAMES: Final = (
    "weight", "mean", "square", "count", "known", "variance", "likely", "likelihood", "phased",
    "frozen",
)  # fmt: skip
"""What is summed up over overpasses: Σa, Σam, Σam², n, Σa where u is known, Σ(au)², Σa where the
probability is known, Σap, Σa where the phase is known, Σ of a times the frozen part of m."""

KEPT: Final = 2
"""Intervals of time whose sums stay in memory; the others wait on disk."""


class Sums:
    """One array (name, cell) for each interval of time.

    Parameters
    ----------
    cells : int
        Cells of the grid.
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.intervals: set[int] = set()
        self.closed = False
        self._folder: Path | None = None
        self._held: OrderedDict[int, Array] = OrderedDict()

    def open(self, number: int) -> Array:
        """Give the sums of an interval, to be added to.

        Raises
        ------
        OutputError
            If the disk cannot hold those of another interval.
        """
        if number not in self._held:
            while len(self._held) >= KEPT:
                self._spill()
            self._held[number] = self.read(number)
        self.intervals.add(number)
        self._held.move_to_end(number)
        return self._held[number]

    def read(self, number: int) -> Array:
        """Give the sums of an interval, not to be added to; zeros if it has none.

        Raises
        ------
        InputError
            After :meth:`close`.
        """
        if self.closed:
            raise InputError("the sums are deleted: read results before the Gridder is closed")
        if number in self._held:
            return self._held[number]
        if number in self.intervals:
            loaded: Array = np.load(self._path(number))
            return loaded
        return np.zeros((len(NAMES), self.cells))

    def close(self) -> None:
        """Delete all sums."""
        self.closed = True
        self._held.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _path(self, number: int) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="xrain-grid-"))
        return self._folder / f"{number}.npy"

    def _spill(self) -> None:
        number, sums = next(iter(self._held.items()))
        try:
            np.save(self._path(number), sums)
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"the folder for temporary files cannot hold sums: {why}") from error
        del self._held[number]
