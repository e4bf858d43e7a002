"""Rain rates from files and datasets of others: units are converted to mm h-1 or refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.errors import FileFormatError, InputError

__all__ = [
    "RAIN_RATE",
    "open_rain_grid",
    "rain_grid",
    "rate_factor",
    "require_rates",
    "to_mm_per_hour",
]

RAIN_RATE: Final = "rain_rate"
"""Name of the rate in a file of rain on a grid."""

HIGHEST: Final = 500.0
"""Rate in mm/h above which a value is no rain but a fill value or another quantity."""

_PREFIXES: Final = {"milli": 1e-3, "centi": 1e-2, "kilo": 1e3, "": 1.0}
_NAMES: Final[dict[str, tuple[str, float]]] = {
    "mm": ("length", 1e-3), "cm": ("length", 1e-2), "m": ("length", 1.0),
    "in": ("length", 0.0254), "inch": ("length", 0.0254),
    **{f"{p}{n}": ("length", f) for p, f in _PREFIXES.items() for n in ("meter", "metre")},
    "kg": ("mass", 1.0), "g": ("mass", 1e-3),
    "s": ("time", 1.0), "sec": ("time", 1.0), "second": ("time", 1.0),
    "min": ("time", 60.0), "minute": ("time", 60.0),
    "h": ("time", 3600.0), "hr": ("time", 3600.0), "hour": ("time", 3600.0),
    "d": ("time", 86400.0), "day": ("time", 86400.0),
}  # fmt: skip
"""Dimension and size in SI units of what rain rates are told in."""

_DEPTH: Final = {"length": 1, "mass": 0, "time": -1}
_MASS: Final = {"length": -2, "mass": 1, "time": -1}
_TOKEN: Final = re.compile(r"([a-z]+)([+-]?\d+)?")


def rate_factor(units: str) -> float | None:
    """Factor that turns a rate into mm h-1, None if the units are not those of a rain rate.

    Parameters
    ----------
    units : str
        Depth or mass of water by area, per time, in any usual spelling: ``mm h-1``, ``mm/hr``,
        ``kg m-2 s-1``, ``m s**-1``, ``mm/day``. 1 kg m-2 of water is 1 mm.

    Examples
    --------
    >>> [round(rate_factor(u), 9) for u in ("mm/hr", "kg m-2 s-1", "m s**-1", "mm day-1")]
    [1.0, 3600.0, 3600000.0, 0.041666667]
    >>> rate_factor("mm") is None
    True
    """
    text = re.sub(r"\*\*|\^", "", units.strip().lower())
    text = re.sub(r"\s*/\s*|\s+per\s+", " / ", text)
    powers, factor, sign = dict.fromkeys(_DEPTH, 0), 1.0, 1
    for word in re.sub(r"[.·*]", " ", text).split():
        if word == "/":
            sign = -1
            continue
        found = _TOKEN.fullmatch(word)
        name = found[1] if found else ""
        known = _NAMES.get(name) or _NAMES.get(name.removesuffix("s"))
        if found is None or known is None:
            return None
        power = sign * int(found[2] or 1)
        powers[known[0]] += power
        factor *= known[1] ** power
    if powers not in (_DEPTH, _MASS):
        return None
    return float(f"{factor * (3.6e6 if powers == _DEPTH else 3600.0):.12g}")


def to_mm_per_hour(rate: xr.DataArray, where: str) -> xr.DataArray:
    """Convert a rain rate to mm h-1; one without the attribute ``units`` is taken to be in it.

    Raises
    ------
    InputError
        If the units are not those of a rate; `where` names its source in the message.
    """
    units = str(rate.attrs.get("units", "mm h-1"))
    factor = rate_factor(units)
    if factor is None:
        raise InputError(
            f"{where}: {rate.name or 'the rate'} is in {units!r}, which is no rain rate; convert "
            "it to mm h-1, an amount by dividing it by its duration"
        )
    if factor == 1:
        return rate.assign_attrs({**rate.attrs, "units": "mm h-1"})
    return (rate * factor).assign_attrs({**rate.attrs, "units": "mm h-1"})


def require_rates(rate: np.ndarray[Any, Any], where: str) -> None:
    """Refuse a field that cannot be rain rates in mm h-1.

    Raises
    ------
    InputError
        If it has no value, a negative one, or one above 500 mm/h.
    """
    if not np.isfinite(rate).any():
        raise InputError(f"{where}: rain_rate is NaN everywhere")
    low, high = float(np.nanmin(rate)), float(np.nanmax(rate))
    if low < 0 or high > HIGHEST:
        raise InputError(
            f"{where}: rain_rate must lie within 0–{HIGHEST:g} mm h-1, got {low:g} to {high:g}; "
            "mark missing values as NaN"
        )


def open_rain_grid(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a netCDF file of rain on a grid, lazily.

    Parameters
    ----------
    path : path
        File with ``rain_rate``, or with one variable of two dimensions and more, whose attribute
        ``units`` says a rate; on latitude and longitude, or on y and x with a projection in the
        attribute ``projection`` or in a CF grid mapping.

    Returns
    -------
    xarray.Dataset
        With ``rain_rate`` in mm h-1.

    Raises
    ------
    FileFormatError
        If the file cannot be read as netCDF.
    InputError
        If no variable is the rain rate, or its units are not told or not those of a rate.

    Examples
    --------
    >>> xrain.io.rain_rates.open_rain_grid("mrms.nc")["rain_rate"].attrs["units"]  # doctest: +SKIP
    'mm h-1'
    """
    where = Path(path).name
    try:
        ds = xr.open_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path}: cannot be read as netCDF ({error})") from error
    try:
        out = rain_grid(ds, where, told=True)
    except InputError:
        ds.close()
        raise
    out.set_close(ds.close)
    return out


def rain_grid(ds: xr.Dataset, where: str, told: bool = False) -> xr.Dataset:
    """Bring the rate of a gridded dataset to the name ``rain_rate`` and to mm h-1.

    Parameters
    ----------
    ds : xarray.Dataset
        As :func:`open_rain_grid` wants a file to be.
    where : str
        Its name for messages.
    told : bool
        Whether the units must be told; else they are mm h-1 where they are not.

    Raises
    ------
    InputError
        As of :func:`open_rain_grid`.
    """
    name = _rate_variable(ds, where)
    if told and "units" not in ds[name].attrs:
        raise InputError(
            f"{where}: {name} does not say its units; give it the attribute units, such as 'mm h-1'"
        )
    return ds.drop_vars(name).assign({RAIN_RATE: to_mm_per_hour(ds[name], where)})


def _rate_variable(ds: xr.Dataset, where: str) -> str:
    names = [str(n) for n in ds.data_vars if ds[n].ndim >= 2]
    if RAIN_RATE in names:
        return RAIN_RATE
    if len(names) != 1:
        raise InputError(
            f"{where}: no variable {RAIN_RATE}; there are {', '.join(names) or 'none'}. "
            f"Rename the rate to {RAIN_RATE}"
        )
    return names[0]
