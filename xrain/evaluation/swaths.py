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

from xrain.conventions import CHANNEL, LATITUDE, LONGITUDE, PIXEL, SCAN, SURFACE_PRECIP
from xrain.errors import FileFormatError, InputError
from xrain.evaluation.analogue import choose_channels
from xrain.evaluation.resolution import Spectra, effective_resolution, swath_spectra
from xrain.evaluation.scorecard import QUANTILES, Pixels, Settings, scorecard
from xrain.evaluation.surfaces import dataset_surfaces
from xrain.io.open import open_l1c
from xrain.models.store import Model, load_model
from xrain.retrieval import retrieve
from xrain.simulate.granule import truth_path

__all__ = ["open_truth", "score_granules"]

OBSERVED = "observed_fraction"
ENOUGH = 0.9
"""Share of a footprint whose true rain must be known for it to be scored."""

GROUP = 32
"""Scans that belong together when intervals are drawn; some 400 km."""


@dataclass(frozen=True)
class _Swath:
    pixels: Pixels
    spectra: dict[str, Spectra]


def open_truth(granule: str | os.PathLike[str]) -> xr.Dataset:
    """Read the true rain beside a simulated granule, NaN where too little of it is known.

    Raises
    ------
    FileFormatError
        If there is none, or it cannot be read.
    """
    path = truth_path(granule)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            truth = ds.load()
        rate = truth[SURFACE_PRECIP].transpose(SCAN, PIXEL)
    except (OSError, ValueError, KeyError) as error:
        raise FileFormatError(
            f"{path}: no readable truth for {Path(granule).name}; 'xrain simulate' writes it "
            f"beside the granule: {error}"
        ) from error
    known = truth[OBSERVED] >= ENOUGH if OBSERVED in truth else np.isfinite(rate)
    return truth.assign({SURFACE_PRECIP: rate.where(known)})


def score_granules(
    granules: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: str | os.PathLike[str] | Model,
    *,
    channels: Sequence[str] | None = None,
    seed: int = 0,
    bootstrap: int = 100,
    device: str | None = None,
    progress: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Score a model on simulated granules, all their pixels together.

    An event is a true rate of at least the model's lowest class.

    Parameters
    ----------
    granules : path or sequence of paths
        Simulated granules, each with ``<granule>.truth.nc`` beside it.
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
    """
    paths = [Path(p) for p in ([granules] if isinstance(granules, str | os.PathLike) else granules)]
    if not paths:
        raise InputError("there are no granules to score")
    model = model if isinstance(model, Model) else load_model(model)
    swaths = []
    for number, path in enumerate(paths):
        swaths.append(_estimate(path, model, channels, number, device))
        if progress is not None:
            progress(path)
    settings = Settings(model.card.event_frequency, bootstrap, seed)
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
        **scores,
    }


def _estimate(
    path: Path, model: Model, channels: Sequence[str] | None, number: int, device: str | None
) -> _Swath:
    """Retrieve one granule and lay it beside its truth."""
    truth = open_truth(path)
    ds = open_l1c(path).load()
    _same_grid(path, ds, truth)
    if channels is not None:
        names = [str(n) for n in ds[CHANNEL].values]
        ds = ds.isel({CHANNEL: choose_channels(channels, names)})
    rain = retrieve(ds, model, quantiles=QUANTILES, device=device)
    wet = retrieve(ds, model, quantiles=QUANTILES, device=device, given_rain=True)
    rate = truth[SURFACE_PRECIP].values.astype(float)
    surfaces = dataset_surfaces(truth)
    pixels = Pixels.from_retrieval(
        rain,
        rate=rate,
        event=np.where(np.isfinite(rate), rate >= model.card.rates[0], np.nan),
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
