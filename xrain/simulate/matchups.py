"""Matched pixels: a radiometer's brightness temperatures beside the state of their columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from xrain.errors import InputError
from xrain.io.matchups import open_matchups
from xrain.simulate.environment import LAND, OCEAN, SEA_ICE, SNOW, Environment

__all__ = ["matchup_environment", "read_matchups", "surface_kind"]

NEEDED = (
    "t2m",
    "skin_temperature",
    "total_column_water_vapour",
    "total_column_cloud_liquid",
    "u10",
    "v10",
    "land_fraction",
)
_SNOW_DEPTH = 0.01  # m of water, above which land counts as snow-covered


def read_matchups(path: str | Path) -> xr.Dataset:
    """Read a file of matched pixels with the state of their columns.

    Parameters
    ----------
    path : str or Path
        As for :func:`xrain.io.matchups.open_matchups`, with the ERA5 columns named as in the docs.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    InputError
        If a variable is missing.
    """
    data = open_matchups(path)
    if missing := [name for name in NEEDED if name not in data]:
        raise InputError(f"{path}: the simulator needs {', '.join(missing)} of matched pixels")
    return data


def _values(data: xr.Dataset, name: str, fill: float = np.nan) -> NDArray[np.float32]:
    if name not in data:
        return np.full(data.sizes["sample"], fill, np.float32)
    values = data[name].values.astype(np.float32)
    return values if np.isnan(fill) else np.nan_to_num(values, nan=fill)


def surface_kind(data: xr.Dataset) -> NDArray[np.int64]:
    """Surface of the simulator for each pixel: ocean, land, snow or sea ice."""
    land = _values(data, "land_fraction")
    kind = np.where(land > 0.5, LAND, OCEAN)
    kind = np.where((kind == LAND) & (_values(data, "snow_depth", 0.0) > _SNOW_DEPTH), SNOW, kind)
    ice = _values(data, "sea_ice_fraction", 0.0) > 0.5
    return np.where((kind == OCEAN) & ice, SEA_ICE, kind).astype(np.int64)


def matchup_environment(
    data: xr.Dataset, rain_rate: NDArray[np.float32] | None = None
) -> tuple[Environment, NDArray[np.intp]]:
    """Build the state of the columns over matched pixels.

    Parameters
    ----------
    data : xarray.Dataset
        As from `read_matchups`.
    rain_rate : ndarray, optional
        Rate in mm/h, dry by default.

    Returns
    -------
    environment : Environment
        Columns with every input known.
    index : ndarray of int
        Their place among the samples; pixels with a missing input are left out.
    """
    rate = np.zeros(data.sizes["sample"], np.float32) if rain_rate is None else rain_rate
    names = {
        "t2m": "t2m",
        "skin_temperature": "skin_temperature",
        "water_vapour": "total_column_water_vapour",
        "cloud_liquid": "total_column_cloud_liquid",
        "cloud_ice": "total_column_cloud_ice",
        "land_fraction": "land_fraction",
    }
    fills = {"cloud_ice": 0.01}
    columns = {k: _values(data, v, fills.get(k, np.nan)) for k, v in names.items()}
    columns["rain_rate"] = rate
    columns["wind_speed"] = np.hypot(_values(data, "u10"), _values(data, "v10"))
    known = np.all([np.isfinite(v) for v in columns.values()], axis=0)
    known &= np.isfinite(data["tb"].values).all(axis=1)
    index = np.flatnonzero(known)
    columns["elevation"] = _values(data, "elevation", 0.0).clip(-400.0, 6000.0) * np.float32(1e-3)
    for name in ("cloud_liquid", "cloud_ice"):
        columns[name] = columns[name].clip(0.0)
    fraction = columns["land_fraction"]
    fraction[fraction > 0.99] = 1.0
    fraction[fraction < 0.01] = 0.0

    def pick(values: NDArray[np.generic]) -> Tensor:
        return torch.as_tensor(values[index])

    surface = pick(surface_kind(data))
    given: dict[str, Any] = {k: pick(v) for k, v in columns.items()}
    return Environment.derive(surface=surface, **given), index
