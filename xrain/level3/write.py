"""Level 3 as CF netCDF or Zarr, one interval of time after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.atomic import replacing, replacing_folder
from xrain.conventions import LATITUDE, LONGITUDE
from xrain.errors import OutputError
from xrain.extras import require
from xrain.io.storable import with_cf_attributes
from xrain.io.zarr_store import store_attributes
from xrain.level3.describe import TITLE
from xrain.level3.patient_file import PatientFile

__all__ = ["is_grid_store", "require_free", "write_grid"]

_TIMES: Final = {"units": "seconds since 1970-01-01 00:00:00", "dtype": "int64",
                 "calendar": "standard"}  # fmt: skip


def write_grid(ds: xr.Dataset, path: str | Path) -> Path:
    """Write what :meth:`Gridder.to_dataset` gives.

    Parameters
    ----------
    ds : xarray.Dataset
        Means on a grid; lazy ones are computed interval by interval.
    path : path
        netCDF file, or Zarr store if the name ends in ``.zarr``. An older file, or an older store
        of this function, is replaced once the new one is whole.

    Returns
    -------
    Path
        The file or the store.

    Raises
    ------
    InputError
        If zarr is needed and not installed.
    OutputError
        If it cannot be written: no right to, a full disk, or a folder that is no such store.
    """
    import dask

    path = Path(path)
    require_free(path)
    ds = with_cf_attributes(ds)
    with dask.config.set(scheduler="synchronous"):  # one interval in memory at a time
        if path.suffix == ".zarr":
            with replacing_folder(path, is_grid_store) as draft:
                ds.to_zarr(
                    draft, mode="w", encoding=_zarr_encoding(ds), consolidated=False,
                    align_chunks=True,
                )  # fmt: skip
        else:
            with replacing(path) as draft, PatientFile(draft) as file:
                with _before_each_task(file.raise_error):
                    ds.to_netcdf(file, engine="h5netcdf", encoding=_netcdf_encoding(ds))
                file.raise_error()
    return path


def require_free(path: str | Path) -> None:
    """Raise an error if a grid cannot be written to a place, before there is one.

    Parameters
    ----------
    path : path
        As for :func:`write_grid`.

    Raises
    ------
    InputError
        If zarr is needed and not installed.
    OutputError
        If a folder lies there that holds anything else.
    """
    path = Path(path)
    if path.suffix == ".zarr":
        require("zarr", "zarr", "Zarr stores")
    if not path.is_dir():
        return
    if path.suffix != ".zarr":
        raise OutputError(
            f"{path} is a folder: give the name of a netCDF file, or of a .zarr store"
        )
    if any(path.iterdir()) and not is_grid_store(path):
        raise OutputError(
            f"{path} is a folder that holds something else than a grid of xrain, and is left "
            "alone: choose another name"
        )


def is_grid_store(folder: Path) -> bool:
    """Say whether a folder is a Zarr store of :func:`write_grid` and holds nothing else.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    bool
    """
    return store_attributes(folder).get("title") == TITLE


def _before_each_task(call: Callable[[], None]) -> Any:
    """Let Dask call something before each task of the synchronous scheduler."""
    from dask.callbacks import Callback

    return Callback(pretask=lambda *_: call())


def _netcdf_encoding(ds: xr.Dataset) -> dict[Any, dict[str, Any]]:
    """Compress, one chunk for each interval and some rows, and keep times in whole seconds."""
    out: dict[Any, dict[str, Any]] = {}
    for name, variable in ds.variables.items():
        if variable.dtype.kind == "M":
            out[name] = dict(_TIMES)
        elif variable.ndim == 3:
            out[name] = {
                "zlib": True, "complevel": 4, "shuffle": True, "chunksizes": _chunks(ds)
            }  # fmt: skip
            if variable.dtype.kind == "f":
                out[name]["_FillValue"] = np.float32(-9999.0)
        elif variable.dtype.kind == "f":
            out[name] = {"_FillValue": None}
    return out


def _zarr_encoding(ds: xr.Dataset) -> dict[Any, dict[str, Any]]:
    return {
        n: dict(_TIMES) if v.dtype.kind == "M" else {"chunks": _chunks(ds)}
        for n, v in ds.variables.items()
        if v.dtype.kind == "M" or v.ndim == 3
    }


def _chunks(ds: xr.Dataset) -> tuple[int, int, int]:
    rows, columns = (min(ds.sizes[n], 512) for n in (LATITUDE, LONGITUDE))
    return 1, rows, columns
