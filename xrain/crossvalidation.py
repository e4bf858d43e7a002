"""What real data teach, judged on days that were kept apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.conventions import (
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    SCAN,
    SURFACE_PRECIP,
    TB,
    TIME,
)
from xrain.evaluation.analogue import choose_channels
from xrain.evaluation.matchups import score_matchups
from xrain.evaluation.scorecard import QUANTILES, Pixels, scorecard
from xrain.evaluation.scorecard import Settings as ScoreSettings
from xrain.evaluation.surfaces import dataset_surfaces
from xrain.io.matchups import matched_days, open_matchups
from xrain.models.store import Model
from xrain.retrieval import retrieve
from xrain.training.fit import Run
from xrain.training.reality import kept_apart
from xrain.training.settings import Settings
from xrain.training.store import PATCH, list_pieces, open_store, read_facts

__all__ = ["cross_validate", "score_days", "score_store", "score_stores"]

SCORED = 512
"""Patches of a store that are scored at most, spread over the days of its test."""


def cross_validate(
    folder: Path,
    chosen: Settings,
    base: Model,
    *,
    device: str = "cpu",
    cache: Path | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune once per fold, and judge each result on the days that it never saw.

    Parameters
    ----------
    folder : Path
        Where the runs are kept, each in ``fold-K``; they resume.
    chosen : Settings
        Of the fine-tuning, with its `matchups` and number of `folds`.
    base : Model
        What every fold starts from, and what the gain is measured against.
    device : str
        Where to train.
    cache : Path, optional
        Where simulated samples are kept, by default in each run.
    report : callable, optional
        Called with the facts of the runs.

    Returns
    -------
    dict
        By instrument, for which the nearest channels of the tables stand, and by file of
        matchups: ``before`` and ``after``, scores as of ``xrain score`` averaged over folds, for
        all pixels, ocean and land.
    """
    tables = {Path(p).name: open_matchups(p) for p in chosen.matchups}
    cases = [(sensor, name) for sensor in chosen.sensors for name in tables]
    before: dict[tuple[str, str], list[Any]] = {case: [] for case in cases}
    after: dict[tuple[str, str], list[Any]] = {case: [] for case in cases}
    for fold in range(chosen.folds):
        run = Run(folder / f"fold-{fold}", replace(chosen, fold=fold), device, cache)
        run.start_from(dict(base.network.state_dict()))
        run.train(report)
        tuned = Model(base.card, run.result())
        for sensor, name in cases:
            days = tables[name], fold, chosen.folds
            before[sensor, name].append(score_days(base, *days, [sensor]))
            after[sensor, name].append(score_days(tuned, *days, [sensor]))
    out: dict[str, Any] = {sensor: {} for sensor in chosen.sensors}
    for sensor, name in cases:
        pair = before[sensor, name], after[sensor, name]
        out[sensor][name] = {"before": _mean(pair[0]), "after": _mean(pair[1])}
    return out


def score_days(
    model: Model, table: xr.Dataset, fold: int, folds: int, channels: Sequence[str] | None = None
) -> dict[str, Any]:
    """Score a model on the days of a table that a fold keeps apart."""
    apart = kept_apart(matched_days(table), fold, folds)
    return score_matchups(table.isel(sample=apart), model, channels=channels, bootstrap=0)


def _mean(scores: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Average the numbers of several scorecards."""
    out: dict[str, dict[str, float]] = {}
    for surface in ("all", "ocean", "land"):
        parts = [s[surface] for s in scores]
        names = [k for k, v in parts[0].items() if isinstance(v, float | int)]
        out[surface] = {
            k: round(float(np.nanmean([p[k] for p in parts if p.get(k) is not None])), 4)
            for k in names
        }
    return out


def score_stores(
    chosen: Settings, base: Model | None, tuned: Model, *, device: str = "cpu"
) -> dict[str, Any]:
    """Score what was learned from stores on their test days.

    Returns
    -------
    dict
        By instrument and name of the store: ``before``, if there is a model that training began
        with, and ``after``, scores for all pixels, ocean and land. Stores without a test are left
        out.
    """
    states = {"before": base and _for_any(base), "after": _for_any(tuned)}
    out: dict[str, Any] = {}
    for path in chosen.stores:
        if not any(p.patches for p in list_pieces(path, "test")):
            continue
        shown = chosen.channels or None
        out.setdefault(str(read_facts(path)["sensor"]), {})[Path(path).name] = {
            state: _mean([score_store(path, model, channels=shown, bootstrap=0, device=device)])
            for state, model in states.items()
            if model is not None
        }
    return out


def _for_any(model: Model) -> Model:
    """Let a network for one instrument read the channels of all: it is the same network."""
    card = replace(model.card, sensor=None, inputs=())
    return replace(model, card=card, reference=None)


def score_store(
    path: str | os.PathLike[str],
    model: Model,
    split: str = "test",
    *,
    channels: Sequence[str] | None = None,
    seed: int = 0,
    bootstrap: int = 200,
    device: str | None = None,
) -> dict[str, Any]:
    """Score a model on the patches of a store that have one purpose.

    An event is a rate of the reference of at least the model's lowest class. Of very many patches
    some are taken, evenly spread over the time.

    Parameters
    ----------
    path : path
        The store.
    model : Model
        What is scored.
    split : {"test", "validation", "train"}
        Which patches.
    channels : sequence of str, optional
        Keep only these channels, or those nearest to an instrument's.
    seed, bootstrap, device
        As for :func:`xrain.evaluation.matchups.score_matchups`; days are drawn.

    Returns
    -------
    dict
        As of :func:`xrain.evaluation.matchups.score_matchups`.

    Raises
    ------
    FileFormatError, InputError
        If the store cannot be read, or has no such patches.
    """
    ds = open_store(path, split)
    count = ds.sizes[PATCH]
    some = np.unique(np.linspace(0, count - 1, min(count, SCORED)).round().astype(int))
    if channels is not None:
        names = [str(n) for n in ds[CHANNEL].values]
        ds = ds.isel({CHANNEL: choose_channels(channels, names)})
    granule = ds["granule"].values[some]
    apart = np.flatnonzero(granule[1:] != granule[:-1]) + 1
    parts = [_estimate(ds.isel({PATCH: k}), model, device) for k in np.split(some, apart)]
    return {
        "model": model.card.name,
        "model_version": model.card.version,
        "source": Path(path).name,
        "channels": [str(n) for n in ds[CHANNEL].values],
        "given_rain": False,
        **scorecard(Pixels.join(parts), ScoreSettings(model.card.event_frequency, bootstrap, seed)),
    }


def _estimate(patches: xr.Dataset, model: Model, device: str | None) -> Pixels:
    """Retrieve the patches of a granule, and lay them beside the reference where there is one."""
    swath = _below_each_other(patches.load())
    rate = swath[SURFACE_PRECIP].values.astype(float)
    shown = swath[[TB]]
    found, wet = (
        retrieve(shown, model, quantiles=QUANTILES, given_rain=given, device=device)
        for given in (False, True)
    )
    pixels = Pixels.from_retrieval(
        found,
        rate=rate,
        event=np.where(np.isfinite(rate), rate >= model.card.rates[0], np.nan),
        groups=np.full(rate.shape, patches["time"].values[0].astype("M8[D]").astype(int)),
        surfaces=dataset_surfaces(swath),
        given_rain=wet,
    )
    return pixels.pick(np.isfinite(rate).ravel())


def _below_each_other(patches: xr.Dataset) -> xr.Dataset:
    """Patches (patch, scan, …) as one swath (scan, …), days apart so that none is a neighbour."""
    count, rows = patches.sizes[PATCH], patches.sizes[SCAN]
    data = {
        name: (v.dims[1:], v.values.reshape(count * rows, *v.shape[2:]))
        for name, v in patches.variables.items()
        if v.dims[:2] == (PATCH, SCAN)
    }
    days = np.arange(count).astype("m8[D]")[:, None] + np.arange(rows).astype("m8[s]")
    time = np.datetime64("2000-01-01", "ns") + days.ravel()
    attrs = {"sensor": patches.attrs["sensor"]}
    out = xr.Dataset(data, {CHANNEL: patches[CHANNEL].values, TIME: (SCAN, time)}, attrs)
    return out.set_coords([LATITUDE, LONGITUDE, INCIDENCE])
