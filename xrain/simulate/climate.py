"""States of the atmosphere in which rain falls or does not, drawn with their joint statistics.

The packaged table holds Gaussian mixtures fitted to ERA5 columns (Copernicus) of real matchups,
per surface and for dry and raining columns, and the spread of the ocean's fields from SSMIS F16
(Remote Sensing Systems); ``tools/make_environment_table.py`` makes it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

__all__ = ["State", "draw_state", "saturated_column", "season_of", "spread"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """What a column is like, in the table's transformed variables.

    Attributes
    ----------
    latitude : float
        Degrees north.
    season : float
        Cosine of the year's angle, 1 in July, −1 in January.
    t2m : float
        Air temperature in K.
    skin_excess : float
        Skin minus air temperature in K.
    log_humidity : float
        Logarithm of the vapour column over `saturated_column`.
    log_cloud_liquid, log_cloud_ice : float
        Logarithm of the columns in kg m-2 plus 0.001.
    sqrt_wind : float
        Root of the wind speed in m s-1.
    log_elevation : float
        Logarithm of the elevation in km plus 0.02.
    """

    latitude: float
    season: float
    t2m: float
    skin_excess: float
    log_humidity: float
    log_cloud_liquid: float
    log_cloud_ice: float
    sqrt_wind: float
    log_elevation: float


@dataclass(frozen=True)
class _Mixture:
    weight: Array
    mean: Array
    covariance: Array


_LIMITS = {
    "latitude": (-70.0, 70.0),
    "season": (-1.0, 1.0),
    "t2m": (225.0, 318.0),
    "skin_excess": (-15.0, 25.0),
    "log_humidity": (-4.0, 0.2),
    "log_cloud_liquid": (-7.0, 0.6),
    "log_cloud_ice": (-7.0, 0.6),
    "sqrt_wind": (0.0, 5.0),
    "log_elevation": (-4.0, 1.2),
}


@functools.cache
def _table() -> dict[str, Array]:
    with resources.files("xrain.data").joinpath("environment.npz").open("rb") as stream:
        file = np.load(stream)
        return {k: np.asarray(file[k]) for k in file.files}


@functools.cache
def _mixture(kind: str) -> _Mixture:
    table = _table()
    if f"{kind}_mean" not in table:
        kind = kind.partition("_")[0] + "_dry"  # too few raining columns over snow and ice
    return _Mixture(
        *(table[f"{kind}_{part}"].astype(np.float64) for part in ("weight", "mean", "covariance"))
    )


def saturated_column(t2m: NDArray[np.floating] | float) -> Array:
    """Vapour column in kg m-2 that counts as humidity 1, for an air temperature in K."""
    return np.asarray(10.0 * np.exp(0.066 * (np.asarray(t2m) - 273.15)))


def spread(name: str) -> float:
    """Look up a spread within 700 km of ocean: ``wind`` m s-1, ``vapor`` (log), ``lwp`` mm."""
    return float(_table()[f"spread_{name}"])


def season_of(time: np.datetime64) -> float:
    """Return the table's season of a time: 1 in July, −1 in January."""
    month = int(time.astype("datetime64[M]").astype(int)) % 12 + 1
    return float(np.cos(2 * np.pi * (month - 7) / 12))


def draw_state(
    surface: str,
    raining: bool,
    rng: np.random.Generator,
    given: Mapping[str, float] | None = None,
) -> State:
    """Draw a state for a surface.

    Parameters
    ----------
    surface : str
        ``"ocean"``, ``"land"``, ``"snow"`` or ``"ice"``.
    raining : bool
        Whether the column rains.
    rng : numpy.random.Generator
        Source of chance.
    given : mapping of str to float, optional
        Variables already known; the others are drawn conditional on them.

    Returns
    -------
    State
    """
    names = [str(n) for n in _table()["names"]]
    mixture = _mixture(f"{surface}_{'rain' if raining else 'dry'}")
    known = [names.index(n) for n in given or {}]
    values = np.array([float((given or {})[names[i]]) for i in known])
    weight, mean, covariance = _conditional(mixture, known, values)
    component = rng.choice(weight.size, p=weight)
    drawn = rng.multivariate_normal(mean[component], covariance[component], method="cholesky")
    out = dict(zip((n for i, n in enumerate(names) if i not in known), drawn, strict=True))
    limited = {n: float(np.clip(v, *_LIMITS[n])) for n, v in out.items()}
    return State(**limited, **{names[i]: float(v) for i, v in zip(known, values, strict=True)})


def _conditional(
    mixture: _Mixture, known: list[int], values: Array
) -> tuple[Array, list[Array], list[Array]]:
    """Condition a Gaussian mixture on some of its variables."""
    free = [i for i in range(mixture.mean.shape[1]) if i not in known]
    log_weight, means, covariances = [], [], []
    for w, m, c in zip(mixture.weight, mixture.mean, mixture.covariance, strict=True):
        kk = c[np.ix_(known, known)]
        gain = np.linalg.solve(kk, c[np.ix_(known, free)]).T
        gap = values - m[known]
        _, logdet = np.linalg.slogdet(kk)
        log_weight.append(np.log(w) - 0.5 * (gap @ np.linalg.solve(kk, gap) + logdet))
        means.append(m[free] + gain @ gap)
        rest = c[np.ix_(free, free)] - gain @ c[np.ix_(known, free)]
        covariances.append(0.5 * (rest + rest.T) + 1e-6 * np.eye(len(free)))
    weight = np.exp(np.array(log_weight) - max(log_weight))
    return weight / weight.sum(), means, covariances
