"""Score a model on the test patches of a store, each pixel alone and with its neighbours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.collocation.store import PATCH, open_store, read_attrs, stack_patches
from xrain.collocation.transects import TRANSECTS, open_store_transects
from xrain.conventions import (
    CHANNEL,
    EVENT_RATE,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    SAMPLE,
    SCAN,
    SURFACE_PRECIP,
    TB,
)
from xrain.evaluation.channel_subset import choose_channels
from xrain.evaluation.pixel_scores import RATE_EVENT
from xrain.evaluation.pixels import LEVELS, Pixels
from xrain.evaluation.scorecard import Settings, scorecard
from xrain.evaluation.total_expectation import expectation_classes
from xrain.evaluation.training_data import seen_in_training, source_names
from xrain.evaluation.transects import score_transects
from xrain.geo.surfaces import dataset_surfaces
from xrain.models.store import Model, load_model
from xrain.retrieval.dataset import retrieve_both

__all__ = ["score_store"]

SCORED = 512
"""Patches of a store that are scored at most, spread over the days of its test."""


def score_store(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] | Model,
    split: str = "test",
    *,
    channels: Sequence[str] | None = None,
    prior: float | None = None,
    seed: int = 0,
    bootstrap: int = 200,
    device: str | None = None,
) -> dict[str, Any]:
    """Score a model on the patches of a store that have one purpose.

    An event is a rate of the reference of at least
    0.1 mm/h. Of very many patches some are taken, evenly spread over the time. A store of
    transects is scored like the file that it was made of.

    Parameters
    ----------
    path : path
        The store.
    model : str, path or Model
        As for :func:`xrain.retrieve`.
    split : {"test", "validation", "train"}
        Which patches.
    channels : sequence of str, optional
        Keep only these channels, or those nearest to an instrument's.
    prior : float, optional
        As for :func:`xrain.evaluation.transects.score_transects`.
    seed, bootstrap, device
        As for :func:`xrain.evaluation.matchups.score_matchups`; days are drawn.

    Returns
    -------
    dict
        As of :func:`xrain.evaluation.transects.score_transects`.

    Raises
    ------
    FileFormatError, InputError
        If the store cannot be read, or has no such patches.
    """
    name, model = Path(path).name, model if isinstance(model, Model) else load_model(model)
    if read_attrs(path).get("kind") == TRANSECTS:
        lines = open_store_transects(path, split)
        options: dict[str, Any] = {"seed": seed, "bootstrap": bootstrap, "device": device}
        found = score_transects(lines, model, channels=channels, prior=prior, **options)
        seen = seen_in_training(model.card, source_names(path))
        return {**found, "source": name, "trained_on": seen}
    ds = _chosen(open_store(path, split), channels)
    granule = ds["granule"].values
    apart = np.flatnonzero(granule[1:] != granule[:-1]) + 1
    parts = [
        _pixels(ds.isel({PATCH: k}).load(), model, prior, device)
        for k in np.split(np.arange(granule.size), apart)
    ]
    table, swath = (Pixels.join(list(kind)) for kind in zip(*parts, strict=True))
    settings = Settings(bootstrap, seed)
    return {
        "model": model.card.name,
        "model_version": model.card.version,
        "source": name,
        "channels": [str(n) for n in ds[CHANNEL].values],
        "event": RATE_EVENT,
        "prior": prior,
        "model_prevalence": model.card.prevalence,
        "trained_on": seen_in_training(model.card, source_names(path)),
        "table": scorecard(table, settings),
        "swath": scorecard(swath, settings),
        "by_table_mean": expectation_classes(table, swath, settings),
    }


def _chosen(ds: xr.Dataset, channels: Sequence[str] | None) -> xr.Dataset:
    """Keep the channels that are wanted, and not too many patches."""
    count = ds.sizes[PATCH]
    some = np.unique(np.linspace(0, count - 1, min(count, SCORED)).round().astype(int))
    if channels is not None:
        names = [str(n) for n in ds[CHANNEL].values]
        ds = ds.isel({CHANNEL: choose_channels(channels, names)})
    return ds.isel({PATCH: some})


def _pixels(
    patches: xr.Dataset, model: Model, prior: float | None, device: str | None
) -> tuple[Pixels, Pixels]:
    """Retrieve the patches of a granule, alone and as swaths, beside the reference."""
    day = patches["time"].values[0].astype("M8[D]").astype(int)
    swath = stack_patches(patches)
    known = np.isfinite(swath[SURFACE_PRECIP].values)
    table = _table(swath, known)
    return (
        _listed(table, day, model, prior, device),
        _listed(swath, day, model, prior, device).pick(known.ravel()),
    )


def _table(swath: xr.Dataset, known: Any) -> xr.Dataset:
    """List the pixels with a reference as a table."""
    rows, columns = np.nonzero(known)
    data = {
        str(name): ((SAMPLE, *v.dims[2:]), v.transpose(SCAN, PIXEL, ...).values[rows, columns])
        for name, v in swath.variables.items()
        if {SCAN, PIXEL} <= set(v.dims)
    }
    out = xr.Dataset(data, {CHANNEL: swath[CHANNEL].values}, swath.attrs)
    return out.set_coords([LATITUDE, LONGITUDE, INCIDENCE])


def _listed(
    ds: xr.Dataset, day: int, model: Model, prior: float | None, device: str | None
) -> Pixels:
    """Retrieve pixels or a swath, and list them beside the reference that they hold."""
    rate = ds[SURFACE_PRECIP].values.astype(float)
    found, wet = retrieve_both(ds[[TB]], model, quantiles=LEVELS, device=device, prior=prior)
    return Pixels.from_retrieval(
        found,
        rate=rate,
        event=np.where(np.isfinite(rate), rate >= EVENT_RATE, np.nan),
        groups=np.full(rate.shape, day),
        surfaces=dataset_surfaces(ds),
        given_rain=wet,
    )
