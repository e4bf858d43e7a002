"""Gradient boosting on simulated swaths: what neighbours can add to GMI's channels.

``python tools/baseline_neighbours.py --samples FOLDER --rain FILE... --radar FILE...`` learns from
the samples of a training run's cache and is scored on its held-out ones: from a pixel's own
channels, and from their means, extremes and contrasts around it as well; without errors in the
brightness temperatures that it learns from, and with those of lone pixels. Printed as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingRegressor

from xrain.training.degrade import add_errors
from xrain.training.samples import Shard, load_samples
from xrain.training.settings import settings
from xrain.training.validation import OCEAN

WET, DRY = 0.25, 0.025
"""Shares of raining and of dry pixels that are learned from, weighted to make up for it."""

SETTINGS = {"max_iter": 250, "max_leaf_nodes": 31, "learning_rate": 0.08, "early_stopping": False}


def predictors(tb: NDArray[np.float32], around: bool) -> NDArray[np.float32]:
    """Columns (scan, pixel, predictor) of one patch: its channels, and what lies around."""
    tb = np.nan_to_num(tb, nan=200.0)
    columns = [tb]
    if around:
        columns += [ndimage.uniform_filter(tb, (n, n, 0)) for n in (3, 7, 15)]
        columns += [ndimage.minimum_filter(tb[..., 7:], (5, 5, 1))]  # cold by ice
        columns += [ndimage.maximum_filter(tb[..., :7], (5, 5, 1))]  # warm by rain
        columns += [tb - ndimage.gaussian_filter(tb, (1, 1, 0))]
    return np.concatenate(columns, -1)


def table(
    shard: Shard, around: bool, errors: float, rng: np.random.Generator, *, some: bool
) -> tuple[NDArray[np.float32], ...]:
    """Predictors with land fraction, rain, land fraction and weight of known pixels."""
    parts = []
    for tb, rain, land in zip(shard.tb, shard.rain, shard.land.astype(np.float32), strict=True):
        noisy = add_errors(rng, tb[None].astype(np.float32), True, errors)[0]
        chance = np.where(rain >= 0.05, WET, DRY) if some else np.ones(rain.shape)
        kept = np.isfinite(rain) & (rng.uniform(size=rain.shape) < chance)
        columns = np.concatenate([predictors(noisy, around), land[..., None]], -1)
        parts.append((columns[kept], rain[kept], land[kept], 1 / chance[kept]))
    return tuple(np.concatenate(x) for x in zip(*parts, strict=True))


def score(learn: Shard, judge: Shard, around: bool, errors: float) -> dict[str, float]:
    """Correlation and relative bias by surface."""
    rng = np.random.default_rng(0)
    x, rain, _, weight = table(learn, around, errors, rng, some=True)
    model = HistGradientBoostingRegressor(**SETTINGS).fit(x, rain, sample_weight=weight)
    x, truth, land, _ = table(judge, around, 0.0, rng, some=False)
    found = model.predict(x)
    out: dict[str, float] = {}
    for name, part in (("ocean", land < OCEAN), ("land", land > 1 - OCEAN)):
        out[name] = float(np.corrcoef(found[part], truth[part])[0, 1])
        out[f"{name}_bias"] = float(found[part].mean() / truth[part].mean() - 1)
    return {k: round(v, 3) for k, v in out.items()}


def main() -> None:
    """Compare boosting with and without neighbours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--rain", nargs="*", default=[])
    parser.add_argument("--radar", nargs="*", default=[])
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    changes: dict[str, Any] = {"rain": tuple(args.rain), "radar": tuple(args.radar)}
    run = settings("cpu", ("GMI",), shards=args.shards, seed=args.seed, **changes)
    learn = load_samples(args.samples, *run.training_plans)["GMI"]
    judge = load_samples(args.samples, run.judging_plan)["GMI"]
    found = {
        f"errors {errors:g}, {'around' if around else 'alone'}": score(learn, judge, around, errors)
        for errors in (0.0, 1.0)
        for around in (False, True)
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
