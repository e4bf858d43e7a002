"""Open one granule or join several along the scans."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.core import indexing

from xrain.conventions import CHANNEL, LATITUDE, LONGITUDE, PIXEL, SCAN, SURFACE_PRECIP, TIME
from xrain.errors import FileFormatError, InputError
from xrain.io.hdf5 import name_of, open_file, require_sound_heaps, source_of, tell_damage
from xrain.io.header import read_header
from xrain.io.lazy import LazyArray
from xrain.io.scan_identity import distinct_scans, filled_times
from xrain.io.storable import evenly_chunked
from xrain.io.swath import Coregistration

Path = Any
"""A path, a file object opened for reading in binary mode, or the bytes of a file."""


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
        ``scan``; a scan that several hold comes once, from the newest version. Open files and
        bytes are taken as well as paths.
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

    See Also
    --------
    xrain.open_reference : Rain granules.
    xrain.from_scene : What Satpy has read.
    xrain.retrieve : From the swath to rain.

    References
    ----------
    Berg, W., et al., 2016: Intercalibration of the GPM microwave radiometer constellation.
    *J. Atmos. Oceanic Technol.* 33, 2639-2654, doi 10.1175/JTECH-D-16-0100.1.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import write_fake_l1c
    >>> ds = xrain.open_l1c(write_fake_l1c("granule.HDF5", "gmi", scans=16))
    >>> dict(ds["tb"].sizes)
    {'scan': 16, 'pixel': 221, 'channel': 13}
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

    See Also
    --------
    xrain.open_l1c : Brightness temperatures.
    xrain.match_reference : The reference on the pixels of a radiometer.

    References
    ----------
    Kummerow, C. D., et al., 2015: The evolution of the Goddard Profiling Algorithm to a fully
    parametric scheme. *J. Atmos. Oceanic Technol.* 32, 2265-2280, doi 10.1175/JTECH-D-15-0039.1.

    Examples
    --------
    >>> import xrain
    >>> from xrain.io.truth import radar_path
    >>> granule = xrain.simulate_granule("gmi", "orbit.HDF5", scans=40, with_radar=True)
    >>> radar = xrain.open_reference(radar_path(granule))
    >>> radar["surface_precip"].dims
    ('scan', 'pixel')
    """
    return _open(path, "gpm-l2", chunks, {"swath": swath})


def _open(
    path: Path | Iterable[Path], engine: str, chunks: Any, options: dict[str, Any]
) -> xr.Dataset:
    if _is_one(path):
        return xr.open_dataset(source_of(path), engine=engine, chunks=chunks, **options)
    paths = [source_of(p) for p in path]
    if not paths:
        raise InputError("no granule to open: the list of files is empty")
    lazy = {} if chunks is None else chunks
    parts = [xr.open_dataset(p, engine=engine, chunks=lazy, **options) for p in paths]
    return parts[0] if len(parts) == 1 else join(parts)


def _is_one(path: Path) -> bool:
    """Whether one granule is given; an open file can be iterated over, too."""
    return isinstance(path, str | os.PathLike | bytes) or hasattr(path, "read")


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
    runs = _runs(parts)
    out = xr.concat(
        [parts[i].drop_vars(set(parts[i].variables) - shared).isel({dim: r}) for i, r in runs],
        dim,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )
    out = evenly_chunked(out)
    used = dict.fromkeys(i for i, _ in runs)
    out.attrs["granule"] = ", ".join(str(parts[i].attrs.get("granule", "")) for i in used)
    out.set_close(partial(_close_all, parts))
    return out


def _runs(parts: list[xr.Dataset]) -> list[tuple[int, slice]]:
    """Stretches of rows to keep of each part, in order of time; slices keep a file's chunks."""
    times = [p[TIME].values for p in parts]
    versions = [str(p.attrs.get("product_version", "")) for p in parts]
    runs = []
    for i, rows in enumerate(distinct_scans(times, versions)):
        filled = filled_times(times[i])
        for run in np.split(rows, _ends(rows, filled[rows])):
            if run.size:
                place = slice(int(run[0]), int(run[-1]) + 1)
                runs.append((_first_time(filled[place]), i, place))
    runs.sort(key=lambda run: run[:2])
    return [(i, rows) for _, i, rows in runs] or [(0, slice(0, 0))]


def _ends(rows: npt.NDArray[np.intp], time: npt.NDArray[np.datetime64]) -> npt.NDArray[np.intp]:
    """Places at which kept rows are interrupted, by rows left out or by a gap in time."""
    step = np.abs(np.diff(time).astype(np.int64))
    known = step[step >= 0]  # what is missing is not
    usual = np.median(known) if known.size else np.inf
    return np.flatnonzero((np.diff(rows) > 1) | (step > 2 * usual)) + 1


def _close_all(parts: list[xr.Dataset]) -> None:
    for part in parts:
        part.close()


def _first_time(time: npt.NDArray[np.datetime64]) -> np.datetime64:
    known = time[~np.isnat(time)]
    return np.datetime64(known.min() if known.size else "1678-01-01", "ns")


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


def open_any(path: Path) -> xr.Dataset:
    """Open rain or temperatures, lazily, whatever kind of file they are in.

    Parameters
    ----------
    path : path-like, file object or bytes
        A rain file of :func:`xrain.write_rain` or of :func:`xrain.grid_rain`, netCDF or the
        folder of a Zarr store; a rain granule of the archive, as for :func:`open_reference`; or
        else an L1C granule.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    FileFormatError
        If it is neither, or damaged; also later, when values are read.
    """
    source = source_of(path)
    name = name_of(source)
    store = isinstance(source, str) and os.path.isdir(source)
    kind = "rain" if store else _kind_of(source)
    if kind != "rain":
        return open_l1c(source) if kind == "1" else open_reference(source)
    with tell_damage(name):
        ds = xr.open_dataset(source, engine="zarr" if store else "h5netcdf")
    if SURFACE_PRECIP not in ds.variables:
        ds.close()
        raise FileFormatError(f"{name}: is a folder without {SURFACE_PRECIP}, no rain store")
    return _guarded(ds, name)


def _kind_of(source: Any) -> str:
    """Tell a file of rain by its variable, granules of other levels by their header."""
    with open_file(source, "An L1C granule (1C*.HDF5 or .nc) or a rain file") as file:
        require_sound_heaps(file)
        if SURFACE_PRECIP in file:
            return "rain"
        level = read_header(file).get("AlgorithmID", "1")[:1]
        return level if level in ("2", "3") else "1"


def _guarded(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Let damage that shows when values are read be told as such."""
    out = ds.copy()
    for key, variable in ds.variables.items():
        if variable.ndim and key not in ds.indexes and variable.dtype.kind in "fiumM":
            read = partial(_read_rows, variable, name)
            lazy = indexing.LazilyIndexedArray(LazyArray(variable.shape, variable.dtype, read))
            guarded = xr.Variable(variable.dims, lazy, variable.attrs, variable.encoding)
            out = out.assign({key: guarded}) if key in ds.data_vars else out.assign_coords(
                {key: guarded}
            )  # fmt: skip
    out.set_close(ds.close)
    return out


def _read_rows(variable: xr.Variable, name: str, rows: slice) -> npt.NDArray[Any]:
    with tell_damage(name, "the rain"):
        return np.asarray(variable[rows].values)
