"""The law of total expectation as a figure: what neighbours add must not change the mean.

A judgement that knows more gives, on average over all pixels that look alike to one that knows
less, the same rain. So in every class of the mean rate that a pixel gets alone, the mean with its
neighbours, the mean alone and the mean of the truth agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.conventions import EVENT_RATE
from xrain.evaluation.formulas import ratio
from xrain.evaluation.group_sums import GroupSums
from xrain.evaluation.pixel_scores import SumsByGroup, class_rows, class_sums
from xrain.evaluation.pixels import Pixels
from xrain.evaluation.scorecard import TAILS, Settings, plain

__all__ = ["expectation_classes"]

Array = NDArray[np.float64]

RATIOS = {
    "swath_over_table": (0, 1),
    "table_over_reference": (1, 2),
    "swath_over_reference": (0, 2),
}
"""Ratios of sums that have intervals, by the columns that they divide."""


def expectation_classes(alone: Pixels, swath: Pixels, settings: Settings) -> list[dict[str, Any]]:
    """Compare means in classes of the mean that each pixel gets alone.

    Parameters
    ----------
    alone, swath : Pixels
        The same pixels, estimated alone and with their neighbours.
    settings : Settings
        Draws behind the intervals.

    Returns
    -------
    list of dict
        By class ``low``, ``high``, ``n``, mean rates ``swath``, ``table`` and ``reference`` in
        mm/h, the ``rain_share`` of the class in the reference, ``probability_table``,
        ``probability_swath`` and ``event_frequency``; and ``swath_over_table``,
        ``table_over_reference`` and ``swath_over_reference`` with their intervals.
    """
    rate = np.full(alone.mean.shape, np.nan) if alone.rate is None else alone.rate
    known = np.isfinite(alone.mean) & np.isfinite(swath.mean) & np.isfinite(rate)
    sums = SumsByGroup(alone.groups)
    means = class_sums(sums, known, alone.mean, swath.mean, alone.mean, rate)
    event = (rate >= EVENT_RATE).astype(float)
    chances = class_sums(sums, known, alone.mean, swath.probability, alone.probability, event)
    grouped = GroupSums(sums.keys, {"means": means, "chances": chances})
    total = grouped.total()
    rows: list[dict[str, Any]] = class_rows(total["means"], "swath", "table", "reference")
    filled = np.flatnonzero(total["means"][:, 0])
    drawn = None
    if settings.replicates and len(sums.keys) > 1:
        drawn = grouped.draw(settings.replicates, settings.seed)["means"]
    names = ("probability_swath", "probability_table", "event_frequency")
    for row, k in zip(rows, filled, strict=True):
        chance = total["chances"][k]
        row |= {n: float(v / chance[0]) for n, v in zip(names, chance[1:], strict=True)}
        row |= _ratios(total["means"][k], None if drawn is None else drawn[:, k])
    return [dict(plain(row)) for row in rows]


def _ratios(total: Array, drawn: Array | None) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, (above, below) in RATIOS.items():
        out[name] = float(ratio(total[1 + above], total[1 + below]))
        if drawn is not None:
            found = ratio(drawn[:, 1 + above], drawn[:, 1 + below])
            good = found[np.isfinite(found)]
            if good.size:
                out[f"{name}_interval"] = [float(q) for q in np.quantile(good, TAILS)]
    return out
