"""What a model or reanalysis says of the air: found by its names, in the units that are wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.conventions import (
    AIR_TEMPERATURE,
    ANCILLARY,
    ATTRIBUTES,
    LATITUDE,
    LONGITUDE,
    SKIN_TEMPERATURE,
    TB,
    TIME,
    WATER_VAPOR,
)
from xrain.errors import FileFormatError, InputError
from xrain.geo.interpolate import DegreeGrid, interpolate
from xrain.naming import known_names, means

__all__ = ["add_ancillary", "known_ancillary"]

Convert = Callable[[xr.DataArray], xr.DataArray]


@dataclass(frozen=True)
class _Field:
    """What a field is called in lower case without separators, and between what it must lie."""

    names: frozenset[str]
    standard_name: str
    low: float
    high: float
    units: str


_FIELDS: Final[dict[str, _Field]] = {
    AIR_TEMPERATURE: _Field(
        frozenset({
            "airtemperature2m", "t2m", "2t", "t2", "tas", "temp2m", "2mtemperature",
            "2metretemperature", "temperature2m", "var2t",
        }),
        "air_temperature", 170.0, 340.0, "temperature",
    ),
    WATER_VAPOR: _Field(
        frozenset({
            "totalcolumnwatervapor", "totalcolumnwatervapour", "tcwv", "prw", "pwat",
            "precipitablewater", "totalprecipitablewater", "tpw", "iwv", "tqv", "vartcwv",
        }),
        "atmosphere_mass_content_of_water_vapor", 0.0, 120.0, "column",
    ),
    SKIN_TEMPERATURE: _Field(
        frozenset({"skintemperature", "skt", "tskin", "varskt"}),
        "surface_temperature", 150.0, 370.0, "temperature",
    ),
}  # fmt: skip

_UNITS: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "temperature": {
        **dict.fromkeys(("k", "kelvin", "kelvins", "degk"), (1.0, 0.0)),
        **dict.fromkeys(
            ("c", "°c", "degc", "celsius", "degreecelsius", "degreescelsius", "degreec",
             "degreesc"),
            (1.0, 273.15),
        ),
        **dict.fromkeys(("f", "°f", "degf", "fahrenheit", "degreef", "degreesf"),
                        (5.0 / 9.0, 459.67 * 5.0 / 9.0)),
    },
    "column": {
        **dict.fromkeys(("kgm-2", "kg/m2", "mm", "millimeter", "millimeters"), (1.0, 0.0)),
        **dict.fromkeys(("gcm-2", "g/cm2", "cm"), (10.0, 0.0)),
    },
}  # fmt: skip
"""Factor, and what to add to the product, that turn units without spaces into K or kg m-2."""

_TIMES: Final = ("valid_time", "forecast_time")
"""Names of the time for which a field holds, beside those of :mod:`xrain.naming`."""


def known_ancillary(ds: xr.Dataset) -> xr.Dataset:
    """Give ancillary fields on pixels the names and units that xrain uses.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath or a table of pixels. A field is recognised by its name (``t2m``, ``tcwv``,
        ``skt`` …) or its CF standard name, if exactly one means it.

    Returns
    -------
    xarray.Dataset
        The same dataset where there is none.

    Raises
    ------
    InputError
        If a field has no units or those of something else, or values that cannot be.
    """
    if TB not in ds.variables:
        return ds
    pixels = set(ds[TB].dims)
    found = {}
    for name in ANCILLARY:
        called = _find(ds, name)
        if called is not None and set(ds[called].dims) <= pixels and ds[called].ndim:
            found[called] = name
    for called, name in found.items():
        field = _converted(ds[called], name)
        ds = ds.drop_vars([called]).assign({name: field})
    return ds


def _find(ds: xr.Dataset, name: str) -> Hashable | None:
    """Name by which a dataset calls a field, None if it has none or several."""
    if name in ds.variables:
        return name
    field = _FIELDS[name]
    for test in (
        lambda n, v: _plain(n) in field.names,
        lambda n, v: v.attrs.get("standard_name") == field.standard_name,
    ):
        found = [n for n, v in ds.data_vars.items() if test(n, v)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _plain(name: Hashable) -> str:
    return str(name).lower().replace("_", "").replace("-", "").replace(" ", "")


def _converted(field: xr.DataArray, name: str) -> xr.DataArray:
    """Turn a field into float32 in xrain's units; of what is in memory look at the values."""
    known = _UNITS[_FIELDS[name].units]
    units = str(field.attrs.get("units", "")).strip()
    wanted = ATTRIBUTES[name]["units"]
    plain = units.lower().replace(" ", "").replace("_", "").replace("**", "").replace("^", "")
    if plain not in known:
        has = f"is in {units!r}" if units else "has no units"
        raise InputError(
            f"{field.name}: {has}; give it the attribute 'units', {wanted} or what can be "
            "converted to it"
        )
    factor, offset = known[plain]
    out = (field.astype(np.float64) * factor + offset).astype(np.float32)
    return _require_possible(out, name).assign_attrs(ATTRIBUTES[name])


def _require_possible(field: xr.DataArray, name: str) -> xr.DataArray:
    """Refuse values that cannot be; of a lazy field make them missing."""
    low, high = _FIELDS[name].low, _FIELDS[name].high
    if field.chunks is None and field.size:
        values = field.values
        wrong = values[np.isfinite(values) & ((values < low) | (values > high))]
        if wrong.size:
            raise InputError(
                f"{field.name}: {wrong.size} of {values.size} values lie outside {low:g} to "
                f"{high:g} {ATTRIBUTES[name]['units']}, such as {wrong[0]:g}: the units must be "
                "others, or missing values are not marked as NaN"
            )
    return field.where((field >= low) & (field <= high))


def add_ancillary(ds: xr.Dataset, source: xr.Dataset | str | os.PathLike[str] | Any) -> xr.Dataset:
    """Bring air temperature, water vapour and skin temperature of a model to a swath.

    :func:`xrain.retrieve` tells rain from snow better with them.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath (scan, pixel) or a table (sample) with latitude, longitude and time.
    source : xarray.Dataset or path
        Fields of ERA5 or another model on a grid of latitude and longitude, at one time or more,
        or a netCDF file of them: air temperature at 2 m, total column water vapour and skin
        temperature, at least one of them, by CF standard name or a usual one (``t2m``, ``tcwv``,
        ``skt`` …), in units that can be converted to K and kg m-2.

    Returns
    -------
    xarray.Dataset
        `ds` with ``air_temperature_2m`` (K), ``total_column_water_vapor`` (kg m-2) and
        ``skin_temperature`` (K) of each pixel, as far as the source has them, in memory: linear
        in time and between the four grid points around. NaN where the source has no value.

    Raises
    ------
    InputError
        If the source has none of the fields, units that are none of theirs, values that cannot
        be, or no pixel lies within its area and time; or if a position or a time is missing.
    FileFormatError
        If the file cannot be read.

    Warns
    -----
    UserWarning
        If a part of the pixels lies outside the source's area or time.

    See Also
    --------
    xrain.retrieve : Uses the fields where they are.

    Notes
    -----
    A pixel may lie up to one step of the source's times before the first or after the last of
    them, but not more than three hours.

    References
    ----------
    Hersbach, H., et al., 2020: The ERA5 global reanalysis, doi 10.1002/qj.3803.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xrain
    >>> from xrain.testing import fake_swath
    >>> ds = fake_swath("GMI", 24, 16)
    >>> t2m = (("time", "latitude", "longitude"), np.full((2, 19, 36), 271.0), {"units": "K"})
    >>> axes = {"latitude": np.arange(90, -91, -10.0), "longitude": np.arange(0, 360, 10.0)}
    >>> era5 = xr.Dataset({"t2m": t2m}, {"time": ds.time.values[[0, -1]], **axes})
    >>> float(xrain.add_ancillary(ds, era5)["air_temperature_2m"].mean())
    271.0
    """
    ds = known_names(ds)
    if not isinstance(source, xr.Dataset):
        return _from_file(ds, source)
    fields = {name: called for name in ANCILLARY if (called := _find(source, name)) is not None}
    if not fields:
        there = ", ".join(map(str, source.data_vars)) or "no variables"
        raise InputError(
            f"the source has {there}: none of them is {', '.join(ANCILLARY)} by a name or a "
            "standard_name that is known"
        )
    latitude, longitude, time = _places(ds)
    made = {}
    for name, called in fields.items():
        grid = _grid(source[called], time.values)
        values = interpolate(grid, latitude.values, longitude.values, time.values)
        _tell_outside(values, latitude.values, str(called))
        field = xr.DataArray(values, dims=latitude.dims, name=called, attrs=grid.attrs)
        made[name] = _converted(field, name).variable
    return ds.assign(made)


def _from_file(ds: xr.Dataset, path: str | os.PathLike[str]) -> xr.Dataset:
    try:
        with xr.open_dataset(path) as source:
            return add_ancillary(ds, source)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise FileFormatError(f"{path} cannot be read: {error}") from error


def _places(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Position and time of each pixel."""
    if lost := [n for n in (LATITUDE, LONGITUDE, TIME) if n not in ds.variables]:
        raise InputError(f"the dataset has no {', '.join(lost)}, so nothing can be brought to it")
    latitude, longitude, time = ds[LATITUDE], ds[LONGITUDE], ds[TIME]
    if time.dtype.kind != "M":
        raise InputError(f"the times of the dataset are {time.dtype}, not datetime64")
    longitude = longitude.transpose(*latitude.dims)
    time = time.broadcast_like(latitude).transpose(*latitude.dims)
    return latitude, longitude, time


def _grid(field: xr.DataArray, times: Any) -> DegreeGrid:
    """Axes of a field, and its values around some times."""
    axes = {concept: _axis(field, concept) for concept in (LATITUDE, LONGITUDE, TIME)}
    time = axes[TIME]
    if time.dtype.kind != "M":
        raise InputError(f"the times of {field.name} are {time.dtype}, not datetime64")
    for name in (LATITUDE, LONGITUDE):
        if axes[name].ndim != 1:
            raise InputError(
                f"{field.name}: {axes[name].name} has dimensions {axes[name].dims}; a grid of "
                "latitude and longitude is needed, so bring the field to one"
            )
    if time.ndim == 0:
        field = field.expand_dims({TIME: [time.values]})
        time = field[TIME]
    dims = [a.dims[0] for a in (time, axes[LATITUDE], axes[LONGITUDE])]
    more = {d: n for d, n in field.sizes.items() if d not in dims}
    if any(n != 1 for n in more.values()):
        raise InputError(f"{field.name} also has the dimensions {more}: choose one of each")
    field = field.isel(dict.fromkeys(more, 0), drop=True).transpose(*dims)
    order = np.argsort(time.values, kind="stable")
    near = _around(time.values[order], times)
    kept = order[near]
    values = field.isel({dims[0]: kept}).values
    return DegreeGrid(
        values, time.values[kept], axes[LATITUDE].values, axes[LONGITUDE].values,
        np.median(np.diff(time.values[order])) if len(order) > 1 else None,
        str(field.name), dict(field.attrs),
    )  # fmt: skip


def _axis(field: xr.DataArray, concept: str) -> xr.DataArray:
    """Coordinate of a field that is latitude, longitude or time."""
    if concept == TIME:
        for name in _TIMES:
            if name in field.coords:
                known: xr.DataArray = field.coords[name]
                return known
    found: list[xr.DataArray] = [
        c for n, c in field.coords.items() if means(concept, str(n), c.attrs.get("standard_name"))
    ]
    dims = [c for c in found if c.dims == (c.name,)] or found
    if not dims:
        raise InputError(f"{field.name} has no coordinate that is its {concept}")
    return dims[0]


def _around(known: Any, times: Any) -> slice:
    """Which of the source's ascending times are needed."""
    wanted = times[~np.isnat(times)]
    if not wanted.size:
        raise InputError("no pixel has a time")
    first = int(np.searchsorted(known, wanted.min(), side="right")) - 1
    last = int(np.searchsorted(known, wanted.max(), side="left"))
    first = min(max(first, 0), len(known) - 1)
    return slice(first, max(last, first) + 1)


def _tell_outside(values: Any, latitude: Any, name: str) -> None:
    from xrain.io.hdf5 import warn  # h5py, which nobody needs who brings no field

    placed = np.isfinite(latitude)
    share = float(np.mean(~np.isfinite(values[placed]))) if placed.any() else 0.0
    if share > 0:
        warn(
            f"{name} is unknown for {share:.1%} of the pixels, outside the area or the times of "
            "the source or without a value there; their phase is told without it"
        )
