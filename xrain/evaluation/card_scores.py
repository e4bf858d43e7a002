"""Scores of a model on real pixels that it has never seen, as its card tells them.

A card's ``scores["kept_apart"]`` holds for each set of pixels the facts of how it was judged, and
the scores of each estimate by surface::

    {"transects": {"facts": {"data": …, "seen_as": …, "split": …, "event": …},
                   "table": {"all": {"n": …, "correlation": …, "correlation_interval": […]}},
                   "boosting": …}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xrain.evaluation.pixels import Pixels
from xrain.evaluation.scorecard import SURFACES, Settings, scorecard

__all__ = ["ESTIMATES", "KEPT_APART", "TOLD", "card_scores", "kept_apart_scores"]

KEPT_APART: Final = "kept_apart"
"""Key of these scores among those of a card."""

ESTIMATES: Final = {
    "table": "the model, every pixel by itself",
    "swath": "the model, lines of pixels with their neighbours",
    "table_beside_swath": "the model, the pixels of swath by themselves",
    "boosting": "gradient boosting, taught by the same pixels",
    "process": "a Gaussian process, taught by the same pixels",
}
"""What is judged, side by side."""

TOLD: Final = (
    "n", "rain_ratio", "bias", "rmse", "correlation", "correlation_smooth", "correlation_log",
    "correlation_log_given_rain", "crps", "coverage90", "heavy_share", "heavy_share_reference",
    "pod_0.1", "far_0.1", "hss_0.1", "pod_1", "far_1", "hss_1", "pod_10", "far_10", "hss_10",
    "hss_10_smooth", "pod_flag", "far_flag", "hss_flag", "hss", "auc", "brier", "brier_skill",
    "worst_reliability",
)  # fmt: skip
"""Scores of :func:`xrain.evaluation.scorecard.scorecard` that a card tells."""

FEWEST: Final = 30
"""Pixels of a surface below which it has no scores."""


def card_scores(pixels: Pixels, settings: Settings) -> dict[str, Any]:
    """Score pixels by surface, as few numbers as a card shall hold, rounded.

    Parameters
    ----------
    pixels : Pixels
        Estimates and truths.
    settings : Settings
        How to score.

    Returns
    -------
    dict
        By surface, the scores named in :data:`TOLD` that the pixels allow, each with its
        ``…_interval``; ``by_rate``, and for all surfaces together ``reliability``.
    """
    found = scorecard(pixels, settings)
    out = {}
    for surface in SURFACES:
        scores = found[surface]
        if scores["n"] >= FEWEST:
            names = [*TOLD, "by_rate", *(["reliability"] if surface == "all" else [])]
            out[surface] = _told(scores, names, pixels.mean_given_rain is not None)
    return out


def _told(scores: Mapping[str, Any], names: list[str], conditional: bool) -> dict[str, Any]:
    """Keep some scores that are defined, with their intervals."""
    if not conditional:
        names = [n for n in names if n != "correlation_log_given_rain"]
    out = {}
    for name in names:
        if scores.get(name) in (None, []):
            continue
        out[name] = _rounded(scores[name])
        bounds = scores.get(f"{name}_interval")
        if bounds and None not in bounds:
            out[f"{name}_interval"] = _rounded(bounds)
    return out


def _rounded(value: Any) -> Any:
    """Round every number to four digits behind the point; leave out what is undefined."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items() if v is not None or k == "high"}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def kept_apart_scores(facts: Mapping[str, Any], estimates: Mapping[str, Any]) -> dict[str, Any]:
    """Put the scores of several estimates together with the facts of how they were found.

    Parameters
    ----------
    facts : mapping
        At least ``data``, ``seen_as``, ``split`` and ``event``, each a text.
    estimates : mapping
        What :func:`card_scores` returned, by the names of :data:`ESTIMATES`.
    """
    return {"facts": dict(facts), **{k: estimates[k] for k in ESTIMATES if k in estimates}}
