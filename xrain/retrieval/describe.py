"""Names, attributes and provenance of a result."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xrain.conventions import (
    ATTRIBUTES,
    CHANNEL,
    QUANTILE,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
)
from xrain.models.card import ModelCard
from xrain.retrieval.block import DTYPES, Planes

__all__ = ["describe", "empty_planes", "join_planes"]


def empty_planes(quantiles: int, shape: tuple[int, ...]) -> Planes:
    """Planes of a result without pixels."""
    shapes = Planes.shapes(quantiles, shape)
    return Planes(*(np.zeros(s, dtype) for s, dtype in zip(shapes, DTYPES, strict=True)))


def join_planes(parts: Sequence[Planes], concatenate: Callable[..., Any]) -> Planes:
    """Lay the planes of stretches of scans behind each other."""
    if len(parts) == 1:
        return parts[0]
    names = Planes._fields
    axes = [int(n == SURFACE_PRECIP_QUANTILE) for n in names]
    return Planes(
        *(
            concatenate(list(same), axis=axis)
            for same, axis in zip(zip(*parts, strict=True), axes, strict=True)
        )
    )


def describe(
    planes: Planes,
    tb: xr.DataArray,
    ds: xr.Dataset,
    card: ModelCard,
    levels: Sequence[float],
    given_rain: bool,
) -> xr.Dataset:
    """Name the planes of a result and say where they come from.

    Parameters
    ----------
    planes : Planes
        NumPy or Dask arrays.
    tb : xarray.DataArray
        The brightness temperatures, whose dimensions and coordinates the result takes over.
    ds : xarray.Dataset
        The dataset, for its attributes.
    card : ModelCard
        Of the model.
    levels : sequence of float
        Cumulative probabilities of the quantiles.
    given_rain : bool
        Whether mean and quantiles hold on the condition that it rains.

    Returns
    -------
    xarray.Dataset
        As :func:`xrain.retrieve` returns it.
    """
    dims = tb.dims[:-1]
    data = {}
    for name, values in planes._asdict().items():
        attrs = dict(ATTRIBUTES[name])
        if given_rain and name in (SURFACE_PRECIP, SURFACE_PRECIP_QUANTILE):
            attrs["long_name"] += " on the condition that it rains"
        data[name] = ((QUANTILE, *dims)[-values.ndim :], values, attrs)
    if not levels:
        del data[SURFACE_PRECIP_QUANTILE]
    keep = {n: c for n, c in tb.coords.items() if CHANNEL not in c.dims and n != CHANNEL}
    out = xr.Dataset(data, keep, _provenance(ds, card))
    if levels:
        out = out.assign_coords({QUANTILE: (QUANTILE, list(levels), ATTRIBUTES[QUANTILE])})
    return out


def _provenance(ds: xr.Dataset, card: ModelCard) -> dict[str, Any]:
    from importlib import metadata

    from xrain.models.phase import load_phase

    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = ("sensor", "platform", "granule", "orbit", "simulated")
    version = metadata.version("xrain")
    history = str(ds.attrs.get("history", ""))
    line = f"{now} xrain {version}: retrieve(model={card.name}@{card.version})"
    return {
        "Conventions": "CF-1.11",
        "title": "Surface precipitation from a passive-microwave radiometer",
        "source": f"xrain {version}, model {card.name} version {card.version}, from "
        f"{ds.attrs.get('granule', 'brightness temperatures')}",
        "history": f"{history}\n{line}".strip(),
        **{k: ds.attrs[k] for k in kept if k in ds.attrs},
        "model": card.name,
        "model_version": card.version,
        "model_sha256": card.sha256,
        "phase_model": load_phase().card.id,
    }
