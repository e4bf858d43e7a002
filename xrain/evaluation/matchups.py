"""Score a model on real matched pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import CHANNEL, EVENT_RATE, LATITUDE, LONGITUDE, SAMPLE, SURFACE_PRECIP, TB
from xrain.evaluation.channel_subset import choose_channels
from xrain.evaluation.pixel_scores import RATE_EVENT
from xrain.evaluation.pixels import LEVELS, Pixels
from xrain.evaluation.scorecard import Settings, scorecard
from xrain.evaluation.training_data import seen_in_training
from xrain.geo.surfaces import dataset_surfaces
from xrain.io.matchups import PHASE, matched_days, open_matchups, require_matchups
from xrain.models.store import Model, load_model
from xrain.retrieval.dataset import retrieve_both
from xrain.sensors.describe import find_owner

__all__ = ["model_inputs", "score_matchups"]

PHASE_EVENT = "rain or snow (phase >= 1)"


def model_inputs(ds: xr.Dataset, channels: Sequence[str] | None = None) -> xr.Dataset:
    """Keep of a table what a model may see: brightness temperatures and positions.

    Parameters
    ----------
    ds : xarray.Dataset
        ``tb(sample, channel)``, ``latitude`` and ``longitude``; what else it holds is left out.
    channels : sequence of str, optional
        Names of channels to keep, or of instruments whose nearest channels to keep.

    Returns
    -------
    xarray.Dataset
        With the attribute ``sensor`` of the table, else of the one instrument that has all its
        channels by name.
    """
    names = [str(n) for n in ds[CHANNEL].values]
    owner = find_owner(names)
    sensor = ds.attrs.get("sensor") or (owner.name if owner else None)
    out = xr.Dataset(
        {TB: ds[TB]},
        coords={LATITUDE: (SAMPLE, ds[LATITUDE].values), LONGITUDE: (SAMPLE, ds[LONGITUDE].values)},
        attrs={"sensor": sensor} if sensor else {},
    ).transpose(SAMPLE, CHANNEL)
    return out if channels is None else out.isel({CHANNEL: choose_channels(channels, names)})


def score_matchups(
    matchups: str | os.PathLike[str] | xr.Dataset,
    model: str | os.PathLike[str] | Model,
    *,
    channels: Sequence[str] | None = None,
    prior: float | None = None,
    seed: int = 0,
    bootstrap: int = 200,
    device: str | None = None,
) -> dict[str, Any]:
    """Score a model on matched pixels, each a lone pixel without neighbours.

    Where all pixels rain, mean and quantiles are those on the condition that it rains. The event
    of a file with ``phase`` is phase ≥ 1, of a file with dry rates a rate of at least 0.1 mm/h.
    Tables of matched pixels hold rain more often than nature does, so where a file has dry pixels
    too, the frequency of the event in it is the prior of the retrieval.

    Parameters
    ----------
    matchups : path or xarray.Dataset
        ``tb(sample, channel)``, ``latitude``, ``longitude``, ``surface_precip`` in mm/h or
        ``phase``, and ``month`` and ``day``. Nothing but brightness temperatures and positions
        is shown to the model.
    model : str, path or Model
        As for :func:`xrain.retrieve`.
    channels : sequence of str, optional
        Keep only these channels, or those nearest to an instrument's.
    prior : float, optional
        Frequency of rain for which probabilities, means and quantiles shall hold; by default
        that of the event in the file.
    seed, bootstrap : int
        Seed and number of the draws of days behind the intervals; 0 draws leave them out.
    device : str, optional
        Where to compute.

    Returns
    -------
    dict
        ``model``, ``event``, ``n``, ``all``, ``ocean``, ``land`` and where it comes from; see
        :func:`xrain.evaluation.scorecard.scorecard`.

    Raises
    ------
    FileFormatError, InputError, UnknownChannelError, ModelError
        If the file, the channels or the model will not do.

    See Also
    --------
    xrain.evaluation.transects.score_transects : With neighbours along the track.
    xrain.evaluation.swaths.score_granules : Simulated granules.
    """
    if isinstance(matchups, xr.Dataset):
        ds, source = require_matchups(matchups, "the dataset"), "dataset"
    else:
        ds, source = open_matchups(matchups), Path(matchups).name
    model = model if isinstance(model, Model) else load_model(model)
    rate = ds[SURFACE_PRECIP].values.astype(float) if SURFACE_PRECIP in ds else None
    given_rain = rate is not None and bool((rate[np.isfinite(rate)] > 0).all())
    shown = model_inputs(ds, channels)
    happened, event = _events(ds, rate, given_rain)
    prior = _prior(happened, model) if prior is None else prior
    free, wet = retrieve_both(shown, model, quantiles=LEVELS, device=device, prior=prior)
    pixels = Pixels.from_retrieval(
        wet if given_rain else free,
        given_rain=None if given_rain or rate is None else wet,
        rate=rate,
        event=happened,
        groups=matched_days(ds),
        surfaces=dataset_surfaces(ds),
    )
    return {
        "model": model.card.name,
        "model_version": model.card.version,
        "source": source,
        "channels": [str(n) for n in shown[CHANNEL].values],
        "given_rain": given_rain,
        "event": event,
        "prior": prior,
        "model_prevalence": model.card.prevalence,
        "trained_on": seen_in_training(model.card, [source]),
        **scorecard(pixels, Settings(bootstrap, seed)),
    }


def _prior(happened: NDArray[np.float64] | None, model: Model) -> float | None:
    """Frequency of the event, if the model's own is known and this one is neither 0 nor 1."""
    if happened is None or not 0 < model.card.prevalence < 1 or not np.isfinite(happened).any():
        return None
    frequency = float(np.nanmean(happened))
    return frequency if 0 < frequency < 1 else None


def _events(
    ds: xr.Dataset, rate: NDArray[np.float64] | None, given_rain: bool
) -> tuple[NDArray[np.float64] | None, str | None]:
    """1 where it rains or snows, NaN where unknown; None without dry pixels. And its name."""
    if PHASE in ds:
        phase = ds[PHASE].values.astype(float)
        return np.where(np.isfinite(phase) & (phase >= 0), phase >= 1, np.nan), PHASE_EVENT
    if rate is None or given_rain:
        return None, None
    return np.where(np.isfinite(rate), rate >= EVENT_RATE, np.nan), RATE_EVENT
