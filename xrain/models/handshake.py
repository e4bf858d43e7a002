"""The handshake between a model and a dataset, before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr

from xrain.conventions import CHANNEL, INCIDENCE, LATITUDE, LONGITUDE, PIXEL, SAMPLE, SCAN, TB
from xrain.sensors import find_sensor

if TYPE_CHECKING:
    from xrain.models.card import ModelCard

__all__ = ["find_problems", "find_remarks"]

TB_LIMITS: Final = (40.0, 350.0)
"""Brightness temperatures (K) outside which a whole dataset cannot be in kelvin."""

_LAYOUTS: Final = ({SCAN, PIXEL, CHANNEL}, {SAMPLE, CHANNEL})
_KELVIN: Final = {"K", "kelvin", "Kelvin", "degK", "degree_Kelvin"}


def find_problems(card: ModelCard, ds: xr.Dataset) -> list[str]:
    """Say everything that keeps a model from working; see :meth:`ModelCard.check`."""
    if TB not in ds.variables:
        has = ", ".join(map(str, ds.data_vars)) or "no variables"
        return [f"the dataset has no variable {TB!r} (brightness temperature in K); it has {has}"]
    tb = ds[TB]
    return [*_layout_problems(tb), *_channel_problems(card, tb), *_value_problems(tb)]


def find_remarks(card: ModelCard, ds: xr.Dataset) -> list[str]:
    """Say everything that makes the result worse; see :meth:`ModelCard.remarks`."""
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
    return [*remarks, *_sensor_remarks(card, ds)]


def _sensor_remarks(card: ModelCard, ds: xr.Dataset) -> list[str]:
    name = ds.attrs.get("sensor")
    if name is None:
        return ["no attribute 'sensor': channels are described by their names alone"]
    if card.sensor is None:
        return []
    theirs, ours = find_sensor(str(name)), find_sensor(card.sensor)
    same = theirs.name == ours.name if theirs and ours else str(name) == card.sensor
    return [] if same else [f"the model was made for {card.sensor}, not for {name}"]


def _channel_problems(card: ModelCard, tb: xr.DataArray) -> list[str]:
    names = _channel_names(tb)
    if names is None:
        return [f"{TB} has no coordinate {CHANNEL!r} with the channel names"]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        return [f"channel names must differ, but there are several {', '.join(twice)}"]
    if any(i is not None for i in card.match(names)):
        return []
    low, high = card.frequency_range
    wanted = ", ".join(card.channels) or f"any channel of {low:g} to {high:g} GHz"
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
    if units is not None and units not in _KELVIN:
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
    if values.min() == values.max():
        return []  # a dead receiver, not another unit: pixels are flagged one by one
    return [
        f"{TB} lies between {values.min():g} and {values.max():g}; "
        f"brightness temperatures in K lie between {low:g} and {high:g}"
    ]
