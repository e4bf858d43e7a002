"""Infer the emissivity of land, snow and sea ice from dry matched pixels.

For every dry pixel ``Tb = up + t (e Ts + (1 - e) down)`` is linear in its emissivities. With a
normal distribution of the emissivities over pixels, whose mean is linear in skin temperature and
vapour, and a normal error of the simulated atmosphere in each channel, expectation-maximisation
gives regression and covariance over all channels, from opaque and transparent columns alike. The
regression and the leading modes of the covariance are stored.

    python tools/fit_simulator/surface.py DIR_OF_MATCHUPS
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from xrain.geo.surfaces import dataset_surfaces
from xrain.sensors import get_sensor
from xrain.simulate.environment import EMISSIVITY_MODES, LAND, SEA_ICE, SNOW, draw_unknowns
from xrain.simulate.forward import ForwardModel
from xrain.simulate.matchups import matchup_environment, read_matchups, surface_kind
from xrain.simulate.surface import emissivity_predictors

Array = NDArray[np.float64]
FILES = ("gmi_dpr_phase.nc", "gmi_cpr_phase.nc", "gmi_era5_phase.nc")
FREQUENCIES = (10.65, 18.7, 23.8, 36.64, 89.0, 166.0)
WINDOW = 11  # leading GMI channels, up to 166 GHz
CLASSES = (LAND, SNOW, SEA_ICE)
TARGET = Path(__file__).parents[2] / "xrain" / "simulate" / "tables" / "emissivity.npz"


def fitting_days(data: xr.Dataset) -> NDArray[np.bool_]:
    """Half of the days, used to fit; the others verify."""
    return np.asarray((data["month"].values.astype(int) * 31 + data["day"].values) % 2 == 0)


def class_members(data: xr.Dataset, kind: int) -> NDArray[np.bool_]:
    """Dry pixels that belong to one class of surface beyond doubt."""
    member = (data["phase"].values == 0) & (surface_kind(data) == kind)
    if kind == SEA_ICE:
        return np.asarray(member & (data["sea_ice_fraction"].values > 0.8))
    return np.asarray(member & dataset_surfaces(data)["land"])


def linear_terms(data: xr.Dataset, draws: int = 8) -> tuple[Array, Array, Array, Array]:
    """Observation minus its part without emissivity, slope, variance, and predictors."""
    channels = get_sensor("gmi").channels[:WINDOW]
    model = ForwardModel(channels)
    environment, index = matchup_environment(data)
    generator = torch.Generator().manual_seed(1)
    parts = []
    for _ in range(draws):
        drawn = draw_unknowns(environment, generator)
        up, down, through = model.clear_atmosphere(drawn)
        sky = down + through * model.sky
        parts.append(
            torch.stack(
                [up + through * sky, through * (environment.skin_temperature[:, None] - sky)]
            )
        )
    stack = torch.stack(parts).double().numpy()
    offset, slope = stack.mean(0)
    # error: the unknown atmosphere, seen over a surface of emissivity 0.93, and 2 K of the rest
    error = (stack[:, 0] + 0.93 * stack[:, 1]).var(0) + 4.0
    error = np.where(slope < 50.0, 1e6, error)  # columns that hide the ground say nothing of it
    observed = data["tb"].values[index, :WINDOW].astype(np.float64)
    predictors = emissivity_predictors(environment.skin_temperature, environment.water_vapour)
    return observed - offset, slope, error, predictors.double().numpy()


def expectation_maximisation(
    observed: Array, slope: Array, error: Array, predictors: Array, rounds: int = 60
) -> tuple[Array, Array]:
    """Regression (predictor, channel) and covariance of emissivities z shown as ``slope z``.

    The prior of the regression is 0.93 ± 0.05 with slopes of 0 ± 0.02, that of the covariance has
    the weight of twenty pixels and a standard deviation of 0.04.
    """
    count, size = observed.shape
    prior_mean = np.zeros((predictors.shape[1], size))
    prior_mean[0] = 0.93
    prior_precision = np.diag(1.0 / np.array([0.05, 0.02, 0.02]) ** 2)
    prior_covariance = 1.2e-3 * np.ones((size, size)) + 4e-4 * np.eye(size)
    regression, covariance = prior_mean, prior_covariance
    for _ in range(rounds):
        inverse = np.linalg.inv(covariance)
        precision = inverse + np.einsum("nc,cd->ncd", slope**2 / error, np.eye(size))
        posterior = np.linalg.inv(precision)
        right = predictors @ regression @ inverse + slope * observed / error
        z = np.einsum("ncd,nd->nc", posterior, right)
        for c in range(size):
            weight = 1.0 / covariance[c, c]
            left = prior_precision + weight * predictors.T @ predictors
            target = prior_precision @ prior_mean[:, c] + weight * predictors.T @ z[:, c]
            regression = regression.copy()
            regression[:, c] = np.linalg.solve(left, target)
        rest = z - predictors @ regression
        covariance = rest.T @ rest + posterior.sum(0) + 20.0 * prior_covariance
        covariance /= count + 20.0
    return regression, covariance


def _to_grid(vector: Array) -> Array:
    """GMI's eleven window values on (frequency, V/H); 23.8H lies midway between 18.7 and 36.64."""
    grid = np.empty((len(FREQUENCIES), 2))
    grid[:, 0] = vector[[0, 2, 4, 5, 7, 9]]
    grid[[0, 1, 3, 4, 5], 1] = vector[[1, 3, 6, 8, 10]]
    w = np.log(23.8 / 18.7) / np.log(36.64 / 18.7)
    grid[2, 1] = (1 - w) * grid[1, 1] + w * grid[3, 1]
    return grid


def fit_class(folder: Path, kind: int) -> tuple[Array, Array, int]:
    """Regression (predictor, frequency, 2), modes (mode, frequency, 2), number of pixels."""
    terms = []
    for name in FILES:
        data = read_matchups(folder / name)
        terms.append(linear_terms(data.isel(sample=class_members(data, kind) & fitting_days(data))))
    observed, slope, error, predictors = (np.concatenate(x) for x in zip(*terms, strict=True))
    regression, covariance = expectation_maximisation(observed, slope, error, predictors)
    values, vectors = np.linalg.eigh(covariance)
    leading = np.argsort(values)[::-1][:EMISSIVITY_MODES]
    modes = [_to_grid(vectors[:, k] * np.sqrt(values[k])) for k in leading]
    return np.stack([_to_grid(row) for row in regression]), np.stack(modes), len(observed)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    fitted = []
    with torch.no_grad():
        for kind in CLASSES:
            mean, modes, count = fit_class(folder, kind)
            fitted.append((mean, modes))
            print(f"class {kind}: {count} pixels; mean, its slopes, standard deviation (V, H)")
            for rows in (*mean, np.sqrt((modes**2).sum(0))):
                print("  ", rows.T.round(3).tolist())
    np.savez_compressed(
        TARGET,
        frequency=np.array(FREQUENCIES, "f4"),
        mean=np.stack([m for m, _ in fitted]).astype("f4"),
        modes=np.stack([m for _, m in fitted]).astype("f4"),
    )


if __name__ == "__main__":
    main()
