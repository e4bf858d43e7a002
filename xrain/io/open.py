"""Open one granule or join several along the scans."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import CHANNEL, SCAN, TIME
from xrain.errors import InputError
from xrain.io.swath import Coregistration

Path = str | os.PathLike[str]


def open_l1c(
    path: Path | Iterable[Path],
    *,
    chunks: Any = None,
    swath: str | None = None,
    coregistration: Coregistration = "nearest",
) -> xr.Dataset:
    """Open GPM level 1C granules as one swath with every channel.

    Parameters
    ----------
    path : path-like, or an iterable of them
        One granule, or granules of one radiometer, which are sorted by time and joined along
        ``scan``; scans that an earlier granule already holds are dropped.
    chunks : int, dict, "auto" or None, optional
        As in :func:`xarray.open_dataset`. None leaves a single granule lazy without Dask;
        several granules are always Dask arrays, by default in chunks that suit the files.
    swath : str, optional
        Swath group whose pixels are the grid, by default the sensor's reference swath.
    coregistration : {"nearest", "gaussian"}
        How the channels of other groups are brought onto that grid.

    Returns
    -------
    xarray.Dataset
        ``tb(scan, pixel, channel)`` in K; coordinates ``latitude``, ``longitude``, ``time``,
        ``earth_incidence_angle``, ``channel``, ``frequency``, ``sideband_offset`` and
        ``polarization``.

    Raises
    ------
    FileFormatError
        If a file is not a readable L1C granule.
    UnknownSensorError
        If no sensor table describes its instrument.
    InputError
        If there is no file, or the granules are of different radiometers.
    """
    options: dict[str, Any] = {"swath": swath, "coregistration": coregistration}
    if isinstance(path, str | os.PathLike):
        return xr.open_dataset(path, engine="gpm-l1c", chunks=chunks, **options)
    paths = list(path)
    if not paths:
        raise InputError("no granule to open: the list of files is empty")
    lazy = {} if chunks is None else chunks
    parts = [xr.open_dataset(p, engine="gpm-l1c", chunks=lazy, **options) for p in paths]
    return parts[0] if len(parts) == 1 else join(parts)


def join(parts: list[xr.Dataset]) -> xr.Dataset:
    """Join swaths of one radiometer along ``scan``, in order of time, without doubles.

    A variable that only some of them have is left out.

    Raises
    ------
    InputError
        If sensor, platform, grid or channels differ.
    """
    _require_one_radiometer(parts)
    shared = set.intersection(*(set(p.variables) for p in parts))
    ordered = sorted((p.drop_vars(set(p.variables) - shared) for p in parts), key=_first_time)
    kept, last = [], np.datetime64("NaT", "ns")
    for part in ordered:
        time = part[TIME].values
        new = ~(time <= last)
        kept.append(part.isel({SCAN: _as_slice(np.flatnonzero(new))}))
        if (~np.isnat(time)).any():
            last = np.fmax(last, np.nanmax(time))
    out = xr.concat(
        kept,
        SCAN,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )
    out.attrs["granule"] = ", ".join(str(p.attrs.get("granule", "")) for p in ordered)
    out.set_close(partial(_close_all, parts))
    return out


def _as_slice(rows: npt.NDArray[np.intp]) -> slice | npt.NDArray[np.intp]:
    """Rows that follow one another as a slice, which keeps the chunks of the file."""
    if rows.size and rows[-1] - rows[0] == rows.size - 1:
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _close_all(parts: list[xr.Dataset]) -> None:
    for part in parts:
        part.close()


def _first_time(part: xr.Dataset) -> np.datetime64:
    time = part[TIME].values
    valid = time[~np.isnat(time)]
    first: np.datetime64 = valid.min() if valid.size else np.datetime64("1678-01-01", "ns")
    return first


def _require_one_radiometer(parts: list[xr.Dataset]) -> None:
    first = parts[0]
    for part in parts[1:]:
        for name in ("sensor", "platform", "reference_swath"):
            if part.attrs.get(name) != first.attrs.get(name):
                raise InputError(
                    f"granules of different radiometers cannot be joined: {name} is "
                    f"{first.attrs.get(name)!r} in {first.attrs.get('granule')} and "
                    f"{part.attrs.get(name)!r} in {part.attrs.get('granule')}"
                )
        same = part.sizes["pixel"] == first.sizes["pixel"]
        if not same or list(part[CHANNEL].values) != list(first[CHANNEL].values):
            raise InputError(
                f"{part.attrs.get('granule')} has other pixels or channels than "
                f"{first.attrs.get('granule')}; open them one by one"
            )
