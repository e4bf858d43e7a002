"""What a brightness temperature can be, and how its unit is spelled."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

import numpy as np

__all__ = ["HIGHEST_TB", "LOWEST_TB", "is_kelvin", "possible_temperatures"]

LOWEST_TB: Final = 20.0
"""Lowest possible brightness temperature in K. Nothing on Earth is colder at 5 to 200 GHz."""

HIGHEST_TB: Final = 400.0
"""Highest possible brightness temperature in K. Radio interference reaches beyond 350 K; what
lies above this limit is a fill value."""

_KELVIN: Final = re.compile(r"K|(?i:kelvins?)|(?i:degs?|degrees?|°)[\s_.]*(?i:k|kelvins?)")


def possible_temperatures(tb: Any) -> Any:
    """Replace what cannot be a brightness temperature by NaN.

    Fill values reach users in many forms: -9999.9, -99, 0, 655.35, 65535, 9.97e36, infinity. A
    value outside 20 to 400 K is none that a radiometer measures of the Earth.

    Parameters
    ----------
    tb : array_like or dask.array.Array
        Brightness temperature in K.

    Returns
    -------
    array of float32
        A new array, lazy where `tb` is.

    Examples
    --------
    >>> possible_temperatures([-9999.9, 0.0, 250.0, 9.97e36]).tolist()
    [nan, nan, 250.0, nan]
    """
    values = tb if hasattr(tb, "__array_function__") else np.asarray(tb)
    good = (values >= LOWEST_TB) & (values <= HIGHEST_TB)  # comparisons with NaN are false
    return np.where(good, values, np.float32(np.nan)).astype(np.float32, copy=False)


def is_kelvin(units: object) -> bool:
    """Whether a unit means kelvin, in any spelling that UDUNITS and Pint know.

    Parameters
    ----------
    units : object
        The attribute ``units``; text, bytes, or anything whose text is a unit.

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_kelvin(u) for u in ("K", "degrees Kelvin", "deg_K", "degC")]
    [True, True, True, False]
    """
    text = units.decode("utf-8", "replace") if isinstance(units, bytes) else str(units)
    plain = unicodedata.normalize("NFKC", text).strip("\0 \t\n").replace("º", "°")
    return _KELVIN.fullmatch(plain) is not None
