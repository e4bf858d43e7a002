"""Fit what varies in storms to real raining pixels, with the particles held.

    python tools/fit_simulator/rain.py DATA

The storms are drawn from real profiles for a rate, a freezing level and, over columns of a radar,
the kind of rain. Matched pixels of half of the days and columns of two thirds of the blocks of
overpasses are fitted to: quantiles at 89 to 183 GHz, means by class of rate, polarisation, and
correlations between channels and with the rate.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from least_squares import fit_parameters, write_toml
from numpy.typing import NDArray
from surface import fitting_days
from torch import Tensor

from xrain.geo.surfaces import dataset_surfaces
from xrain.sensors import get_sensor
from xrain.simulate.column_forward import column_environment
from xrain.simulate.environment import Environment
from xrain.simulate.matchups import matchup_environment, read_matchups
from xrain.simulate.parameters import Parameters, default_parameters
from xrain.simulate.radar_columns import read_columns
from xrain.simulate.validate import simulate_matchups
from xrain.training.matched_pixels import kept_apart
from xrain.training.observed import BLOCK_OF_OVERPASSES

Array = NDArray[np.float64]
TOML = Path(__file__).parents[2] / "xrain" / "simulate" / "parameters.toml"
LOW = 7  # leading GMI channels, up to 36 GHz
RATES = (0.05, 0.5, 2.0, 5.0, 15.0, 200.0)
LEVELS = (1, 10, 30, 50, 70, 90, 98)
LAWS = ((0, 12), (6, 7), (7, 9), (0, 5))  # 10V 183±7, 37H 89V, 89V 166V, 10V 37V
STEPS = {
    "ice__scale": 0.15,
    "ice__scale_land": 0.15,
    "ice__scale_spread": 0.15,
    "ice__polarization_ratio": 0.06,
    "rain__diameter_spread": 0.08,
    "rain__softness": 0.1,
}
BOUNDS = {
    "ice__scale": (0.4, 1.6),
    "ice__scale_land": (0.4, 1.6),
    "ice__scale_spread": (0.0, 1.2),
    "ice__polarization_ratio": (1.0, 1.5),
    "rain__diameter_spread": (0.0, 0.4),
    "rain__softness": (0.4, 1.0),
}


@dataclass(frozen=True)
class Pixels:
    """Raining pixels: their state, what was seen and how hard it rains."""

    environment: Environment
    observed: Array
    rate: Array
    weight: float
    convective: Tensor | None = None


def residuals_of(simulated: Array, pixels: Pixels) -> list[Array]:
    """Errors of quantiles, of means by class of rate, of polarisation and of correlations."""
    observed, rate = pixels.observed, pixels.rate

    def quantiles(sim: Array, obs: Array, levels: tuple[int, ...]) -> Array:
        return np.asarray(np.percentile(sim, levels, axis=0) - np.percentile(obs, levels, axis=0))

    scale = np.array([8.0, 3.0, 2.0, 2.0, 2.0, 3.0, 4.0])[:, None]
    parts = [quantiles(simulated[:, LOW:], observed[:, LOW:], LEVELS) / scale]
    for low, high in itertools.pairwise(RATES):
        member = (rate >= low) & (rate < high)
        if member.sum() > 15:
            parts.append((simulated[member].mean(0) - observed[member].mean(0)) / 5.0)
    vertical, horizontal = [7, 9], [8, 10]
    polarised = [tb[:, vertical] - tb[:, horizontal] for tb in (simulated, observed)]
    parts.append(quantiles(polarised[0], polarised[1], (50, 90)))
    colder = [tb[:, [9]] - tb[:, [7]] for tb in (simulated, observed)]
    parts.append(quantiles(colder[0], colder[1], LEVELS) / 4.0)
    parts.append((laws(simulated, rate) - laws(observed, rate)) / 0.03)
    return [pixels.weight * p.ravel() for p in parts]


def laws(tb: Array, rate: Array) -> Array:
    """Correlations between channels, and of 89V and 166V with the logarithm of the rate."""
    pairs = [(tb[:, i], tb[:, j]) for i, j in LAWS] + [(tb[:, i], np.log(rate)) for i in (7, 9)]
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in pairs])


def matched(folder: Path, surface: str, share: int) -> Pixels:
    """Every `share`-th raining matched pixel of the fitting days."""
    data = read_matchups(folder / "matchups" / "gmi_dpr_rain.nc")
    chosen = np.flatnonzero(dataset_surfaces(data)[surface] & fitting_days(data))[::share]
    data = data.isel(sample=chosen)
    rate = data["surface_precip"].values.astype(np.float32)
    environment, index = matchup_environment(data, rate)
    seen = data["tb"].values[index].astype(float)
    return Pixels(environment, seen, rate[index].astype(float), 1.0)


def of_columns(folder: Path, ocean: bool, share: int) -> Pixels:
    """Every `share`-th raining column of the blocks of overpasses that are learned from."""
    columns = read_columns(folder / "transects" / "gmi_corra_conus.nc")
    apart = kept_apart((columns.overpass - 1) // BLOCK_OF_OVERPASSES, 2, 3)
    raining = (columns.rate >= 0.1) & (columns.ocean == ocean) & ~apart
    columns = columns.select(np.flatnonzero(raining)[::share])
    convective = torch.from_numpy((columns.rain_type == 2).astype(np.float32))
    environment = column_environment(
        columns, rain_rate=torch.from_numpy(columns.rate), cloud_liquid=0.05
    )
    seen, rate = columns.tb.astype(float), columns.rate.astype(float)
    return Pixels(environment, seen, rate, 1.2, convective)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--iterations", type=int, default=4)
    args = parser.parse_args()
    channels = get_sensor("gmi").channels
    sets = [matched(args.folder, "ocean", 3), matched(args.folder, "land", 2)]
    sets += [of_columns(args.folder, True, 4), of_columns(args.folder, False, 12)]

    def residuals(parameters: Parameters) -> Array:
        parts: list[Array] = []
        for pixels in sets:
            simulated = simulate_matchups(
                pixels.environment,
                channels,
                draws=1,
                seed=5,
                parameters=parameters,
                convective=pixels.convective,
            )
            parts += residuals_of(simulated[0].astype(float), pixels)
        return np.concatenate(parts)

    with torch.no_grad():
        fitted = fit_parameters(
            residuals,
            default_parameters(),
            STEPS,
            BOUNDS,
            iterations=args.iterations,
            prior=2e-3,
            report=lambda line: print(line, flush=True),
        )
    TOML.write_text(write_toml(TOML.read_text("utf-8"), fitted), "utf-8")


if __name__ == "__main__":
    main()
