"""Screening of radar rain fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

__all__ = ["despike"]


def despike(rate: ArrayLike) -> NDArray[np.float32]:
    """Take isolated radar spikes out of a rain field.

    A cell above 5 mm/h that exceeds all of its eight neighbours more than fivefold is no rain
    but clutter, interference or an aircraft; it becomes the largest of its neighbours.

    Parameters
    ----------
    rate : array_like
        (y, x) rain rate in mm/h; NaN stays NaN and counts as dry.

    Returns
    -------
    array of float32
    """
    field = np.array(rate, dtype=np.float32)
    known = np.nan_to_num(field)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    largest = ndimage.maximum_filter(known, footprint=ring, mode="constant")
    spikes = (known > 5.0) & (known > 5.0 * largest)
    field[spikes] = largest[spikes]
    return field
