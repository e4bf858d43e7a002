"""Cut patches out of a swath where a reference exists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Patch", "cut", "find_patches"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Patch:
    """A square of a swath.

    Attributes
    ----------
    row, column : int
        Its first scan and pixel.
    mask : ndarray of bool, shape (size, size)
        Pixels with a reference that no earlier patch has.
    """

    row: int
    column: int
    mask: Mask


def find_patches(known: Mask, size: int, least: int) -> list[Patch]:
    """Cover the pixels that have a reference with squares, each pixel counted once.

    Parameters
    ----------
    known : ndarray of bool, shape (scan, pixel)
        Where a reference exists.
    size : int
        Scans and pixels of a patch. A swath that has fewer is filled up by :func:`cut`.
    least : int
        Patches with fewer new pixels are left out.

    Returns
    -------
    list of Patch
        A shared swath narrower than a patch lies in its middle.
    """
    left = known.copy()
    found = []
    for row in _rows(np.asarray(known.any(axis=1)), size):
        band = left[row : row + size]
        while band.any():
            column = _column(np.asarray(band.any(axis=0)), size)
            square = band[:, column : column + size]
            if square.sum() >= least:
                found.append(Patch(row, column, _filled(square, size)))
            square[:] = False
    return found


def _rows(used: Mask, size: int) -> Iterator[int]:
    """First scans of the bands; the last one is moved back to end with the swath."""
    next_row = 0
    for row in map(int, np.flatnonzero(used)):
        if row >= next_row:
            next_row = row + size
            yield max(min(row, used.size - size), 0)


def _column(used: Mask, size: int) -> int:
    """First pixel of a patch: at the first one used, or around all if they fit."""
    (columns,) = np.nonzero(used)
    first, width = int(columns[0]), int(columns[-1] - columns[0]) + 1
    first -= max(size - width, 0) // 2
    return max(min(first, used.size - size), 0)


def _filled(square: Mask, size: int) -> Mask:
    out = np.zeros((size, size), bool)
    out[: square.shape[0], : square.shape[1]] = square
    return out


def cut(field: Array, patch: Patch, size: int) -> Array:
    """Cut a patch out of a field (scan, pixel, ...); NaN beyond the swath's end."""
    group = field[patch.row : patch.row + size, patch.column : patch.column + size]
    missing = [(0, size - n) for n in group.shape[:2]] + [(0, 0)] * (field.ndim - 2)
    if not any(after for _, after in missing):
        return group
    return np.pad(group, missing, constant_values=np.nan)
