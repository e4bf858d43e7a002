"""How well a model notices input that is unlike its training: real pixels, spoilt on purpose."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    CHANNEL,
    QUALITY_FLAGS,
    QUANTILE,
    RETRIEVAL_QUALITY,
    SURFACE_PRECIP_QUANTILE,
    TB,
    parse_channel_name,
)
from xrain.errors import InputError
from xrain.evaluation.matchups import model_inputs
from xrain.geo.surfaces import dataset_surfaces
from xrain.io.matchups import open_matchups
from xrain.models.store import Model, load_model
from xrain.retrieval.dataset import retrieve

__all__ = ["CORRUPTIONS", "corrupt", "score_detection"]

Array = NDArray[np.float32]

INTERFERENCE = 50.0
"""K that a radio transmitter is taken to add at 10 GHz."""

INTERVAL = (0.05, 0.95)


def _swapped_polarizations(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del rng
    out = tb.copy()
    parsed = [parse_channel_name(n) for n in names]
    for i, a in enumerate(parsed):
        for j, b in enumerate(parsed[:i]):
            if a and b and (a.frequency, a.offset, a.suffix) == (b.frequency, b.offset, b.suffix):
                out[:, [i, j]] = tb[:, [j, i]]
    return out


def _rolled_channels(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del names, rng
    return np.roll(tb, 1, axis=1)


def _shuffled_channels(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del names
    order = rng.permuted(np.tile(np.arange(tb.shape[1]), (len(tb), 1)), axis=1)
    return np.take_along_axis(tb, order, axis=1)


def _constant(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del names
    level = rng.uniform(100.0, 300.0, (len(tb), 1)).astype(np.float32)
    return np.repeat(level, tb.shape[1], axis=1)


def _zero(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del names, rng
    return np.zeros_like(tb)


def _interference(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del rng
    low = [i for i, n in enumerate(names) if (p := parse_channel_name(n)) and p.frequency < 12]
    out = tb.copy()
    out[:, low] += INTERFERENCE
    return out


def _noise(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del names
    return (tb + rng.normal(0.0, 20.0, tb.shape)).astype(np.float32)


def _one_channel_off(tb: Array, names: Sequence[str], rng: np.random.Generator) -> Array:
    del names
    out = tb.copy()
    rows = np.arange(len(tb))
    out[rows, rng.integers(tb.shape[1], size=len(tb))] += rng.choice([-30.0, 30.0], len(tb))
    return out


CORRUPTIONS: dict[str, Callable[[Array, Sequence[str], np.random.Generator], Array]] = {
    "swapped_polarizations": _swapped_polarizations,
    "rolled_channels": _rolled_channels,
    "shuffled_channels": _shuffled_channels,
    "constant": _constant,
    "zero": _zero,
    "interference": _interference,
    "noise": _noise,
    "one_channel_off": _one_channel_off,
}
"""Ways to spoil a table of pixels: V and H swapped at every frequency; every channel moved on by
one place; channels in an order drawn for each pixel; all channels at one temperature of 100 to
300 K; 0 K; +50 K at 10 GHz; noise of 20 K in every channel; one channel off by ±30 K."""


def corrupt(ds: xr.Dataset, kind: str, seed: int = 0) -> xr.Dataset:
    """Spoil the brightness temperatures of a table.

    Parameters
    ----------
    ds : xarray.Dataset
        ``tb(sample, channel)`` in K.
    kind : str
        One of :data:`CORRUPTIONS`.
    seed : int
        Seed of what is drawn.

    Raises
    ------
    InputError
        If there is no such kind.
    """
    if kind not in CORRUPTIONS:
        known = ", ".join(CORRUPTIONS)
        raise InputError(f"no way to spoil pixels is called {kind!r}; there are {known}")
    tb = ds[TB].values.astype(np.float32)
    names = [str(n) for n in ds[CHANNEL].values]
    spoilt = CORRUPTIONS[kind](tb, names, np.random.default_rng(seed))
    return ds.assign({TB: ds[TB].copy(data=spoilt)})


def score_detection(
    matchups: str | os.PathLike[str] | xr.Dataset,
    model: str | os.PathLike[str] | Model,
    *,
    channels: Sequence[str] | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure how often good and spoilt pixels are flagged as unlike training, or not used at all.

    Parameters
    ----------
    matchups, model, channels, device
        As for :func:`xrain.evaluation.matchups.score_matchups`.
    seed : int
        Seed of what is drawn.

    Returns
    -------
    dict
        ``model``; ``false_alarms``, for pixels as they are; and for each of :data:`CORRUPTIONS`
        that changes anything, the share of flagged pixels over ``all``, ``ocean`` and ``land``,
        and ``width``, the median width of the 5–95 % interval in mm/h.
    """
    ds = matchups if isinstance(matchups, xr.Dataset) else open_matchups(matchups)
    model = model if isinstance(model, Model) else load_model(model)
    shown = model_inputs(ds, channels)
    surfaces = {"all": np.ones(ds.sizes["sample"], bool), **dataset_surfaces(ds)}

    def rates(table: xr.Dataset) -> dict[str, Any]:
        rain = retrieve(table, model, quantiles=INTERVAL, device=device)
        return _shares(rain, surfaces)

    out: dict[str, Any] = {"model": model.card.name, "false_alarms": rates(shown)}
    for kind in CORRUPTIONS:
        spoilt = corrupt(shown, kind, seed)
        if not np.array_equal(spoilt[TB].values, shown[TB].values, equal_nan=True):
            out[kind] = rates(spoilt)
    return out


def _shares(rain: xr.Dataset, surfaces: dict[str, NDArray[np.bool_]]) -> dict[str, Any]:
    bit = QUALITY_FLAGS["outside_training_range"] | QUALITY_FLAGS["no_usable_channel"]
    flagged = (rain[RETRIEVAL_QUALITY].values & bit) > 0
    quantile = rain[SURFACE_PRECIP_QUANTILE].transpose(QUANTILE, ...).values
    shares = {
        name: float(flagged[surfaces[name]].mean()) if surfaces[name].any() else None
        for name in ("all", "ocean", "land")
    }
    width = quantile[1] - quantile[0]
    known = np.isfinite(width)
    return shares | {"width": float(np.median(width[known])) if known.any() else None}
