"""Scan times of a granule, whatever its version or a subsetter made of them."""

from __future__ import annotations

from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.io.chunks import read_rows
from xrain.io.hdf5 import dataset_at, text_attribute, warn
from xrain.io.scan_identity import plausible_times

__all__ = ["read_time", "scan_times"]

Times = npt.NDArray[np.datetime64]

_NAT: Final = np.datetime64("NaT", "ns")
_PARTS: Final = {
    "Year": (1960, 2100),
    "Month": (1, 12),
    "DayOfMonth": (1, 31),
    "Hour": (0, 23),
    "Minute": (0, 59),
    "Second": (0, 60),  # a leap second is the 60th
}
"""Parts of a date, and the values that each can have."""


def scan_times(reader: Any, group: str, scans: int) -> Times:
    """Read the times of all scans of a group, NaT where they are missing or cannot be right.

    Parameters
    ----------
    reader : FileReader
        The file.
    group : str
        Its swath group.
    scans : int
        Number of scans.

    Warns
    -----
    UserWarning
        If times are left out, or the file holds none for these scans.
    """
    given = reader.read(read_time, group, slice(0, scans))
    time, wrong = plausible_times(given)
    if wrong.any():
        warn(
            f"{reader.name}: {int(wrong.sum())} of {scans} scan times of {group} cannot be right "
            f"(such as {np.datetime_as_string(given[wrong][0], 's')}); they are left out"
        )
    return time


def read_time(file: h5py.File, group: str, rows: slice) -> Times:
    """Read scan times in UTC to the millisecond, NaT where the date is missing or none.

    Parameters
    ----------
    file : h5py.File
        The granule.
    group : str
        Swath group with ``ScanTime`` and ``Latitude``.
    rows : slice
        Scans to read.

    Returns
    -------
    array of datetime64[ns]
        All NaT where the file gives no times, or times of other scans.
    """
    place = dataset_at(file, f"{group}/Latitude")
    total = 0 if place is None else place.shape[0]
    scans = len(range(total)[rows])
    stamp = file.get(f"{group}/ScanTime")
    missing = np.full(scans, _NAT)
    if not isinstance(stamp, h5py.Group):
        return missing
    parts = {name: _part(stamp, name, total, rows) for name in (*_PARTS, "MilliSecond")}
    milli = parts.pop("MilliSecond")
    if any(p is None for p in parts.values()):
        return _decoded(stamp, total, rows, missing)
    whole = np.stack([p for p in parts.values() if p is not None])
    return _assemble(whole, np.zeros(scans, np.int64) if milli is None else milli)


def _part(stamp: h5py.Group, name: str, total: int, rows: slice) -> Any:
    """Read one part of the dates; None if it is not there for each scan."""
    item = dataset_at(stamp, name)
    if item is None or item.shape != (total,):
        return None
    values = read_rows(item, rows)
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, -9999).clip(-9999, 32767)
    return values.astype(np.int64)


def _assemble(parts: npt.NDArray[np.int64], milli: npt.NDArray[np.int64]) -> Times:
    """Make times of year, month, day, hour, minute, second and milliseconds."""
    limits = np.array(list(_PARTS.values()))[..., None]
    bad = ((parts < limits[:, 0]) | (parts > limits[:, 1])).any(axis=0) | (milli > 999)
    year, month, day, hour, minute, second = np.where(bad, limits[:, 0], parts)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    date = months.astype("datetime64[D]") + (day - 1)
    bad |= date.astype("datetime64[M]") != months  # the 31st of a shorter month
    seconds = hour * 3600 + minute * 60 + second
    out = date.astype("datetime64[ms]") + seconds * 1000 + np.clip(milli, 0, 999)
    return np.asarray(np.where(bad, np.datetime64("NaT", "ms"), out).astype("datetime64[ns]"))


def _decoded(stamp: h5py.Group, total: int, rows: slice, missing: Times) -> Times:
    """Read times in CF's way, which subsetters leave where the parts of the dates are gone."""
    for name in stamp:
        item = dataset_at(stamp, name)
        if item is None or item.shape != (total,) or "since" not in text_attribute(item, "units"):
            continue
        attrs = {"units": text_attribute(item, "units")}
        raw = xr.Dataset({"time": ("scan", read_rows(item, rows), attrs)})
        found = xr.decode_cf(raw)["time"].values
        if found.dtype.kind == "M":
            return np.asarray(found.astype("datetime64[ns]"))
    return missing
