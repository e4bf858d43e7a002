"""Level 3 as CF netCDF or Zarr, one interval of time after the other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
)
from xrain.errors import InputError, OutputError
from xrain.output import with_cf_attributes

__all__ = ["write_grid"]


def write_grid(ds: xr.Dataset, path: str | Path) -> Path:
    """Write what :meth:`Gridder.to_dataset` gives; Zarr where the name ends in .zarr.

    Raises
    ------
    InputError
        If zarr is needed and not installed.
    OutputError
        If the file cannot be written.
    """
    import dask

    path, ds = Path(path), with_cf_attributes(ds)
    with dask.config.set(scheduler="synchronous"):  # one interval in memory at a time
        if path.suffix == ".zarr":
            return _write_zarr(ds, path)
        with replacing(path) as draft:
            ds.to_netcdf(draft, engine="h5netcdf", encoding=_encoding(ds))
    return path


def _encoding(ds: xr.Dataset) -> dict[Any, dict[str, Any]]:
    """Compress, one chunk for each interval and some rows, and keep times in whole seconds."""
    out: dict[Any, dict[str, Any]] = {}
    for name, variable in ds.variables.items():
        if variable.dtype.kind == "M":
            out[name] = {"units": "seconds since 1970-01-01 00:00:00", "dtype": "int64",
                         "calendar": "standard"}  # fmt: skip
        elif variable.ndim == 3:
            chunks = (1, *(min(n, 512) for n in variable.shape[1:]))
            out[name] = {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": chunks}
            if variable.dtype.kind == "f":
                out[name]["_FillValue"] = np.float32(-9999.0)
        elif variable.dtype.kind == "f":
            out[name] = {"_FillValue": None}
    return out


def _write_zarr(ds: xr.Dataset, path: Path) -> Path:
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise InputError(f"{path}: Zarr needs 'zarr': pip install 'xrain[zarr]'") from error
    draft = path.with_name(f".{path.name}.{id(ds):x}")
    chunks = (1, *(min(n, 512) for n in (ds.sizes[LATITUDE], ds.sizes[LONGITUDE])))
    encoding = {
        n: {"units": "seconds since 1970-01-01 00:00:00", "dtype": "int64"}
        if v.dtype.kind == "M"
        else {"chunks": chunks}
        for n, v in ds.variables.items()
        if v.dtype.kind == "M" or v.ndim == 3
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.to_zarr(draft, mode="w", encoding=encoding, consolidated=False, align_chunks=True)
        if path.is_dir():
            shutil.rmtree(path)
        draft.rename(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return path
