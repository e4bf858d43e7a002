"""The handshake between a model and a dataset, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import xarray as xr

from xrain.conventions import CHANNEL, INCIDENCE, LATITUDE, LONGITUDE, PIXEL, SAMPLE, SCAN, TB
from xrain.geo.sphere import valid_positions
from xrain.sensors import Sensor, find_sensor
from xrain.temperature import HIGHEST_TB, LOWEST_TB, is_kelvin, possible_temperatures

__all__ = ["find_problems", "find_remarks"]

TB_LIMITS: Final = (40.0, 350.0)
"""Brightness temperatures (K) outside which a whole dataset cannot be in kelvin."""

_LAYOUTS: Final = ({SCAN, PIXEL, CHANNEL}, {SAMPLE, CHANNEL})
_FEW_NUMBERS: Final = 3
"""Different values, at most, of a dataset that holds nothing but fills or a dead receiver."""


class Wishes(Protocol):
    """What the handshake asks of a model card."""

    @property
    def sensor(self) -> str | None:
        """Name of the instrument, None for any."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, none where any is taken."""

    @property
    def frequency_range(self) -> tuple[float, float]:
        """Lowest and highest frequency, GHz."""

    @property
    def ranges(self) -> Mapping[str, Any]:
        """Range of temperatures in training by channel."""

    def match(self, names: list[str]) -> list[int | None]:
        """Find the model's channels among names."""


def find_problems(card: Wishes, ds: xr.Dataset) -> list[str]:
    """Say everything that keeps a model from working.

    Parameters
    ----------
    card : Wishes
        Of the model.
    ds : xarray.Dataset
        A swath or a table of pixels. Values of Dask arrays are not looked at.

    Returns
    -------
    list of str
        One sentence for each problem.
    """
    if TB not in ds.variables:
        has = ", ".join(map(str, ds.data_vars)) or "no variables"
        return [f"the dataset has no variable {TB!r} (brightness temperature in K); it has {has}"]
    tb = ds[TB]
    return [*_layout_problems(tb), *_channel_problems(card, tb), *_value_problems(tb)]


def find_remarks(card: Wishes, ds: xr.Dataset) -> list[str]:
    """Say everything that makes the result worse.

    Parameters
    ----------
    card : Wishes
        Of the model.
    ds : xarray.Dataset
        A dataset without problems. Values of Dask arrays are not looked at.

    Returns
    -------
    list of str
        One sentence for each remark.
    """
    names = _channel_names(ds[TB]) or []
    match = card.match(names)
    missing = [n for n, i in zip(card.channels, match, strict=False) if i is None]
    unused = [name for i, name in enumerate(names) if i not in match]
    remarks = []
    if missing:
        remarks.append(f"missing channels: {', '.join(missing)}")
    if unused:
        remarks.append(f"channels that the model does not use: {', '.join(unused)}")
    if position := [n for n in (LATITUDE, LONGITUDE) if n not in ds.variables]:
        remarks.append(f"no {' and no '.join(position)}: the result has no position")
    if INCIDENCE not in ds.variables:
        remarks.append(f"no {INCIDENCE}: nominal angles are assumed")
    used = [i for i in match if i is not None]
    return [*remarks, *_sensor_remarks(card, ds), *_gap_remarks(ds, used)]


def _gap_remarks(ds: xr.Dataset, used: list[int]) -> list[str]:
    """Tell how much of what a model uses is missing, or is no temperature or position."""
    return [*_temperature_gaps(ds[TB], used), *_position_gaps(ds)]


def _temperature_gaps(tb: xr.DataArray, used: list[int]) -> list[str]:
    if tb.chunks is not None or not tb.size or not used:
        return []
    tb = tb.isel({CHANNEL: used})
    given = np.asarray(tb.transpose(..., CHANNEL).values, np.float32).reshape(-1, len(used))
    missing = np.isnan(possible_temperatures(given))
    if missing.all():
        return ["no pixel has a brightness temperature: the result is missing everywhere"]
    names, remarks = _channel_names(tb) or [], []
    share = missing.mean(axis=0)
    if gone := [n for n, s in zip(names, share, strict=True) if s == 1]:
        remarks.append(f"channels without any value: {', '.join(gone)}")
    parts = [f"{n} {_percent(s)}" for n, s in zip(names, share, strict=True) if 0 < s < 1]
    if parts:
        remarks.append(f"missing brightness temperatures: {', '.join(parts)}")
    if (wrong := (missing & np.isfinite(given)).mean()) > 0:
        remarks.append(
            f"{_percent(wrong)} of the brightness temperatures lie outside {LOWEST_TB:g} to "
            f"{HIGHEST_TB:g} K and are taken as missing"
        )
    return remarks


def _position_gaps(ds: xr.Dataset) -> list[str]:
    if any(n not in ds.variables or ds[n].chunks is not None for n in (LATITUDE, LONGITUDE)):
        return []
    latitude, longitude = xr.broadcast(ds[LATITUDE], ds[LONGITUDE])
    share = (
        float((~valid_positions(latitude.values, longitude.values)).mean()) if ds[TB].size else 0
    )
    if not share:
        return []
    return [f"{_percent(share)} of the pixels have no valid position: they get no rain"]


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def _sensor_remarks(card: Wishes, ds: xr.Dataset) -> list[str]:
    name = ds.attrs.get("sensor")
    if name is None:
        return ["no attribute 'sensor': channels are described by their names alone"]
    theirs = find_sensor(str(name), str(ds.attrs.get("platform", "")))
    remarks = _assumptions(str(name), theirs)
    if card.sensor is None:
        return remarks
    ours = find_sensor(card.sensor)
    same = theirs.name == ours.name if theirs and ours else str(name) == card.sensor
    return remarks if same else [*remarks, f"the model was made for {card.sensor}, not for {name}"]


def _assumptions(name: str, sensor: Sensor | None) -> list[str]:
    """Tell what of an instrument's channels no source tells."""
    if sensor is None:
        return [
            f"no table describes {name}: channels are described by their names alone, footprint "
            "and noise are those of the nearest known ones"
        ]
    unknown = sorted({quantity for c in sensor.channels for quantity in c.assumed})
    told = ", ".join(unknown).replace("_", " ")
    return [f"of {sensor.name}'s channels no source tells {told}: assumed"] if unknown else []


def _channel_problems(card: Wishes, tb: xr.DataArray) -> list[str]:
    names = _channel_names(tb)
    if names is None:
        return [f"{TB} has no coordinate {CHANNEL!r} with the channel names"]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        return [f"channel names must differ, but there are several {', '.join(twice)}"]
    if any(i is not None for i in card.match(names)):
        return []
    low, high = card.frequency_range
    near = " near those it learned from" if card.ranges else ""
    wanted = ", ".join(card.channels) or f"any channel of {low:g} to {high:g} GHz{near}"
    return [
        f"no usable channel: the dataset has {', '.join(names) or 'none'}; the model takes {wanted}"
    ]


def _channel_names(tb: xr.DataArray) -> list[str] | None:
    if CHANNEL not in tb.coords or CHANNEL not in tb.dims:
        return None
    return [str(name) for name in np.atleast_1d(tb[CHANNEL].values)]


def _layout_problems(tb: xr.DataArray) -> list[str]:
    problems = []
    if set(tb.dims) not in _LAYOUTS:
        problems.append(
            f"{TB} has the dimensions ({', '.join(map(str, tb.dims))}); it needs "
            f"({SCAN}, {PIXEL}, {CHANNEL}) for a swath or ({SAMPLE}, {CHANNEL}) for a table"
        )
    units = tb.attrs.get("units")
    if units is not None and not is_kelvin(units):
        problems.append(f"{TB} is in {units!r}; convert it to K")
    if tb.dtype.kind not in "fiu":
        problems.append(f"{TB} holds {tb.dtype}; it must hold numbers")
    return problems


def _value_problems(tb: xr.DataArray) -> list[str]:
    """Look at values already in memory; a lazy array is left alone."""
    if tb.chunks is not None or tb.dtype.kind not in "fiu" or not tb.size:
        return []
    steps = {
        dim: slice(None, None, max(1, tb.sizes[dim] // 64)) for dim in tb.dims if dim != CHANNEL
    }
    values = tb.isel(steps).values
    values = values[np.isfinite(values)]
    low, high = TB_LIMITS
    if not values.size or ((values > low) & (values < high)).any():
        return []
    if np.unique(values).size <= _FEW_NUMBERS:
        return []  # no other unit but fills or a dead receiver: pixels are flagged one by one
    return [
        f"{TB} lies between {values.min():g} and {values.max():g}; "
        f"brightness temperatures in K lie between {low:g} and {high:g}"
    ]
