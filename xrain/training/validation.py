"""Judge a network on held-out simulated swaths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrain.conventions import EVENT_RATE
from xrain.evaluation.metrics import probability_scores, rate_scores
from xrain.geo.surfaces import surface_masks
from xrain.models.unet import ConstellationUNet, PixelBranch, describe, stack_planes
from xrain.retrieval.engine import Engine
from xrain.retrieval.estimates import Pixels
from xrain.sensors import Channel
from xrain.training.learner import pixel_loss
from xrain.training.samples import Shard
from xrain.training.total_expectation import expectation_report

INTERVAL = (0.05, 0.95)

HEAVY = 20.0
"""Rate in mm/h from which rain counts as heavy."""

Judged = tuple[Shard, Sequence[Channel]]


def judged_loss(
    network: ConstellationUNet, samples: Sequence[Judged], beside: PixelBranch | None = None
) -> float:
    """Mean loss of whole patches with all channels, each set of samples alike.

    Parameters
    ----------
    network : ConstellationUNet
        What is judged.
    samples : sequence of Judged
        Patches and their channels.
    beside : PixelBranch, optional
        The simulation's own judgement of single pixels, if the patches are simulated; by default
        they are observed, and the network's own counts.
    """
    losses = []
    for shard, channels in samples:
        rain = torch.from_numpy(shard.rain)
        _, both = _logits(network, shard, channels, beside)
        found = pixel_loss(both, rain, network.config.edges, observed=beside is None)
        losses.append(float(found.sum() / torch.isfinite(rain).sum().clamp(min=1)))
    return float(np.mean(losses))


def _logits(
    network: ConstellationUNet,
    shard: Shard,
    channels: Sequence[Channel],
    beside: PixelBranch | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits (patch, scan, pixel, class) of pixels by themselves, and with their neighbours."""
    fields = (shard.tb, shard.incidence, shard.land)
    planes = stack_planes(*(torch.from_numpy(f.astype(np.float32)) for f in fields))
    description, branch = describe(channels), beside or network.pixel
    with torch.inference_mode():
        alone = branch(planes.permute(0, 2, 3, 1), description)
        parts = zip(torch.split(planes, 4), torch.split(alone, 4), strict=True)
        added = [network.neighbours(part, description, own) for part, own in parts]
        return alone, alone + torch.cat(added)


def verify(
    network: ConstellationUNet,
    samples: Mapping[str, Shard],
    channels: Mapping[str, Sequence[Channel]],
    beside: PixelBranch | None = None,
) -> dict[str, Any]:
    """Score a network on simulated patches, with their neighbours and as lone pixels.

    What cannot be told, as where nothing rains, is left out.

    Parameters
    ----------
    network : ConstellationUNet
        What is judged.
    samples, channels : mapping
        Patches and their channels by sensor.
    beside : PixelBranch, optional
        The simulation's own judgement of single pixels, beside which neighbours were learned.

    Returns
    -------
    dict
        By sensor: number of pixels, correlation, root-mean-square error (mm/h), relative bias,
        coverage of the 5–95 % interval where it rains, area under the ROC curve for rain of
        at least 0.1 mm/h, the correlation of the same pixels seen alone, both correlations
        over the ocean, the mean estimate over the mean truth where it rains heavily, and how far
        the law of total expectation holds: see
        :func:`~xrain.training.total_expectation.expectation_report`, of the network
        (``expectation``) and beside the simulation's own branch (``expectation_simulated``).
    """
    out = {}
    for name, shard in samples.items():
        out[name] = _verify_sensor(network, channels[name], shard)
        out[name]["expectation"] = _expectation(network, shard, channels[name])
        if beside is not None:
            found = _expectation(network, shard, channels[name], beside)
            out[name]["expectation_simulated"] = found
    return out


def _expectation(
    network: ConstellationUNet,
    shard: Shard,
    channels: Sequence[Channel],
    beside: PixelBranch | None = None,
) -> list[dict[str, float]]:
    """Tell how far neighbours change pixels that look alike, where the rain is known."""
    known = torch.from_numpy(np.isfinite(shard.rain))
    alone, both = (x[known] for x in _logits(network, shard, channels, beside))
    return expectation_report(alone, both, network.config.edges)


def _verify_sensor(
    network: ConstellationUNet, channels: Sequence[Channel], shard: Shard
) -> dict[str, Any]:
    engine = Engine(network, channels, INTERVAL)
    tb = shard.tb.astype(np.float32)
    angle, land = shard.incidence.astype(np.float32), shard.land.astype(np.float32)
    estimate = engine.patches(tb, angle, land)
    known = np.isfinite(shard.rain)
    fields = shard.rain, estimate.mean, estimate.probability, *estimate.quantiles
    rain, mean, probability, low, high = (x[known] for x in fields)
    heavy = rain >= HEAVY
    wet, sea = rain >= EVENT_RATE, surface_masks(shard.land[known])["ocean"]
    every = slice(None, None, 3)
    calm = np.zeros(rain[every].shape, bool)
    single = Pixels(tb[known][every], angle[known][every], land[known][every], calm)
    alone = engine.single_pixels(single)[0].mean
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
    return float(rate_scores(a, b)["correlation"]) if a.size > 1 else float("nan")


def _auc(probability: npt.NDArray[np.floating], wet: npt.NDArray[np.bool_]) -> float:
    if wet.all() or not wet.any():
        return float("nan")
    return float(probability_scores(probability, wet)["auc"])
