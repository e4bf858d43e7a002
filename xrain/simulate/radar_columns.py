"""Columns of a radar along transects: profiles as CORRA has them, and what was seen above them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.errors import FileFormatError, InputError

__all__ = ["DEPTH", "LEVELS", "RadarColumns", "has_columns", "read_columns"]

BIN = 0.25  # km, depth of a radar bin
DEPTH = 0.5  # km, depth of a layer: two bins
LEVELS = 36  # layers, up to 18 km above the surface
_NEEDED = (
    "tb", "overpass", "scan_number", "surface_precip", "surface_type", "column_scan",
    "precip_type", "water_content", "mass_diameter", "cloud_water", "surface_bin", "phase_bins",
    "environment_bins", "air_temperature", "pressure", "water_vapor_density",
    "skin_temperature", "emissivity", "simulated_tb", "spacecraft_yaw",
)  # fmt: skip
Array = NDArray[np.float32]


@dataclass(frozen=True)
class RadarColumns:
    """N precipitating columns in the order of overpasses and scans; layers lead, surface first.

    Attributes
    ----------
    channels : tuple of str
        Names of the channels.
    tb, corra_tb, emissivity : ndarray, (N, channel)
        Brightness temperature in K as seen and as CORRA simulates it, and surface emissivity.
    overpass, scan : ndarray, (N,)
        Number of the overpass and of the scan in it.
    forward : ndarray of bool, (N,)
        Whether the radiometer looks ahead along the track, to rising scan numbers.
    ocean : ndarray of bool, (N,)
        Open water, or else land.
    rain_type : ndarray, (N,)
        1 stratiform, 2 convective, 3 other.
    rate, skin_temperature, freezing_level : ndarray, (N,)
        Surface rain in mm h-1, K, and the height of 0 °C above the surface in km.
    temperature, pressure, vapour : ndarray, (LEVELS + 1, N)
        At the layers' boundaries: K, hPa, g m-3.
    water, diameter, cloud : ndarray, (LEVELS, N)
        Precipitating water and cloud liquid in g m-3, mass-weighted diameter in mm.
    liquid : ndarray, (LEVELS, N)
        Share of the precipitation that is liquid.
    """

    channels: tuple[str, ...]
    tb: Array
    corra_tb: Array
    emissivity: Array
    overpass: NDArray[np.int64]
    scan: NDArray[np.int64]
    forward: NDArray[np.bool_]
    ocean: NDArray[np.bool_]
    rain_type: NDArray[np.int64]
    rate: Array
    skin_temperature: Array
    freezing_level: Array
    temperature: Array
    pressure: Array
    vapour: Array
    water: Array
    diameter: Array
    cloud: Array
    liquid: Array

    def __len__(self) -> int:
        return int(self.overpass.size)

    def select(self, index: NDArray[np.generic]) -> RadarColumns:
        """Return the columns of an index or a mask."""
        profiles = {"temperature", "pressure", "vapour", "water", "diameter", "cloud", "liquid"}
        chosen = {
            k: v if k == "channels" else v[:, index] if k in profiles else v[index]
            for k, v in vars(self).items()
        }
        return RadarColumns(**chosen)


def has_columns(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds columns of a radar; False if it cannot be read."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            return "column_scan" in ds.variables
    except (OSError, ValueError):
        return False


def read_columns(path: str | os.PathLike[str]) -> RadarColumns:
    """Read the columns of a file of transects.

    Parameters
    ----------
    path : path
        NetCDF with ``tb(scan, channel)`` and CORRA's profiles in bins of 250 m, as in the docs.

    Returns
    -------
    RadarColumns
        Those whose brightness temperatures and surface are known.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is no netCDF.
    InputError
        If a variable is missing, or no column is whole.
    """
    path = Path(path)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            missing = [n for n in (*_NEEDED, "channel") if n not in opened.variables]
            if missing:
                raise InputError(f"{path}: columns of a radar need {', '.join(missing)}")
            ds = opened[list(_NEEDED)].load()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as a netCDF file: {error}") from error
    columns = _columns(ds)
    known = np.asarray(np.isfinite(np.hstack([columns.tb, columns.emissivity])).all(axis=1))
    if not known.any():
        raise InputError(f"{path}: no column has every brightness temperature and its emissivity")
    order = np.lexsort([columns.scan, columns.overpass])
    return columns.select(order[known[order]])


def _columns(ds: xr.Dataset) -> RadarColumns:
    scan = ds["column_scan"].values.astype(int)
    surface = ds["surface_bin"].values.astype(int)
    water, diameter, cloud = (
        _from_surface(ds[n].values, surface)
        for n in ("water_content", "mass_diameter", "cloud_water")
    )
    mass = np.maximum(water, 1e-9) * (diameter > 0)
    nodes = _nodes(ds, surface)
    return RadarColumns(
        channels=tuple(str(n) for n in ds["channel"].values),
        tb=ds["tb"].values[scan].astype(np.float32),
        corra_tb=ds["simulated_tb"].values.astype(np.float32),
        emissivity=ds["emissivity"].values.astype(np.float32),
        overpass=ds["overpass"].values[scan].astype(np.int64),
        scan=ds["scan_number"].values[scan].astype(np.int64),
        forward=ds["spacecraft_yaw"].values < 90,
        ocean=ds["surface_type"].values[scan] == 0,
        rain_type=ds["precip_type"].values.astype(np.int64),
        rate=ds["surface_precip"].values[scan].astype(np.float32),
        skin_temperature=ds["skin_temperature"].values.astype(np.float32),
        freezing_level=_freezing_level(nodes["temperature"]),
        **nodes,
        water=_pairs(water),
        diameter=(_pairs(diameter * mass) / np.maximum(_pairs(mass), 1e-9)).astype(np.float32),
        cloud=_pairs(cloud),
        liquid=_pairs(_liquid_share(ds["phase_bins"].values, surface)),
    )


def _pairs(bins: NDArray[np.floating]) -> Array:
    """Mean of every two bins, (LEVELS, N)."""
    return np.asarray(0.5 * (bins[0::2] + bins[1::2]), np.float32)


def _from_surface(profile: NDArray[np.floating], surface: NDArray[np.int_]) -> Array:
    """Bins from the surface upwards, (2 LEVELS, N).

    What lies below the lowest bin that the ground's echo leaves takes the value of that bin;
    unknown bins above it hold nothing.
    """
    bins = profile.shape[1]
    known = np.isfinite(profile)
    lowest = np.where(known.any(1), bins - 1 - known[:, ::-1].argmax(1), 0)
    index = np.minimum(surface - 1 - np.arange(2 * LEVELS)[:, None], lowest)
    values = profile[np.arange(profile.shape[0]), index.clip(0)]
    return np.where(index >= 0, np.nan_to_num(values), 0.0).astype(np.float32)


def _liquid_share(phase: NDArray[np.integer], surface: NDArray[np.int_]) -> Array:
    """Share of liquid in bins from the surface: 0 above the second node, 1 below the fourth."""
    index = surface - 1 - np.arange(2 * LEVELS)[:, None]
    top, bottom = phase[:, 1].astype(float), phase[:, 3].astype(float)
    return np.asarray(((index - top + 0.5) / np.maximum(bottom - top, 1.0)).clip(0, 1), np.float32)


def _nodes(ds: xr.Dataset, surface: NDArray[np.int_]) -> dict[str, Array]:
    """Temperature, pressure and vapour at the layers' boundaries."""
    at = surface[:, None] - 2.0 * np.arange(LEVELS + 1)
    bins = ds["environment_bins"].values.astype(float)
    names = {
        "temperature": "air_temperature",
        "pressure": "pressure",
        "vapour": "water_vapor_density",
    }
    out = {}
    for name, source in names.items():
        values = ds[source].values
        if name != "temperature":
            values = np.log(np.maximum(values, 1e-4))
        rows = [np.interp(a, b, v) for a, b, v in zip(at, bins, values, strict=True)]
        stacked = np.stack(rows, axis=1)
        out[name] = (stacked if name == "temperature" else np.exp(stacked)).astype(np.float32)
    return out


def _freezing_level(temperature: Array) -> Array:
    """Highest crossing of 0 °C in km above the surface, 0 where there is none."""
    warm = temperature >= 273.15
    top = np.where(warm.any(0), LEVELS - warm[::-1].argmax(0), 0)
    column = np.arange(temperature.shape[1])
    above = np.minimum(top + 1, LEVELS)
    step = (temperature[top, column] - temperature[above, column]).clip(1e-3)
    share = ((temperature[top, column] - 273.15) / step).clip(0, 1)
    return np.where(warm.any(0), DEPTH * (top + share), 0.0).astype(np.float32)
