"""Which scans were there already: files of one orbit may overlap, and no scan counts twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SeenScans"]

Array = npt.NDArray[Any]

BREAK = 1.5
"""Scans farther apart than so many usual steps of time leave a gap, which another file may fill."""


class SeenScans:
    """Stretches of time in which each radiometer's scans were added.

    Only the ends of stretches are kept, so that memory does not grow with the scans.
    """

    def __init__(self) -> None:
        self._stretches: dict[str, Array] = {}

    def add(self, radiometer: str, time: Array) -> npt.NDArray[np.bool_]:
        """Say which scans are new, and remember them.

        Parameters
        ----------
        radiometer : str
            Whose scans, such as ``"GMI GPM"``.
        time : ndarray of datetime64[ns], shape (scan,)
            When they were made, in any order; NaT where unknown.

        Returns
        -------
        ndarray of bool, shape (scan,)
            True where no scan within half a step of time was added before. A scan without a time
            is new, since nothing tells it from others.
        """
        known = ~np.isnat(time)
        new = np.ones(time.shape, bool)
        number = time[known].astype("datetime64[ns]").astype(np.int64)
        if not number.size:
            return new
        ordered = np.unique(number)
        step = int(np.median(np.diff(ordered))) if ordered.size > 1 else 0
        seen = self._stretches.get(radiometer, np.empty((0, 2), np.int64))
        new[known] = ~_inside(number, seen, step // 2)
        self._stretches[radiometer] = _merged(np.concatenate([seen, _stretches(ordered, step)]))
        return new


def _stretches(ordered: Array, step: int) -> Array:
    """First and last time of each stretch without a gap."""
    cut = np.flatnonzero(np.diff(ordered) > BREAK * step) + 1
    first = ordered[np.concatenate([[0], cut])]
    last = ordered[np.concatenate([cut - 1, [ordered.size - 1]])]
    return np.stack([first, last], axis=1)


def _merged(stretches: Array) -> Array:
    """Join stretches that overlap; sorted."""
    stretches = stretches[np.argsort(stretches[:, 0], kind="stable")]
    last = np.maximum.accumulate(stretches[:, 1])
    begins = np.concatenate([[True], stretches[1:, 0] > last[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.stack([stretches[begins, 0], last[ends]], axis=1)


def _inside(number: Array, stretches: Array, margin: int) -> npt.NDArray[np.bool_]:
    """Where a time lies in one of the stretches, or less than the margin beside it."""
    if not stretches.size:
        return np.zeros(number.shape, bool)
    after = np.searchsorted(stretches[:, 0], number, side="right")
    before = stretches[np.maximum(after - 1, 0)]
    behind = stretches[np.minimum(after, len(stretches) - 1)]
    inside = (after > 0) & (number - before[:, 1] < max(margin, 1))
    out: npt.NDArray[np.bool_] = inside | (np.abs(behind[:, 0] - number) < margin)
    return out
