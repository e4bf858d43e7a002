"""Open what is collocated: radiometer granules, and references of every kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr

from xrain.conventions import (
    SCAN,
    SURFACE_PRECIP,
    TB,
    TIME,
)
from xrain.errors import FileFormatError, InputError
from xrain.io.open import open_l1c, open_reference
from xrain.matching.quality import good_rate
from xrain.simulate.rain import despike

__all__ = ["Identity", "Span", "identify", "open_source", "rate_name", "screened_rate", "span_of"]

RAIN_RATE: Final = "rain_rate"

_NAME: Final = re.compile(r"\.(\d{8})-S(\d{6})-E(\d{6})\.")
_VERSION: Final = re.compile(r"V\d+")


@dataclass(frozen=True)
class Span:
    """A file and the time that it covers."""

    path: Path
    first: np.datetime64
    last: np.datetime64


def span_of(path: Path, radiometer: bool) -> Span:
    """Tell from when to when a granule lasts: from the archive's name, or else from the file.

    Raises
    ------
    FileFormatError, InputError
        If it must be read and cannot be, or has no time.
    """
    if found := _NAME.search(path.name):
        day = f"{found[1][:4]}-{found[1][4:6]}-{found[1][6:]}"
        first, last = (
            np.datetime64(f"{day}T{t[:2]}:{t[2:4]}:{t[4:]}", "ns") for t in found.groups()[1:]
        )
        return Span(path, first, last + np.timedelta64(1 if last < first else 0, "D"))
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with open_l1c(path) if radiometer else open_source(path) as ds:
        if TIME not in ds.variables:
            raise InputError(f"{path} says no time")
        time = np.atleast_1d(ds[TIME].values)
        time = time[~np.isnat(time)]
    if not time.size:
        raise InputError(f"{path}: no scan has a time")
    return Span(path, time.min(), time.max())


@contextmanager
def open_source(path: Path) -> Iterator[xr.Dataset]:
    """Open a reference: a 2A, 2B or IMERG granule, a rain file of xrain, or rain on a grid.

    Raises
    ------
    FileFormatError
        If it is none of these.
    """
    try:
        ds = open_reference(path)
    except FileFormatError as error:
        try:
            ds = xr.open_dataset(path, engine="h5netcdf")
        except (OSError, ValueError, KeyError):
            raise error from None
        if not {SURFACE_PRECIP, RAIN_RATE} & set(ds.variables):
            ds.close()
            raise FileFormatError(
                f"{path}: a reference is a 2A, 2B or IMERG granule, a rain file of xrain, or "
                f"netCDF with {RAIN_RATE} in mm h-1 on a grid"
            ) from error
    with ds:
        yield ds


@dataclass(frozen=True)
class Identity:
    """What a store keeps apart: one product in one version."""

    product: str
    version: str


def identify(ds: xr.Dataset) -> Identity:
    """Tell product and main version of what is open."""
    attrs = ds.attrs
    if TB in ds.variables:
        product = str(attrs["sensor"])
    elif "model" in attrs:
        product = str(attrs["model"])
        return Identity(product, str(attrs.get("model_version", "")))
    else:
        product = str(attrs.get("product") or attrs.get("title") or "rain on a grid")
    version = str(attrs.get("product_version", ""))
    found = _VERSION.match(version)
    return Identity(product, found[0] if found else version)


def rate_name(ds: xr.Dataset, variable: str) -> str:
    """Tell which variable of a reference is its rate: `variable`, or ``rain_rate`` of a grid.

    Raises
    ------
    InputError
        If it has neither.
    """
    for name in (variable, RAIN_RATE):
        if name in ds.variables:
            return name
    rates = [str(n) for n in ds.data_vars if "precip" in str(n) and ds[n].dtype.kind == "f"]
    raise InputError(
        f"{ds.attrs.get('granule', 'the reference')} has no {variable}; there are "
        f"{', '.join(rates)}"
    )


def screened_rate(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """Rain rate, NaN where the product calls it bad; of a radar composite without spikes.

    Raises
    ------
    InputError
        If the product has no such variable.
    """
    name = rate_name(ds, variable)
    rate = ds[name]
    if name == RAIN_RATE and SCAN not in ds.dims:
        fields = rate.values.reshape(-1, *rate.shape[-2:])
        return rate.copy(data=np.stack([despike(f) for f in fields]).reshape(rate.shape))
    return good_rate(ds, name)
