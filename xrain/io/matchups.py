"""Tables of matched pixels: a radiometer's brightness temperatures beside the rain another saw."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import CHANNEL, LATITUDE, LONGITUDE, SAMPLE, SURFACE_PRECIP, TB
from xrain.errors import FileFormatError, InputError

__all__ = ["PHASE", "matched_days", "open_matchups", "require_matchups"]

PHASE = "phase"
"""What fell: 0 nothing, 1 rain, 2 snow."""


def open_matchups(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a file of matched pixels into memory.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is no netCDF.
    InputError
        If it lacks ``tb(sample, channel)`` or both ``surface_precip`` and ``phase``.
    """
    path = Path(path)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            ds = ds.load()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as a netCDF file: {error}") from error
    return require_matchups(ds, str(path))


def require_matchups(ds: xr.Dataset, where: str) -> xr.Dataset:
    """Return a dataset that is a table of matched pixels.

    Raises
    ------
    InputError
        If it is none; `where` names it in the message.
    """
    if TB not in ds or set(ds[TB].dims) != {SAMPLE, CHANNEL} or CHANNEL not in ds.coords:
        raise InputError(
            f"{where}: matched pixels need {TB}({SAMPLE}, {CHANNEL}) in K with the channel names "
            "as a coordinate"
        )
    if not {SURFACE_PRECIP, PHASE} & set(ds.variables):
        raise InputError(
            f"{where}: there is no truth; matched pixels need {SURFACE_PRECIP} "
            f"in mm/h or {PHASE} (0 dry, 1 rain, 2 snow)"
        )
    if absent := [n for n in (LATITUDE, LONGITUDE) if n not in ds.variables]:
        raise InputError(f"{where}: matched pixels need {' and '.join(absent)} in degrees")
    return ds


def matched_days(ds: xr.Dataset) -> NDArray[np.int64]:
    """Tell the day of each pixel by one number; each pixel is its own day where none is given."""
    if not {"month", "day"} <= set(ds.variables):
        return np.arange(ds.sizes[SAMPLE])
    month, day = (ds[name].values.astype(np.int64) for name in ("month", "day"))
    return np.asarray(month * 31 + day)
