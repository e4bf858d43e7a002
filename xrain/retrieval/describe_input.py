"""What ``ds.rain`` says of a dataset when it is shown: nothing is computed for it."""

from __future__ import annotations

import contextlib

import numpy as np
import xarray as xr

from xrain.conventions import CHANNEL, SAMPLE, SCAN, SURFACE_PRECIP, TB, TIME
from xrain.display import listed
from xrain.errors import XrainError
from xrain.models.store import load_card
from xrain.retrieval.dataset import dataset_sensor, default_model
from xrain.retrieval.inputs import normalized

__all__ = ["described"]

_METHODS = "retrieve, check, crop, resample, evaluate, plot"


def described(ds: xr.Dataset) -> tuple[str, dict[str, str]]:
    """Describe a dataset by what a retrieval needs to know of it.

    Parameters
    ----------
    ds : xarray.Dataset
        Anything that has the accessor.

    Returns
    -------
    title : str
    facts : dict of str to str
    """
    rain = SURFACE_PRECIP in ds.variables
    name = SURFACE_PRECIP if rain else TB
    with contextlib.suppress(XrainError):  # what is wrong with it is told below
        ds = normalized(ds)
    sensor = dataset_sensor(ds)
    origin = str(ds.attrs.get("platform", ""))
    title = " on ".join(t for t in (sensor.name if sensor else "unknown sensor", origin) if t)
    sizes = ds[name].sizes if name in ds.variables else ds.sizes
    facts = {"size": " × ".join(f"{n} {d}" for d, n in sizes.items()), "time": _times(ds)}
    if rain:
        model = f"{ds.attrs.get('model', '')}@{ds.attrs.get('model_version', '?')}"
        facts["retrieved by"] = model if "model" in ds.attrs else str(ds.attrs.get("product", ""))
        facts["variables"] = listed(ds.data_vars, 6)
    else:
        facts |= _prospects(ds)
    facts["methods"] = f"{_METHODS}; properties sensor, channels"
    return f"<ds.rain> {'rain of' if rain else 'temperatures of'} {title}", facts


def _times(ds: xr.Dataset) -> str:
    """First and last time, of what is in memory alone."""
    if TIME not in ds.variables or ds[TIME].dtype.kind != "M" or ds[TIME].chunks is not None:
        return ""
    time = np.atleast_1d(ds[TIME].values)
    known = time[~np.isnat(time)]
    if not known.size:
        return "missing"
    return " to ".join(str(np.datetime64(t, "s")) for t in (known.min(), known.max()))


def _prospects(ds: xr.Dataset) -> dict[str, str]:
    """Say with which model the dataset can be retrieved, or why it cannot."""
    facts = {}
    if CHANNEL in ds.coords:
        facts["channels"] = listed(ds[CHANNEL].values)
    try:
        card = load_card(default_model(ds))
        problems = card.check(_middle(ds))
    except (XrainError, ValueError) as error:
        return {**facts, "problem": str(error)}
    absent = [n for n, i in zip(card.channels, card.match(_names(ds)), strict=False) if i is None]
    if problems:
        return {**facts, "problem": "; ".join(problems)}
    return {**facts, "model": f"{card.id}, by default", "absent": listed(absent)}


def _middle(ds: xr.Dataset) -> xr.Dataset:
    """Take the scan or sample in the middle, so that no whole granule is read."""
    kept = {d: slice(n // 2, n // 2 + 1) for d, n in ds.sizes.items() if d in (SCAN, SAMPLE)}
    return ds.isel(kept)


def _names(ds: xr.Dataset) -> list[str]:
    return [str(n) for n in ds[CHANNEL].values] if CHANNEL in ds.coords else []
