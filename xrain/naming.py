"""Names that other tools give to positions, times and angles, brought to those of xrain."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import xarray as xr

from xrain.conventions import (
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    SAMPLE,
    SCAN,
    SWATH,
    TB,
    TIME,
)

__all__ = ["ANGLE_NAMES", "is_zenith_angle", "known_names", "means"]

ANGLE_NAMES: Final = (
    "sensor_zenith_angle",
    "satellite_zenith_angle",
    "platform_zenith_angle",
    "observation_zenith_angle",
)
"""CF standard names of the zenith angle of the satellite, which is the earth incidence angle."""


@dataclass(frozen=True)
class _Concept:
    """What a variable is, and how others call it, in lower case without underscores."""

    name: str
    aliases: frozenset[str]
    standard_names: frozenset[str]
    dims: frozenset[str]


_GRID: Final = frozenset({SCAN, PIXEL, SAMPLE})
_CONCEPTS: Final = (
    _Concept(
        LATITUDE,
        frozenset({"latitude", "latitudes", "lat", "lats", "navlat"}),
        frozenset({"latitude"}),
        _GRID,
    ),
    _Concept(
        LONGITUDE,
        frozenset({"longitude", "longitudes", "lon", "lons", "long", "navlon"}),
        frozenset({"longitude"}),
        _GRID,
    ),
    _Concept(
        TIME,
        frozenset({"time", "times", "scantime", "datetime", "obstime", "timestamp"}),
        frozenset({"time"}),
        _GRID,
    ),
    _Concept(
        INCIDENCE,
        frozenset(
            {
                "earthincidenceangle", "incidenceangle", "eia", "satellitezenithangle",
                "sensorzenithangle", "satellitezenith", "sensorzenith", "satzen", "satzenith",
            }
        ),
        frozenset(ANGLE_NAMES),
        _GRID | {CHANNEL, SWATH},
    ),
    _Concept(
        TB,
        frozenset({"tb", "tbs", "tc", "bt", "brightnesstemperature", "brightnesstemperatures"}),
        frozenset({"brightness_temperature", "toa_brightness_temperature"}),
        _GRID | {CHANNEL},
    ),
)  # fmt: skip


def known_names(ds: xr.Dataset) -> xr.Dataset:
    """Give positions, times, angles and temperatures of a swath the names that xrain uses.

    A variable is recognised by its name (``lat``, ``incidence_angle``, ``ScanTime`` …) or its CF
    standard name, if no variable has xrain's own name and exactly one means it. Positions, times
    and angles that are plain variables become coordinates.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath (scan, pixel) or a table (sample), of temperatures or of rain.

    Returns
    -------
    xarray.Dataset
        The same dataset where every name is known already.

    Examples
    --------
    >>> import numpy as np
    >>> ds = xr.Dataset({"lat": ("sample", np.zeros(2)), "lon": ("sample", np.zeros(2))})
    >>> sorted(known_names(ds).coords)
    ['latitude', 'longitude']
    """
    names = {}
    for concept in _CONCEPTS:
        if concept.name not in ds.variables:
            found = [n for n, v in ds.variables.items() if _is_meant(concept, n, v)]
            if len(found) == 1:
                names[found[0]] = concept.name
    if names:
        ds = ds.rename_vars(names)
    plain = [
        c.name
        for c in _CONCEPTS
        if c.name != TB and c.name in ds.data_vars and c.dims.issuperset(ds[c.name].dims)
    ]
    return ds.set_coords(plain) if plain else ds


def _is_meant(concept: _Concept, name: Hashable, variable: xr.Variable) -> bool:
    if not variable.dims or not concept.dims.issuperset(variable.dims) or name in variable.dims:
        return False
    if concept.name == TB and CHANNEL not in variable.dims:
        return False
    return _is_called(concept, str(name), variable.attrs.get("standard_name"))


def _is_called(concept: _Concept, name: str, standard_name: object) -> bool:
    plain = name.lower().replace("_", "").replace("-", "")
    return plain in concept.aliases or standard_name in concept.standard_names


def means(concept: str, name: str, standard_name: object = None) -> bool:
    """Whether a field of some name is what xrain calls otherwise.

    Parameters
    ----------
    concept : str
        xrain's name: latitude, longitude, time, earth_incidence_angle or tb.
    name : str
        Name of the field.
    standard_name : str, optional
        Its CF standard name.

    Returns
    -------
    bool

    Examples
    --------
    >>> means("latitude", "lat"), means("time", "lat")
    (True, False)
    """
    return _is_called(next(c for c in _CONCEPTS if c.name == concept), name, standard_name)


def is_zenith_angle(name: str, standard_name: object = None) -> bool:
    """Whether a field is the zenith angle of the satellite, and not that of the sun.

    Parameters
    ----------
    name : str
        Its name.
    standard_name : str, optional
        Its CF standard name.

    Returns
    -------
    bool
    """
    if standard_name in ANGLE_NAMES or name.startswith(INCIDENCE):
        return True
    lower = name.lower()
    sun = "sun" in lower or "solar" in lower
    angle = next(c for c in _CONCEPTS if c.name == INCIDENCE)
    return not sun and ("zenith" in lower or lower.replace("_", "") in angle.aliases)
