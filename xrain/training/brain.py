"""Make an inversion: fit its errors, make its database compact, say how near a neighbour is.

Compact means that vectors of one surface and one rain class are put together into clusters of
neighbours; a cluster is the mean of its members and weighs as many as they are, so that rain stays
as rare as it was, however many of the vectors rain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xrain.errors import InputError
from xrain.extras import require
from xrain.models.bayes import STAGES, SURFACES, BayesianInversion, InversionConfig, StageError
from xrain.models.rain_classes import EDGES, rain_classes
from xrain.sensors import Sensor
from xrain.training.covariance import Fit, Target, fit_error, nearest_distances, widened
from xrain.training.vectors import Vectors, is_cross_track

__all__ = ["Brain", "Recipe", "compact", "fit_errors", "make_brain"]

Errors = dict[str, dict[str, StageError]]

FIT_ROWS = 3000
"""Rows from which, and for which, a covariance is fitted."""

FEWEST = 1200
"""Rows of a surface class from which on it has a covariance of its own."""

FAR_SHARE = 0.002
"""Share of pixels of other scenes or days that have no near neighbour."""

_CLUSTERED = 40_000  # rows of one class that are looked at; the rest is like them


@dataclass(frozen=True)
class Recipe:
    """How to make a database.

    Attributes
    ----------
    wet, dry : int
        Clusters with and without rain; a database with no more rows keeps them as they are.
    fit : Fit
        How to search for the covariances.
    seed : int
        Source of chance.
    allowance : tuple of float
        Factors of the covariances of :data:`xrain.models.bayes.STAGES`, for errors that the rows
        do not show.
    """

    wet: int = 9000
    dry: int = 5000
    fit: Fit = field(default_factory=Fit)
    seed: int = 0
    allowance: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Brain:
    """An inversion beside what its card tells.

    Attributes
    ----------
    sensor : Sensor
        The instrument.
    inversion : BayesianInversion
        Database and errors.
    rows : Vectors
        What the database was made from.
    notes : dict
        What the card says of the making.
    """

    sensor: Sensor
    inversion: BayesianInversion
    rows: Vectors
    notes: dict[str, Any]


def make_brain(
    sensor: Sensor, rows: Vectors, recipe: Recipe | None = None, real: Vectors | None = None
) -> Brain:
    """Fit the errors, put rows together into clusters, and say how near a neighbour is.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    rows : Vectors
        Simulated or real pixels.
    recipe : Recipe, optional
        How to go about it.
    real : Vectors, optional
        Real pixels to fit the errors of a simulated database with.

    Raises
    ------
    InputError
        If no row rains, or none is dry.
    """
    recipe = recipe or Recipe()
    for k, stage in enumerate(STAGES):
        if not (rows.wet & (rows.population[:, k] > 0)).any():
            raise InputError(f"a database needs pixels with rain for its {stage}")
    if rows.wet[rows.population[:, 0] > 0].all():
        raise InputError("a database needs dry pixels too, to tell rain from none")
    errors = fit_errors(rows.pick(rows.kind >= 0), recipe)
    errors = {
        stage: {s: e.times(factor) for s, e in errors[stage].items()}
        for stage, factor in zip(STAGES, recipe.allowance, strict=True)
    }
    small = compact(rows, errors, recipe)
    notes: dict[str, Any] = {
        "errors": "fitted to pixels of other scenes or days",
        "allowance": list(recipe.allowance),
    }
    if real is not None:
        errors, notes["allowance"] = refit_errors(errors, small, real, recipe)
    config = InversionConfig(
        tuple(c.name for c in sensor.channels),
        EDGES,
        errors,
        near_limits(rows, small, errors, recipe.seed),
        is_cross_track(sensor),
    )
    inversion = BayesianInversion(
        config,
        torch.from_numpy(small.vectors),
        torch.from_numpy(small.rate),
        torch.from_numpy(small.surface),
        torch.from_numpy(small.population),
    )
    return Brain(sensor, inversion, rows, notes)


# ---- errors


def fit_errors(rows: Vectors, recipe: Recipe) -> Errors:
    """Fit the error covariance of each stage and surface, each row predicted by other groups.

    A surface class with few rows takes the covariance of all rows together.
    """
    rng = np.random.default_rng(recipe.seed)
    out: Errors = {}
    for stage in STAGES:
        some = draw(rows, stage, rng)
        own = {s: _of_surface(rows, stage, k) for k, s in enumerate(SURFACES)}
        rich = {s: r for s, r in own.items() if len(r) >= FEWEST}
        fitted = {s: fit_error(draw(r, stage, rng), some, stage, recipe.fit)
                  for s, r in rich.items()}  # fmt: skip
        if len(fitted) < len(SURFACES):
            common = fit_error(some, some, stage, recipe.fit)
            fitted = dict.fromkeys(SURFACES, common) | fitted
        out[stage] = fitted
    return out


def refit_errors(
    errors: Errors, database: Vectors, real: Vectors, recipe: Recipe
) -> tuple[Errors, dict[str, Any]]:
    """Give errors the size that real pixels ask for, or where there are many their shape too.

    Returns
    -------
    errors : dict
        By stage and surface.
    notes : dict
        By stage and surface, the factor of the covariance, or "shape" where it was fitted anew.
    """
    rng = np.random.default_rng(recipe.seed)
    out: Errors = {}
    notes: dict[str, Any] = {}
    for stage in STAGES:
        base = draw(database, stage, rng)
        out[stage], notes[stage] = {}, {}
        for k, surface in enumerate(SURFACES):
            wanted = draw(_of_surface(real, stage, k), stage, rng)
            if len(wanted.rate) >= FEWEST:
                out[stage][surface] = fit_error(wanted, base, stage, recipe.fit)
                notes[stage][surface] = "shape"
            else:
                found = widened(wanted, base, stage, errors[stage][surface])
                out[stage][surface], notes[stage][surface] = found
    return out, notes


def _of_surface(rows: Vectors, stage: str, surface: int) -> Vectors:
    return rows.pick((rows.surface == surface) & (rows.population[:, STAGES.index(stage)] > 0))


def draw(rows: Vectors, stage: str, rng: np.random.Generator) -> Target:
    """Draw rows to fit with.

    For detection half of them rain and weigh as much as the others; for the rate, rare classes are
    drawn more often than they occur, and weigh less.
    """
    number = STAGES.index(stage)
    rows = rows.pick(rows.population[:, number] > 0)
    kinds = rows.wet.astype(np.intp) if number == 0 else rain_classes(rows.rate)
    population = rows.population[:, number].astype(np.float64)
    totals = np.bincount(kinds, population)
    chance = population / totals[kinds] ** (1.0 if number == 0 else 0.5)
    count = min(FIT_ROWS, len(kinds))
    picked = rng.choice(len(kinds), count, replace=False, p=chance / chance.sum())
    weight = np.ones(count) if number == 0 else (population / chance)[picked]
    return Target(
        rows.vectors[picked],
        rows.rate[picked],
        rows.surface[picked],
        rows.group[picked],
        weight.astype(np.float32),
    )


def near_limits(rows: Vectors, database: Vectors, errors: Errors, seed: int) -> dict[str, float]:
    """Distances within which nearly all pixels of other groups have a neighbour.

    They are at least those within which the errors alone would bring nearly all of them, which
    follow a chi-squared law.
    """
    from scipy.stats import chi2

    rng = np.random.default_rng(seed)
    least = float(chi2.ppf(1 - FAR_SHARE, rows.vectors.shape[1]))
    out = {}
    for number, stage in enumerate(STAGES):
        base = database.pick(database.population[:, number] > 0)
        found = []
        for k, surface in enumerate(SURFACES):
            own = _of_surface(rows, stage, k)
            own = own.pick(rng.permutation(len(own))[:FIT_ROWS])
            found.append(nearest_distances(own, base, stage, errors[stage][surface]))
        usual = float(np.quantile(np.concatenate(found), 1 - FAR_SHARE))
        out[stage] = float(f"{max(usual, least):.6g}")
    return out


# ---- clusters


def compact(
    rows: Vectors, errors: Mapping[str, Mapping[str, StageError]], recipe: Recipe
) -> Vectors:
    """Put rows together into clusters, by kind, surface and rain class, in the units of the errors.

    Each of these has clusters in proportion to the root of its rows, so that what is rare keeps
    more of its detail.
    """
    if len(rows) <= recipe.wet + recipe.dry:
        return rows
    rng = np.random.default_rng(recipe.seed)
    place = (rows.kind.astype(np.intp) - rows.kind.min()) * len(SURFACES) + rows.surface
    keys, owner, counts = np.unique(
        place * len(EDGES) + rain_classes(rows.rate), return_inverse=True, return_counts=True
    )
    rainy = keys % len(EDGES) > 0
    sizes = np.zeros(len(keys), int)
    for mask, wanted in ((rainy, recipe.wet), (~rainy, recipe.dry)):
        share = np.sqrt(counts[mask])
        sizes[mask] = np.ceil(wanted * share / share.sum())
    parts = []
    for k, key in enumerate(keys):
        surface = SURFACES[key // len(EDGES) % len(SURFACES)]
        error = errors[STAGES[int(rainy[k])]][surface]
        parts.append(_clusters(rows.pick(owner == k), int(sizes[k]), error, rng))
    return Vectors.join(parts)


def _clusters(rows: Vectors, count: int, error: StageError, rng: np.random.Generator) -> Vectors:
    """Means of neighbours; each stands for as many pixels as it has members."""
    total = len(rows)
    if total <= count:
        return rows
    require("sklearn", "train", "databases")
    from sklearn.cluster import MiniBatchKMeans

    few = rows.pick(rng.permutation(total)[:_CLUSTERED])
    lower = np.linalg.cholesky(np.array(error.covariance))
    white = np.linalg.solve(lower, few.vectors.T).T.astype(np.float32)
    start = int(rng.integers(1 << 31))
    means = MiniBatchKMeans(
        count, init="random", n_init=1, max_iter=10, batch_size=4096, random_state=start
    )
    owner = means.fit_predict(white)
    size = np.bincount(owner, minlength=count)
    kept = size > 0

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        columns = np.atleast_2d(values.T)
        sums = np.stack([np.bincount(owner, c, count)[kept] for c in columns], axis=1)
        return np.asarray((sums / size[kept, None]).reshape(-1, *values.shape[1:]), np.float32)

    members = (size[kept, None] * (total / len(few))).astype(np.float32)
    return Vectors(
        mean(few.vectors),
        mean(few.rate),
        np.full(len(members), few.surface[0], np.int8),
        np.full(len(members), -1, np.int64),
        mean(few.population) * members,
        np.full(len(members), few.kind[0], np.int8),
    )
