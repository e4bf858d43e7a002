"""All the scores that a set of pixels allows, by surface, with intervals, ready for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.evaluation import metrics
from xrain.evaluation.group_sums import GroupSums
from xrain.evaluation.pixel_scores import class_rows, pixel_scores, pixel_sums, reliability_rows
from xrain.evaluation.pixels import Pixels
from xrain.evaluation.rate_rows import rate_rows

__all__ = ["SURFACES", "Settings", "intervals", "plain", "scorecard", "to_json"]

Array = NDArray[np.float64]

SURFACES = ("all", "ocean", "land")
"""Surfaces that have scores of their own."""

TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Settings:
    """How to score.

    Attributes
    ----------
    replicates, seed : int
        Draws behind the intervals, none if 0, and their seed.
    """

    replicates: int = 200
    seed: int = 0


def scorecard(pixels: Pixels, settings: Settings) -> dict[str, Any]:
    """Score pixels, all together and by surface.

    Parameters
    ----------
    pixels : Pixels
        Estimates and truths.
    settings : Settings
        How to score.

    Returns
    -------
    dict
        ``n``; ``n_without_value``, pixels with a truth but no estimate; ``event_frequency``, the
        share of events;
        ``all``, ``ocean`` and ``land`` with ``n`` and the scores that the truth allows.
        ``…_interval`` is the 95 % interval over drawn groups. What is undefined, such as a
        correlation of one pixel, is None.

        A rate gives ``correlation`` and ``rmse`` (true rates above 50 mm/h cut to 50), ``mae``,
        ``bias``, ``relative_bias``, ``rain_ratio`` (total estimate over total truth);
        ``correlation_raining`` and ``correlation_log`` of true rates above 0.05 mm/h, the latter
        of logarithms, and ``correlation_log_given_rain`` of the mean on the condition that it
        rains; ``heavy_share``, the share of the amount that falls at 10 mm/h and more, and
        ``heavy_share_reference``; ``dry_with_rain``, the share of dry pixels with an estimate of
        an event; ``crps``, ``coverage90``, ``coverage50`` and ``quantile_coverage`` (where it
        rains, on that condition); ``pod_T``, ``far_T`` and ``hss_T`` of the mean for T of 0.1, 1
        and 10 mm/h; ``by_reference`` and ``by_estimate``, means by class of rate; ``by_rate``, see
        :func:`xrain.evaluation.rate_rows.rate_rows`. Where neighbours along the track are known,
        ``correlation_smooth``, ``heavy_share_smooth`` and ``pod_10_smooth`` … hold against the
        truth averaged over five pixels.

        An event gives ``pod``, ``far``, ``csi`` and ``hss`` of the probability > 0.5, the same of
        the flag as ``pod_flag`` …, ``auc``, ``brier``, ``brier_climatology``, ``brier_skill``,
        ``reliability`` by class of probability, and ``worst_reliability`` among classes of 700
        pixels and more.
    """
    good = pixels.scorable
    kept = pixels.pick(good)
    masks = {"all": np.ones(kept.mean.size, bool), **kept.surfaces}
    out: dict[str, Any] = {
        "n": int(good.sum()),
        "n_without_value": int((pixels.known & ~good).sum()),
        "event_frequency": _frequency(kept),
    }
    for name in SURFACES:
        mask = masks[name]
        out[name] = plain(_score(kept.pick(mask), settings))
    return out


def _frequency(pixels: Pixels) -> float | None:
    """Share of the pixels in which the event happened."""
    if pixels.event is None or not np.isfinite(pixels.event).any():
        return None
    return float(np.nanmean(pixels.event))


def _score(pixels: Pixels, settings: Settings) -> dict[str, Any]:
    out: dict[str, Any] = {"n": int(pixels.mean.size)}
    if not out["n"]:
        return out
    sums = pixel_sums(pixels)
    total = sums.total()
    found = pixel_scores(total)
    if pixels.event is not None:  # not rounded to classes of probability, as the draws are
        found["auc"] = metrics.probability_scores(pixels.probability, pixels.event)["auc"]
    out |= {name: float(value) for name, value in found.items()}
    out |= intervals(sums, settings)
    if pixels.rate is not None:
        out["max_rate"] = float(np.nanmax(pixels.mean))
        if pixels.quantiles:
            out["quantile_coverage"] = _quantile_coverage(pixels, pixels.rate)
        out["by_rate"] = rate_rows(pixels, settings.replicates, settings.seed)
        for by in ("reference", "estimate"):
            out[f"by_{by}"] = class_rows(total[f"{by}_classes"], "estimate", "reference")
    if pixels.event is not None:
        out["reliability"] = reliability_rows(total["reliability"])
    return out


def intervals(sums: GroupSums, settings: Settings) -> dict[str, list[float]]:
    """Give the 95 % interval of every score over drawn groups, as ``<score>_interval``."""
    if not settings.replicates or len(sums.keys) < 2:
        return {}
    drawn = pixel_scores(sums.draw(settings.replicates, settings.seed))
    return {f"{name}_interval": _bounds(values) for name, values in drawn.items()}


def _bounds(drawn: Array) -> list[float]:
    good = drawn[np.isfinite(drawn)]
    return [float(q) for q in np.quantile(good, TAILS)] if good.size else [math.nan, math.nan]


def _quantile_coverage(pixels: Pixels, rate: Array) -> dict[str, float]:
    """Coverage by level; where dry pixels are among them, that of rain where it rains."""
    quantiles = pixels.quantiles
    if pixels.quantiles_given_rain is not None:
        quantiles = pixels.quantiles_given_rain
        rate = np.where(pixels.event == 1, rate, np.nan)
    return {
        f"{level:g}": float(metrics.quantile_coverage(q, rate)) for level, q in quantiles.items()
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """Replace what JSON cannot hold: numbers that are not finite become None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return _number(value) if isinstance(value, float) else value


def to_json(scores: Mapping[str, Any] | list[dict[str, Any]]) -> str:
    """Scores as indented JSON."""
    return json.dumps(scores, indent=2, ensure_ascii=False, allow_nan=False)
