"""What real data teach, judged on days that were kept apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.collocation.store import list_groups, read_attrs
from xrain.evaluation.matchups import score_matchups
from xrain.evaluation.stores import score_store
from xrain.io.matchups import matched_days, open_matchups
from xrain.models.store import Model
from xrain.training.fit import Run
from xrain.training.matched_pixels import kept_apart
from xrain.training.settings import Settings

__all__ = ["cross_validate", "score_days", "score_stores"]


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

    Matched pixels have no neighbours, so only the branch for single pixels is trained.

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
        stage = replace(chosen, fold=fold, simulated_steps=0, steps=0)
        run = Run(folder / f"fold-{fold}", stage, device, cache)
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
        if not any(p.patches for p in list_groups(path, "test")):
            continue
        shown = chosen.channels or None
        out.setdefault(str(read_attrs(path)["sensor"]), {})[Path(path).name] = {
            state: _mean(
                [score_store(path, model, channels=shown, bootstrap=0, device=device)["swath"]]
            )
            for state, model in states.items()
            if model is not None
        }
    return out


def _for_any(model: Model) -> Model:
    """Let a network for one instrument read the channels of all: it is the same network."""
    card = replace(model.card, sensor=None, inputs=())
    return replace(model, card=card, reference=None)
