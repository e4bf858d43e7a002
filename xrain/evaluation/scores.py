"""Scores from sums: a labelled Dataset, with intervals drawn from groups."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.evaluation.formulas import (
    FEW_EVENTS,
    PROBABILITY_EDGES,
    area_under_curve,
    contingency_scores,
    correlation,
    crps,
    ratio,
)
from xrain.evaluation.pixel_scores import RATE_EVENT
from xrain.evaluation.resolution import WAVELENGTHS, coherence_of_sums, resolved_wavelength
from xrain.evaluation.score_sums import RATE_EDGES, SCALES, SPECTRA_OF, THRESHOLDS, ScoreSums
from xrain.evaluation.strata import strata_names

__all__ = ["PAIRED", "SCORE_NAMES", "paired_differences", "scores_from_sums"]

Array = NDArray[np.float64]
Fields = dict[str, tuple[tuple[str, ...], Array]]

SCORE_NAMES: Final[dict[str, tuple[str, str]]] = {
    "n": ("pixels", "1"),
    "events": ("pixels where the reference is at least the lowest threshold", "1"),
    "mean_reference": ("mean rate of the reference", "mm h-1"),
    "mean_estimate": ("mean estimated rate", "mm h-1"),
    "bias": ("mean of estimate minus reference", "mm h-1"),
    "relative_bias": ("bias over mean reference, of 30 events and more", "1"),
    "mae": ("mean absolute error", "mm h-1"),
    "rmse": ("root of the mean squared error", "mm h-1"),
    "correlation": ("Pearson correlation", "1"),
    "pod": ("probability of detection, estimate at or above the threshold", "1"),
    "far": ("false-alarm ratio, estimate at or above the threshold", "1"),
    "csi": ("critical success index, estimate at or above the threshold", "1"),
    "hss": ("Heidke skill score, estimate at or above the threshold", "1"),
    "pod_flag": ("probability of detection by the flag as delivered", "1"),
    "far_flag": ("false-alarm ratio of the flag as delivered", "1"),
    "csi_flag": ("critical success index of the flag as delivered", "1"),
    "hss_flag": ("Heidke skill score of the flag as delivered", "1"),
    "auc": ("area under the relative operating characteristic of the probability", "1"),
    "brier": ("mean squared error of the probability", "1"),
    "quantile_score": ("mean quantile loss", "mm h-1"),
    "quantile_coverage": ("share of references at or under a quantile that means rain", "1"),
    "crps": ("continuous ranked probability score from the quantiles", "mm h-1"),
    "fss": ("fractions skill score", "1"),
    "effective_resolution": ("shortest wavelength with a coherence of root one half", "km"),
    "coherence": ("coherence of estimate and reference", "1"),
    "power_estimate": ("mean power of the estimate", "mm2 h-2"),
    "power_reference": ("mean power of the reference", "mm2 h-2"),
    "forecast_probability": ("mean probability in a step of a tenth", "1"),
    "event_frequency": ("share of events in a step of a tenth", "1"),
    "forecast_count": ("pixels in a step of a tenth", "1"),
    "joint_count": ("pixels by rate of estimate and reference", "1"),
}
"""Long name and units of every score."""

DRAWN: Final = (
    "bias", "relative_bias", "mae", "rmse", "correlation", "pod", "far", "csi", "hss",
    "pod_flag", "far_flag", "csi_flag", "hss_flag", "auc", "brier", "crps",
    "effective_resolution", "fss",
)  # fmt: skip
"""Scores with an interval."""

PAIRED: Final = ("correlation", "rmse", "mae", "csi_flag", "hss_flag", "auc", "crps")
"""Scores whose differences are drawn."""

TAILS: Final = (0.025, 0.975)


def scores_from_sums(sums: ScoreSums, *, bootstrap: int = 200, seed: int = 0) -> xr.Dataset:
    """Turn sums into scores.

    Parameters
    ----------
    sums : ScoreSums
        Sums of one granule or of many.
    bootstrap, seed : int
        Draws of groups behind the intervals, and their seed; 0 draws leave the intervals out.
        Groups are days where there are ten, else granules, else stretches of 32 scans. Scores
        that need whole granules have an interval from ten granules on.

    Returns
    -------
    xarray.Dataset
        The scores of :data:`SCORE_NAMES` by ``stratum`` (see
        :func:`xrain.evaluation.strata.strata_names`), ``threshold`` in mm/h, ``quantile``,
        ``scale`` in km, ``wavelength`` in km and ``probability_bin``; NaN where undefined.
        The attribute ``event`` says what an event is. ``<score>_interval`` (bound, …) holds the
        95 % interval. What needs a probability or quantiles is there only where the estimate has
        them.

    See Also
    --------
    xrain.evaluation.score_sums.sum_scores : Makes the sums.
    xrain.evaluation.scores.paired_differences : Differences of two estimates.

    References
    ----------
    Wilks, D. S., 2019: *Statistical Methods in the Atmospheric Sciences*, 4th ed., ch. 5 and 9.
    """
    pixels, swaths = sums.pixels.coarsen(), sums.swaths.coarsen()
    fields = _pixel_scores(pixels.total(), sums) | _swath_scores(swaths.total())
    out = _dataset(fields | _shown(pixels.total(), swaths.total(), sums), sums)
    out.attrs["event"] = RATE_EVENT
    out.attrs["groups"] = len(pixels.keys)
    out.attrs["group"] = ("day", "granule", "stretch of scans")[len(pixels.keys[0]) - 1]
    if bootstrap and len(pixels.keys) > 1:
        drawn = _pixel_scores(pixels.draw(bootstrap, seed), sums)
        out = out.assign(_intervals(drawn)).assign_coords(bound=["low", "high"])
    if bootstrap and len(swaths.keys) >= 10:
        out = out.assign(_intervals(_swath_scores(swaths.draw(bootstrap, seed))))
    return out


def paired_differences(
    one: ScoreSums, other: ScoreSums, *, bootstrap: int = 200, seed: int = 0
) -> xr.Dataset:
    """Differences of two estimates' scores, with intervals from draws of the same groups.

    Weather that is hard is hard for both, so a difference is known far better than either score:
    two intervals may overlap where that of the difference does not hold zero.

    Parameters
    ----------
    one, other : ScoreSums
        Sums over the same pixels.
    bootstrap, seed : int
        As in :func:`scores_from_sums`.

    Returns
    -------
    xarray.Dataset
        One minus other, of the scores of :data:`PAIRED` that both have, by ``stratum``, and
        ``<score>_interval``.

    Raises
    ------
    ValueError
        If the sums are not of the same groups.

    See Also
    --------
    xrain.evaluation.scores.scores_from_sums : The scores of each.

    References
    ----------
    Efron, B., and R. J. Tibshirani, 1993: *An Introduction to the Bootstrap*.
    """
    if one.pixels.keys != other.pixels.keys:
        raise ValueError("differences need sums over the same groups of pixels")
    out: dict[str, Any] = {}
    pixels = [t.pixels.coarsen() for t in (one, other)]
    found = [_pixel_scores(p.total(), t) for p, t in zip(pixels, (one, other), strict=True)]
    drawn = [
        _pixel_scores(p.draw(max(bootstrap, 1), seed), t)
        for p, t in zip(pixels, (one, other), strict=True)
    ]
    for name in PAIRED:
        if not all(name in f for f in found):
            continue
        text, unit = SCORE_NAMES[name]
        attrs = {"long_name": f"difference of the {text}", "units": unit}
        out[name] = (("stratum",), found[0][name][1] - found[1][name][1], attrs)
        if bootstrap and len(pixels[0].keys) > 1:
            bounds = _bounds(drawn[0][name][1] - drawn[1][name][1])
            out[f"{name}_interval"] = (("bound", "stratum"), bounds, attrs)
    return xr.Dataset(out, {"stratum": strata_names()})


def _pixel_scores(sums: dict[str, Array], kind: ScoreSums) -> Fields:
    """Scores of single pixels, shape (..., stratum, ...)."""
    out = _rate_scores(sums["moments"], sums["errors"]) | _event_scores(sums["tables"])
    dims, bias = out["relative_bias"]
    out["relative_bias"] = dims, np.where(out["events"][1] >= FEW_EVENTS, bias, np.nan)
    if kind.has_probability:
        out |= _probability_scores(sums["brier"], sums["probabilities"])
    if kind.levels:
        out |= _quantile_scores(sums["quantiles"], sums["moments"][..., 0], kind.levels)
    return out


def _rate_scores(moments: Array, errors: Array) -> Fields:
    n, f, o = np.moveaxis(moments[..., :3], -1, 0)
    mean_f, mean_o = ratio(f, n), ratio(o, n)
    found = {
        "n": n,
        "mean_reference": mean_o,
        "mean_estimate": mean_f,
        "bias": mean_f - mean_o,
        "relative_bias": ratio(f, o) - 1,
        "mae": ratio(errors[..., 0], n),
        "rmse": np.sqrt(ratio(errors[..., 1], n)),
        "correlation": correlation(moments),
    }
    return {name: (("stratum",), value) for name, value in found.items()}


def _event_scores(tables: Array) -> Fields:
    """Scores of detection by the rate, and in the last table by the flag."""
    found = contingency_scores(tables)
    events = tables[..., 0, 1] + tables[..., 0, 3]
    flat = {f"{name}_flag": (("stratum",), value[..., -1]) for name, value in found.items()}
    rated = {name: (("stratum", "threshold"), v[..., :-1]) for name, v in found.items()}
    return {"events": (("stratum",), events), **rated, **flat}


def _probability_scores(brier: Array, counts: Array) -> Fields:
    """Area under the curve from counts by class of probability, and the Brier score."""
    return {
        "auc": (("stratum",), area_under_curve(counts[..., :2, :])),
        "brier": (("stratum",), ratio(brier[..., 0], brier[..., 1])),
    }


def _quantile_scores(sums: Array, n: Array, levels: tuple[float, ...]) -> Fields:
    loss = ratio(sums[..., 0], n[..., None])
    return {
        "quantile_score": (("stratum", "quantile"), loss),
        "quantile_coverage": (
            ("stratum", "quantile"),
            ratio(sums[..., 2], sums[..., 1]),
        ),
        "crps": (("stratum",), crps(loss, levels)),
    }


def _swath_scores(sums: dict[str, Array]) -> Fields:
    """Fractions skill score, and effective resolution by stratum."""
    forecast, observed, difference = np.moveaxis(sums["fractions"], -1, 0)
    coherence = coherence_of_sums(sums["spectra"])  # (..., surface, wavelength)
    flat = coherence.reshape(-1, coherence.shape[-1])
    resolved = np.array([resolved_wavelength(c) for c in flat]).reshape(coherence.shape[:-1])
    names = strata_names()
    resolution = np.full((*resolved.shape[:-1], len(names)), np.nan)
    for k, name in enumerate(SPECTRA_OF):
        resolution[..., names.index(name)] = resolved[..., k]
    fss = 1 - ratio(difference, forecast + observed)
    return {
        "fss": (("threshold", "scale"), fss),
        "effective_resolution": (("stratum",), resolution),
    }


def _shown(pixels: dict[str, Array], swaths: dict[str, Array], kind: ScoreSums) -> Fields:
    """Collect what diagrams show: spectra, joint distribution, reliability."""
    spectra = swaths["spectra"][0]
    out: Fields = {
        "coherence": (("wavelength",), coherence_of_sums(spectra)),
        "power_estimate": (("wavelength",), ratio(spectra[0], spectra[4])),
        "power_reference": (("wavelength",), ratio(spectra[1], spectra[4])),
        "joint_count": (("surface", "estimate_bin", "reference_bin"), swaths["joint"]),
    }
    if kind.has_probability:
        tenth = np.searchsorted(np.arange(1, 11) / 10 + 1e-6, PROBABILITY_EDGES[1:])
        dry, wet, total = (
            np.stack([pixels["probabilities"][:, k, tenth == t].sum(-1) for t in range(10)], -1)
            for k in range(3)
        )
        dims = ("stratum", "probability_bin")
        out["forecast_probability"] = (dims, ratio(total, dry + wet))
        out["event_frequency"] = (dims, ratio(wet, dry + wet))
        out["forecast_count"] = (dims, dry + wet)
    return out


def _dataset(fields: Fields, kind: ScoreSums) -> xr.Dataset:
    rates = [0.0, *np.sqrt(RATE_EDGES[1:-2] * RATE_EDGES[2:-1]), RATE_EDGES[-2]]
    coords: dict[str, Any] = {
        "stratum": strata_names(),
        "threshold": ("threshold", list(THRESHOLDS), {"units": "mm h-1"}),
        "quantile": list(kind.levels),
        "scale": ("scale", list(SCALES), {"units": "km"}),
        "wavelength": ("wavelength", WAVELENGTHS, {"units": "km"}),
        "surface": ["all", "ocean", "land", "rest"],
        "estimate_bin": ("estimate_bin", rates, {"units": "mm h-1"}),
        "reference_bin": ("reference_bin", rates, {"units": "mm h-1"}),
        "probability_bin": np.round(np.arange(10) / 10 + 0.05, 2),
    }
    used = {d for dims, _ in fields.values() for d in dims}
    out = xr.Dataset(dict(fields), {k: v for k, v in coords.items() if k in used})
    for name in out.data_vars:
        text, unit = SCORE_NAMES[str(name)]
        out[name].attrs = {"long_name": text, "units": unit}
    return out


def _intervals(fields: Fields) -> dict[str, Any]:
    """95 % of the draws lie between these bounds; NaN if a score is defined in none."""
    out: dict[str, Any] = {}
    for name, (dims, drawn) in fields.items():
        if name not in DRAWN:
            continue
        text, unit = SCORE_NAMES[name]
        attrs = {"long_name": f"95 % interval of the {text}", "units": unit}
        out[f"{name}_interval"] = (("bound", *dims), _bounds(drawn), attrs)
    return out


def _bounds(drawn: Array) -> Array:
    known = np.isfinite(drawn).any(axis=0)
    safe = np.where(known, drawn, 0.0)
    return np.asarray(np.where(known, np.nanquantile(safe, TAILS, axis=0), np.nan))
