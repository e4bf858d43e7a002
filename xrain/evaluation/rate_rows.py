"""How well rates of light to extreme rain are told, by class of the true rate."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrain.evaluation.formulas import correlation, ratio
from xrain.evaluation.group_sums import GroupSums
from xrain.evaluation.pixel_scores import HIGHEST, SumsByGroup
from xrain.evaluation.pixels import Pixels

__all__ = ["TRUE_CLASSES", "rate_rows"]

Array = NDArray[np.float64]

TRUE_CLASSES: Final = (0.0, 1.0, 5.0, 10.0, 20.0, np.inf)
"""Edges in mm/h of the classes of the true rate; dry pixels are in the first."""

FEW: Final = 10
"""Pixels of a class below which nothing is told of it."""

TAILS: Final = (0.025, 0.975)


def rate_rows(pixels: Pixels, replicates: int, seed: int) -> list[dict[str, Any]]:
    """Tell total and correlation of the estimates in each class of the true rate.

    Parameters
    ----------
    pixels : Pixels
        Estimates beside true rates.
    replicates, seed : int
        Draws of groups behind the intervals, none if 0, and their seed.

    Returns
    -------
    list of dict
        ``low`` and ``high`` in mm/h (``high`` None for the last class), ``n``, ``ratio`` of the
        total estimate to the total truth, ``correlation`` within the class (true rates above
        50 mm/h cut to 50), and both with ``_interval``, 95 %. Classes of fewer than ten pixels
        are left out.
    """
    if pixels.rate is None:
        return []
    known = np.isfinite(pixels.mean) & np.isfinite(pixels.rate)
    truth = np.where(known, pixels.rate, 0.0)
    code = np.digitize(truth, TRUE_CLASSES[1:-1])
    f, o = pixels.mean, np.minimum(truth, HIGHEST)
    sums = SumsByGroup(pixels.groups)
    columns = (1.0, f, o, f * f, o * o, f * o, truth)
    by_group = sums.classes(known, code, len(TRUE_CLASSES) - 1, *columns)
    found = GroupSums(sums.keys, {"classes": by_group})
    total = _scores(found.total()["classes"])
    drawn = _scores(found.draw(replicates, seed)["classes"]) if replicates else {}
    counts = by_group[..., 0].sum(axis=0)
    return [
        {"low": low, "high": high if np.isfinite(high) else None, "n": int(counts[k]),
         **{name: float(values[k]) for name, values in total.items()},
         **{f"{name}_interval": _bounds(values[:, k]) for name, values in drawn.items()}}
        for k, (low, high) in enumerate(pairwise(TRUE_CLASSES)) if counts[k] >= FEW
    ]  # fmt: skip


def _scores(sums: Array) -> dict[str, Array]:
    return {
        "ratio": ratio(sums[..., 1], sums[..., 6]),
        "correlation": correlation(sums[..., :6]),
    }


def _bounds(drawn: Array) -> list[float]:
    good = drawn[np.isfinite(drawn)]
    return [float(q) for q in np.quantile(good, TAILS)] if good.size else [np.nan, np.nan]
