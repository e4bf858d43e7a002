"""Simulated brightness temperatures moved to where a real instrument's lie, without a rain label.

Of every pixel the departure from its surroundings counts: from the median of the same surface in
the same patch. Rain and ice make departures, the climate of the places that happen to be in a
sample does not. Per surface and channel a quantile map carries the simulated departures over to
the observed ones (Panofsky and Brier 1968), as far as the two differ by more than chance: shifts
are shrunk by their standard error from place to place (James and Stein 1961). A network that
learns from the moved samples, whose rain stays known, meets the instrument as it is.

It is the one-dimensional, closed form of what adversarial networks (CycleGAN: Zhu et al. 2017,
doi 10.1109/ICCV.2017.244) or flows learn between two sets of swaths. Quantile maps assume that it
rains as often and as hard in both sets.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from xrain.conventions import CHANNEL, LATITUDE, LONGITUDE, PIXEL, SCAN
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.geo.surfaces import SURFACES, surface_index
from xrain.io.open import open_l1c
from xrain.reference.quality import good_tb
from xrain.sensors import get_sensor
from xrain.training.samples import Shard

__all__ = ["Alignment", "align_samples", "fit_alignment", "observed_patches"]

Array = npt.NDArray[Any]

DEVIATES: Final = np.linspace(-3.5, 3.5, 141)
"""Normal deviates at which quantiles are taken, from 0.02 to 99.98 %."""

SMOOTHING: Final = 2.0
"""Standard deviation, in steps of `DEVIATES`, by which shifts are smoothed."""

CERTAINTY: Final = 4.0
"""Standard errors by which a shift must stand out of chance to be believed at all."""

FOLDS: Final = 16
"""Parts of a set from whose differences standard errors are told; neighbours are in one part."""

LEAST: Final = 3000
"""Pixels of a surface that both sets must have for it to be moved."""

MOST: Final = 200_000
"""Pixels of a surface that are looked at."""

PATCHES: Final = 600
"""Patches of the observed granules that are looked at."""


@dataclass(frozen=True)
class Alignment:
    """Where simulated departures from the surroundings go.

    Attributes
    ----------
    quantiles : ndarray, shape (surface, channel, deviate)
        Simulated departures in K, rising.
    shifts : ndarray, shape (surface, channel, deviate)
        What is added to them in K; the first and the last also beyond.
    """

    quantiles: Array
    shifts: Array

    def apply(self, tb: Array, land: Array) -> npt.NDArray[np.float32]:
        """Move brightness temperatures.

        Parameters
        ----------
        tb : ndarray, shape (patch, scan, pixel, channel)
            K; NaN stays.
        land : ndarray, shape (patch, scan, pixel)
            Land fraction.
        """
        out = np.array(tb, np.float32)
        kind = surface_index(land)
        for patch, where in zip(out, kind, strict=True):
            for surface in np.unique(where):
                chosen = where == surface
                values = patch[chosen]
                away = values - _median(values)
                for k in range(values.shape[1]):
                    shift = self.shifts[surface, k]
                    values[:, k] += np.interp(away[:, k], self.quantiles[surface, k], shift)
                patch[chosen] = values
        return out

    def move(self, shard: Shard) -> Shard:
        """Move the brightness temperatures of samples; their rain stays."""
        return replace(shard, tb=self.apply(shard.tb, shard.land).astype(np.float16))


def fit_alignment(tb: Array, land: Array, observed_tb: Array, observed_land: Array) -> Alignment:
    """Find where simulated brightness temperatures must go to be distributed as observed.

    Parameters
    ----------
    tb, observed_tb : ndarray, shape (patch, scan, pixel, channel)
        Simulated and observed brightness temperatures in K, patches of the same size; NaN is
        missing. A channel that is missing in either set is not moved.
    land, observed_land : ndarray, shape (patch, scan, pixel)
        Land fraction.

    Returns
    -------
    Alignment

    Raises
    ------
    InputError
        If the channels differ, or there are too few patches to tell a shift from chance.
    """
    if tb.shape[-1] != observed_tb.shape[-1]:
        raise InputError(
            f"{tb.shape[-1]} simulated channels cannot be aligned with {observed_tb.shape[-1]} "
            "observed ones"
        )
    counts = {"simulated": len(tb), "observed": len(observed_tb)}
    if few := [f"{n} {kind}" for kind, n in counts.items() if n < FOLDS]:
        raise InputError(
            f"an alignment needs {FOLDS} patches of either kind, there are {' and '.join(few)}: "
            "give more shards or granules"
        )
    parts = [
        _fit_surface(_departures(tb, land, s), _departures(observed_tb, observed_land, s))
        for s in range(len(SURFACES))
    ]
    return Alignment(*(np.stack(x) for x in zip(*parts, strict=True)))


def align_samples(
    samples: Mapping[str, Shard],
    channels: Mapping[str, Sequence[str]],
    granules: Sequence[str | os.PathLike[str]],
) -> dict[str, Alignment]:
    """Fit an alignment for every instrument that has granules.

    Parameters
    ----------
    samples : mapping of str to Shard
        Simulated samples by instrument.
    channels : mapping of str to sequence of str
        Names of their channels.
    granules : sequence of path
        L1C granules of these instruments.

    Raises
    ------
    InputError
        If a granule is of another instrument, or there are too few.
    """
    groups: dict[str, list[str | os.PathLike[str]]] = {}
    for path in granules:
        with open_l1c(path) as ds:
            groups.setdefault(str(ds.attrs["sensor"]), []).append(path)
    if foreign := sorted(set(groups) - set(samples)):
        raise InputError(
            f"granules of {', '.join(foreign)} cannot be aligned with samples of "
            f"{', '.join(samples)}: name the instruments with --sensors"
        )
    return {
        s: fit_alignment(
            samples[s].tb,
            samples[s].land,
            *observed_patches(own, channels[s], samples[s].tb.shape[1]),
        )
        for s, own in groups.items()
    }


# ---- observations


def observed_patches(
    granules: Sequence[str | os.PathLike[str]], channels: Sequence[str], size: int
) -> tuple[Array, Array]:
    """Cut granules into patches, evenly spread over each.

    Returns
    -------
    tb : ndarray, shape (patch, scan, pixel, channel)
        K, NaN where the file calls it bad or the channel is not there.
    land : ndarray, shape (patch, scan, pixel)
        Land fraction.

    Raises
    ------
    FileFormatError, InputError
        If a granule cannot be read, or none is as long as a patch.
    """
    each = max(PATCHES // max(len(granules), 1), 1)
    found = [_cut(path, channels, size, each) for path in granules]
    tb, land = (np.concatenate(x) for x in zip(*found, strict=True))
    if not len(tb):
        raise InputError(f"no granule to align with is {size} scans long")
    return tb, land


def _cut(
    path: str | os.PathLike[str], channels: Sequence[str], size: int, most: int
) -> tuple[Array, Array]:
    with open_l1c(path) as opened:
        ds = opened.load()
    names = [str(n) for n in ds[CHANNEL].values]
    given = good_tb(ds, get_sensor(str(ds.attrs["sensor"])))
    tb = np.full((*given.shape[:2], len(channels)), np.nan, np.float32)
    for k, name in enumerate(channels):
        if name in names:
            tb[..., k] = given[..., names.index(name)]
    land = land_fraction(*(ds[n].transpose(SCAN, PIXEL).values for n in (LATITUDE, LONGITUDE)))
    wide = max(size - tb.shape[1], 0)  # a narrow swath is filled up, as simulated patches are
    tb = np.pad(tb, ((0, 0), (0, wide), (0, 0)), constant_values=np.nan)
    land = np.pad(land, ((0, 0), (0, wide)), constant_values=np.nan)
    rows, columns = (range(0, n - size + 1, size) for n in land.shape)
    squares = [np.s_[r : r + size, c : c + size] for r in rows for c in columns]
    if not squares:
        empty = np.empty((0, size, size, len(channels)), np.float32)
        return empty, empty[..., 0]
    chosen = np.unique(np.linspace(0, len(squares) - 1, most).astype(int))
    return np.stack([tb[squares[k]] for k in chosen]), np.stack([land[squares[k]] for k in chosen])


# ---- the map of one surface


def _median(values: Array) -> Array:
    """Median of each channel (pixel, channel); NaN where all are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=0))


def _departures(tb: Array, land: Array, surface: int) -> tuple[Array, Array]:
    """Departures over a surface (pixel, channel) and the part that each belongs to."""
    kind = surface_index(land) == surface
    stride = max(int(kind.sum()) // MOST, 1)
    values, part = [np.empty((0, tb.shape[-1]), np.float32)], [np.empty(0, int)]
    for number, (patch, where) in enumerate(zip(tb, kind, strict=True)):
        if where.any():
            own = patch[where].astype(np.float32)
            values.append((own - _median(own))[::stride])
            part.append(np.full(len(values[-1]), number * FOLDS // len(tb)))
    return np.concatenate(values), np.concatenate(part)


def _fit_surface(
    simulated: tuple[Array, Array], observed: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Quantiles of the simulated departures (channel, deviate), and their shifts."""
    channels = simulated[0].shape[1]
    none = np.zeros((channels, DEVIATES.size))
    if min(len(simulated[0]), len(observed[0])) < LEAST:
        return none + DEVIATES, none
    start, end = _quantiles(simulated[0]), _quantiles(observed[0])
    shift = end - start
    doubt = CERTAINTY**2 * (_variance(*simulated) + _variance(*observed))
    shift = shift * np.maximum(1 - doubt / np.maximum(shift**2, 1e-6), 0)
    shift = ndimage.gaussian_filter1d(shift, SMOOTHING, axis=1, mode="nearest")
    shift = np.maximum.accumulate(start + shift, axis=1) - start
    known = np.isfinite(shift).all(axis=1, keepdims=True)
    return np.where(known, start, DEVIATES), np.where(known, shift, 0.0)


def _quantiles(values: Array) -> Array:
    """Quantiles (channel, deviate), rising; NaN where a channel is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanquantile(values, special.ndtr(DEVIATES), axis=0).T)


def _variance(values: Array, part: Array) -> Array:
    """Squared standard error of the quantiles, from those of the parts."""
    found = [_quantiles(values[part == k]) for k in np.unique(part)]
    return np.asarray(np.var(found, axis=0, ddof=1) / len(found))
