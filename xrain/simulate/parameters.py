"""The simulator's named parameters, read from ``parameters.toml``."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

__all__ = [
    "AtmosphereParameters",
    "CloudParameters",
    "IceParameters",
    "LandParameters",
    "OceanParameters",
    "Parameters",
    "ParticleParameters",
    "RainParameters",
    "default_parameters",
    "differences",
]

Pair = tuple[float, float]


@dataclass(frozen=True)
class AtmosphereParameters:
    """Temperature and humidity profiles; meanings and units stand in the TOML."""

    lapse_rate: float
    lapse_rate_aloft: float
    highest_freezing_level: float
    inversion: float
    tropopause_warm: float
    tropopause_cold: float
    top: float
    humidity_scale: float
    humidity_aloft: float
    humidity_aloft_rain: float
    humidity_aloft_exponent: float
    humidity_aloft_ice: float
    humidity_aloft_spread: float
    humidity_scale_spread: float


@dataclass(frozen=True)
class CloudParameters:
    """Liquid cloud."""

    depth: float
    base: float
    liquid_scale: float
    liquid_exponent: float
    liquid_floor: float
    liquid_spread: float
    storm: float


@dataclass(frozen=True)
class RainParameters:
    """Drop sizes and melting layer."""

    log10_nw: float
    diameter_spread: float
    melting_depth: float
    softness: float


@dataclass(frozen=True)
class IceParameters:
    """Snow and graupel above the freezing level."""

    scale: float
    scale_land: float
    scale_spread: float
    log10_nw: float
    polarization_ratio: float


@dataclass(frozen=True)
class ParticleParameters:
    """What the content and diameter of a radar's profile are to a radiometer."""

    rain_content: float
    rain_diameter: float
    melting_content: float
    cloud_content: float
    cloud_content_convective: float
    cloud_around: float
    ice_content: float
    ice_content_convective: float
    ice_diameter: float
    ice_diameter_exponent: float
    snow_density: float
    graupel_density: float
    density_exponent: float
    hidden_content: float
    hidden_exponent: float
    hidden_depth: float
    hidden_diameter: float


@dataclass(frozen=True)
class OceanParameters:
    """Roughness and foam of the sea."""

    salinity: float
    wind_v: tuple[float, ...]
    wind_h: tuple[float, ...]
    foam: float
    foam_exponent: float
    foam_emissivity: Pair
    sky_roughness: Pair


@dataclass(frozen=True)
class LandParameters:
    """Land under rain."""

    wet_soil: Pair
    wet_soil_exponent: float


@dataclass(frozen=True)
class Parameters:
    """All parameters of the simulator, by part."""

    atmosphere: AtmosphereParameters
    cloud: CloudParameters
    rain: RainParameters
    ice: IceParameters
    particles: ParticleParameters
    ocean: OceanParameters
    land: LandParameters

    def replace(self, **changes: float | tuple[float, ...]) -> Parameters:
        """Copy with some numbers changed, named ``part__name``, such as ``ice__content=0.2``."""
        parts: dict[str, Any] = {}
        for key, value in changes.items():
            part, _, name = key.partition("__")
            parts[part] = dataclasses.replace(parts.get(part, getattr(self, part)), **{name: value})
        return dataclasses.replace(self, **parts)

    def get(self, key: str) -> float | tuple[float, ...]:
        """Return the number named ``part__name``."""
        part, _, name = key.partition("__")
        value: float | tuple[float, ...] = getattr(getattr(self, part), name)
        return value


def _build(kind: type, table: dict[str, Any]) -> Any:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})


@functools.cache
def default_parameters() -> Parameters:
    """Return the fitted parameters shipped with the package."""
    text = resources.files("xrain.simulate").joinpath("parameters.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return Parameters(
        atmosphere=_build(AtmosphereParameters, table["atmosphere"]),
        cloud=_build(CloudParameters, table["cloud"]),
        rain=_build(RainParameters, table["rain"]),
        ice=_build(IceParameters, table["ice"]),
        particles=_build(ParticleParameters, table["particles"]),
        ocean=_build(OceanParameters, table["ocean"]),
        land=_build(LandParameters, table["land"]),
    )


def differences(parameters: Parameters, others: Parameters) -> list[str]:
    """List the numbers that are not those of others, as ``part__name=value``."""
    mine, theirs = dataclasses.asdict(parameters), dataclasses.asdict(others)
    return [
        f"{part}__{name}={_plain(value)}"
        for part, values in mine.items()
        for name, value in values.items()
        if value != theirs[part][name]
    ]


def _plain(value: float | tuple[float, ...]) -> str:
    numbers = value if isinstance(value, tuple) else (value,)
    return ",".join(f"{x:.4g}" for x in numbers)
