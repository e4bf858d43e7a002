"""What netCDF and Zarr can hold of a dataset's variables and attributes."""

from __future__ import annotations

import datetime
import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import ATTRIBUTES
from xrain.errors import InputError
from xrain.naming import known_names

__all__ = ["CF_VERSION", "evenly_chunked", "with_cf_attributes"]

CF_VERSION: Final = "CF-1.11"

_DECODED: Final = ("_FillValue", "missing_value", "scale_factor", "add_offset", "coordinates")
"""Attributes that describe packed values; those in memory are unpacked."""

_RESERVED: Final = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "_Netcdf4Dimid",
                    "_Netcdf4Coordinates", "_NCProperties")  # fmt: skip
"""Attributes by which HDF5 and netCDF keep their own books."""

_LONGEST_INTEGER: Final = 2**63 - 1


def with_cf_attributes(ds: xr.Dataset) -> xr.Dataset:
    """Give a dataset what CF asks for and netCDF can hold.

    Parameters
    ----------
    ds : xarray.Dataset
        Any dataset of xrain's.

    Returns
    -------
    xarray.Dataset
        Attributes of CF are added, those that netCDF cannot hold turned into text, the source's
        encoding is dropped. Positions and times are coordinates, a coordinate of several levels
        is split into its levels, and times are nanoseconds.

    Raises
    ------
    InputError
        If an attribute or a variable holds what netCDF cannot store.
    """
    ds = _without_multiindex(known_names(ds).drop_encoding())
    for name in ds.variables:
        ds = _with_storable_variable(ds, name)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    defaults = {"Conventions": CF_VERSION, "history": f"{stamp} written by xrain"}
    ds.attrs = _storable({**defaults, **ds.attrs})
    return ds


def evenly_chunked(ds: xr.Dataset) -> xr.Dataset:
    """Give lazy variables chunks of one length, the last aside: Zarr knows no others.

    Parameters
    ----------
    ds : xarray.Dataset
        Left as it is.

    Returns
    -------
    xarray.Dataset
        With the largest chunk of each dimension where chunks were uneven.
    """
    uneven = {
        name: {
            dim: max(sizes)
            for dim, sizes in variable.chunksizes.items()
            if len({*sizes[:-1]}) > 1 or sizes[-1] > sizes[0]
        }
        for name, variable in ds.variables.items()
    }
    return ds.assign({name: ds[name].chunk(sizes) for name, sizes in uneven.items() if sizes})


def _without_multiindex(ds: xr.Dataset) -> xr.Dataset:
    """Split coordinates of several levels, as ``stack`` makes them, into their levels."""
    several = [name for name, index in ds.indexes.items() if index.nlevels > 1 and name in ds.dims]
    return ds.reset_index(several) if several else ds


def _with_storable_variable(ds: xr.Dataset, name: Hashable) -> xr.Dataset:
    """Give a variable a type and attributes that netCDF can hold."""
    variable = ds[name].variable
    stored = _storable_type(str(name), variable)
    if stored is not variable:
        ds = ds.assign_coords({name: stored}) if name in ds.coords else ds.assign({name: stored})
    attrs = {**ATTRIBUTES.get(str(name), {}), **variable.attrs}
    dropped = ("units", "calendar") if variable.dtype.kind in "mM" else ()
    attrs = {k: v for k, v in attrs.items() if k not in (*dropped, *_DECODED)}
    ds[name].attrs = {k: _flag(k, v, variable.dtype) for k, v in _storable(attrs).items()}
    return ds


def _storable_type(name: str, variable: xr.Variable) -> xr.Variable:
    """Values of a type that netCDF knows, with NaN and NaT as they are."""
    kind, dtype = variable.dtype.kind, variable.dtype
    if kind == "M" and dtype != np.dtype("M8[ns]"):
        return _in_nanoseconds(name, variable)
    if kind == "f" and dtype.itemsize not in (4, 8):
        return variable.astype(np.float32 if dtype.itemsize == 2 else np.float64)
    if kind == "O":
        return _as_text(name, variable)
    if kind in "cV":
        raise InputError(f"variable {name!r} holds {dtype}, which netCDF cannot store")
    return variable


def _in_nanoseconds(name: str, variable: xr.Variable) -> xr.Variable:
    """Convert times of a coarser unit, which xarray would store as NaT."""
    values = variable.values
    fine = values.astype("M8[ns]")
    if (fine.astype(values.dtype) != values)[~np.isnat(values)].any():
        raise InputError(f"variable {name!r} holds times before 1678 or after 2261")
    return variable.copy(data=fine)


def _as_text(name: str, variable: xr.Variable) -> xr.Variable:
    """Objects as text where they are text; dates of other calendars stay."""
    values: npt.NDArray[Any] = variable.values
    flat = values.ravel()
    if all(isinstance(v, str | np.str_) for v in flat):
        return variable.copy(data=values.astype(str))
    if all(hasattr(v, "timetuple") and hasattr(v, "calendar") for v in flat):
        return variable  # cftime
    if all(isinstance(v, bytes) for v in flat):
        text = [v.decode("utf-8", "replace") for v in flat]
        return variable.copy(data=np.array(text, str).reshape(values.shape))
    kinds = sorted({type(v).__name__ for v in flat})
    raise InputError(
        f"variable {name!r} holds objects ({', '.join(kinds)}), which netCDF cannot store: drop "
        "it or turn it into numbers or text"
    )


def _flag(key: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """CF wants the values of flags in the type of their variable."""
    if key in ("flag_values", "flag_masks", "valid_min", "valid_max", "valid_range"):
        return np.asarray(value, dtype=dtype) if dtype.kind in "iuf" else value
    return value


def _storable(attrs: dict[Any, Any]) -> dict[str, Any]:
    kept = {_plain_text(str(k)): v for k, v in attrs.items() if v is not None}
    return {k: _storable_value(k, v) for k, v in kept.items() if k and k not in _RESERVED}


def _plain_text(value: str) -> str:
    """Text without NUL, which ends it in HDF5, and without halves of surrogate pairs."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _storable_value(key: str, value: Any) -> Any:
    """Turn the value of an attribute into numbers or text."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.ndim == 0 else value
    if isinstance(value, np.ndarray | list | tuple | set | frozenset):
        return _storable_list(key, value)
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return _plain_text(str(value))
    if isinstance(value, int | np.integer):
        return value if abs(int(value)) <= _LONGEST_INTEGER else str(value)
    if isinstance(value, float | np.floating):
        return value
    if isinstance(value, dict):
        return _plain_text(json.dumps(value, default=str))
    if isinstance(
        value, Path | datetime.date | datetime.timedelta | np.datetime64 | np.timedelta64
    ):
        return str(value)
    raise InputError(f"attribute {key!r} holds {type(value).__name__}, which netCDF cannot store")


def _storable_list(key: str, value: Any) -> Any:
    """Turn the elements of an attribute into an array of numbers or a list of text."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim == 1:
        return value
    items = value.tolist() if isinstance(value, np.ndarray) else list(value)
    if isinstance(value, set | frozenset):
        items.sort(key=str)
    if any(isinstance(v, list | tuple | dict | set | np.ndarray) or v is None for v in items):
        return _plain_text(json.dumps(items, default=str))
    stored = [_storable_value(key, v) for v in items]
    if not stored:
        return ""
    if len(stored) == 1 and isinstance(stored[0], str):
        return stored[0]
    if any(isinstance(v, str) for v in stored):
        return [str(v) for v in stored]
    return np.asarray(stored)
