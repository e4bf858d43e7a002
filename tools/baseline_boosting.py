"""Gradient boosting on real pixels: the figures that a network has to reach.

Each fold of days is predicted from the others, by default half from the other half and the other
way round, and scored with the scores, days and surface classes of ``xrain score``: for all
channels, and for the nearest channels of every instrument. Run as
``python tools/baseline_boosting.py DATA/matchups [--folds 10] [--json]``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from xrain.evaluation.channel_subset import nearest_channels
from xrain.evaluation.metrics import bootstrap_intervals, event_scores, probability_scores
from xrain.evaluation.metrics import rate_scores as rates
from xrain.geo.surfaces import dataset_surfaces
from xrain.io.matchups import matched_days, open_matchups

DRAIN = ["36.64V", "36.64H", "89.0V", "89.0H"]
SETTINGS = {"max_iter": 300, "learning_rate": 0.05, "max_leaf_nodes": 15, "l2_regularization": 1.0}


def predictors(ds: xr.Dataset, names: list[str], land: bool) -> NDArray[np.float32]:
    """Brightness temperatures, and land fraction if wanted, as columns."""
    tb = ds["tb"].sel(channel=names).values
    return np.column_stack([tb, ds["land_fraction"].values]) if land else tb


def with_errors(found: Any, arrays: list[Any], days: NDArray[Any]) -> dict[str, float]:
    """Scores, with half of their 68 % interval over drawn days as ``…_error``."""
    out = {k: float(v) for k, v in found(*arrays).items()}
    spread = bootstrap_intervals(found, arrays, days, level=0.68)
    return out | {f"{k}_error": (b - a) / 2 for k, (a, b) in spread.items()}


def by_surface(found: Any, arrays: list[Any], ds: xr.Dataset) -> dict[str, Any]:
    """Scores over all pixels, ocean and land."""
    days = matched_days(ds)
    masks = {"all": np.ones(len(days), bool), **dataset_surfaces(ds)}
    return {
        k: with_errors(found, [a[masks[k]] for a in arrays], days[masks[k]])
        for k in ("all", "ocean", "land")
    }


def rain(ds: xr.Dataset, names: list[str], land: bool, folds: int) -> dict[str, Any]:
    """Scores of the rate where it rains."""
    x, rate = predictors(ds, names, land), ds["surface_precip"].values.astype(float)

    def predict(train: Any, test: Any) -> Any:
        model = HistGradientBoostingRegressor(**SETTINGS, random_state=0)
        return model.fit(x[train], rate[train]).predict(x[test])

    return by_surface(rates, [out_of_fold(ds, folds, predict), rate], ds)


def phase(ds: xr.Dataset, names: list[str], land: bool, folds: int) -> dict[str, Any]:
    """Scores of the detection of rain or snow."""
    x, event = predictors(ds, names, land), (ds["phase"].values >= 1).astype(float)

    def predict(train: Any, test: Any) -> Any:
        model = HistGradientBoostingClassifier(**SETTINGS, random_state=0)
        return model.fit(x[train], event[train]).predict_proba(x[test])[:, 1]

    def found(p: Any, event: Any) -> dict[str, Any]:
        yes = np.where(np.isnan(p), np.nan, p > 0.5)
        return event_scores(yes, event) | probability_scores(p, event)

    return by_surface(found, [out_of_fold(ds, folds, predict), event], ds)


def out_of_fold(ds: xr.Dataset, folds: int, predict: Callable[..., Any]) -> NDArray[np.float64]:
    """Predict the days of each fold from those of the others."""
    fold = matched_days(ds) % folds
    out = np.full(fold.size, np.nan)
    for k in range(folds):
        out[fold == k] = predict(fold != k, fold == k)
    return out


def main() -> None:
    """Train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rainy = open_matchups(options.folder / "gmi_dpr_rain.nc")
    phases = open_matchups(options.folder / "gmi_dpr_phase.nc")
    names = [str(c) for c in rainy["channel"].values]
    sensors = ("GMI", "AMSR2", "SSMI", "SSMIS", "ATMS", "MHS", "SAPHIR")
    sets = {s: nearest_channels(s, names) for s in sensors} | {"DRAIN": DRAIN}
    result: dict[str, Any] = {}
    for label, chosen in sets.items():
        for land in (False, True):
            row = rain(rainy, chosen, land, options.folds)
            key = f"{label}{' + land' if land else ''}"
            result[key] = {"channels": chosen, "rain": row}
            if label == "GMI":
                result[key]["phase"] = phase(phases, chosen, land, options.folds)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for key, row in result.items():
        for kind in ("rain", "phase"):
            for surface, s in row.get(kind, {}).items():
                wanted = ("correlation", "rmse", "mae", "bias", "hss", "pod", "far", "csi", "auc")
                text = "  ".join(
                    f"{w} {s[w]:.3f} ± {s[w + '_error']:.3f}" for w in wanted if w in s
                )
                print(f"{key:14s} {kind:6s} {surface:6s} {text}")


if __name__ == "__main__":
    main()
