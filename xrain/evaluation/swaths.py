"""Score a model on simulated swaths, whose true rain is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import CHANNEL, EVENT_RATE, LATITUDE, LONGITUDE, PIXEL, SCAN, SURFACE_PRECIP
from xrain.errors import InputError
from xrain.evaluation.channel_subset import choose_channels
from xrain.evaluation.pixel_scores import RATE_EVENT
from xrain.evaluation.pixels import LEVELS, Pixels
from xrain.evaluation.resolution import Spectra, effective_resolution, swath_spectra
from xrain.evaluation.scorecard import Settings, scorecard
from xrain.evaluation.training_data import seen_in_training, source_names
from xrain.geo.surfaces import dataset_surfaces
from xrain.io.open import open_l1c
from xrain.io.truth import open_truth
from xrain.models.store import Model, load_model
from xrain.retrieval.dataset import retrieve_both

__all__ = ["score_granules"]


GROUP = 32
"""Scans that belong together when intervals are drawn; some 400 km."""


@dataclass(frozen=True)
class _Swath:
    pixels: Pixels
    spectra: dict[str, Spectra]


def score_granules(
    granules: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: str | os.PathLike[str] | Model,
    *,
    channels: Sequence[str] | None = None,
    prior: float | None = None,
    seed: int = 0,
    bootstrap: int = 100,
    device: str | None = None,
    progress: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Score a model on simulated granules, all their pixels together.

    An event is a true rate of at least 0.1 mm/h.

    Parameters
    ----------
    granules : path or sequence of paths
        Simulated granules, each with ``<granule>.truth.nc`` beside it.
    prior : float, optional
        As for :func:`xrain.evaluation.transects.score_transects`.
    model, channels, seed, bootstrap, device
        As for :func:`xrain.evaluation.matchups.score_matchups`; stretches of scans are drawn
        instead of days.
    progress : callable, optional
        Called with each granule that is done.

    Returns
    -------
    dict
        As of :func:`xrain.evaluation.matchups.score_matchups`, with ``effective_resolution`` in
        km for each surface; see :mod:`xrain.evaluation.resolution`.

    Raises
    ------
    FileFormatError, InputError, UnknownChannelError, ModelError
        If a granule, its truth, the channels or the model will not do.

    See Also
    --------
    xrain.evaluation.matchups.score_matchups : Matched real pixels.
    xrain.evaluation.transects.score_transects : Real pixels along a track.
    """
    paths = [Path(p) for p in ([granules] if isinstance(granules, str | os.PathLike) else granules)]
    if not paths:
        raise InputError("there are no granules to score")
    model = model if isinstance(model, Model) else load_model(model)
    swaths = []
    for number, path in enumerate(paths):
        swaths.append(_estimate(path, model, channels, number, prior, device))
        if progress is not None:
            progress(path)
    settings = Settings(bootstrap, seed)
    scores = scorecard(Pixels.join([s.pixels for s in swaths]), settings)
    for surface in ("all", "ocean", "land"):
        spectra = Spectra.join([s.spectra[surface] for s in swaths])
        found = effective_resolution(spectra)
        scores[surface]["effective_resolution"] = found if np.isfinite(found) else None
    return {
        "model": model.card.name,
        "model_version": model.card.version,
        "source": [p.name for p in paths],
        "given_rain": False,
        "event": RATE_EVENT,
        "prior": prior,
        "model_prevalence": model.card.prevalence,
        "trained_on": seen_in_training(model.card, [n for p in paths for n in source_names(p)]),
        **scores,
    }


def _estimate(
    path: Path,
    model: Model,
    channels: Sequence[str] | None,
    number: int,
    prior: float | None,
    device: str | None,
) -> _Swath:
    """Retrieve one granule and lay it beside its truth."""
    truth = open_truth(path)
    ds = open_l1c(path).load()
    _same_grid(path, ds, truth)
    if channels is not None:
        names = [str(n) for n in ds[CHANNEL].values]
        ds = ds.isel({CHANNEL: choose_channels(channels, names)})
    rain, wet = retrieve_both(ds, model, quantiles=LEVELS, device=device, prior=prior)
    rate = truth[SURFACE_PRECIP].values.astype(float)
    surfaces = dataset_surfaces(truth)
    pixels = Pixels.from_retrieval(
        rain,
        rate=rate,
        event=np.where(np.isfinite(rate), rate >= EVENT_RATE, np.nan),
        groups=_groups(rate.shape, number),
        surfaces=surfaces,
        given_rain=wet,
    )
    estimate = rain[SURFACE_PRECIP].transpose(SCAN, PIXEL).values
    place = truth[LATITUDE].values, truth[LONGITUDE].values
    masks = {"all": None, **surfaces}
    spectra = {k: swath_spectra(estimate, rate, *place, mask) for k, mask in masks.items()}
    return _Swath(pixels, spectra)


def _same_grid(path: Path, ds: xr.Dataset, truth: xr.Dataset) -> None:
    shape = {d: ds.sizes[d] for d in (SCAN, PIXEL)}
    if {d: truth.sizes[d] for d in (SCAN, PIXEL)} != shape:
        raise InputError(
            f"{path.name} has {shape[SCAN]} scans of {shape[PIXEL]} pixels, its truth "
            f"{truth.sizes[SCAN]} of {truth.sizes[PIXEL]}: they do not belong together"
        )


def _groups(shape: tuple[int, ...], number: int) -> NDArray[np.int64]:
    block = np.arange(shape[0]) // GROUP + number * 1_000_000
    return np.broadcast_to(block[:, None], shape).astype(np.int64)
