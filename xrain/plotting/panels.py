"""What goes on each map: values with their positions, in memory, and the words above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    CHANNEL,
    LATITUDE,
    LONGITUDE,
    PROBABILITY_OF_PRECIP,
    QUANTILE,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
    TB,
    TIME,
    match_channels,
    parse_channel_name,
)
from xrain.errors import InputError
from xrain.geo.sphere import valid_positions
from xrain.plotting.style import long_name

Array = NDArray[np.float64]

INTERVAL: Final = "interval"
"""Panel that shows the width between the outermost quantiles."""

PANELS: Final = (SURFACE_PRECIP, PROBABILITY_OF_PRECIP, INTERVAL)
"""Panels drawn by ``panels=True``."""


@dataclass(frozen=True)
class Panel:
    """One map: values with their positions, in memory, and what to write above."""

    values: xr.DataArray
    title: str

    @property
    def positions(self) -> tuple[Array, Array] | None:
        """Latitude and longitude in degrees, in the shape of the values; None if unknown."""
        if LATITUDE not in self.values.coords or LONGITUDE not in self.values.coords:
            return None
        lat, lon = (
            self.values[name].broadcast_like(self.values).transpose(*self.values.dims)
            for name in (LATITUDE, LONGITUDE)
        )
        known = valid_positions(lat.values, lon.values)
        clean = [np.where(known, c.values, np.nan).astype(np.float64) for c in (lat, lon)]
        return clean[0], clean[1]


def panel_names(panels: Sequence[str] | bool, variable: str) -> tuple[str, ...]:
    """Spell out the argument ``panels`` of :func:`xrain.plotting.plot_rain`."""
    if panels is True:
        return PANELS
    if not panels:
        return (variable,)
    return (panels,) if isinstance(panels, str) else tuple(panels)


def make_panel(ds: xr.Dataset, name: str, quantile: float | None) -> Panel:
    """Load one variable of a rain Dataset, or the width of its interval."""
    values = _interval(ds) if name == INTERVAL else _require(ds, name)
    if QUANTILE in values.dims:
        values = _pick_quantile(values, quantile)
    if values.ndim > 2:
        values = values.squeeze([d for d, n in values.sizes.items() if n == 1])
    values = _load(values)
    if values.ndim not in (1, 2):
        raise InputError(
            f"'{name}' has dimensions {values.dims}: select down to (scan, pixel) or (sample,)"
        )
    return Panel(values, "")


def _require(ds: xr.Dataset, name: str) -> xr.DataArray:
    if name in ds.data_vars:
        return ds[name]
    raw = TB in ds and name == SURFACE_PRECIP
    hint = "retrieve it first, or draw 'tb' with plot_tb" if raw else "name one of these"
    there = ", ".join(map(str, ds.data_vars)) or "none"
    raise InputError(f"the dataset has no variable '{name}'; it has {there}: {hint}")


def _interval(ds: xr.Dataset) -> xr.DataArray:
    values = _require(ds, SURFACE_PRECIP_QUANTILE)
    if values.sizes.get(QUANTILE, 0) < 2:
        raise InputError(
            f"'{INTERVAL}' needs two quantiles at least in '{SURFACE_PRECIP_QUANTILE}'"
        )
    ordered = values.sortby(QUANTILE)
    low, high = ordered.isel({QUANTILE: 0}, drop=True), ordered.isel({QUANTILE: -1}, drop=True)
    ends = [100 * float(q) for q in ordered[QUANTILE].values[[0, -1]]]
    text = f"width of the {ends[0]:g}–{ends[1]:g} % interval"
    return (high - low).rename(INTERVAL).assign_attrs(units="mm h-1", long_name=text)


def _pick_quantile(values: xr.DataArray, quantile: float | None) -> xr.DataArray:
    there = values[QUANTILE].values
    wanted = float(there.max()) if quantile is None else quantile
    nearest = int(np.argmin(np.abs(there - wanted)))
    if abs(there[nearest] - wanted) > 1e-6:
        raise InputError(f"no quantile {wanted:g}; there are {', '.join(f'{q:g}' for q in there)}")
    text = f"{100 * wanted:g} % quantile of the surface precipitation rate"
    return values.isel({QUANTILE: nearest}, drop=True).assign_attrs(long_name=text)


def _load(values: xr.DataArray) -> xr.DataArray:
    """Read the values and their positions, once, and nothing else."""
    kept = {LATITUDE, LONGITUDE, CHANNEL}
    return values.drop_vars([c for c in values.coords if c not in kept]).compute()


def tb_panels(ds: xr.Dataset, channels: str | Sequence[str] | None) -> list[Panel]:
    """One panel for each channel; the titles are the channels' names."""
    if TB not in ds or CHANNEL not in ds[TB].coords:
        raise InputError("no 'tb' with a 'channel' coordinate: open a granule first")
    there = [str(name) for name in ds[CHANNEL].values]
    wanted = there if channels is None else [channels] if isinstance(channels, str) else channels
    found = match_channels(there, wanted)
    missing = [name for name, i in zip(wanted, found, strict=True) if i is None]
    if missing:
        raise InputError(f"no channel {', '.join(missing)}; there are {', '.join(there)}")
    picked = [i for i in found if i is not None]
    values = _load(ds[TB].isel({CHANNEL: picked}))
    return [
        Panel(values.isel({CHANNEL: k}, drop=True), _channel_title(there[i]))
        for k, i in enumerate(picked)
    ]


def label_title(values: xr.DataArray) -> str:
    """Return the variable's long name, as a title."""
    text = long_name(values)
    return text[:1].upper() + text[1:]


def _channel_title(name: str) -> str:
    parsed = parse_channel_name(name)
    if parsed is None:
        return name
    offset = f" ± {parsed.offset:g}" if parsed.offset else ""
    words = (f"{parsed.frequency:g}{offset} GHz", parsed.polarization, parsed.suffix)
    return " ".join(word for word in words if word)


def heading(ds: xr.Dataset, subject: str = "") -> str:
    """Sensor, platform, time and model, as far as the dataset names them."""
    names = [str(ds.attrs[k]) for k in ("sensor", "platform") if ds.attrs.get(k)]
    parts = [" on ".join(names), subject, _when(ds)]
    if ds.attrs.get("simulated"):
        parts.append("simulated")
    if ds.attrs.get("model"):
        parts.append(" ".join(str(ds.attrs.get(k, "")) for k in ("model", "model_version")).strip())
    return " · ".join(part for part in parts if part)


def _when(ds: xr.Dataset) -> str:
    bounds = f"{TIME}_bnds"  # of an interval
    if TIME not in ds.coords:
        return ""
    times = ds[bounds if bounds in ds.variables else TIME].values
    times = times[~np.isnat(times)] if np.issubdtype(times.dtype, np.datetime64) else times[:0]
    if times.size == 0:
        return ""
    start, end = (str(np.datetime64(t, "m")).replace("T", " ") for t in (times.min(), times.max()))
    return f"{start} UTC" if start == end else f"{start}–{_shorten(start, end)} UTC"


def _shorten(start: str, end: str) -> str:
    return end[11:] if start[:10] == end[:10] else end
