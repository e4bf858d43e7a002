"""Open one granule or join several along the scans."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import CHANNEL, LATITUDE, LONGITUDE, PIXEL, SCAN, TIME
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
    return _open(path, "gpm-l1c", chunks, {"swath": swath, "coregistration": coregistration})


def open_reference(
    path: Path | Iterable[Path], *, chunks: Any = None, swath: str | None = None
) -> xr.Dataset:
    """Open rain granules of the archive: 2A GPROF, 2A radar, 2B CORRA, half-hourly IMERG.

    Parameters
    ----------
    path : path-like, or an iterable of them
        One granule, or granules of one product and instrument, which are sorted by time and
        joined along ``scan``, those of IMERG along ``time``.
    chunks : int, dict, "auto" or None, optional
        As in :func:`xarray.open_dataset`. None leaves a single granule lazy without Dask;
        several granules are always Dask arrays, by default in chunks that suit the files.
    swath : str, optional
        Swath group: ``"FS"``, ``"HS"``, ``"NS"`` or ``"MS"`` of the radars, ``"KuGMI"``,
        ``"KuKaGMI"`` or ``"KuTMI"`` of 2B; by default the one with the full swath.

    Returns
    -------
    xarray.Dataset
        ``surface_precip`` in mm h-1 and what else the product holds, on (scan, pixel) with
        ``latitude``, ``longitude`` and ``time``, or on the grid (time, latitude, longitude) of
        IMERG; missing values are NaN, missing codes negative. The attribute ``file_field`` says
        which field of the file a variable is.

    Raises
    ------
    FileFormatError
        If a file is not a readable granule of these products, or lacks the swath group.
    InputError
        If there is no file, or the granules are of different instruments or products.
    """
    return _open(path, "gpm-l2", chunks, {"swath": swath})


def _open(
    path: Path | Iterable[Path], engine: str, chunks: Any, options: dict[str, Any]
) -> xr.Dataset:
    if isinstance(path, str | os.PathLike):
        return xr.open_dataset(path, engine=engine, chunks=chunks, **options)
    paths = list(path)
    if not paths:
        raise InputError("no granule to open: the list of files is empty")
    lazy = {} if chunks is None else chunks
    parts = [xr.open_dataset(p, engine=engine, chunks=lazy, **options) for p in paths]
    return parts[0] if len(parts) == 1 else join(parts)


def join(parts: list[xr.Dataset]) -> xr.Dataset:
    """Join swaths of one instrument along ``scan``, or grids along ``time``, without doubles.

    A variable that only some of them have is left out.

    Raises
    ------
    InputError
        If sensor, platform, grid or channels differ.
    """
    _require_one_instrument(parts)
    dim = SCAN if SCAN in parts[0].dims else TIME
    shared = set.intersection(*(set(p.variables) for p in parts))
    ordered = sorted((p.drop_vars(set(p.variables) - shared) for p in parts), key=_first_time)
    kept, last = [], np.datetime64("NaT", "ns")
    for part in ordered:
        time = part[TIME].values
        new = ~(time <= last)
        kept.append(part.isel({dim: _as_slice(np.flatnonzero(new))}))
        if (~np.isnat(time)).any():
            last = np.fmax(last, np.nanmax(time))
    out = xr.concat(
        kept,
        dim,
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


def _require_one_instrument(parts: list[xr.Dataset]) -> None:
    first = parts[0]
    for part in parts[1:]:
        for name in ("sensor", "platform", "reference_swath", "product"):
            if part.attrs.get(name) != first.attrs.get(name):
                raise InputError(
                    f"granules of different instruments cannot be joined: {name} is "
                    f"{first.attrs.get(name)!r} in {first.attrs.get('granule')} and "
                    f"{part.attrs.get(name)!r} in {part.attrs.get('granule')}"
                )
        for name in (PIXEL, CHANNEL, LATITUDE, LONGITUDE):
            if name in first.dims and not _same(first, part, name):
                raise InputError(
                    f"{part.attrs.get('granule')} has other pixels or channels than "
                    f"{first.attrs.get('granule')}; open them one by one"
                )


def _same(first: xr.Dataset, part: xr.Dataset, dim: str) -> bool:
    """Whether two datasets have the same places along a dimension."""
    if dim not in part.dims or part.sizes[dim] != first.sizes[dim]:
        return False
    return dim not in first.coords or bool((part[dim].values == first[dim].values).all())
