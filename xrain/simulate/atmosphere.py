"""Profiles of temperature, pressure, vapour, cloud, rain and ice from a column's state."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xrain.simulate.environment import Environment
from xrain.simulate.parameters import Parameters
from xrain.simulate.particles import cloud_liquid
from xrain.simulate.profiles import Storm

__all__ = ["Columns", "build_columns", "saturation_vapour"]

FREEZING = 273.15
_MIXED_LEVEL = 256.0  # K, above it humidity is that of the upper troposphere
_INVERSION_DEPTH = 1.0  # km
_THIN = 0.05  # km, least depth of the layers below the freezing level


@dataclass(frozen=True)
class Columns:
    """Layered columns, layers leading and rising from the surface.

    Attributes
    ----------
    level_temperature : Tensor, (layer + 1, N)
        K at the layer boundaries.
    thickness, temperature, pressure, vapour, cloud : Tensor, (layer, N)
        Depth in km, and the layer's temperature in K, pressure in hPa, vapour and cloud liquid
        in g m-3.
    warm : int
        Number of layers below the freezing level; the last of them is the melting layer.
    """

    level_temperature: Tensor
    thickness: Tensor
    temperature: Tensor
    pressure: Tensor
    vapour: Tensor
    cloud: Tensor
    height: Tensor
    warm: int


def saturation_vapour(temperature: Tensor) -> Tensor:
    """Saturation vapour density over liquid in g m-3 (Bolton 1980)."""
    celsius = temperature - FREEZING
    return 216.68 * 6.112 * torch.exp(17.67 * celsius / (celsius + 243.5)) / temperature


def _levels(environment: Environment, layers: int, p: Parameters) -> tuple[Tensor, int]:
    """Heights of the layer boundaries in km, (layer + 1, N), and the number below freezing."""
    freezing = environment.freezing_level.clamp_min(_THIN)
    warm = max(3, round(layers * 0.35))
    cold = layers - warm
    melting = torch.minimum(0.5 * freezing, torch.full_like(freezing, p.rain.melting_depth))
    device = freezing.device
    below = torch.linspace(0.0, 1.0, warm, device=device)[:, None] * (freezing - melting)
    s = torch.linspace(0.0, 1.0, cold + 1, device=device)[:, None]
    stretch = 0.45 * s + 0.55 * s * s * s
    above = freezing + stretch * (p.atmosphere.top - freezing)
    return torch.cat([below, above]), warm


def _temperature(environment: Environment, height: Tensor, p: Parameters) -> Tensor:
    """Temperature in K at a height: through 0 °C at the freezing level, then to the tropopause."""
    a = p.atmosphere
    freezing = environment.freezing_level.clamp_min(_THIN)
    above_ground = environment.freezing_level > _THIN
    at_freezing = torch.where(above_ground, FREEZING, environment.t2m)
    below = environment.t2m + (at_freezing - environment.t2m) * (height / freezing).clamp_max(1.0)
    rise = (height - freezing).clamp_min(0.0)
    cold = (FREEZING - environment.t2m).clamp_min(0.0)
    inversion = a.inversion * cold * -torch.expm1(-rise / _INVERSION_DEPTH)
    warmth = ((environment.t2m - 280.0) / 20.0).clamp(0.0, 1.0)
    tropopause = a.tropopause_cold + (a.tropopause_warm - a.tropopause_cold) * warmth
    return torch.maximum(below - a.lapse_rate_aloft * rise + inversion, tropopause)


def _vapour(environment: Environment, columns: dict[str, Tensor], p: Parameters) -> Tensor:
    """Vapour density in g m-3 that adds up to the given column."""
    a = p.atmosphere
    saturated = saturation_vapour(columns["temperature"])
    low = torch.sigmoid((columns["temperature"] - _MIXED_LEVEL) / 5.0)
    wet = 1.0 - torch.exp(-environment.rain_rate / 0.3)
    decay = (1.0 - wet) / (
        a.humidity_scale * torch.exp(a.humidity_scale_spread * environment.humidity_aloft)
    )
    lower = saturated * low * torch.exp(-columns["height"] * decay)
    upper = saturated * (1.0 - low)
    dz = columns["thickness"]
    # thickness in km and density in g m-3 give kg m-2
    full = (dz * saturated).sum(0)
    relative = (environment.water_vapour / full).clamp(0.03, 1.0)
    factor = a.humidity_aloft + (a.humidity_aloft_rain - a.humidity_aloft) * wet
    icy = ((environment.cloud_ice + 1e-3) / 0.011) ** a.humidity_aloft_ice
    drawn = torch.exp(a.humidity_aloft_spread * environment.humidity_aloft)
    aloft = (factor * relative**a.humidity_aloft_exponent * icy * drawn).clamp_max(1.0)
    column_aloft = (dz * upper).sum(0) * aloft
    column_aloft = torch.minimum(column_aloft, 0.3 * environment.water_vapour)
    share = column_aloft / (dz * upper).sum(0).clamp_min(1e-6)
    scale = (environment.water_vapour - column_aloft) / (dz * lower).sum(0).clamp_min(1e-6)
    return scale * lower + share * upper


def _cloud(
    environment: Environment, part: dict[str, Tensor], warm: int, p: Parameters, storm: Storm | None
) -> Tensor:
    """Cloud liquid in g m-3: the given path in a low layer, and that of a storm's profile."""
    c = p.cloud
    height, dz = part["height"], part["thickness"]
    given = c.liquid_floor + c.liquid_scale * (environment.cloud_liquid + 1e-6) ** c.liquid_exponent
    low = torch.exp(-0.5 * ((height - c.base - 0.5 * c.depth) / (0.5 * c.depth)) ** 2)
    drawn = torch.exp(c.liquid_spread * environment.cloud - 0.5 * c.liquid_spread**2)
    cloud = drawn * given * low / (low * dz).sum(0).clamp_min(1e-6)
    if storm is None:
        return cloud
    own = storm.cloud(height, warm, environment.freezing_level)
    return cloud + c.storm * drawn * cloud_liquid(own, environment.convective_fraction, p)


def build_columns(
    environment: Environment, layers: int, parameters: Parameters, storm: Storm | None = None
) -> Columns:
    """Build the layered columns of a state.

    Parameters
    ----------
    environment : Environment
        N columns.
    layers : int
        Number of layers, about a third of them below the freezing level.
    parameters : Parameters
        Shapes of the profiles.
    storm : Storm, optional
        Precipitation, whose cloud is added.
    """
    level, warm = _levels(environment, layers, parameters)
    level_t = _temperature(environment, level, parameters)
    dz = level[1:] - level[:-1]
    height = 0.5 * (level[1:] + level[:-1])
    temperature = 0.5 * (level_t[1:] + level_t[:-1])
    surface_p = 1013.0 * torch.exp(-environment.elevation / 8.4)
    drop = torch.cumsum(34.163 * dz / temperature, 0)  # hydrostatic: g / R = 34.163 K km-1
    pressure = surface_p * torch.exp(-(drop - 0.5 * 34.163 * dz / temperature))
    part = {"temperature": temperature, "thickness": dz, "height": height}
    return Columns(
        level_temperature=level_t,
        thickness=dz,
        temperature=temperature,
        pressure=pressure,
        vapour=_vapour(environment, part, parameters),
        cloud=_cloud(environment, part, warm, parameters, storm),
        height=height,
        warm=warm,
    )
