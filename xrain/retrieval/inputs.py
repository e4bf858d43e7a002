"""A dataset as the retrieval wants it, whatever tool made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xrain.naming import known_names

__all__ = ["normalized", "sensor_name"]


def sensor_name(attrs: Mapping[Any, Any]) -> str | None:
    """Name of the sensor in attributes, where it may be text of any kind or a collection of it.

    Parameters
    ----------
    attrs : mapping
        Attributes of a dataset.

    Returns
    -------
    str or None
        The name, of several the first in the alphabet.

    Examples
    --------
    >>> sensor_name({"sensor": {"atms"}})
    'atms'
    """
    value = attrs.get("sensor")
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        value = min((v for v in value if v), key=str, default=None)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value) if value else None


def normalized(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset with the names of :func:`xrain.naming.known_names` and a plain sensor.

    Parameters
    ----------
    ds : xarray.Dataset
        Brightness temperatures and what goes with them.

    Returns
    -------
    xarray.Dataset
        The attribute ``sensor`` is text, or absent.
    """
    ds = known_names(ds)
    name = sensor_name(ds.attrs)
    return ds if name is None else ds.assign_attrs(sensor=name)
