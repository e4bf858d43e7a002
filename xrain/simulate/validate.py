"""Compare the simulator with what a radiometer really saw over matched pixels.

Each pixel is simulated from its own environment and label; its brightness temperatures never
enter. Bias and correlation take the mean over draws of the unknowns, spread and quantiles take
single draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from xrain.errors import InputError
from xrain.sensors import Channel, get_sensor
from xrain.simulate.environment import Environment, draw_unknowns
from xrain.simulate.forward import ForwardModel, mix_polarization
from xrain.simulate.matchups import matchup_environment, read_matchups, surface_class
from xrain.simulate.neighbourhood import POINTS, beam_weights, draw_neighbourhood
from xrain.simulate.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = [
    "QUANTILES",
    "Validation",
    "as_table",
    "plot_histograms",
    "run",
    "simulate_matchups",
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


def _repeat(environment: Environment, count: int) -> Environment:
    index = torch.arange(len(environment)).repeat_interleave(count)
    return environment.select(index)


def _raining(
    model: ForwardModel, environment: Environment, weights: Tensor, generator: torch.Generator
) -> Tensor:
    """Footprint averages over pixels whose surroundings are drawn, (N, channel, 2)."""
    softness = model.parameters.rain.softness
    rates = draw_neighbourhood(environment.rain_rate, generator, softness).reshape(-1)
    points = _repeat(environment, POINTS).replace(
        rain_rate=rates, convective_fraction=1.0 - torch.exp(-rates / 8.0)
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
                    tb[index] = _raining(model, part, weights, generator) if rains else model(part)
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
    kind = surface_class(matchups)
    labelled = np.flatnonzero(np.isfinite(rate) & (kind != "mixed"))
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
        f"{'rain' if wet else 'dry'}_{surface}": (kind == surface) & (rains == wet)
        for wet in (False, True)
        for surface in ("ocean", "land")
    }
    members = {k: v for k, v in classes.items() if v.sum() > 1}
    return Validation(
        {k: _statistics(observed[m], simulated[:, m], names) for k, m in members.items()},
        {k: observed[m] for k, m in members.items()},
        {k: simulated[:, m] for k, m in members.items()},
        names,
        labelled.size - index.size,
    )


def _statistics(
    observed: Array, simulated: Array, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
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


def as_table(name: str, statistics: dict[str, dict[str, Any]]) -> Table:
    """Render one class of `Validation.statistics` as a table for the terminal."""
    from rich.table import Table

    count = next(iter(statistics.values()))["n"]
    table = Table(title=f"{name.replace('_', ' ')}, {count} pixels (K)")
    for head in ("channel", "bias", "std", "correlation"):
        table.add_column(head, justify="left" if head == "channel" else "right")
    for q in QUANTILES:
        table.add_column(f"{q} % obs / sim", justify="right")
    for channel, s in statistics.items():
        pairs = zip(s["quantiles_observed"], s["quantiles_simulated"], strict=True)
        table.add_row(
            channel,
            f"{s['bias']:.2f}",
            f"{s['std']:.2f}",
            f"{s['correlation']:.3f}",
            *(f"{a:.0f} / {b:.0f}" for a, b in pairs),
        )
    return table


def plot_histograms(validation: Validation, path: str | Path | None = None) -> Figure:
    """Draw histograms of observed and simulated brightness temperatures.

    Parameters
    ----------
    validation : Validation
        From `validate` or `run`.
    path : str or Path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure
        One row per class, one panel per channel.
    """
    from matplotlib.figure import Figure

    rows, columns = len(validation.observed), len(validation.channels)
    figure = Figure(figsize=(2.0 * columns, 1.9 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, (name, observed) in zip(axes, validation.observed.items(), strict=True):
        simulated = validation.simulated[name]
        for i, (axis, channel) in enumerate(zip(row, validation.channels, strict=True)):
            both = np.concatenate([observed[:, i], simulated[0, :, i]])
            low, high = (float(q) for q in np.percentile(both, [0.2, 99.8]))
            bins = np.linspace(low, high, 40)
            axis.hist(observed[:, i], bins, density=True, color="0.75", label="observed")
            axis.hist(
                simulated[:, :, i].ravel(),
                bins,
                density=True,
                histtype="step",
                color="C3",
                label="simulated",
            )
            axis.set_title(channel, fontsize=8)
            axis.tick_params(labelsize=6, left=False, labelleft=False)
        row[0].set_ylabel(name.replace("_", " "), fontsize=8)
    axes[0, 0].legend(fontsize=6, frameon=False)
    figure.supxlabel("brightness temperature (K)", fontsize=8)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
