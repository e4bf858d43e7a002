"""Write rain as CF netCDF or Zarr: compressed, described, and whole or not at all."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.atomic import replacing, replacing_folder
from xrain.conventions import PRECIP_FLAG, PRECIP_FLAG_FILL, PRECIP_PHASE, PRECIP_PHASE_FILL
from xrain.errors import InputError, OutputError
from xrain.extras import require
from xrain.io.file_names import ENDINGS
from xrain.io.storable import CF_VERSION, evenly_chunked, with_cf_attributes
from xrain.io.zarr_store import METADATA, group_metadata, store_attributes

__all__ = [
    "granule_stem", "in_this_process", "is_rain_store", "rain_path", "write_rain",
    "write_rain_group",
]  # fmt: skip

FLOAT_FILL: Final = -9999.0
_FLAG_FILLS: Final = {PRECIP_FLAG: PRECIP_FLAG_FILL, PRECIP_PHASE: PRECIP_PHASE_FILL}
_COMPRESSION: Final = {"zlib": True, "complevel": 4, "shuffle": True}
_EXTENSION: Final = re.compile(
    rf"(\.({'|'.join(map(re.escape, (*ENDINGS, 'hdf')))}))+$", re.IGNORECASE
)


def granule_stem(source: str | Path) -> str:
    """Name of a granule without ``.HDF5``, ``.nc``, ``.RT-NC`` and their like.

    Parameters
    ----------
    source : path
        The granule.

    Returns
    -------
    str

    Examples
    --------
    >>> granule_stem("in/1C.GPM.GMI.V07A.HDF5")
    '1C.GPM.GMI.V07A'
    """
    return _EXTENSION.sub("", Path(source).name)


def rain_path(source: str | Path, folder: str | Path) -> Path:
    """Name the output for a granule: ``<name without .HDF5 or .nc>.rain.nc`` in `folder`.

    Parameters
    ----------
    source : path
        The granule.
    folder : path
        Folder of the output.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> rain_path("in/1C.GPM.GMI.V07A.HDF5", "out").as_posix()
    'out/1C.GPM.GMI.V07A.rain.nc'
    """
    return Path(folder) / f"{granule_stem(source)}.rain.nc"


def write_rain(ds: xr.Dataset, path: str | Path) -> Path:
    """Write a rain dataset as CF netCDF-4, or as Zarr where the name ends in ``.zarr``.

    A compressed netCDF file is made in memory, some 5 to 10 MB for a granule, and then written
    under a temporary name and renamed: HDF5 itself cannot survive a full disk. A lazy dataset is
    computed chunk by chunk on the way; under a :mod:`dask.distributed` client its workers compute
    it and it is gathered before it is written. Whatever cannot be stored is told before anything
    is computed.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`xrain.retrieve`, lazy or not.
    path : path
        File or store to write; its folder is made, and an older file, or an older Zarr store, is
        replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If an attribute or a variable cannot be stored in netCDF.
    OutputError
        If the file cannot be written: no right to, a full disk, or a folder in its place that is
        no store of xrain's.

    See Also
    --------
    xrain.retrieve_files : Retrieve and write many granules.

    References
    ----------
    Eaton et al., *NetCDF Climate and Forecast (CF) Metadata Conventions* 1.11,
    https://cfconventions.org

    Examples
    --------
    >>> import tempfile, xrain
    >>> from xrain.testing import fake_swath
    >>> rain = xrain.retrieve(fake_swath("GMI", 24, 16))
    >>> xrain.write_rain(rain, tempfile.mkdtemp() + "/a.rain.nc").name
    'a.rain.nc'
    """
    path = Path(path)
    ds = with_cf_attributes(ds)
    _require_storable(ds)
    if path.suffix == ".zarr":
        return _write_zarr(ds, path)
    with replacing(path) as draft:  # opened first: a place without rights is told at once
        ds = _gathered(ds)
        with in_this_process():
            image = ds.to_netcdf(engine="h5netcdf", encoding=_encoding(ds))
        draft.write_bytes(_with_plain_text(image))
    return path


def write_rain_group(ds: xr.Dataset, path: Path) -> Path:
    """Write a rain dataset as a group of a Zarr store, beside those that are in it.

    Several processes may write groups of one store at the same time.

    Parameters
    ----------
    ds : xarray.Dataset
        As for :func:`write_rain`.
    path : Path
        Folder of the store and name of the group; the store is made if absent, and an older group
        is replaced.

    Returns
    -------
    Path
        The group.

    Raises
    ------
    InputError, OutputError
        As for :func:`write_rain`; the latter also if the store's place holds something else.
    """
    ds = with_cf_attributes(ds)
    _require_storable(ds)
    store = path.parent
    if not (store / METADATA).is_file():
        with contextlib.suppress(FileNotFoundError):
            if any(not item.name.startswith(".") for item in store.iterdir()):
                raise OutputError(f"{store} holds something else and is left alone")
        facts = {"Conventions": CF_VERSION, "title": "Rain of granules, one group each"}
        with replacing(store / METADATA) as draft:
            draft.write_text(group_metadata(facts), encoding="utf-8")
    return _write_zarr(ds, path)


def is_rain_store(folder: Path) -> bool:
    """Whether a folder is a Zarr store of :func:`write_rain`, which another one may replace."""
    attrs = store_attributes(folder)
    return "Conventions" in attrs and "xrain" in str(attrs.get("history"))


def _write_zarr(ds: xr.Dataset, path: Path) -> Path:
    require("zarr", "zarr", "Zarr stores")
    with replacing_folder(path, is_rain_store) as draft:
        ds = evenly_chunked(_gathered(ds))
        times = {n: _time_encoding(v) for n, v in ds.variables.items() if v.dtype.kind == "M"}
        with in_this_process(), warnings.catch_warnings():
            # readers of today look for consolidated metadata first, though format 3 has none yet
            warnings.filterwarnings("ignore", "Consolidated metadata")
            ds.to_zarr(draft, mode="w", encoding=times, consolidated=True)
    return path


def _gathered(ds: xr.Dataset) -> xr.Dataset:
    """Compute on the workers of a cluster, if there is one: they cannot write into our memory."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return ds
    try:
        distributed.default_client()
    except ValueError:
        return ds
    return ds.compute()


def in_this_process() -> Any:
    """Keep xarray from asking a cluster for a lock on what only this process can see."""
    import dask

    if "distributed" not in sys.modules:
        return contextlib.nullcontext()
    return dask.config.set(scheduler="threads")


def _require_storable(ds: xr.Dataset) -> None:
    """Write one value of each variable on trial; InputError if netCDF cannot hold it."""
    trial = xr.Dataset(
        {n: (v.dims, np.zeros((1,) * v.ndim, v.dtype), v.attrs) for n, v in ds.data_vars.items()},
        {
            n: (v.dims, np.zeros((1,) * v.ndim, v.dtype), v.attrs)
            for n, v in ds.coords.items()
            if v.dtype.kind not in "OM"
        },
        ds.attrs,
    )
    objects = [n for n in trial.data_vars if trial[n].dtype.kind == "O"]
    try:
        with in_this_process():
            trial.drop_vars(objects).to_netcdf(engine="h5netcdf")
    except (ValueError, TypeError, NotImplementedError, UnicodeError, RuntimeError) as error:
        raise InputError(f"the dataset cannot be stored in netCDF: {error}") from error


def _with_plain_text(image: bytes | memoryview) -> memoryview:
    """Turn text attributes into NC_CHAR, which older software such as ncview expects."""
    import h5py

    buffer = io.BytesIO(image)
    with h5py.File(buffer, "r+") as file:
        for item in (file, *file.values()):
            texts = {k: v for k, v in item.attrs.items() if isinstance(v, str) and v.isascii()}
            for key, text in texts.items():
                item.attrs[key] = np.bytes_(text)
    return buffer.getbuffer()


def _encoding(ds: xr.Dataset) -> dict[Hashable, dict[str, Any]]:
    return {name: _variable_encoding(str(name), ds[name].variable) for name in ds.variables}


def _variable_encoding(name: str, variable: xr.Variable) -> dict[str, Any]:
    if variable.dtype.kind in "OUST":
        return {}
    packing = dict(_COMPRESSION) if variable.ndim else {}
    if variable.dtype.kind == "M":
        return packing | _time_encoding(variable)
    if name in _FLAG_FILLS:
        return packing | {"_FillValue": np.int8(_FLAG_FILLS[name])}
    if variable.dtype.kind == "f" and name not in variable.dims:
        return packing | {"_FillValue": variable.dtype.type(FLOAT_FILL)}
    return packing | {"_FillValue": None}


def _time_encoding(variable: xr.Variable) -> dict[str, Any]:
    """Whole milliseconds, as the granules have them, or nanoseconds where that would round."""
    step = variable.values.astype("datetime64[ns]").astype("int64")
    known = step[~np.isnat(variable.values)]
    unit = "milliseconds" if not (known % 1_000_000).any() else "nanoseconds"
    # xarray looks up the earliest time for the standard calendar, and fails where there is none;
    # from 1582 on both calendars are the same
    return {
        "units": f"{unit} since 1970-01-01 00:00:00",
        "calendar": "standard" if known.size else "proleptic_gregorian",
        "dtype": "int64",
        "_FillValue": np.iinfo(np.int64).min,
    }
