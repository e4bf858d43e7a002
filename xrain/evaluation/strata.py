"""What scores are told apart by: surface, latitude, season and rate class."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import LATITUDE, LONGITUDE, SCAN, TIME
from xrain.geo.surfaces import dataset_surfaces

__all__ = ["STRATA", "strata_names", "stratum_indices", "stratum_label"]

Index = NDArray[np.int64]

LATITUDES: Final = (0, 20, 40, 60, 90)
"""Edges of the latitude bands in degrees, both hemispheres together."""

RATES: Final = (0.0, 0.1, 1.0, 5.0, 10.0, np.inf)
"""Edges of the classes of the reference rate in mm/h."""

SEASONS: Final = ("DJF", "MAM", "JJA", "SON")
"""Three months each, wherever on earth."""

STRATA: Final[dict[str, tuple[str, ...]]] = {
    "all": ("all",),
    "surface": ("ocean", "land", "rest"),
    "latitude": tuple(f"{a}-{b}" for a, b in pairwise(LATITUDES)),
    "season": SEASONS,
    "rate": tuple(f"{a:g}-{b:g}" for a, b in pairwise(RATES)),
}
"""Names of the strata by what tells them apart."""

_WORDS: Final = {"all": "all pixels", "rest": "coast and ice"}


def strata_names() -> list[str]:
    """List every stratum, such as ``all``, ``ocean``, ``latitude 0-20``, ``JJA``, ``rate 1-5``."""
    plain = ("all", "surface", "season")
    return [s if kind in plain else f"{kind} {s}" for kind, names in STRATA.items() for s in names]


def stratum_label(name: str) -> str:
    """Spell a stratum out for people."""
    kind, _, span = name.partition(" ")
    if not span:
        return _WORDS.get(name, name)
    low, _, high = span.partition("-")
    if kind == "latitude":
        return f"{low}–{high}° latitude"
    return f"≥ {low} mm/h" if high == "inf" else f"{low}–{high} mm/h"


def stratum_indices(ds: xr.Dataset, rate: NDArray[np.float64]) -> list[Index]:
    """Tell the stratum of each pixel, once for each kind.

    Parameters
    ----------
    ds : xarray.Dataset
        ``latitude`` and ``longitude`` in the shape of `rate`; ``time`` along its first dimension
        or in its shape; ``land_fraction`` and ``sea_ice_fraction`` if it has them.
    rate : ndarray
        Reference rate in mm/h.

    Returns
    -------
    list of ndarray of int
        Positions in :func:`strata_names`, of the shape of `rate`; −1 where unknown.
    """
    found = (
        np.zeros(rate.shape, np.int64),
        _surface(ds, rate.shape),
        _steps(np.abs(_field(ds, LATITUDE, rate.shape)), LATITUDES),
        _season(ds, rate.shape),
        _steps(rate, RATES),
    )
    out, first = [], 0
    for index, names in zip(found, STRATA.values(), strict=True):
        out.append(np.where(index < 0, -1, index + first))
        first += len(names)
    return out


def _surface(ds: xr.Dataset, shape: tuple[int, ...]) -> Index:
    if not {LATITUDE, LONGITUDE} <= set(ds.variables) and "land_fraction" not in ds:
        return np.full(shape, -1)
    masks = dataset_surfaces(ds)
    out = np.full(shape, -1)
    for number, name in enumerate(STRATA["surface"]):
        out[masks[name]] = number
    return out


def _steps(values: NDArray[np.float64], edges: tuple[float, ...]) -> Index:
    """Class of each value, the uppermost edge included; −1 outside or where NaN."""
    index = np.searchsorted(np.asarray(edges[1:-1]), values, side="right")
    inside = (values >= edges[0]) & (values <= edges[-1])
    return np.asarray(np.where(inside, index, -1))


def _field(ds: xr.Dataset, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if name not in ds.variables:
        return np.full(shape, np.nan)
    return np.broadcast_to(ds[name].values.astype(np.float64), shape)


def _season(ds: xr.Dataset, shape: tuple[int, ...]) -> Index:
    if TIME not in ds.variables or not np.issubdtype(ds[TIME].dtype, np.datetime64):
        return np.full(shape, -1)
    time = ds[TIME].values
    month = time.astype("datetime64[M]").astype(np.int64) % 12  # 0 is January
    season = np.where(np.isnat(time), -1, (month + 1) % 12 // 3)
    if ds[TIME].dims == (SCAN,) and len(shape) == 2:
        season = season[:, None]
    return np.broadcast_to(season, shape).astype(np.int64)
