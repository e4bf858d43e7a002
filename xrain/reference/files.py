"""Open what is collocated: radiometer granules, and references of every kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import LATITUDE, LONGITUDE, SURFACE_PRECIP, TB, TIME
from xrain.errors import FileFormatError, InputError
from xrain.io.open import open_l1c, open_reference
from xrain.io.rain_rates import RAIN_RATE, open_rain_grid

__all__ = [
    "Identity", "Span", "full_positions", "identify", "open_source", "positions_differ",
    "product_label", "span_of",
]  # fmt: skip

INTERVAL: Final = np.timedelta64(1, "h")
"""A field of a grid may be named after the start of an interval as long as this."""


APART = 0.1
"""Degrees by which the positions of two datasets may differ and still be the same pixels."""


Array = npt.NDArray[Any]

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
        ds = _other_source(path, error)
    with ds:
        yield ds


def _other_source(path: Path, error: FileFormatError) -> xr.Dataset:
    """Open what is no granule of the archive: rain of xrain, or rain on a grid."""
    try:
        ds = xr.open_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError):
        raise error from None
    if SURFACE_PRECIP in ds.variables:
        return ds
    ds.close()
    try:
        return open_rain_grid(path)
    except InputError as wrong:
        raise FileFormatError(
            f"{path}: a reference is a 2A, 2B or IMERG granule, a rain file of xrain, or "
            f"netCDF with {RAIN_RATE} on a grid: {wrong}"
        ) from error


def product_label(attrs: dict[str, object]) -> str:
    """Name a product for people by its attributes: GPROF for every 2A GPROF."""
    product = str(attrs.get("product") or attrs.get("model") or attrs.get("title") or "reference")
    name = "GPROF" if "GPROF" in product else product
    version = attrs.get("product_version") or attrs.get("model_version") or ""
    return " ".join(str(w) for w in (name, version) if w)


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


def full_positions(ds: xr.Dataset, dims: tuple[str, ...]) -> xr.Dataset:
    """Give latitude and longitude all the dimensions of the pixels, where they have fewer.

    Raises
    ------
    InputError
        If they have others.
    """
    given = [n for n in (LATITUDE, LONGITUDE) if n in ds.variables]
    if wrong := [n for n in given if not set(ds[n].dims) <= set(dims)]:
        raise InputError(
            f"{wrong[0]} has dimensions {ds[wrong[0]].dims}, the rain {dims}: give positions of "
            "the same pixels"
        )
    sizes = {d: ds.sizes[d] for d in dims}
    shape = tuple(sizes.values())
    full = {}
    for name in given:
        missing = {d: n for d, n in sizes.items() if d not in ds[name].dims}
        values = ds[name].reset_coords(drop=True).expand_dims(missing).transpose(*dims).values
        full[name] = (dims, np.broadcast_to(values.astype(np.float64), shape))
    return ds.drop_vars(given).assign_coords(full)


def positions_differ(a: xr.Dataset, b: xr.Dataset, dims: tuple[str, ...]) -> float:
    """Degrees by which the pixels of two datasets lie apart, 0 if they are the same or unknown."""
    if not {LATITUDE, LONGITUDE} <= set(a.variables) & set(b.variables):
        return 0.0
    a, b = (full_positions(ds, dims) for ds in (a, b))
    lat, lon = (a[n].values - b[n].values for n in (LATITUDE, LONGITUDE))
    parallel = np.cos(np.radians(a[LATITUDE].values))
    apart = np.fmax(np.abs(lat), np.abs((lon + 180) % 360 - 180) * parallel)
    widest = float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0
    return widest if widest > APART else 0.0
