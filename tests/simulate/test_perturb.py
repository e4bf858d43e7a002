"""Perturbed physics: near the fitted one, reproducible, and never impossible."""

import numpy as np

from xrain.simulate.parameters import default_parameters
from xrain.simulate.perturb import perturbed


def test_strength_nought_changes_nothing():
    assert perturbed(default_parameters(), np.random.default_rng(1), 0.0) == default_parameters()


def test_draws_differ_and_depend_on_their_seed():
    first, again, other = (
        perturbed(default_parameters(), np.random.default_rng(k)) for k in (1, 1, 2)
    )
    assert first == again
    assert first.particles.ice_content != other.particles.ice_content
    assert first.land.wet_soil != other.land.wet_soil
    assert first.ocean.wind_v == other.ocean.wind_v


def test_spread_of_the_ice_and_bounds():
    rng = np.random.default_rng(3)
    draws = [perturbed(default_parameters(), rng, 2.0) for _ in range(400)]
    logs = np.log(
        [d.particles.ice_content / default_parameters().particles.ice_content for d in draws]
    )
    assert 0.4 < logs.std() < 0.5  # twice 0.25, cut at two deviations
    assert abs(logs).max() <= 1.0 + 1e-9
    assert min(d.ice.polarization_ratio for d in draws) >= 1.0
