"""Other physics: the simulator's parameters moved about, so that no habit of it is learned."""

from __future__ import annotations

import math

import numpy as np

from xrain.simulate.parameters import Parameters

__all__ = ["perturbed"]

_FACTORS = {
    "atmosphere__humidity_aloft": 0.10,
    "atmosphere__humidity_aloft_rain": 0.20,
    "cloud__liquid_scale": 0.20,
    "particles__cloud_content": 0.25,
    "particles__melting_content": 0.20,
    "particles__rain_content": 0.10,
    "particles__rain_diameter": 0.08,
    "particles__ice_content": 0.25,
    "particles__ice_content_convective": 0.25,
    "particles__ice_diameter": 0.08,
    "particles__snow_density": 0.15,
    "particles__hidden_content": 0.20,
    "ice__scale_spread": 0.15,
    "ocean__foam": 0.20,
    "land__wet_soil": 0.30,
}
"""Standard deviation of the logarithm of a parameter: wider than the fit leaves it, since what
the simulator lacks hides in them too."""

_STEPS = {
    "atmosphere__lapse_rate_aloft": 0.2,
    "atmosphere__highest_freezing_level": 0.15,
    "ice__polarization_ratio": 0.08,
}
"""Standard deviation of a parameter, in its unit."""

_LOWEST = {"ice__polarization_ratio": 1.0}


def perturbed(
    parameters: Parameters, rng: np.random.Generator, strength: float = 1.0
) -> Parameters:
    """Draw physics in the neighbourhood of a given one.

    Parameters
    ----------
    parameters : Parameters
        Where to begin.
    rng : numpy.random.Generator
        Source of chance.
    strength : float
        Multiplies every standard deviation; 0 changes nothing. Deviates beyond two standard
        deviations are cut.
    """
    changes: dict[str, float | tuple[float, ...]] = {}
    for key, spread in _FACTORS.items():
        factor = math.exp(spread * _deviate(rng, strength))
        value = parameters.get(key)
        if isinstance(value, tuple):
            changes[key] = tuple(x * factor for x in value)
        else:
            changes[key] = value * factor
    for key, spread in _STEPS.items():
        value = parameters.get(key)
        if not isinstance(value, tuple):
            moved = value + spread * _deviate(rng, strength)
            changes[key] = max(moved, _LOWEST.get(key, -math.inf))
    return parameters.replace(**changes)


def _deviate(rng: np.random.Generator, strength: float) -> float:
    return strength * float(np.clip(rng.standard_normal(), -2.0, 2.0))
