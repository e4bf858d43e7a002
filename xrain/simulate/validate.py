"""Compare the simulator with what a radiometer really saw over matched pixels.

Each pixel is simulated from its own environment and label; its brightness temperatures never
enter. Bias and correlation take the mean over draws of the unknowns, spread and quantiles take
single draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from xrain.errors import InputError
from xrain.geo.surfaces import SURFACES, surface_index
from xrain.sensors import Channel, get_sensor
from xrain.simulate.environment import Environment, draw_unknowns
from xrain.simulate.forward import ForwardModel, mix_polarization
from xrain.simulate.matchups import matchup_environment, read_matchups
from xrain.simulate.neighbourhood import CONICAL, POINTS, beam_weights, surroundings
from xrain.simulate.parameters import Parameters

__all__ = [
    "QUANTILES",
    "Validation",
    "run",
    "simulate_matchups",
    "statistics",
    "validate",
]

QUANTILES = (1, 10, 50, 90, 99)
Array = NDArray[np.float32]
Statistics = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Validation:
    """Outcome of a comparison.

    Attributes
    ----------
    statistics : dict
        By class (``"dry_ocean"`` …) and channel: n, bias, std, correlation and quantiles.
    observed : dict of str to ndarray, (pixel, channel)
        Brightness temperatures in K of each class.
    simulated : dict of str to ndarray, (draw, pixel, channel)
        The same, simulated.
    channels : tuple of str
        Channel names.
    skipped : int
        Labelled pixels left out because an input was missing.
    """

    statistics: Statistics
    observed: dict[str, Array]
    simulated: dict[str, Array]
    channels: tuple[str, ...]
    skipped: int


def _channels(data: xr.Dataset) -> list[Channel]:
    sensor = get_sensor(str(data.attrs.get("sensor", "GMI")))
    return [sensor.channel(str(name)) for name in data["channel"].values]


def rain_label(data: xr.Dataset) -> NDArray[np.float32]:
    """Rain rate in mm h-1: 0 where labelled dry, NaN where precipitation has no rate."""
    if "surface_precip" in data:
        return data["surface_precip"].values.astype(np.float32)
    return np.where(data["phase"].values == 0, 0.0, np.nan).astype(np.float32)


def _raining(
    model: ForwardModel,
    environment: Environment,
    weights: Tensor,
    generator: torch.Generator,
    convective: Tensor | None,
) -> Tensor:
    """Footprint averages over pixels whose surroundings are drawn, (N, channel, 2)."""
    points = surroundings(
        environment,
        generator,
        model.parameters.rain.softness,
        slant=max(c.incidence_angle for c in model.channels) > CONICAL,
        convective=convective,
    )
    tb = model(points).reshape(len(environment), POINTS, -1, 2)
    return torch.einsum("npck,cp->nck", tb, weights.to(tb.device))


def simulate_matchups(
    environment: Environment,
    channels: Sequence[Channel],
    *,
    draws: int = 16,
    seed: int = 0,
    parameters: Parameters | None = None,
    convective: Tensor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Array:
    """Simulate matched pixels with drawn unknowns.

    Parameters
    ----------
    environment : Environment
        Columns; where it rains, the rate is the mean over 5 km and the rain around it is drawn.
    channels : sequence of Channel
        Channels to simulate.
    draws : int
        Number of draws.
    seed : int
        Seed of all draws.
    parameters : Parameters, optional
        Defaults to the fitted ones.
    convective : Tensor, (N,), optional
        Share of convective rain in and around each pixel; by default it follows the rates.
    progress : callable, optional
        Called with the number of each finished draw.

    Returns
    -------
    ndarray, (draw, N, channel)
        Brightness temperature in K in each channel's polarisation.
    """
    model = ForwardModel(channels, parameters=parameters)
    weights = beam_weights(channels)
    polarization = [c.polarization for c in channels]
    generator = torch.Generator().manual_seed(seed)
    wet = environment.rain_rate > 0
    out = np.empty((draws, len(environment), len(channels)), np.float32)
    with torch.no_grad():
        for draw in range(draws):
            drawn = draw_unknowns(environment, generator, model.parameters)
            tb = torch.empty(len(drawn), len(channels), 2)
            for mask, rains in ((~wet, False), (wet, True)):
                index = torch.nonzero(mask)[:, 0]
                if index.numel():
                    part = drawn.select(index)
                    kind = None if convective is None else convective[index]
                    tb[index] = (
                        _raining(model, part, weights, generator, kind) if rains else model(part)
                    )
            out[draw] = mix_polarization(tb, polarization).numpy()
            if progress:
                progress(draw + 1)
    return out


def validate(
    matchups: xr.Dataset,
    *,
    draws: int = 16,
    seed: int = 0,
    parameters: Parameters | None = None,
    progress: Callable[[int], None] | None = None,
) -> Validation:
    """Simulate every labelled ocean and land pixel of matched data and compare.

    Parameters
    ----------
    matchups : xarray.Dataset
        As from `xrain.simulate.matchups.read_matchups`; channels are GMI's unless the attribute
        ``sensor`` says otherwise.
    draws, seed, parameters, progress
        As in `simulate_matchups`.
    """
    channels = _channels(matchups)
    rate = rain_label(matchups)
    kind = surface_index(matchups["land_fraction"].values, _sea_ice(matchups))
    labelled = np.flatnonzero(np.isfinite(rate) & (kind < SURFACES.index("rest")))
    chosen = matchups.isel(sample=labelled)
    environment, index = matchup_environment(chosen, rate[labelled])
    if not index.size:
        raise InputError("no pixel over ocean or land has a label and every input")
    simulated = simulate_matchups(
        environment, channels, draws=draws, seed=seed, parameters=parameters, progress=progress
    )
    observed = chosen["tb"].values[index].astype(np.float32)
    kind, rains = kind[labelled][index], rate[labelled][index] > 0
    names = tuple(c.name for c in channels)
    classes = {
        f"{'rain' if wet else 'dry'}_{surface}": (kind == number) & (rains == wet)
        for wet in (False, True)
        for number, surface in enumerate(SURFACES[:2])
    }
    members = {k: v for k, v in classes.items() if v.sum() > 1}
    return Validation(
        {k: statistics(observed[m], simulated[:, m], names) for k, m in members.items()},
        {k: observed[m] for k, m in members.items()},
        {k: simulated[:, m] for k, m in members.items()},
        names,
        labelled.size - index.size,
    )


def _sea_ice(matchups: xr.Dataset) -> NDArray[np.floating] | None:
    return matchups["sea_ice_fraction"].values if "sea_ice_fraction" in matchups else None


def statistics(
    observed: Array, simulated: Array, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Figures of one class of pixels by channel.

    Parameters
    ----------
    observed : ndarray, (pixel, channel)
        Brightness temperature in K.
    simulated : ndarray, (draw, pixel, channel)
        Bias, standard deviation and correlation take the mean of the draws; spread and quantiles
        take single ones.
    names : sequence of str
        Names of the channels.
    """
    mean = simulated.mean(0)
    out = {}
    for i, name in enumerate(names):
        obs, sim, average = observed[:, i], simulated[:, :, i], mean[:, i]
        out[name] = {
            "n": int(obs.size),
            "bias": float((average - obs).mean(dtype=float)),
            "std": float((average - obs).std(dtype=float)),
            "correlation": float(np.corrcoef(average, obs)[0, 1]),
            "spread_observed": float(obs.std(dtype=float)),
            "spread_simulated": float(sim.std(axis=1, dtype=float).mean()),
            "quantiles_observed": [float(q) for q in np.percentile(obs, QUANTILES)],
            "quantiles_simulated": [float(q) for q in np.percentile(sim, QUANTILES)],
        }
    return out


def run(
    path: str | Path,
    seed: int = 0,
    draws: int = 16,
    progress: Callable[[int], None] | None = None,
) -> Validation:
    """Read a file of matched pixels and validate the simulator on it."""
    return validate(read_matchups(path), seed=seed, draws=draws, progress=progress)
