"""Score a model on transects: real pixels with neighbours, as frequent in rain as nature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    CHANNEL,
    EVENT_RATE,
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
from xrain.evaluation.training_data import seen_in_training
from xrain.geo.surfaces import dataset_surfaces
from xrain.io.transects import OVERPASS, open_transects, smooth_along_track, transect_swath
from xrain.models.store import Model, load_model
from xrain.retrieval.dataset import retrieve_both

__all__ = ["score_transects", "transect_pixels", "transect_table"]


def score_transects(
    transects: str | os.PathLike[str] | xr.Dataset,
    model: str | os.PathLike[str] | Model,
    *,
    channels: Sequence[str] | None = None,
    prior: float | None = None,
    seed: int = 0,
    bootstrap: int = 200,
    device: str | None = None,
) -> dict[str, Any]:
    """Score a model on transects, each pixel alone and with its neighbours along the track.

    An event is a rate of at least 0.1 mm/h. Pixels that
    lack a channel do not count.

    Parameters
    ----------
    transects : path or xarray.Dataset
        A file of transects, or what :func:`xrain.io.transects.open_transects` made of it.
    model : str, path or Model
        As for :func:`xrain.retrieve`.
    channels : sequence of str, optional
        Keep only these channels, or those nearest to an instrument's.
    prior : float, optional
        Frequency of rain for which probabilities, means and quantiles shall hold; by default
        that of the model.
    seed, bootstrap : int
        Seed and number of the draws of overpasses behind the intervals; 0 draws leave them out.
    device : str, optional
        Where to compute.

    Returns
    -------
    dict
        ``model``, ``source``, ``event``, ``table`` and ``swath``, both as of
        :func:`xrain.evaluation.scorecard.scorecard`, and ``by_table_mean``, as of
        :func:`xrain.evaluation.total_expectation.expectation_classes`.

    Raises
    ------
    FileFormatError, InputError, UnknownChannelError, ModelError
        If the file, the channels or the model will not do.

    See Also
    --------
    xrain.evaluation.matchups.score_matchups : Pixels without neighbours.
    xrain.evaluation.swaths.score_granules : Simulated granules.
    """
    if isinstance(transects, xr.Dataset):
        ds, source = transects, "dataset"
    else:
        ds, source = open_transects(transects), Path(transects).name
    model = model if isinstance(model, Model) else load_model(model)
    complete = np.isfinite(ds[TB].values).all(axis=1)
    if channels is not None:
        names = [str(n) for n in ds[CHANNEL].values]
        ds = ds.isel({CHANNEL: choose_channels(channels, names)})
    settings = Settings(bootstrap, seed)
    pixels = {
        kind: transect_pixels(shown, ds, complete, model, prior, device)
        for kind, shown in (("table", transect_table(ds)), ("swath", transect_swath(ds)))
    }
    return {
        "model": model.card.name,
        "model_version": model.card.version,
        "source": source,
        "channels": [str(n) for n in ds[CHANNEL].values],
        "event": RATE_EVENT,
        "prior": prior,
        "model_prevalence": model.card.prevalence,
        "trained_on": seen_in_training(model.card, [source]),
        **{kind: scorecard(p, settings) for kind, p in pixels.items()},
        "by_table_mean": expectation_classes(pixels["table"], pixels["swath"], settings),
    }


def transect_table(ds: xr.Dataset) -> xr.Dataset:
    """Lay transects out as a table of separate pixels.

    Parameters
    ----------
    ds : xarray.Dataset
        As of :func:`xrain.io.transects.open_transects`.
    """
    place = {n: (SAMPLE, ds[n].values) for n in (LATITUDE, LONGITUDE)}
    return xr.Dataset(
        {TB: ((SAMPLE, CHANNEL), ds[TB].values)},
        {CHANNEL: ds[CHANNEL].values, **place},
        {k: v for k, v in ds.attrs.items() if k == "sensor"},
    )


def transect_pixels(
    shown: xr.Dataset,
    ds: xr.Dataset,
    complete: NDArray[np.bool_],
    model: Model,
    prior: float | None,
    device: str | None,
) -> Pixels:
    """Retrieve transects, and list their pixels beside the radar's.

    Parameters
    ----------
    shown : xarray.Dataset
        The transects as a table or as a swath.
    ds : xarray.Dataset
        As of :func:`xrain.io.transects.open_transects`.
    complete : ndarray of bool, shape (scan,)
        Pixels that count.
    model, prior, device
        As for :func:`score_transects`.
    """
    found, wet = retrieve_both(shown[[TB]], model, quantiles=LEVELS, device=device, prior=prior)
    rate = ds[SURFACE_PRECIP].values.astype(float)
    overpass = ds[OVERPASS].values
    dims = (SCAN, PIXEL) if SCAN in shown.dims else (SAMPLE,)
    shape = tuple(shown.sizes[d] for d in dims)
    rate_here = np.where(complete, rate, np.nan)
    return Pixels.from_retrieval(
        found,
        rate=rate_here.reshape(shape),
        event=np.where(np.isfinite(rate_here), rate_here >= EVENT_RATE, np.nan),
        groups=overpass,
        surfaces=dataset_surfaces(ds),
        given_rain=wet,
        smooth_rate=smooth_along_track(rate, overpass),
    )
