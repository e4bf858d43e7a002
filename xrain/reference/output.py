"""How a matched reference is laid out, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    ATTRIBUTES,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    REFERENCE_COUNT,
    REFERENCE_FRACTION,
    SCAN,
    TIME,
)

__all__ = ["Footprint", "footprint_text", "no_overlap", "on_swath"]

Array = npt.NDArray[Any]
Footprint = str | float | tuple[float, float] | None
"""A channel, half-power widths in km, or None for the channel of the retrieved rain."""


def on_swath(
    swath: xr.Dataset,
    reference: xr.Dataset,
    known: Array,
    values: Mapping[str, Array],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Lay values of the known pixels out on a swath, with attributes of both sources."""
    data = {}
    for name, value in values.items():
        blank = 0 if name in (REFERENCE_COUNT, REFERENCE_FRACTION) else np.nan
        plane = np.full(known.shape, blank, value.dtype)
        plane[known] = value
        data[name] = ((SCAN, PIXEL), plane, ATTRIBUTES[name])
    coords = {
        n: swath[n].variable.transpose(SCAN, PIXEL, missing_dims="ignore").load()
        for n in (LATITUDE, LONGITUDE, TIME)
        if n in swath.variables
    }
    about = {
        f"reference_{k}": reference.attrs[k]
        for k in ("granule", "product", "product_version", "sensor", "title")
        if k in reference.attrs
    }
    ours = {k: swath.attrs[k] for k in ("sensor", "platform", "granule") if k in swath.attrs}
    return xr.Dataset(data, coords, {**ours, **about, **attrs})


def footprint_text(footprint: Footprint) -> str:
    """Tell a footprint as an attribute."""
    if footprint is None:
        return "channel of the retrieved rain"
    if isinstance(footprint, str):
        return footprint
    return " x ".join(f"{w:g}" for w in np.atleast_1d(footprint)) + " km"


def no_overlap(swath: xr.Dataset, reference: xr.Dataset, max_minutes: float | None) -> str:
    """Say where and when the two lie, since they do not meet."""
    within = "" if max_minutes is None else f" within {max_minutes:g} minutes"
    return (
        f"the reference has no place in common with the swath{within}: {_where(swath)} for the "
        f"swath, {_where(reference)} for the reference"
    )


def _where(ds: xr.Dataset) -> str:
    texts = []
    if TIME in ds.variables:
        time = np.atleast_1d(ds[TIME].values)
        time = time[~np.isnat(time)]
        if time.size:
            first, last = (np.datetime_as_string(t, unit="m") for t in (time.min(), time.max()))
            texts.append(f"{first} to {last}")
    for name in (LATITUDE, LONGITUDE):
        if name in ds.variables:
            values = ds[name].values
            values = values[np.isfinite(values)]
            if values.size:
                texts.append(f"{name} {values.min():.1f} to {values.max():.1f}")
    return ", ".join(texts) or "no known position or time"
