"""Measure models as the documentation reports them: lost channels and spoilt input.

``python tools/measure_models.py loss --samples FOLDER [--radar FILE...]`` scores the held-out
patches of a training run's cache with channels taken away at random; ``spoilt --data MATCHUPS...``
measures how often good and spoilt pixels are flagged. Everything is printed as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from xrain.evaluation.corruption import score_detection
from xrain.inference import Engine
from xrain.models.store import Model, load_model
from xrain.sensors import get_sensor
from xrain.training.samples import Plan, Shard, load_samples


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
    engine = Engine(model.network, channels, (0.05, 0.95))
    fields = [f.astype(np.float32) for f in (shard.tb[..., kept], shard.incidence, shard.land)]
    calm = np.zeros(shard.rain.shape, bool)
    planes = np.stack([engine.swath(*p) for p in zip(*fields, calm, strict=True)], 1)
    known = np.isfinite(shard.rain)
    rain, mean, _, low, high = (x[known].astype(float) for x in (shard.rain, *planes))
    wet = rain >= 0.1
    return {
        "correlation": float(np.corrcoef(rain, mean)[0, 1]),
        "rmse": float(np.sqrt(np.mean((rain - mean) ** 2))),
        "width": float(np.mean((high - low)[wet])),
        "coverage90": float(np.mean((rain >= low)[wet] & (rain <= high)[wet])),
    }


def spoilt(args: argparse.Namespace) -> dict[str, Any]:
    """How often good and spoilt real pixels are flagged."""
    return {Path(p).name: score_detection(p, args.model) for p in args.data}


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("loss", "spoilt"))
    parser.add_argument("--model", default="constellation-unet")
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--radar", nargs="*", default=[])
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--seed", type=int, default=900_011)
    parser.add_argument("--draws", type=int, default=8)
    args = parser.parse_args()
    found = {"loss": loss, "spoilt": spoilt}[args.what](args)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
