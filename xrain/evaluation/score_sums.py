"""Sums from which every score follows, so that granules can be scored one after the other.

The loss of each pixel comes from the package ``scores``; here it is only added up, by stratum
and by group. Two sets of sums merge by addition: many granules need no more memory than a few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import LATITUDE, LONGITUDE, PIXEL, SCAN, TIME
from xrain.evaluation.formulas import PROBABILITY_EDGES
from xrain.evaluation.group_sums import GroupSums
from xrain.evaluation.pixel_scores import THRESHOLDS
from xrain.evaluation.resolution import (
    WAVELENGTHS,
    spectral_sums,
    swath_spectra,
)
from xrain.evaluation.scores_package import library
from xrain.evaluation.strata import STRATA, strata_names, stratum_indices
from xrain.geo.cells import spacing
from xrain.geo.sphere import unit_vectors

__all__ = [
    "RATE_EDGES", "SCALES", "THRESHOLDS", "Estimate", "ScoreSums", "sum_scores",
]  # fmt: skip

Array = NDArray[np.float64]

SCALES = (25.0, 50.0, 100.0, 200.0)
"""Sides of the windows of the fractions skill score in km."""

RATE_EDGES: Array = np.concatenate([[0.0], np.geomspace(0.05, 100.0, 34), [np.inf]])
"""Edges in mm/h of the classes of the joint distribution: ten to the decade."""

STRETCH = 32
"""Scans that belong together when intervals are drawn; some 400 km."""

SAMPLES = 500
"""The same for tables of separate pixels without time."""

SPECTRA_OF = ("all", "ocean", "land")


@dataclass(frozen=True)
class Estimate:
    """What is to be scored, all of one shape, NaN where there is no value.

    Attributes
    ----------
    rate : ndarray
        Rate in mm/h.
    flag : ndarray
        1 where precipitation is detected, else 0.
    probability : ndarray or None
        Probability of precipitation.
    quantiles : dict of float to ndarray
        Quantiles of the rate in mm/h by level.
    """

    rate: Array
    flag: Array
    probability: Array | None
    quantiles: dict[float, Array]


@dataclass(frozen=True)
class ScoreSums:
    """Sums over pixels.

    Attributes
    ----------
    levels : tuple of float
        Levels of the quantiles.
    has_probability : bool
        Whether there are probabilities.
    pixels : GroupSums
        Sums of single pixels by stretch of scans, shape (group, stratum, ...).
    swaths : GroupSums
        Sums that need neighbours, and the joint distribution, by granule.
    """

    levels: tuple[float, ...]
    has_probability: bool
    pixels: GroupSums
    swaths: GroupSums

    def merge(self, other: ScoreSums) -> ScoreSums:
        """Add the sums of another part of the same kind of estimate."""
        if (self.levels, self.has_probability) != (other.levels, other.has_probability):
            raise ValueError("sums of different quantiles or probabilities cannot be merged")
        return ScoreSums(
            self.levels,
            self.has_probability,
            self.pixels.merge(other.pixels),
            self.swaths.merge(other.swaths),
        )


@dataclass(frozen=True)
class _Cells:
    """Where each pixel counts: its group and stratum, once for each kind of stratum."""

    indices: list[NDArray[np.int64]]
    groups: int
    strata: int

    @classmethod
    def of(cls, stretch: NDArray[np.int64], strata: list[NDArray[np.int64]], groups: int) -> _Cells:
        count = len(strata_names())
        outside = groups * count  # a pixel without stratum
        indices = [np.where(s < 0, outside, stretch * count + s) for s in strata]
        return cls(indices, groups, count)

    def add(self, values: Array) -> Array:
        """Add up by group and stratum, shape (group, stratum)."""
        size = self.groups * self.strata
        sums = [np.bincount(i, values, size + 1)[:size] for i in self.indices]
        return np.asarray(np.sum(sums, axis=0).reshape(self.groups, self.strata))

    def count(self, codes: NDArray[np.int64], kinds: int, weights: Array | None = None) -> Array:
        """Count by group, stratum and code, shape (group, stratum, kinds)."""
        size = self.groups * self.strata * kinds
        sums = [np.bincount(i * kinds + codes, weights, size + kinds)[:size] for i in self.indices]
        return np.asarray(
            np.sum(sums, axis=0, dtype=np.float64).reshape(self.groups, self.strata, kinds)
        )


def sum_scores(estimate: Estimate, truth: Array, place: xr.Dataset, *, name: str = "") -> ScoreSums:
    """Add up what the scores of one granule, or of one table of pixels, need.

    Parameters
    ----------
    estimate : Estimate
        What is scored, shape (scan, pixel) or (sample,).
    truth : ndarray
        Reference rate in mm/h, of the same shape. A pixel without estimate or truth does not
        count.
    place : xarray.Dataset
        Positions and times for the strata; see
        :func:`xrain.evaluation.strata.stratum_indices`.
    name : str
        Name of the granule: what bears it belongs together.

    Returns
    -------
    ScoreSums
        The sums.

    See Also
    --------
    xrain.evaluation.scores.scores_from_sums : From sums to scores.
    """
    good = np.isfinite(estimate.rate) & np.isfinite(truth)
    day = _day(place)
    stretch, keys = _stretches(truth.shape, day, name)
    strata = stratum_indices(place, truth)
    cells = _Cells.of(stretch[good], [s[good] for s in strata], len(keys))
    values = _rates(estimate, truth[good], good, cells)
    values |= _quantiles(estimate, truth[good], good, cells)
    values |= _probabilities(estimate, truth[good], good, cells)
    whole = _neighbours(estimate.rate, truth, place, strata[1], good)
    whole["joint"] = _joint(estimate.rate, truth, strata[1], good)
    swaths = GroupSums(((day, name),), {n: v[None] for n, v in whole.items()})
    levels = tuple(sorted(estimate.quantiles))
    pixels = _without_empty(GroupSums(keys, values))
    return ScoreSums(levels, estimate.probability is not None, pixels, swaths)


def _without_empty(pixels: GroupSums) -> GroupSums:
    """Leave out stretches without a pixel that counts, but for one: drawing them draws nothing."""
    full = pixels.values["moments"][:, 0, 0] > 0
    full[0] |= not full.any()
    keys = tuple(k for k, keep in zip(pixels.keys, full, strict=True) if keep)
    return GroupSums(keys, {n: v[full] for n, v in pixels.values.items()})


def _day(place: xr.Dataset) -> str:
    """Date in the middle of a granule, "" if unknown."""
    if TIME not in place.variables or not np.issubdtype(place[TIME].dtype, np.datetime64):
        return ""
    known = place[TIME].values[~np.isnat(place[TIME].values)]
    return str(np.sort(known)[known.size // 2].astype("datetime64[D]")) if known.size else ""


def _stretches(
    shape: tuple[int, ...], day: str, name: str
) -> tuple[NDArray[np.int64], tuple[tuple[str, ...], ...]]:
    """Group of each pixel, and the groups' keys."""
    length = STRETCH if len(shape) == 2 else SAMPLES
    row = np.arange(shape[0]) // length
    keys = tuple((day, name, str(k)) for k in range(int(row[-1]) + 1 if row.size else 1))
    return np.broadcast_to(row.reshape(-1, *[1] * (len(shape) - 1)), shape), keys


def _labelled(values: Array) -> xr.DataArray:
    return xr.DataArray(values, dims="sample")


def _rates(
    estimate: Estimate, o: Array, good: NDArray[np.bool_], cells: _Cells
) -> dict[str, Array]:
    """Moments, errors and contingency tables."""
    continuous = library("continuous")
    f, flag = estimate.rate[good], estimate.flag[good] == 1
    errors = [
        score(_labelled(f), _labelled(o), preserve_dims="all").values
        for score in (continuous.mae, continuous.mse)
    ]
    tables = [_table(f >= t, o >= t) for t in THRESHOLDS] + [_table(flag, o >= THRESHOLDS[0])]
    moments = (np.ones(f.size), f, o, f * f, o * o, f * o)
    return {
        "moments": np.stack([cells.add(v) for v in moments], axis=-1),
        "errors": np.stack([cells.add(v) for v in errors], axis=-1),
        "tables": np.stack([cells.count(t, 4) for t in tables], axis=2),
    }


def _table(forecast: NDArray[np.bool_], event: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Code each pixel: 0 correct negative, 1 miss, 2 false alarm, 3 hit."""
    return np.asarray(2 * forecast.astype(np.int64) + event)


def _quantiles(
    estimate: Estimate, o: Array, good: NDArray[np.bool_], cells: _Cells
) -> dict[str, Array]:
    """Losses of the quantiles, how many mean rain, and how many of these lie over the truth.

    Where a quantile is dry, a calibrated one lies at or over a dry truth far more often than its
    level says; so coverage counts where it is not, which the forecast alone decides.
    """
    loss = library("continuous").quantile_score
    out = []
    for level in sorted(estimate.quantiles):
        q = estimate.quantiles[level][good]
        rains = q >= THRESHOLDS[0]
        lost = loss(_labelled(q), _labelled(o), level, preserve_dims="all").values
        parts = (lost, rains.astype(np.float64), (rains & (o <= q)).astype(np.float64))
        out.append(np.stack([cells.add(v) for v in parts], axis=-1))
    return {"quantiles": np.stack(out, axis=2)} if out else {}


def _probabilities(
    estimate: Estimate, o: Array, good: NDArray[np.bool_], cells: _Cells
) -> dict[str, Array]:
    """Brier loss, and by class of probability: others, events, sum of the probabilities."""
    if estimate.probability is None:
        return {}
    p = estimate.probability[good]
    known = np.isfinite(p)
    p, event = np.where(known, np.clip(p, 0, 1), 0.0), (o >= THRESHOLDS[0]).astype(np.float64)
    loss = library("probability").brier_score(
        _labelled(p), _labelled(event), preserve_dims="all", check_args=False
    )
    classes = PROBABILITY_EDGES.size - 1
    code = np.clip(np.searchsorted(PROBABILITY_EDGES, p, side="right") - 1, 0, classes - 1)
    parts = (known * (1 - event), known * event, known * p)
    return {
        "brier": np.stack([cells.add(v) for v in (known * loss.values, known * 1.0)], axis=-1),
        "probabilities": np.stack([cells.count(code, classes, w) for w in parts], axis=2),
    }


def _joint(rate: Array, truth: Array, surface: NDArray[np.int64], good: NDArray[np.bool_]) -> Array:
    """Joint distribution of estimate and truth by surface, shape (surface, estimate, truth)."""
    classes = RATE_EDGES.size - 1
    f, o = (np.digitize(v[good], RATE_EDGES[1:-1]) for v in (rate, truth))
    out = np.zeros((1 + len(STRATA["surface"]), classes, classes))
    np.add.at(out[0], (f, o), 1)
    for k in range(1, len(out)):
        at = surface[good] == k  # position of the surface among the strata
        np.add.at(out[k], (f[at], o[at]), 1)
    return out


def _neighbours(
    rate: Array,
    truth: Array,
    place: xr.Dataset,
    surface: NDArray[np.int64],
    good: NDArray[np.bool_],
) -> dict[str, Array]:
    """Add up what fractions skill scores and spectra need."""
    if truth.ndim != 2 or not {LATITUDE, LONGITUDE} <= set(place.variables):
        return {
            "fractions": np.zeros((len(THRESHOLDS), len(SCALES), 3)),
            "spectra": np.zeros((len(SPECTRA_OF), 5, WAVELENGTHS.size)),
        }
    lat, lon = (place[n].transpose(SCAN, PIXEL).values.astype(float) for n in (LATITUDE, LONGITUDE))
    f, o = np.where(good, rate, np.nan), np.where(good, truth, np.nan)
    masks = [None if s == "all" else surface == strata_names().index(s) for s in SPECTRA_OF]
    spectra = [spectral_sums(swath_spectra(f, o, lat, lon, m)) for m in masks]
    return {
        "fractions": _fractions(f, o, spacing(unit_vectors(lat, lon))),
        "spectra": np.stack(spectra),
    }


def _fractions(f: Array, o: Array, spacing: tuple[float, float]) -> Array:
    """Parts of the fractions skill score, shape (threshold, scale, 3): they add up.

    A pixel without value counts as dry in both. The sums are those of the numerator and of the
    denominator of Roberts and Lean (2008, doi 10.1175/2007MWR2123.1) over all windows.
    """
    out = np.zeros((len(THRESHOLDS), len(SCALES), 3))
    for j, scale in enumerate(SCALES):
        if not all(np.isfinite(d) and d > 0 for d in spacing):
            continue
        window = max(1, round(scale / spacing[0])), max(1, round(scale / spacing[1]))
        if any(w > n for w, n in zip(window, f.shape, strict=True)):
            continue
        for i, threshold in enumerate(THRESHOLDS):
            forecast, observed = (_window_shares(v >= threshold, window) for v in (f, o))
            parts = (forecast**2, observed**2, (forecast - observed) ** 2)
            out[i, j] = [part.sum() for part in parts]
    return out


def _window_shares(event: NDArray[np.bool_], window: tuple[int, int]) -> Array:
    """Share of events in every window that lies within the field, from a table of its sums."""
    sums = np.pad(event.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    high, wide = window
    counts = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    return np.asarray(counts / (high * wide))
