"""Write rain as CF netCDF: compressed, described, and whole or not at all."""

from __future__ import annotations

import datetime
import io
import json
import re
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.conventions import ATTRIBUTES, PRECIP_FLAG, PRECIP_FLAG_FILL, TIME
from xrain.errors import InputError

__all__ = ["rain_path", "with_cf_attributes", "write_rain"]

CF_VERSION: Final = "CF-1.11"
FLOAT_FILL: Final = -9999.0
_COMPRESSION: Final = {"zlib": True, "complevel": 4, "shuffle": True}
_EXTENSION: Final = re.compile(r"\.(hdf5?|h5|nc4?)$", re.IGNORECASE)


def rain_path(source: str | Path, folder: str | Path) -> Path:
    """Name the output for a granule: ``<name without .HDF5 or .nc>.rain.nc`` in `folder`."""
    return Path(folder) / f"{_EXTENSION.sub('', Path(source).name)}.rain.nc"


def write_rain(ds: xr.Dataset, path: str | Path) -> Path:
    """Write a rain dataset as CF netCDF-4.

    The compressed file is made in memory, some 5 to 10 MB for a granule, and then written under
    a temporary name and renamed: HDF5 itself cannot survive a full disk. A lazy dataset is
    computed chunk by chunk on the way; on a cluster it is gathered first.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`xrain.retrieve`, lazy or not.
    path : path
        File to write; its folder is made, and an older file is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If an attribute cannot be stored in netCDF.
    OutputError
        If the file cannot be written: no right to, or a full disk.
    """
    path = Path(path)
    if _on_cluster():
        ds = ds.compute()
    ds = with_cf_attributes(ds)
    with replacing(path) as draft:  # opened first: a place without rights is told at once
        image = ds.to_netcdf(engine="h5netcdf", encoding=_encoding(ds))
        draft.write_bytes(_with_plain_text(image))
    return path


def _on_cluster() -> bool:
    """Whether Dask would compute on workers, which cannot write into our memory."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.default_client()
    except ValueError:
        return False
    return True


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
    if name == PRECIP_FLAG:
        return packing | {"_FillValue": np.int8(PRECIP_FLAG_FILL)}
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


def with_cf_attributes(ds: xr.Dataset) -> xr.Dataset:
    """Give the dataset what CF asks for and netCDF can hold, and drop the source's encoding."""
    ds = ds.drop_encoding()
    for name, variable in ds.variables.items():
        attrs = {**ATTRIBUTES.get(str(name), {}), **variable.attrs}
        if variable.dtype.kind == "M":
            attrs = {k: v for k, v in attrs.items() if k not in ("units", "calendar")}
        ds[name].attrs = {k: _flag(k, v, variable.dtype) for k, v in _storable(attrs).items()}
    if TIME in ds.variables:
        ds = ds.set_coords(TIME)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    defaults = {"Conventions": CF_VERSION, "history": f"{stamp} written by xrain"}
    ds.attrs = _storable({**defaults, **ds.attrs})
    return ds


def _flag(key: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """CF wants the values of flags in the type of their variable."""
    if key in ("flag_values", "flag_masks", "valid_min", "valid_max", "valid_range"):
        return np.asarray(value, dtype=dtype)
    return value


def _storable(attrs: dict[Any, Any]) -> dict[str, Any]:
    return {str(k): _storable_value(k, v) for k, v in attrs.items() if v is not None}


def _storable_value(key: Any, value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    if isinstance(value, str | bytes | int | float | np.number | np.ndarray | list | tuple):
        return value
    if isinstance(value, Path | datetime.date | np.datetime64):
        return str(value)
    raise InputError(f"attribute {key!r} holds {type(value).__name__}, which netCDF cannot store")
