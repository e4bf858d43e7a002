"""All the scores that a set of pixels allows, by surface, with intervals, ready for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    PRECIP_FLAG,
    PROBABILITY_OF_PRECIP,
    QUANTILE,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
)
from xrain.errors import InputError
from xrain.evaluation import metrics

__all__ = ["QUANTILES", "Pixels", "Settings", "scorecard", "to_json"]

Array = NDArray[np.float64]

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Levels of the quantiles whose coverage is scored."""

CENTRAL = {"coverage90": (0.05, 0.95), "coverage50": (0.25, 0.75)}
"""Central intervals whose coverage is scored, by the levels of their bounds."""


@dataclass(frozen=True)
class Pixels:
    """Estimates beside truth, all of shape (sample,).

    Attributes
    ----------
    mean : ndarray
        Estimated rate in mm/h.
    probability, flag : ndarray
        Probability of precipitation; 1 where precipitation is detected as delivered.
    quantiles : dict of float to ndarray
        Quantiles of the rate in mm/h by level.
    rate : ndarray or None
        True rate in mm/h.
    event : ndarray or None
        1 where it truly rains or snows, else 0.
    groups : ndarray
        What belongs together when intervals are drawn, such as the day.
    surfaces : dict of str to ndarray of bool
        Masks by surface class.
    quantiles_given_rain : dict of float to ndarray or None
        Quantiles on the condition that it rains, where `quantiles` are not.
    """

    mean: Array
    probability: Array
    flag: Array
    quantiles: dict[float, Array]
    rate: Array | None
    event: Array | None
    groups: NDArray[Any]
    surfaces: dict[str, NDArray[np.bool_]]
    quantiles_given_rain: dict[float, Array] | None = None

    @classmethod
    def from_retrieval(
        cls,
        rain: xr.Dataset,
        *,
        rate: Array | None,
        event: Array | None,
        groups: NDArray[Any],
        surfaces: Mapping[str, NDArray[np.bool_]],
        given_rain: xr.Dataset | None = None,
    ) -> Pixels:
        """Lay a retrieval out as a list of pixels, beside truths of its shape.

        `given_rain` is the same retrieval on the condition that it rains.
        """
        probability = rain[PROBABILITY_OF_PRECIP].values.astype(float).ravel()
        flag = rain[PRECIP_FLAG].values.astype(float).ravel()
        return cls(
            mean=rain[SURFACE_PRECIP].values.astype(float).ravel(),
            probability=probability,
            flag=np.where(np.isnan(probability), np.nan, flag),
            quantiles=_quantiles(rain),
            rate=None if rate is None else rate.ravel(),
            event=None if event is None else event.ravel(),
            groups=groups.ravel(),
            surfaces={name: mask.ravel() for name, mask in surfaces.items()},
            quantiles_given_rain=None if given_rain is None else _quantiles(given_rain),
        )

    @classmethod
    def join(cls, parts: Sequence[Pixels]) -> Pixels:
        """Put the pixels of several swaths together, all with the same kinds of truth."""

        def joined(values: list[Any]) -> Any:
            if values[0] is None:
                return None
            if isinstance(values[0], dict):
                return {k: joined([v[k] for v in values]) for k in values[0]}
            return np.concatenate(values)

        names = [f.name for f in fields(cls)]
        return cls(**{n: joined([getattr(p, n) for p in parts]) for n in names})

    @property
    def scorable(self) -> NDArray[np.bool_]:
        """Where there is an estimate and some truth."""
        truths = [t for t in (self.rate, self.event) if t is not None]
        if not truths:
            raise InputError("there is neither a true rate nor a true event to score against")
        known = np.any([np.isfinite(t) for t in truths], axis=0)
        return np.asarray(known & np.isfinite(self.mean))

    def pick(self, mask: NDArray[np.bool_]) -> Pixels:
        """Keep some of the pixels."""

        def picked(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: v[mask] for k, v in value.items()}
            return None if value is None else value[mask]

        return Pixels(**{f.name: picked(getattr(self, f.name)) for f in fields(self)})


def _quantiles(rain: xr.Dataset) -> dict[float, Array]:
    levels = [float(q) for q in rain[QUANTILE].values]
    values = rain[SURFACE_PRECIP_QUANTILE].values.astype(float).reshape(len(levels), -1)
    return dict(zip(levels, values, strict=True))


@dataclass(frozen=True)
class Settings:
    """How to score.

    Attributes
    ----------
    event_frequency : float
        Frequency of precipitation for which the model's probabilities hold; 0 if unknown.
    replicates, seed : int
        Draws behind the intervals, none if 0, and their seed.
    """

    event_frequency: float
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
        ``n``; ``n_without_value``, pixels with a truth but no estimate; ``all``, ``ocean`` and
        ``land`` with ``n`` and the scores that the truth allows. A rate gives ``correlation``,
        ``rmse``, ``mae``, ``bias``, ``relative_bias``, ``coverage90``, ``coverage50`` and
        ``quantile_coverage`` (where it rains, on that condition); an event gives ``pod``,
        ``far``, ``csi`` and ``hss`` of the probability > 0.5 after its prior is shifted from the
        model's event frequency to that of the pixels, ``hss_flag`` of the flag as delivered,
        ``auc``, ``brier`` and ``reliability`` of the shifted probability. ``…_interval`` is the
        95 % interval over drawn groups. What is undefined, such as a correlation of one pixel,
        is None.
    """
    good = pixels.scorable
    kept = pixels.pick(good)
    frequency, shifted = _shift(kept, settings.event_frequency)
    masks = {"all": np.ones(kept.mean.size, bool), **kept.surfaces}
    truths = [t for t in (pixels.rate, pixels.event) if t is not None]
    known = np.any([np.isfinite(t) for t in truths], axis=0)
    out: dict[str, Any] = {
        "n": int(good.sum()),
        "n_without_value": int((known & ~good).sum()),
        "event_frequency": frequency,
    }
    for name in ("all", "ocean", "land"):
        mask = masks[name]
        out[name] = _plain(_score(kept.pick(mask), shifted[mask], settings))
    return out


def _shift(pixels: Pixels, before: float) -> tuple[dict[str, float | None] | None, Array]:
    """Frequencies of the event for the model and in the pixels, and the shifted probability."""
    if pixels.event is None:
        return None, pixels.probability
    known = np.isfinite(pixels.event)
    after = float(pixels.event[known].mean()) if known.any() else math.nan
    said = {"model": before or None, "file": _number(after)}
    if 0 < before < 1 and 0 < after < 1:
        return said, metrics.shift_prior(pixels.probability, before, after)
    return said, pixels.probability


def _score(pixels: Pixels, shifted: Array, settings: Settings) -> dict[str, Any]:
    out: dict[str, Any] = {"n": int(pixels.mean.size)}
    if pixels.rate is not None:
        bounds = [pixels.quantiles[q] for pair in CENTRAL.values() for q in pair]
        out |= _with_intervals(_rates, [pixels.mean, pixels.rate, *bounds], pixels, settings)
        out["quantile_coverage"] = _quantile_coverage(pixels, pixels.rate)
    if pixels.event is not None:
        arrays = [shifted, pixels.probability, pixels.flag, pixels.event]
        out |= _with_intervals(_detections, arrays, pixels, settings)
        out["reliability"] = metrics.reliability(shifted, pixels.event)
    return out


def _quantile_coverage(pixels: Pixels, rate: Array) -> dict[str, float]:
    """Coverage by level; where dry pixels are among them, that of rain where it rains."""
    quantiles = pixels.quantiles
    if pixels.quantiles_given_rain is not None:
        quantiles = pixels.quantiles_given_rain
        rate = np.where(pixels.event == 1, rate, np.nan)
    return {
        f"{level:g}": float(metrics.quantile_coverage(q, rate)) for level, q in quantiles.items()
    }


def _rates(mean: Array, rate: Array, *bounds: Array) -> dict[str, Array]:
    found = metrics.rate_scores(mean, rate)
    for k, name in enumerate(CENTRAL):
        found[name] = metrics.coverage(bounds[2 * k], bounds[2 * k + 1], rate)
    return found


def _detections(shifted: Array, probability: Array, flag: Array, event: Array) -> dict[str, Array]:
    yes = np.where(np.isnan(shifted), np.nan, shifted > 0.5)
    return {
        **metrics.event_scores(yes, event),
        "hss_flag": metrics.event_scores(flag, event)["hss"],
        "auc": metrics.probability_scores(probability, event)["auc"],
        "brier": metrics.probability_scores(shifted, event)["brier"],
    }


def _with_intervals(
    score: Callable[..., dict[str, Array]], arrays: list[Array], pixels: Pixels, settings: Settings
) -> dict[str, Any]:
    if not pixels.mean.size:
        return {}
    out: dict[str, Any] = {name: float(value) for name, value in score(*arrays).items()}
    if settings.replicates:
        intervals = metrics.bootstrap_intervals(
            score, arrays, pixels.groups, settings.replicates, settings.seed
        )
        out |= {f"{name}_interval": list(pair) for name, pair in intervals.items()}
    return out


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Replace what JSON cannot hold: numbers that are not finite become None."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return _number(value) if isinstance(value, float) else value


def to_json(scores: Mapping[str, Any] | list[dict[str, Any]]) -> str:
    """Scores as indented JSON."""
    return json.dumps(scores, indent=2, ensure_ascii=False, allow_nan=False)
