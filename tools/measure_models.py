"""Measure models as the documentation reports them: swaths, lost channels and spoilt input.

``python tools/measure_models.py swaths --samples FOLDER [--radar FILE...]`` scores the held-out
patches of a training run's cache, by instrument, and says how often it rained where a probability
was given; ``loss`` with the same options takes channels of GMI away at random; ``spoilt --data
MATCHUPS...`` measures how often good and spoilt pixels are flagged; ``observed --data SWATHS...``
says what neighbours change in observed swaths without reference. Everything is printed as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.conventions import EVENT_RATE
from xrain.evaluation.ood_test import score_detection
from xrain.models.store import Model, load_model
from xrain.retrieval.engine import Engine
from xrain.retrieval.estimates import Pixels
from xrain.sensors import get_sensor, list_sensors
from xrain.training.samples import Plan, Shard, load_samples
from xrain.training.unlabelled import read_unlabelled
from xrain.training.validation import verify

GIVEN = ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0))
"""Ranges of probability in which pixels are counted together."""


def swaths(args: argparse.Namespace) -> dict[str, Any]:
    """Score on simulated patches with and without neighbours, and reliability, by instrument."""
    model = load_model(args.model)
    names = tuple(list_sensors()) if model.card.sensor is None else (model.card.sensor,)
    plan = Plan(names, args.shards, 64, args.seed, radar=tuple(args.radar))
    samples = load_samples(args.samples, plan)
    channels = {name: get_sensor(name).channels for name in samples}
    found: dict[str, Any] = verify(model.network, samples, channels)
    for name, shard in samples.items():
        found[name]["reliability"] = _reliability(model, shard, channels[name])
    return found


def _reliability(model: Model, shard: Shard, channels: Any) -> list[list[float]]:
    """Mean probability and the share of pixels with rain, by range of probability."""
    rain, _, probability, *_ = _retrieved(model, shard, channels, shard.tb)
    wet = rain >= EVENT_RATE
    groups = [(probability > low) & (probability <= high) for low, high in GIVEN]
    return [[round(float(x[g].mean()), 3) for x in (probability, wet)] for g in groups if g.any()]


def _retrieved(model: Model, shard: Shard, channels: Any, tb: Any) -> list[Any]:
    """Truth, mean, probability, 5 and 95 % quantile of the pixels whose rain is known."""
    engine = Engine(model.network, channels, (0.05, 0.95))
    fields = [f.astype(np.float32) for f in (tb, shard.incidence, shard.land)]
    found = engine.patches(*fields)
    known = np.isfinite(shard.rain)
    wanted = shard.rain, found.mean, found.probability, *found.quantiles
    return [x[known].astype(float) for x in wanted]


def loss(args: argparse.Namespace) -> dict[str, Any]:
    """Skill and width of the interval on simulated patches against the number of channels left."""
    model = load_model(args.model)
    plan = Plan(("GMI",), args.shards, 64, args.seed, radar=tuple(args.radar))
    shard = load_samples(args.samples, plan)["GMI"]
    channels = get_sensor("GMI").channels
    rng = np.random.default_rng(0)
    out: dict[str, Any] = {}
    for left in (13, 12, 10, 8, 6, 4, 2, 1):
        draws = [
            np.sort(rng.permutation(13)[:left]) for _ in range(1 if left == 13 else args.draws)
        ]
        found = [_lossy(model, shard, [channels[k] for k in kept], kept) for kept in draws]
        out[str(left)] = {k: round(float(np.mean([f[k] for f in found])), 3) for k in found[0]}
        out[str(left)]["worst"] = round(float(min(f["correlation"] for f in found)), 3)
    return out


def _lossy(model: Model, shard: Shard, channels: list[Any], kept: Any) -> dict[str, float]:
    rain, mean, _, low, high = _retrieved(model, shard, channels, shard.tb[..., kept])
    wet = rain >= EVENT_RATE
    return {
        "correlation": float(np.corrcoef(rain, mean)[0, 1]),
        "rmse": float(np.sqrt(np.mean((rain - mean) ** 2))),
        "width": float(np.mean((high - low)[wet])),
        "coverage90": float(np.mean((rain >= low)[wet] & (rain <= high)[wet])),
    }


def spoilt(args: argparse.Namespace) -> dict[str, Any]:
    """How often good and spoilt real pixels are flagged."""
    return {Path(p).name: score_detection(p, args.model) for p in args.data}


RATES = (0.1, 0.3, 1.0, 3.0)
"""Mean rates in mm/h of pixels alone between which they are counted together."""

PLATEAU = -70.0
"""Latitude in degrees south of which there is ice below all pixels."""


def observed(args: argparse.Namespace) -> dict[str, Any]:
    """Mean rate as a swath over that of the pixels alone, and the largest one over the plateau."""
    model = load_model(args.model)
    return {Path(path).name: _neighbours(model, path) for path in args.data}


def _neighbours(model: Model, path: str) -> dict[str, Any]:
    swath = read_unlabelled(path)
    engine = Engine(model.network, swath.channels, (0.5,))
    calm = np.zeros(swath.land.shape, bool)
    both = engine.swath(Pixels(swath.tb, swath.incidence, swath.land, calm))[0].mean
    flat = swath.tb.reshape(-1, swath.tb.shape[-1]), swath.incidence.ravel(), swath.land.ravel()
    alone = engine.single_pixels(Pixels(*flat, calm.ravel()))[0].mean.reshape(both.shape)
    known = np.isfinite(both) & np.isfinite(alone)
    kind = np.digitize(alone, RATES)
    ratios = [
        both[known & (kind == k)].sum(dtype=float) / alone[known & (kind == k)].sum(dtype=float)
        for k in range(len(RATES) + 1)
        if (known & (kind == k)).any()
    ]
    found = {
        "ratio": round(float(both[known].sum(dtype=float) / alone[known].sum(dtype=float)), 3),
        "ratio_by_rate": [round(float(x), 3) for x in ratios],
    }
    with xr.open_dataset(path) as ds:
        south = known & (ds["latitude"].values < PLATEAU)
    if south.any():
        found["plateau_largest"] = round(float(both[south].max()), 3)
    return found


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("swaths", "loss", "spoilt", "observed"))
    parser.add_argument("--model", default="constellation-unet")
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--radar", nargs="*", default=[])
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--seed", type=int, default=900_011)
    parser.add_argument("--draws", type=int, default=8)
    args = parser.parse_args()
    ways = {"swaths": swaths, "loss": loss, "spoilt": spoilt, "observed": observed}
    found = ways[args.what](args)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
