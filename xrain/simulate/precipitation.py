"""Vertical profiles of rain below the freezing level and of ice above it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xrain.simulate.atmosphere import Columns
from xrain.simulate.environment import Environment, shallowness
from xrain.simulate.hydrometeors import RainOptics, mean_diameter
from xrain.simulate.parameters import Parameters

__all__ = ["Profile", "ice_profile", "rain_profile"]


@dataclass(frozen=True)
class Profile:
    """Content (g m-3), mean (melted) diameter (mm), temperature (K), density (g cm-3)."""

    content: Tensor
    diameter: Tensor
    temperature: Tensor
    density: Tensor


def rain_profile(
    environment: Environment, columns: Columns, optics: RainOptics, parameters: Parameters
) -> Profile:
    """Rain in the layers below the freezing level, (warm layer, N).

    The rate is that of the surface up to the melting layer, whose extinction is raised by the
    melting factor for the large, slow and wet particles in it.
    """
    r = parameters.rain
    log_nw = (
        r.log10_nw
        + r.log10_nw_convective * environment.convective_fraction
        + r.log10_nw_spread * environment.dsd
    )
    diameter = optics.diameter(environment.rain_rate, log_nw)
    content = optics.content(diameter, log_nw) * (environment.rain_rate > 0)
    warm = columns.warm
    factor = torch.ones((warm, 1), device=content.device)
    factor[-1] = r.melting_factor
    temperature = columns.temperature[:warm].clamp(255.0, 305.0)
    shape = temperature.shape
    depth = 1.0 - (1.0 - r.shallow_depth) * shallowness(environment, parameters)
    below_top = depth * environment.freezing_level - columns.height[:warm]
    factor = factor * torch.where(depth > 0.98, 1.0, torch.sigmoid(below_top / 0.3))
    return Profile(
        factor * content, diameter.expand(shape), temperature, torch.ones_like(temperature)
    )


def ice_profile(environment: Environment, columns: Columns, parameters: Parameters) -> Profile:
    """Ice in the layers above the freezing level, (cold layer, N).

    Content follows a power of the surface rate times the column's own ice scale, and falls off
    above the freezing level within a depth that grows with the rate and has its own unknown.
    """
    i = parameters.ice
    rate = environment.rain_rate.clamp_min(0.0)
    base = i.content * (rate + 1e-6) ** i.exponent * environment.ice_scale
    base = base * ((environment.cloud_ice + 2e-3) / 0.052) ** i.cloud_ice_exponent
    base = base / (1.0 + base / i.saturation)
    base = base * (1.0 + (i.land_factor - 1.0) * environment.land_fraction)
    base = base * (1.0 - shallowness(environment, parameters))
    depth = (i.depth + i.depth_growth * torch.log1p(rate)) * torch.exp(
        i.depth_spread * environment.rain_top
    )
    height = columns.height[columns.warm :] - environment.freezing_level
    content = base * torch.exp(-((height.clamp_min(0.0) / depth) ** 1.5))
    temperature = columns.temperature[columns.warm :]
    convective = environment.convective_fraction
    density = i.density_snow * (i.density_graupel / i.density_snow) ** convective
    return Profile(
        content,
        mean_diameter(content, i.log10_nw),
        temperature,
        density.expand(temperature.shape),
    )
