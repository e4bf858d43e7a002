"""Fit sea roughness, clouds and humidity to dry real pixels over sea, on half of the days.

python tools/fit_simulator/ocean.py DIR_OF_MATCHUPS
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from least_squares import fit_parameters, write_toml
from numpy.typing import NDArray
from surface import fitting_days

from xrain.geo.surfaces import dataset_surfaces
from xrain.sensors import get_sensor
from xrain.simulate.matchups import matchup_environment, read_matchups
from xrain.simulate.parameters import Parameters, default_parameters
from xrain.simulate.validate import simulate_matchups

Array = NDArray[np.float64]
TOML = Path(__file__).parents[2] / "xrain" / "simulate" / "parameters.toml"
# what the environment leaves open in each GMI channel, K
UNCERTAINTY = np.array([2.0, 2.7, 2.9, 4.5, 3.5, 4.2, 7.5, 4.2, 10.5, 3.5, 5.0, 5.0, 4.2])
BIAS_WEIGHT = 6.0

STEPS = {
    **{f"ocean__wind_{p}[{i}]": 0.002 for p in "vh" for i in range(5)},
    "ocean__sky_roughness[0]": 1.5,
    "ocean__sky_roughness[1]": 3.0,
    "cloud__liquid_scale": 0.2,
    "cloud__liquid_exponent": 0.2,
    "cloud__liquid_floor": 0.01,
    "atmosphere__humidity_aloft": 0.1,
    "atmosphere__humidity_aloft_exponent": 0.3,
    "atmosphere__humidity_aloft_ice": 0.1,
    "atmosphere__humidity_scale": 2.0,
    "atmosphere__lapse_rate_aloft": 0.2,
}
BOUNDS = {
    "cloud__liquid_floor": (0.0, 0.08),
    "cloud__liquid_exponent": (0.3, 1.2),
    "atmosphere__humidity_scale": (1.5, 30.0),
    "atmosphere__lapse_rate_aloft": (5.8, 7.0),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    data = read_matchups(parser.parse_args().folder / "gmi_dpr_phase.nc")
    chosen = fitting_days(data) & dataset_surfaces(data)["ocean"] & (data["phase"].values == 0)
    data = data.isel(sample=chosen)
    environment, index = matchup_environment(data)
    observed = data["tb"].values[index].astype(float)
    channels = get_sensor("gmi").channels

    def residuals(parameters: Parameters) -> Array:
        drawn = simulate_matchups(environment, channels, draws=2, seed=2, parameters=parameters)
        error: Array = (drawn.astype(float).mean(0) - observed) / UNCERTAINTY
        return np.concatenate([error.ravel(), BIAS_WEIGHT * error.mean(0)])

    with torch.no_grad():
        fitted = fit_parameters(residuals, default_parameters(), STEPS, BOUNDS, prior=3e-4)
    TOML.write_text(write_toml(TOML.read_text("utf-8"), fitted), "utf-8")


if __name__ == "__main__":
    main()
