"""Fit rain, cloud and ice to real raining pixels on half of the days.

    python -m xrain.simulate.fit.rain DIR_OF_MATCHUPS

At 10–36 GHz the mean of each channel in classes of rain rate is matched; above, where surface
rain says little of the ice aloft, the distributions are: quantiles by class of rain rate, of the
differences between channels, and of the polarisation.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xrain.sensors import get_sensor
from xrain.simulate.environment import Environment
from xrain.simulate.fit.least_squares import fit_parameters, write_toml
from xrain.simulate.fit.surface import fitting_days
from xrain.simulate.matchups import matchup_environment, read_matchups, surface_class
from xrain.simulate.parameters import Parameters, default_parameters
from xrain.simulate.validate import simulate_matchups

Array = NDArray[np.float64]
TOML = Path(__file__).parents[1] / "parameters.toml"
LOW = 7  # leading GMI channels, up to 36 GHz
BIAS_WEIGHT = 6.0
RATES = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 20.0)
COARSE = (0.05, 0.5, 2.0, 20.0)
LEVELS = (2, 10, 25, 50, 75, 90, 98)
PAIRS = ((7, 8), (9, 10), (7, 9), (11, 12), (9, 12))  # 89V-H, 166V-H, 89-166, 183, 166-183±7
STEPS = {
    "rain__log10_nw": 0.2,
    "rain__log10_nw_convective": 0.2,
    "rain__melting_factor": 0.5,
    "rain__shallow_threshold": 0.3,
    "rain__shallow_rate": 0.2,
    "rain__shallow_depth": 0.1,
    "cloud__rain_liquid": 0.05,
    "cloud__rain_exponent": 0.15,
    "cloud__rain_overshoot": 0.4,
    "ice__saturation": 0.4,
    "ice__content": 0.03,
    "ice__exponent": 0.15,
    "ice__scale_spread": 0.25,
    "ice__log10_nw": 0.3,
    "ice__density_snow": 0.05,
    "ice__density_graupel": 0.1,
    "ice__depth": 0.6,
    "ice__depth_growth": 0.3,
    "ice__depth_spread": 0.15,
    "ice__polarization_ratio": 0.08,
    "ice__cloud_ice_exponent": 0.15,
    "ice__land_factor": 0.5,
    "atmosphere__humidity_aloft_rain": 0.15,
    "land__wet_soil[0]": 0.005,
    "land__wet_soil[1]": 0.008,
}
BOUNDS = {
    "rain__log10_nw": (3.2, 4.6),
    "rain__log10_nw_convective": (-0.5, 1.0),
    "rain__melting_factor": (1.0, 5.0),
    "cloud__rain_liquid": (0.0, 0.6),
    "rain__shallow_threshold": (-0.5, 2.5),
    "rain__shallow_rate": (0.0, 1.5),
    "rain__shallow_depth": (0.25, 0.9),
    "cloud__rain_exponent": (0.0, 0.7),
    "cloud__rain_overshoot": (-1.0, 3.0),
    "ice__saturation": (0.1, 5.0),
    "ice__content": (0.01, 0.6),
    "ice__exponent": (0.2, 1.3),
    "ice__scale_spread": (0.3, 1.8),
    "ice__log10_nw": (3.0, 6.5),
    "ice__density_snow": (0.05, 0.5),
    "ice__density_graupel": (0.1, 0.8),
    "ice__depth": (0.7, 6.0),
    "ice__depth_growth": (0.0, 3.0),
    "ice__depth_spread": (0.0, 0.8),
    "ice__polarization_ratio": (1.0, 1.5),
    "ice__cloud_ice_exponent": (0.0, 1.0),
    "ice__land_factor": (0.5, 4.0),
    "atmosphere__humidity_aloft_rain": (0.1, 1.2),
}


def mean_residuals(simulated: Array, observed: Array, rate: Array) -> list[Array]:
    """Mean error at 10–36 GHz by class of rate, and of all, in units of what is tolerable."""
    error = simulated.mean(0)[:, :LOW] - observed[:, :LOW]
    parts = [BIAS_WEIGHT * error.mean(0)]
    for low, high in itertools.pairwise(RATES):
        member = (rate >= low) & (rate < high)
        parts.append(error[member].mean(0) / 3.0)
    return parts


def quantile_residuals(simulated: Array, observed: Array, rate: Array) -> list[Array]:
    """Errors of quantiles at 89–183 GHz, of channel differences and polarisation."""
    parts = []
    scale = np.array([5.0, 1.5, 3.0, 2.0, 2.0, 2.0, 4.0])[:, None]

    def compare(sim: Array, obs: Array, weight: float, unit: Array = scale) -> None:
        q = np.percentile(sim.reshape(-1, sim.shape[-1]), LEVELS, axis=0)
        parts.append((weight * (q - np.percentile(obs, LEVELS, axis=0)) / unit).ravel())

    compare(simulated[..., LOW:], observed[:, LOW:], 1.0)
    for low, high in itertools.pairwise(COARSE):
        member = (rate >= low) & (rate < high)
        compare(simulated[:, member, LOW:], observed[member, LOW:], 0.5)
    first, second = (list(x) for x in zip(*PAIRS, strict=True))
    unit = np.array([3.0, 1.5, 1.0, 1.0, 1.5, 2.0, 4.0])[:, None]
    compare(
        simulated[..., first] - simulated[..., second],
        observed[:, first] - observed[:, second],
        0.7,
        unit,
    )
    return parts


def load(folder: Path, surface: str, share: int = 1) -> tuple[Environment, Array, Array]:
    """Environment, observation and rate of every `share`-th raining pixel on the fitting days."""
    data = read_matchups(folder / "gmi_dpr_rain.nc")
    chosen = np.flatnonzero((surface_class(data) == surface) & fitting_days(data))[::share]
    data = data.isel(sample=chosen)
    rate = data["surface_precip"].values.astype(np.float32)
    environment, index = matchup_environment(data, rate)
    return environment, data["tb"].values[index].astype(float), rate[index].astype(float)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--iterations", type=int, default=5)
    args = parser.parse_args()
    channels = get_sensor("gmi").channels
    sets = [(*load(args.folder, "ocean", share=2), 1), (*load(args.folder, "land"), 2)]

    def residuals(parameters: Parameters) -> Array:
        parts = []
        for k, (environment, observed, rate, draws) in enumerate(sets):
            simulated = simulate_matchups(
                environment, channels, draws=draws, seed=5, parameters=parameters
            ).astype(float)
            weight = (1.0, 1.0)[k]
            both = mean_residuals(simulated, observed, rate)
            both += quantile_residuals(simulated, observed, rate)
            parts += [weight * p.ravel() for p in both]
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
