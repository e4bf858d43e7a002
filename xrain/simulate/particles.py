"""Particles of rain, melting snow and ice from the water content and diameter of a profile.

A radar's profile gives the mass of precipitation and its mass-weighted (melted) diameter. What
those mean for a radiometer is told here by few fitted numbers, the same for columns of a radar
and for those that a generator draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xrain.simulate.parameters import Parameters

__all__ = ["Profile", "cloud_liquid", "hidden_ice", "ice_particles", "rain_particles"]


@dataclass(frozen=True)
class Profile:
    """Content (g m-3), mean (melted) diameter (mm), temperature (K), density (g cm-3)."""

    content: Tensor
    diameter: Tensor
    temperature: Tensor
    density: Tensor


def rain_particles(
    content: Tensor,
    diameter: Tensor,
    temperature: Tensor,
    melting: Tensor,
    parameters: Parameters,
) -> Profile:
    """Tell what drops a profile of rain holds.

    Parameters
    ----------
    content, diameter : Tensor, (layer, N)
        Water content in g m-3 and mass-weighted diameter in mm.
    temperature : Tensor, (layer, N)
        K.
    melting : Tensor, (layer, N)
        1 in the melting layer, 0 in plain rain: large, slow and wet particles extinguish more.
    parameters : Parameters
        Its part ``particles``.

    Returns
    -------
    Profile
    """
    p = parameters.particles
    factor = p.rain_content * (1.0 + (p.melting_content - 1.0) * melting)
    size = (p.rain_diameter * diameter).clamp(0.2, 4.5)
    kelvin = temperature.clamp(255.0, 305.0)
    return Profile(factor * content, size, kelvin, torch.ones_like(kelvin))


def ice_particles(
    content: Tensor,
    diameter: Tensor,
    temperature: Tensor,
    convective: Tensor,
    parameters: Parameters,
) -> Profile:
    """Tell what snow and graupel a profile of ice holds.

    Parameters
    ----------
    content, diameter : Tensor, (layer, N)
        Ice content in g m-3 and mass-weighted melted diameter in mm.
    temperature : Tensor, (layer, N)
        K.
    convective : Tensor, (N,)
        Share of convective rain between 0 and 1.
    parameters : Parameters
        Its part ``particles``.

    Returns
    -------
    Profile
        Denser where rain is convective.
    """
    p = parameters.particles
    factor = p.ice_content * (p.ice_content_convective / p.ice_content) ** convective
    size = p.ice_diameter * diameter.clamp_min(0.05) ** p.ice_diameter_exponent
    density = p.snow_density * (p.graupel_density / p.snow_density) ** convective
    density = density * size.clamp(0.1, 3.5) ** -p.density_exponent
    return Profile(factor * content, size, temperature, density.clamp(0.05, 0.9))


def cloud_liquid(content: Tensor, convective: Tensor, parameters: Parameters) -> Tensor:
    """Cloud liquid in g m-3 of a profile's, (layer, N), by the share of convective rain, (N,)."""
    p = parameters.particles
    growth = p.cloud_content_convective / p.cloud_content
    return p.cloud_content * growth**convective * content


def hidden_ice(
    content: Tensor, height: Tensor, temperature: Tensor, parameters: Parameters
) -> Tensor:
    """Ice content in g m-3 that a radar misses above and within its echo, (layer, N).

    A share of the largest ice content of the column stands above its height and falls off
    upwards; it is cloud ice and small snow below the radar's sensitivity.

    Parameters
    ----------
    content : Tensor, (layer, N)
        Ice content that the radar saw, in g m-3.
    height : Tensor, (layer, 1)
        Middle of the layers in km.
    temperature : Tensor, (layer, N)
        K; there is none where it is warmer than 0 °C.
    parameters : Parameters
        Its part ``particles``.
    """
    p = parameters.particles
    frozen = temperature < 273.15
    mass = (content * frozen).sum(0, keepdim=True)
    centre = (content * frozen * height).sum(0, keepdim=True) / mass.clamp_min(1e-6)
    lowest = torch.where(frozen, height, 99.0).amin(0, keepdim=True)
    centre = torch.where(mass > 0, centre, lowest)
    largest = content.amax(0, keepdim=True).clamp_min(1e-6)
    amount = p.hidden_content * largest**p.hidden_exponent
    fall = ((height - centre).clamp_min(0.0) / p.hidden_depth) ** 2
    return frozen * amount * torch.exp(-fall)
