"""Judge a network on held-out simulated swaths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xrain.inference import Engine
from xrain.models.quantiles import pinball_loss
from xrain.models.trunk import UNetConfig
from xrain.models.unet import ConstellationUNet, describe, stack_planes
from xrain.sensors import Channel
from xrain.training.batches import classes
from xrain.training.samples import Shard

INTERVAL = (0.05, 0.95)

HEAVY = 20.0
"""Rate in mm/h from which rain counts as heavy."""

Judged = tuple[Shard, Sequence[Channel]]

OCEAN = 0.01
"""Land fraction below which a pixel counts as ocean."""


def pixel_loss(output: Tensor, rain: Tensor, config: UNetConfig) -> Tensor:
    """Loss of each pixel (batch, row, column), 0 where the rain is unknown.

    Cross-entropy of the rain classes, or of a network that gives quantiles their quantile loss.
    """
    if config.levels:
        known = torch.isfinite(rain)
        found = pinball_loss(output.movedim(1, -1), torch.nan_to_num(rain), config.levels)
        return torch.where(known, found, 0.0)
    target = classes(rain, config.edges)
    return nn.functional.cross_entropy(output, target, ignore_index=-1, reduction="none")


def judged_loss(network: ConstellationUNet, samples: Sequence[Judged]) -> float:
    """Mean loss of whole patches with all channels, each set of samples alike."""
    losses = []
    for shard, channels in samples:
        rain = torch.from_numpy(shard.rain)
        fields = (shard.tb, shard.incidence, shard.land)
        planes = stack_planes(*(torch.from_numpy(f.astype(np.float32)) for f in fields))
        description = describe(channels)
        with torch.inference_mode():
            out = torch.cat([network(part, description) for part in torch.split(planes, 4)])
        found = pixel_loss(out, rain, network.config)
        losses.append(float(found.sum() / torch.isfinite(rain).sum().clamp(min=1)))
    return float(np.mean(losses))


def verify(
    network: ConstellationUNet,
    samples: Mapping[str, Shard],
    channels: Mapping[str, Sequence[Channel]],
) -> dict[str, Any]:
    """Score a network on simulated patches, with their neighbours and as lone pixels.

    What cannot be told, as where nothing rains, is left out.

    Returns
    -------
    dict
        By sensor: number of pixels, correlation, root-mean-square error (mm/h), relative bias,
        coverage of the 5–95 % interval where it rains, area under the ROC curve for rain of the
        lowest class and more, the correlation of the same pixels seen alone, both correlations
        over the ocean, and the mean estimate over the mean truth where it rains heavily.
    """
    return {n: _verify_sensor(network, channels[n], shard) for n, shard in samples.items()}


def _verify_sensor(
    network: ConstellationUNet, channels: Sequence[Channel], shard: Shard
) -> dict[str, float]:
    engine = Engine(network, channels, INTERVAL)
    tb = shard.tb.astype(np.float32)
    angle, land = shard.incidence.astype(np.float32), shard.land.astype(np.float32)
    strange = np.zeros(shard.rain.shape, bool)
    planes = np.stack([engine.swath(*p) for p in zip(tb, angle, land, strange, strict=True)], 1)
    known = np.isfinite(shard.rain)
    rain, mean, probability, low, high = (x[known] for x in (shard.rain, *planes))
    heavy = rain >= HEAVY
    wet, sea = rain >= network.config.edges[0], shard.land[known] < OCEAN
    every = slice(None, None, 3)
    alone = engine.lone(
        tb[known][every], angle[known][every], land[known][every], strange[known][every]
    )[0]
    found = {
        "n": int(rain.size),
        "correlation": _correlation(mean, rain),
        "rmse": float(np.sqrt(np.mean((mean - rain) ** 2))),
        "relative_bias": float(mean.mean() / max(rain.mean(), 1e-9) - 1),
        "coverage90_rain": float(np.mean((rain >= low)[wet] & (rain <= high)[wet])),
        "auc": _auc(probability, wet),
        "correlation_lone": _correlation(alone, rain[every]),
        "correlation_ocean": _correlation(mean[sea], rain[sea]),
        "correlation_ocean_lone": _correlation(alone[sea[every]], rain[every][sea[every]]),
        "wet_fraction": float(wet.mean()),
        "ratio_heavy": float(mean[heavy].mean() / rain[heavy].mean()) if heavy.any() else np.nan,
    }
    return {k: v for k, v in found.items() if np.isfinite(v)}


def _correlation(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    if a.size < 2 or not (a.std() and b.std()):
        return float("nan")
    return float(np.corrcoef(a.astype(np.float64), b)[0, 1])


def _auc(probability: npt.NDArray[np.floating], wet: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve, as the chance that a wet pixel ranks above a dry one."""
    from scipy.stats import rankdata

    ranks = rankdata(probability)
    n1, n0 = int(wet.sum()), int((~wet).sum())
    if not n1 or not n0:
        return float("nan")
    return float((ranks[wet].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
