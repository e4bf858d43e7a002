"""Precipitation of columns: real profiles for their rate, on the layers of the air."""

from __future__ import annotations

from dataclasses import replace

import torch

from xrain.simulate.atmosphere import Columns
from xrain.simulate.environment import Environment
from xrain.simulate.parameters import Parameters
from xrain.simulate.particles import Profile, hidden_ice, ice_particles, rain_particles
from xrain.simulate.profiles import PRECIPITATION, Storm, choose_storm

__all__ = ["draw_storm", "ice_profile", "rain_profile"]


def draw_storm(environment: Environment) -> Storm:
    """Choose real profiles by the rates and deviates of raining columns.

    Convective are those whose deviate `kind` lies in the upper part of the normal distribution
    that `convective_fraction` is wide.
    """
    convective = torch.special.ndtr(-environment.kind) < environment.convective_fraction
    return choose_storm(
        environment.rain_rate,
        environment.rain_aloft,
        environment.freezing_level,
        environment.land_fraction,
        convective,
        environment.ice,
        environment.rain_top,
    )


def rain_profile(
    storm: Storm, environment: Environment, columns: Columns, parameters: Parameters
) -> Profile:
    """Rain in the layers below the freezing level, (warm layer, N)."""
    warm = columns.warm
    content, diameter = storm.under(
        columns.height[:warm], environment.freezing_level, PRECIPITATION
    )
    sizes = torch.exp(parameters.rain.diameter_spread * environment.dsd)
    melting = torch.zeros((warm, 1), device=content.device)
    melting[-1] = 1.0
    temperature = columns.temperature[:warm]
    return rain_particles(content, sizes * diameter, temperature, melting, parameters)


def ice_profile(
    storm: Storm, environment: Environment, columns: Columns, parameters: Parameters
) -> tuple[Profile, Profile]:
    """Ice in the layers above the freezing level, (cold layer, N): seen by radars, and hidden."""
    cold = columns.height[columns.warm :]
    content, diameter = storm.over(cold, environment.freezing_level, PRECIPITATION)
    temperature = columns.temperature[columns.warm :]
    seen = ice_particles(content, diameter, temperature, storm.convective, parameters)
    p = parameters.particles
    small = Profile(
        hidden_ice(content, cold, temperature.clamp_max(273.0), parameters),
        torch.full_like(content, p.hidden_diameter),
        temperature,
        torch.full_like(content, p.snow_density),
    )
    i = parameters.ice
    median = i.scale + (i.scale_land - i.scale) * environment.land_fraction
    scale = median * environment.ice_scale
    hidden = replace(small, content=scale * small.content)
    return replace(seen, content=scale * seen.content), hidden
