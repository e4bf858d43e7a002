"""SatRain's files as swaths and as tables of matched pixels.

A file ``gmi_YYYYmmddHHMMSS.nc`` or ``atms_….nc`` holds ``observations`` in K over (scan, pixel,
channel), or over (latitude, longitude, channel) on a grid of 0.036 degrees; ``target_….nc`` of the
same time holds the reference. The channels have no names there: they are told by their order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    ATTRIBUTES,
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    SAMPLE,
    SCAN,
    SURFACE_PRECIP,
    TB,
    TIME,
)
from xrain.errors import FileFormatError, InputError

__all__ = [
    "CHANNELS", "load_netcdf", "make_swath", "open_satrain", "require_sensor", "satrain_matchups",
    "spread",
]  # fmt: skip

Array = NDArray[np.float64]

CHANNELS: Final[dict[str, tuple[str, ...]]] = {
    "gmi": (
        "10.65V", "10.65H", "18.7V", "18.7H", "23.8V", "36.5V", "36.5H", "89V", "89H", "166V",
        "166H", "183±3V", "183±7V",
    ),
    "atms": (
        "23.8QV", "31.4QV", "88.2QV", "165.5QH", "183±7QH", "183±4.5QH", "183±3QH",
        "183±1.8QH", "183±1QH",
    ),
}  # fmt: skip
"""Names of the channels of SatRain's files, in their order."""

MIN_QUALITY: Final = 0.5
"""Radar quality index and valid fraction from which on SatRain counts a pixel."""

_GRID: Final = (LATITUDE, LONGITUDE)
_SWATH: Final = (SCAN, PIXEL)


def open_satrain(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    reference: str = "surface_precip",
) -> xr.Dataset:
    """Read observations of SatRain as a swath, with the reference rain if it is given.

    Parameters
    ----------
    path : path
        ``gmi_YYYYmmddHHMMSS.nc`` or ``atms_….nc``, on the swath or on the grid of 0.036 degrees;
        rows of the grid become scans.
    target : path, optional
        ``target_….nc`` of the same time and geometry.
    reference : {"surface_precip", "surface_precip_fpavg"}
        Which rate of the target to take.

    Returns
    -------
    xarray.Dataset
        ``tb(scan, pixel, channel)`` in K with positions, incidence angles and times as far as the
        file has them, and ``surface_precip(scan, pixel)`` in mm/h, NaN where the radar quality
        index or the valid fraction is under a half, as SatRain's own default has it.

    Raises
    ------
    FileFormatError
        If a file cannot be read, or is no such file.
    InputError
        If the target does not belong to the observations.

    See Also
    --------
    xrain.evaluation.satrain.SatRainRetrieval : A model for the evaluator.
    xrain.evaluation.satrain_files.satrain_matchups : A table for training.

    References
    ----------
    Pfreundschuh, S., et al., 2026: SatRain, doi 10.1038/s41597-026-06565-0.
    """
    path = Path(path)
    sensor = require_sensor(path.name.partition("_")[0])
    ds = load_netcdf(path)
    if "observations" not in ds or set(ds["observations"].dims) not in _geometries():
        raise FileFormatError(
            f"{path}: SatRain's files hold observations(scan, pixel, channel) or "
            f"observations(latitude, longitude, channel); this has {dict(ds.sizes)}"
        )
    place = list(_GRID if LATITUDE in ds["observations"].dims else _SWATH)
    tb = ds["observations"].transpose(*place, CHANNEL).values
    if tb.shape[-1] != len(CHANNELS[sensor]):
        raise FileFormatError(
            f"{path}: {sensor} has {len(CHANNELS[sensor])} channels in SatRain, not {tb.shape[-1]}"
        )
    truth = None if target is None else load_netcdf(Path(target))
    found = _positions(ds, truth, place, tb.shape[:-1])
    incidence = _angles(ds, place, tb.shape)
    out = make_swath(tb, incidence, found, CHANNELS[sensor], sensor, _SWATH)
    out = out.assign_coords(_times(ds, truth, place))
    if truth is not None:
        rate = _masked(truth, reference, place, Path(target or ""), tb.shape[:-1])
        out[SURFACE_PRECIP] = (_SWATH, rate, ATTRIBUTES[SURFACE_PRECIP])
    out.attrs["granule"] = path.name
    return out


def _geometries() -> tuple[set[str], set[str]]:
    return {*_SWATH, CHANNEL}, {*_GRID, CHANNEL}


def load_netcdf(path: Path) -> xr.Dataset:
    """Read a netCDF file into memory; FileFormatError if it is none."""
    try:
        with xr.open_dataset(path, engine="h5netcdf", phony_dims="access") as ds:
            return ds.load()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as a netCDF file: {error}") from error


def _positions(
    ds: xr.Dataset, truth: xr.Dataset | None, place: list[str], shape: tuple[int, ...]
) -> dict[str, Array]:
    out = {}
    for name in _GRID:
        source = next((d for d in (ds, truth) if d is not None and name in d.variables), None)
        if source is not None:
            out[name] = spread(source[name], place, shape)
    return out


def _angles(ds: xr.Dataset, place: list[str], shape: tuple[int, ...]) -> Any:
    if INCIDENCE not in ds.variables:
        return None
    angle = ds[INCIDENCE]
    if CHANNEL in angle.dims:
        return angle.transpose(*place, CHANNEL).values
    return np.broadcast_to(angle.transpose(*place).values[..., None], shape)


def _times(ds: xr.Dataset, truth: xr.Dataset | None, place: list[str]) -> dict[str, Any]:
    """Time of each scan, or of each pixel of a grid, whose rows are no scans."""
    for source, name in ((ds, "scan_time"), (ds, TIME), (truth, TIME)):
        if source is None or name not in source.variables:
            continue
        time = source[name]
        if np.issubdtype(time.dtype, np.datetime64) and set(time.dims) <= set(place) and time.dims:
            if place[0] == SCAN and time.ndim == 2:
                time = time.isel({PIXEL: 0})
            dims = tuple(_SWATH[place.index(str(d))] for d in time.dims)
            return {TIME: (dims, time.values, ATTRIBUTES[TIME])}
    return {}


def _masked(
    truth: xr.Dataset, name: str, place: list[str], path: Path, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    if name not in truth or not set(place) <= set(truth[name].dims):
        raise InputError(f"{path}: there is no {name}({', '.join(place)}) in it")
    rate = truth[name].transpose(*place).values.astype(np.float32)
    if rate.shape != shape:
        raise InputError(f"{path} has {rate.shape} pixels, the observations {shape}")
    for quality in ("radar_quality_index", "valid_fraction"):
        if quality in truth:
            good = truth[quality].transpose(*place).values - MIN_QUALITY > -1e-3
            rate = np.where(good, rate, np.float32(np.nan))
    return rate


def satrain_matchups(
    pairs: Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]],
    *,
    reference: str = "surface_precip",
) -> xr.Dataset:
    """Make a table of matched pixels of SatRain's files, for training and for scores.

    Parameters
    ----------
    pairs : iterable of (path, path)
        Observations and target of each scene.
    reference : str
        As in :func:`open_satrain`.

    Returns
    -------
    xarray.Dataset
        ``tb(sample, channel)``, ``surface_precip(sample)``, positions, ``month`` and ``day``, as
        :func:`xrain.io.matchups.open_matchups` reads them from a file; pixels without
        reference or without any observation are left out.

    Raises
    ------
    FileFormatError, InputError
        As :func:`open_satrain`, or if there is no pair.

    See Also
    --------
    xrain.evaluation.satrain_files.open_satrain : Read as a swath.
    xrain.evaluation.matchups.score_matchups : Score a model on the table.

    References
    ----------
    Pfreundschuh, S., et al., 2026: SatRain, doi 10.1038/s41597-026-06565-0.
    """
    parts = [_pixels(open_satrain(o, t, reference=reference)) for o, t in pairs]
    if not parts:
        raise InputError("there are no files of SatRain to read")
    out = xr.concat(parts, SAMPLE, combine_attrs="drop_conflicts")
    out.attrs["title"] = "matched pixels of SatRain"
    return out


def _pixels(swath: xr.Dataset) -> xr.Dataset:
    """Lay the pixels with a reference out as a table."""
    absent = [n for n in (LATITUDE, LONGITUDE, TIME) if n not in swath.variables]
    if absent:
        raise InputError(f"{swath.attrs['granule']}: matched pixels need {', '.join(absent)}")
    rate = swath[SURFACE_PRECIP].values
    good = np.isfinite(rate) & np.isfinite(swath[TB].values).any(axis=-1)
    time = swath[TIME].broadcast_like(swath[SURFACE_PRECIP]).transpose(*_SWATH).values[good]
    days = time.astype("datetime64[D]")
    month = days.astype("datetime64[M]")
    values: dict[str, Any] = {
        TB: ((SAMPLE, CHANNEL), swath[TB].values[good], ATTRIBUTES[TB]),
        SURFACE_PRECIP: (SAMPLE, rate[good], ATTRIBUTES[SURFACE_PRECIP]),
        "month": (SAMPLE, month.astype(int) % 12 + 1),
        "day": (SAMPLE, (days - month).astype(int) + 1),
    }
    place = {n: (SAMPLE, swath[n].values[good], ATTRIBUTES[n]) for n in (LATITUDE, LONGITUDE)}
    out = xr.Dataset(values, {CHANNEL: swath[CHANNEL].values, **place})
    out.attrs["sensor"] = swath.attrs["sensor"]
    return out


# ---- shared with the retrieval


def require_sensor(sensor: str) -> str:
    """Return the name of a sensor of SatRain; InputError if it has none of it."""
    if sensor.lower() not in CHANNELS:
        raise InputError(f"SatRain has {' and '.join(CHANNELS)}, not {sensor!r}")
    return sensor.lower()


def spread(values: xr.DataArray, place: list[str], shape: tuple[int, ...]) -> Array:
    """Positions in the shape of the observations: those of a grid lie along its axes."""
    known = [d for d in place if d in values.dims]
    ordered = values.transpose(*known).values.astype(np.float64)
    index = tuple(slice(None) if d in known else None for d in place)
    return np.broadcast_to(ordered[index], shape)


def make_swath(
    tb: Any,
    incidence: Any,
    place: dict[str, Array],
    names: Sequence[str],
    sensor: str,
    dims: tuple[str, ...],
) -> xr.Dataset:
    """Put arrays together as the swath, or the table, that models take."""
    out = xr.Dataset(
        {TB: ((*dims, CHANNEL), tb.astype(np.float32), ATTRIBUTES[TB])},
        {CHANNEL: list(names)},
        {"sensor": sensor.upper()},
    )
    if incidence is not None:
        out = out.assign_coords({INCIDENCE: ((*dims, CHANNEL), incidence.astype(np.float32))})
    return out.assign_coords({n: (dims, v) for n, v in place.items()})
