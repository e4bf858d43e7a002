"""Score a retrieval against a reference: what ``ds.rain.evaluate`` does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    PIXEL,
    PRECIP_FLAG,
    PROBABILITY_OF_PRECIP,
    QUANTILE,
    SAMPLE,
    SCAN,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
)
from xrain.errors import InputError
from xrain.evaluation.score_sums import THRESHOLDS, Estimate, ScoreSums, sum_scores
from xrain.evaluation.scores import scores_from_sums
from xrain.reference.files import full_positions, positions_differ

__all__ = ["estimate_of", "evaluate", "reference_rate", "sum_retrieval"]

Array = NDArray[np.float64]


def evaluate(
    rain: xr.Dataset, reference: xr.Dataset, *, bootstrap: int = 200, seed: int = 0
) -> xr.Dataset:
    """Score a retrieval against a reference on the same pixels.

    Parameters
    ----------
    rain : xarray.Dataset
        A retrieval: ``surface_precip`` in mm/h over (scan, pixel) or (sample,), and as far as it
        has them ``probability_of_precip``, ``precip_flag`` and ``surface_precip_quantile``; eager
        or lazy.
    reference : xarray.Dataset
        ``surface_precip`` in mm/h on the same pixels, NaN where unknown: the truth of a simulated
        granule, or a product that was matched to the footprints.
    bootstrap, seed : int
        As in :func:`xrain.evaluation.scores.scores_from_sums`.

    Returns
    -------
    xarray.Dataset
        Scores by stratum; see :func:`xrain.evaluation.scores.scores_from_sums`.

    Raises
    ------
    InputError
        If a variable is missing, or the two do not lie on the same pixels.

    See Also
    --------
    xrain.compare : Several retrievals, many granules.
    xrain.match_reference : The reference on the pixels.

    References
    ----------
    Wilks, D. S., 2019: *Statistical Methods in the Atmospheric Sciences*, 4th ed., ch. 5 and 9.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import fake_swath
    >>> rain = xrain.retrieve(fake_swath("GMI", 24, 16))
    >>> truth = rain[["surface_precip"]] * 0.5
    >>> scores = evaluate(rain, truth)
    >>> float(scores["correlation"].sel(stratum="all").round(3))
    1.0
    """
    return scores_from_sums(sum_retrieval(rain, reference), bootstrap=bootstrap, seed=seed)


def sum_retrieval(
    rain: xr.Dataset,
    reference: xr.Dataset,
    *,
    name: str = "",
    where: NDArray[np.bool_] | None = None,
) -> ScoreSums:
    """Add up what the scores of one retrieval need.

    Parameters
    ----------
    rain, reference : xarray.Dataset
        As in :func:`evaluate`.
    name : str
        Name of the granule, by default the one that the attributes give.
    where : ndarray of bool, optional
        Pixels that count; by default all that have an estimate and a reference.
    """
    rate = reference_rate(rain, reference)
    if where is not None:
        rate = np.where(where, rate, np.nan)
    place = full_positions(rain, _dims(rain))
    place = place.assign({n: v for n, v in _surfaces(reference).items() if n not in rain})
    place = place.transpose(*_dims(rain), ...)
    label = name or str(rain.attrs.get("granule", ""))
    return sum_scores(estimate_of(rain), rate, place, name=label)


def _surfaces(reference: xr.Dataset) -> Mapping[str, xr.DataArray]:
    """Fractions of land and sea ice that come with the reference."""
    known = ("land_fraction", "sea_ice_fraction")
    return {n: reference[n].drop_vars(list(reference[n].coords)) for n in known if n in reference}


def estimate_of(rain: xr.Dataset) -> Estimate:
    """Take out of a retrieval what can be scored.

    Where there is no flag, rain is detected at a probability over one half, and without that at a
    rate of 0.1 mm/h.
    """
    dims = _dims(rain)
    rate = rain[SURFACE_PRECIP].transpose(*dims).values.astype(np.float64)
    probability = None
    if PROBABILITY_OF_PRECIP in rain:
        probability = rain[PROBABILITY_OF_PRECIP].transpose(*dims).values.astype(np.float64)
    if PRECIP_FLAG in rain:
        flag = rain[PRECIP_FLAG].transpose(*dims).values.astype(np.float64)
    elif probability is not None:
        flag = np.where(probability > 0.5, 1.0, 0.0)
    else:
        flag = np.where(rate >= THRESHOLDS[0], 1.0, 0.0)
    return Estimate(rate, flag, probability, _quantiles(rain, dims))


def _dims(rain: xr.Dataset) -> tuple[str, ...]:
    if SURFACE_PRECIP not in rain:
        raise InputError(
            f"there is no {SURFACE_PRECIP} to score: retrieve rain first, or name the rate so"
        )
    there = set(rain[SURFACE_PRECIP].dims)
    for dims in ((SCAN, PIXEL), (SAMPLE,)):
        if there == set(dims):
            return dims
    raise InputError(
        f"{SURFACE_PRECIP} has dimensions {tuple(rain[SURFACE_PRECIP].dims)}: scores need "
        f"({SCAN}, {PIXEL}) or ({SAMPLE},)"
    )


def _quantiles(rain: xr.Dataset, dims: tuple[str, ...]) -> dict[float, Array]:
    if SURFACE_PRECIP_QUANTILE not in rain:
        return {}
    values = rain[SURFACE_PRECIP_QUANTILE].transpose(QUANTILE, *dims).values
    return {
        float(level): v.astype(np.float64)
        for level, v in zip(rain[QUANTILE].values, values, strict=True)
    }


def reference_rate(rain: xr.Dataset, reference: xr.Dataset) -> Array:
    """Rate of the reference in mm/h on the pixels of a retrieval, NaN where unknown.

    Raises
    ------
    InputError
        If it has none, or lies on other pixels.
    """
    dims = _dims(rain)
    if SURFACE_PRECIP not in reference:
        raise InputError(f"the reference has no {SURFACE_PRECIP} in mm/h")
    there = reference[SURFACE_PRECIP]
    sizes = {d: rain.sizes[d] for d in dims}
    if dict(there.sizes) != sizes:
        raise InputError(
            f"the reference has {dict(there.sizes)}, the retrieval {sizes}: match it to the "
            "pixels of the retrieval first"
        )
    apart = positions_differ(rain, reference, dims)
    if apart:
        raise InputError(
            f"the pixels of the reference lie up to {apart:.2f} degrees away from those of the "
            "retrieval: match it to them first"
        )
    return there.transpose(*dims).values.astype(np.float64)
