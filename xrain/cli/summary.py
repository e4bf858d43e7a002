"""Summaries of granules and rain files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.conventions import (
    CHANNEL,
    LATITUDE,
    LONGITUDE,
    PHASES,
    PRECIP_FLAG,
    PRECIP_PHASE,
    QUALITY_FLAGS,
    RETRIEVAL_QUALITY,
    SURFACE_PRECIP,
    TB,
    TIME,
)

COLUMNS: Final = ("kind", "sensor", "product", "from", "to", "size")
"""What :func:`summary_row` tells of a file."""

_FACTS: Final = {
    "title": "title", "sensor": "sensor", "platform": "platform", "orbit": "orbit",
    "granule": "granule", "product": "product", "product_version": "version",
    "source": "source", "granules": "granules", "area": "area", "resampling": "resampling",
}  # fmt: skip
"""Attributes that are shown, and how they are called."""


_FLAGS: Final = (PRECIP_FLAG, PRECIP_PHASE, RETRIEVAL_QUALITY)


@dataclass(frozen=True)
class Summary:
    """Summary of a file.

    Attributes
    ----------
    facts : dict of str to str
        Instrument, platform, time and so on.
    columns : tuple of str
        Head of the table.
    rows : tuple of tuple of str
        One row for each channel or variable.
    """

    facts: dict[str, str]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def summarize(ds: xr.Dataset) -> Summary:
    """Say what a granule, a rain dataset or a grid holds.

    Parameters
    ----------
    ds : xarray.Dataset
        What :func:`open_any` gives. It is read once, whole.
    """
    facts = {
        name: str(ds.attrs[k]) for k, name in _FACTS.items() if k in ds.attrs and str(ds.attrs[k])
    }
    if ds.attrs.get("simulated") not in (None, False, "false"):
        facts["simulated"] = str(ds.attrs["simulated"])
    if "model" in ds.attrs:
        facts["model"] = f"{ds.attrs['model']}@{ds.attrs.get('model_version', '?')}"
    facts["size"] = " × ".join(f"{n} {d}" for d, n in ds.sizes.items())
    facts |= _extent(ds)
    if step := _resolution(ds):
        facts["resolution"] = step
    if SURFACE_PRECIP in ds.variables:
        return _summarize_rain(ds, facts)
    return _summarize_tb(ds, facts)


def _extent(ds: xr.Dataset) -> dict[str, str]:
    facts = {}
    if TIME in ds.variables:
        facts["time"] = " to ".join(_span(ds)) or "missing"
    for name in (LATITUDE, LONGITUDE):
        if name in ds.variables:
            low, _, high = _spread(ds[name].values)
            facts[name] = "missing" if np.isnan(low) else f"{low:.2f} to {high:.2f}"
    return facts


def _span(ds: xr.Dataset) -> tuple[str, ...]:
    """First and last time, of intervals their ends; nothing where no time is known."""
    bounds = ds[TIME].attrs.get("bounds", f"{TIME}_bnds")
    time = np.atleast_1d(ds[bounds if bounds in ds.variables else TIME].values)
    known = time[~np.isnat(time)]
    if not known.size:
        return ()
    return tuple(np.datetime_as_string(t, "s") for t in (known.min(), known.max()))


def _resolution(ds: xr.Dataset) -> str:
    """Width of the cells of a grid; empty for a swath."""
    for names, units in (((LATITUDE, LONGITUDE), "°"), (("y", "x"), "")):
        if set(names) <= set(ds.dims) & set(ds.coords):
            steps = [np.abs(np.diff(ds[n].values)) for n in names]
            unit = units or f" {ds[names[0]].attrs.get('units', '')}".rstrip()
            known = [f"{np.median(s):.6g}{unit}" for s in steps if s.size]
            return " × ".join(dict.fromkeys(known))
    return ""


def summary_row(ds: xr.Dataset) -> tuple[str, ...]:
    """Say in one line what a file holds, without reading its values.

    Parameters
    ----------
    ds : xarray.Dataset
        What :func:`open_any` gives.

    Returns
    -------
    tuple of str
        What `COLUMNS` names.
    """
    rain = SURFACE_PRECIP in ds.variables
    kind = "grid" if _resolution(ds) else "rain" if rain else "temperatures"
    made = str(ds.attrs.get("model") or ds.attrs.get("product") or "")
    origin = " ".join(str(ds.attrs[k]) for k in ("sensor", "platform") if k in ds.attrs)
    first, last = _span(ds) or ("missing", "") if TIME in ds.variables else ("", "")
    size = " × ".join(str(ds.sizes[d]) for d in ds[SURFACE_PRECIP if rain else TB].dims)
    return (kind, origin or str(ds.attrs.get("source", "")), made, first, last, size)


def _spread(values: Any) -> tuple[float, float, float]:
    """Lowest, median and highest of the known values; NaN if there are none."""
    known = values[np.isfinite(values)]
    if not known.size:
        return (np.nan, np.nan, np.nan)
    return (float(known.min()), float(np.median(known)), float(known.max()))


def _summarize_tb(ds: xr.Dataset, facts: dict[str, str]) -> Summary:
    rows = []
    for k, name in enumerate(ds[CHANNEL].values):
        tb = ds[TB].isel({CHANNEL: k}).values
        frequency = f"{ds['frequency'].values[k]:g}" if "frequency" in ds.variables else ""
        spread = ("–" if np.isnan(x) else f"{x:.1f}" for x in _spread(tb))
        rows.append((str(name), frequency, f"{np.isfinite(tb).mean():.1%}", *spread))
    columns = ("channel", "GHz", "present", "lowest K", "median K", "highest K")
    return Summary(facts, columns, tuple(rows))


def _summarize_rain(ds: xr.Dataset, facts: dict[str, str]) -> Summary:
    rows = []
    for name, array in ds.data_vars.items():
        coded = {"flag_values", "flag_masks"} & set(array.attrs)
        if array.dtype.kind not in "fiu" or not array.ndim or coded or name in _FLAGS:
            continue
        values = array.values
        spread = ("–" if np.isnan(x) else f"{x:.3g}" for x in _spread(values))
        units = str(array.attrs.get("units", ""))
        rows.append((str(name), units, f"{np.isfinite(values).mean():.1%}", *spread))
    if PRECIP_FLAG in ds.variables:
        facts["raining"] = f"{(ds[PRECIP_FLAG].values == 1).mean():.1%} of the pixels"
    if PRECIP_PHASE in ds.variables:
        solid = ds[PRECIP_PHASE].values == PHASES["solid"]
        facts["snowing"] = f"{solid.mean():.1%} of the pixels"
    if RETRIEVAL_QUALITY in ds.variables:
        quality = ds[RETRIEVAL_QUALITY].fillna(0).values.astype("uint8")
        shares = {n: float(((quality & bit) > 0).mean()) for n, bit in QUALITY_FLAGS.items()}
        facts["flags"] = ", ".join(f"{n} {s:.1%}" for n, s in shares.items() if s) or "none"
    columns = ("variable", "units", "present", "lowest", "median", "highest")
    return Summary(facts, columns, tuple(rows))
