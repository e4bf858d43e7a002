"""Scores of pixels from sums by group: rates, detection, probabilities and classes of rain.

An event is a true rate of at least :data:`xrain.conventions.EVENT_RATE`, or what the table of
pixels itself calls precipitation. Groups, such as days or overpasses, are what intervals are drawn
from; see :class:`xrain.evaluation.group_sums.GroupSums`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrain.conventions import EVENT_RATE
from xrain.evaluation.formulas import (
    PROBABILITY_EDGES,
    area_under_curve,
    contingency_scores,
    correlation,
    crps,
    ratio,
)
from xrain.evaluation.group_sums import GroupSums
from xrain.evaluation.pixels import LEVELS, Pixels

__all__ = [
    "HEAVY",
    "HIGHEST",
    "RATE_CLASSES",
    "RATE_EVENT",
    "RELIABILITY_EDGES",
    "THRESHOLDS",
    "SumsByGroup",
    "class_rows",
    "pixel_scores",
    "pixel_sums",
    "reliability_rows",
]  # fmt: skip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Column = Array | Mask | float

RATE_EVENT: Final = f"rain >= {EVENT_RATE:g} mm/h"
"""What an event is where the truth is a rate."""

THRESHOLDS: Final = (EVENT_RATE, 1.0, 10.0)
"""Rates in mm/h from which on it rains, rains moderately and rains heavily."""

HEAVY: Final = THRESHOLDS[-1]

HIGHEST: Final = 50.0
"""True rates above this, in mm/h, are cut to it in correlations and squared errors, so that no
single pixel decides them."""

LOWEST: Final = 0.05
"""Rate in mm/h above which, and at least as which, logarithms of rates are compared."""

RATE_CLASSES: Final = (0.0, 0.05, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, np.inf)
"""Edges in mm/h of the classes by which mean rates are compared."""

RELIABILITY_EDGES: Final = (0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Edges of the classes of probability by which reliability is told."""

MANY: Final = 700
"""Pixels from which on a class of probability counts for the worst reliability."""

CENTRAL: Final = {"coverage90": (0.05, 0.95), "coverage50": (0.25, 0.75)}
"""Central intervals whose coverage is scored, by the levels of their bounds."""


class SumsByGroup:
    """Adds columns of pixels up by group.

    Parameters
    ----------
    groups : ndarray, shape (sample,)
        What belongs together.
    """

    def __init__(self, groups: NDArray[Any]) -> None:
        names, self._index = np.unique(groups, return_inverse=True)
        self.keys = tuple((str(name),) for name in names)

    def add(self, keep: Mask, *columns: Column) -> Array:
        """Add columns up over the pixels that are kept, shape (group, column)."""
        index, count = self._index[keep], len(self.keys)
        rows = [
            np.bincount(index, np.broadcast_to(c, keep.shape)[keep].astype(np.float64), count)
            for c in columns
        ]
        return np.stack(rows, axis=-1)

    def moments(self, keep: Mask, x: Array, y: Array) -> Array:
        """Add up what a correlation needs; see :func:`xrain.evaluation.formulas.correlation`."""
        return self.add(keep, 1.0, x, y, x * x, y * y, x * y)

    def table(self, keep: Mask, forecast: Mask, event: Mask) -> Array:
        """Count correct negatives, misses, false alarms and hits, shape (group, 4)."""
        code = 2 * forecast.astype(np.int64) + event
        return self.classes(keep, code, 4, 1.0)[..., 0]

    def classes(self, keep: Mask, code: NDArray[Any], count: int, *columns: Column) -> Array:
        """Add columns up by class, shape (group, class, column)."""
        index, size = self._index[keep] * count + code[keep], len(self.keys) * count
        rows = [
            np.bincount(index, np.broadcast_to(c, keep.shape)[keep].astype(np.float64), size)
            for c in columns
        ]
        shape = (len(self.keys), count, len(columns))
        return np.asarray(np.stack(rows, axis=-1), np.float64).reshape(shape)


def pixel_sums(pixels: Pixels) -> GroupSums:
    """Add up what the scores of pixels need.

    Parameters
    ----------
    pixels : Pixels
        Estimates and truths.
    """
    sums = SumsByGroup(pixels.groups)
    values: dict[str, Array] = {}
    if pixels.rate is not None:
        values |= _rate_sums(sums, pixels, pixels.rate)
        if pixels.quantiles:
            values |= _quantile_sums(sums, pixels, pixels.rate)
    if pixels.rate is not None and pixels.smooth_rate is not None:
        values |= _smooth_sums(sums, pixels.mean, pixels.smooth_rate)
    if pixels.event is not None:
        values |= _event_sums(sums, pixels, pixels.event)
    return GroupSums(sums.keys, values)


def _rate_sums(sums: SumsByGroup, pixels: Pixels, o: Array) -> dict[str, Array]:
    f = pixels.mean
    known = np.isfinite(f) & np.isfinite(o)
    given = f if pixels.mean_given_rain is None else pixels.mean_given_rain
    wet = known & (o > LOWEST)
    with np.errstate(invalid="ignore"):
        cut = np.minimum(o, HIGHEST)
        logs = (np.log(np.maximum(v, LOWEST)) for v in (f, given, o))
        log_f, log_given, log_o = logs
    heavy = [np.where(v >= HEAVY, v, 0.0) for v in (f, o)]
    dry = o == 0
    return {
        "moments": sums.moments(known, f, cut),
        "errors": sums.add(known, np.abs(f - o), (f - cut) ** 2),
        "totals": sums.add(known, f, o, *heavy),
        "dry": sums.add(known & dry, 1.0, f >= EVENT_RATE),
        "wet": sums.moments(wet, f, cut),
        "log": sums.moments(wet, log_f, log_o),
        "log_given_rain": sums.moments(wet, log_given, log_o),
        "tables": np.stack([sums.table(known, f >= t, o >= t) for t in THRESHOLDS], axis=1),
        "reference_classes": class_sums(sums, known, o, f, o),
        "estimate_classes": class_sums(sums, known, f, f, o),
    }


def class_sums(sums: SumsByGroup, keep: Mask, by: Array, *columns: Array) -> Array:
    """Add columns up by classes of a rate, shape (group, class, 1 + column); counts come first."""
    edges = np.array(RATE_CLASSES[1:-1])
    code = np.digitize(np.where(keep, by, 0.0), edges)
    return sums.classes(keep, code, edges.size + 1, 1.0, *columns)


def _quantile_sums(sums: SumsByGroup, pixels: Pixels, o: Array) -> dict[str, Array]:
    known = np.isfinite(pixels.mean) & np.isfinite(o)
    inside = [
        (pixels.quantiles[low] <= o) & (o <= pixels.quantiles[high])
        for low, high in CENTRAL.values()
    ]
    losses = [
        np.maximum(level * (o - q), (level - 1) * (o - q))
        for level, q in sorted(pixels.quantiles.items())
    ]
    return {
        "coverage": sums.add(known, 1.0, *inside),
        "losses": sums.add(known, 1.0, *losses),
    }


def _smooth_sums(sums: SumsByGroup, f: Array, smooth: Array) -> dict[str, Array]:
    known = np.isfinite(f) & np.isfinite(smooth)
    heavy = np.where(smooth >= HEAVY, smooth, 0.0)
    return {
        "smooth": sums.moments(known, f, np.minimum(smooth, HIGHEST)),
        "smooth_table": sums.table(known, f >= HEAVY, smooth >= HEAVY),
        "smooth_totals": sums.add(known, smooth, heavy),
    }


def _event_sums(sums: SumsByGroup, pixels: Pixels, event: Array) -> dict[str, Array]:
    p = pixels.probability
    known = np.isfinite(p) & np.isfinite(event)
    happened = event == 1
    edges = np.array(RELIABILITY_EDGES[1:-1])
    code = np.digitize(np.where(known, p, 0.0), edges)
    kinds = PROBABILITY_EDGES.size - 1
    place = np.searchsorted(PROBABILITY_EDGES, np.where(known, p, 0.0), side="right") - 1
    place = np.clip(place, 0, kinds - 1)
    counts = sums.classes(known, place, kinds, ~happened, happened)
    return {
        "detection": sums.table(known, p > 0.5, happened),
        "flag": sums.table(known, pixels.flag == 1, happened),
        "brier": sums.add(known, 1.0, happened, (p - happened) ** 2),
        "reliability": sums.classes(known, code, edges.size + 1, 1.0, p, happened),
        "probabilities": np.swapaxes(counts, 1, 2),
    }


# ---- scores


def pixel_scores(sums: dict[str, Array]) -> dict[str, Array]:
    """Scores from the sums of :func:`pixel_sums`, of shape (...) as the leading axes."""
    out: dict[str, Array] = {}
    if "moments" in sums:
        out |= _rate_scores(sums)
    if "smooth" in sums:
        out |= _smooth_scores(sums)
    if "brier" in sums:
        out |= _event_scores(sums)
    return out


def _rate_scores(sums: dict[str, Array]) -> dict[str, Array]:
    n = sums["moments"][..., 0]
    f, o, heavy_f, heavy_o = np.moveaxis(sums["totals"], -1, 0)
    found = {
        "correlation": correlation(sums["moments"]),
        "rmse": np.sqrt(ratio(sums["errors"][..., 1], n)),
        "mae": ratio(sums["errors"][..., 0], n),
        "bias": ratio(f - o, n),
        "relative_bias": ratio(f, o) - 1,
        "rain_ratio": ratio(f, o),
        "correlation_raining": correlation(sums["wet"]),
        "correlation_log": correlation(sums["log"]),
        "correlation_log_given_rain": correlation(sums["log_given_rain"]),
        "heavy_share": ratio(heavy_f, f),
        "heavy_share_reference": ratio(heavy_o, o),
        "dry_with_rain": ratio(sums["dry"][..., 1], sums["dry"][..., 0]),
    }
    if "losses" in sums:
        found |= _quantile_scores(sums)
    for k, threshold in enumerate(THRESHOLDS):
        table = contingency_scores(sums["tables"][..., k, :])
        found |= {f"{s}_{threshold:g}": table[s] for s in ("pod", "far", "hss")}
    return found


def _quantile_scores(sums: dict[str, Array]) -> dict[str, Array]:
    losses = ratio(sums["losses"][..., 1:], sums["losses"][..., :1])
    counts = sums["coverage"]
    found = {name: ratio(counts[..., k + 1], counts[..., 0]) for k, name in enumerate(CENTRAL)}
    return {"crps": crps(losses, LEVELS), **found}


def _smooth_scores(sums: dict[str, Array]) -> dict[str, Array]:
    table = contingency_scores(sums["smooth_table"])
    total, heavy = np.moveaxis(sums["smooth_totals"], -1, 0)
    return {
        "correlation_smooth": correlation(sums["smooth"]),
        "heavy_share_smooth": ratio(heavy, total),
        **{f"{s}_{HEAVY:g}_smooth": table[s] for s in ("pod", "far", "hss")},
    }


def _event_scores(sums: dict[str, Array]) -> dict[str, Array]:
    n, events, squares = np.moveaxis(sums["brier"], -1, 0)
    frequency, brier = ratio(events, n), ratio(squares, n)
    climatology = frequency * (1 - frequency)
    flag = contingency_scores(sums["flag"])
    return {
        **contingency_scores(sums["detection"]),
        **{f"{s}_flag": flag[s] for s in ("pod", "far", "csi", "hss")},
        "auc": area_under_curve(sums["probabilities"]),
        "brier": brier,
        "brier_climatology": climatology,
        "brier_skill": 1 - ratio(brier, climatology),
        "worst_reliability": _worst(sums["reliability"]),
    }


def _worst(classes: Array) -> Array:
    """Largest difference of stated and seen probability in a class of many pixels."""
    n, said, seen = np.moveaxis(classes, -1, 0)
    gap = np.where(n >= MANY, np.abs(ratio(said - seen, n)), -1.0).max(axis=-1)
    return np.asarray(np.where(gap < 0, np.nan, gap))


# ---- rows


def class_rows(sums: Array, *names: str) -> list[dict[str, float | None]]:
    """Describe classes of rate: bounds, number of pixels, and the mean of each column.

    Parameters
    ----------
    sums : ndarray, shape (class, 1 + column)
        From :func:`class_sums`, added up over groups.
    names : str
        What the columns are; the last one is the reference, of whose rain each class holds the
        share ``rain_share``.
    """
    total = max(float(sums[:, -1].sum()), 1e-12)
    return [
        {"low": low, "high": high if np.isfinite(high) else None, "n": int(row[0]),
         **{n: float(v / row[0]) for n, v in zip(names, row[1:], strict=True)},
         "rain_share": float(row[-1] / total)}
        for (low, high), row in zip(pairwise(RATE_CLASSES), sums, strict=True) if row[0]
    ]  # fmt: skip


def reliability_rows(sums: Array) -> list[dict[str, float | None]]:
    """Describe classes of probability: bounds, mean probability, frequency of events, number."""
    return [
        {"low": low, "high": high, "probability": float(said / n), "frequency": float(seen / n),
         "n": int(n)}
        for (low, high), (n, said, seen) in zip(pairwise(RELIABILITY_EDGES), sums, strict=True)
        if n
    ]  # fmt: skip
