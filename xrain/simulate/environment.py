"""What lies in a column: the state that scenes and matchups prescribe, and its unknowns."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xrain.errors import InputError
from xrain.simulate.parameters import Parameters, default_parameters
from xrain.simulate.profiles import convective_share

__all__ = [
    "EMISSIVITY_MODES",
    "LAND",
    "OCEAN",
    "SEA_ICE",
    "SNOW",
    "Environment",
    "draw_unknowns",
]

OCEAN, LAND, SNOW, SEA_ICE = range(4)
EMISSIVITY_MODES = 6
DEVIATES = ("rain_top", "humidity_aloft", "dsd", "cloud", "ice", "kind")

_LIMITS = {
    "rain_rate": (0.0, 500.0, "mm h-1"),
    "rain_aloft": (0.0, 500.0, "mm h-1"),
    "t2m": (180.0, 340.0, "K"),
    "skin_temperature": (180.0, 340.0, "K"),
    "water_vapour": (0.0, 120.0, "kg m-2"),
    "cloud_liquid": (0.0, 20.0, "kg m-2"),
    "cloud_ice": (0.0, 50.0, "kg m-2"),
    "wind_speed": (0.0, 100.0, "m s-1"),
    "freezing_level": (0.0, 9.0, "km"),
    "land_fraction": (0.0, 1.0, "1"),
    "convective_fraction": (0.0, 1.0, "1"),
    "ice_scale": (0.0, 1e4, "1"),
    "elevation": (-0.5, 8.0, "km"),
}


@dataclass(frozen=True)
class Environment:
    """State of N columns; every tensor has shape (N,) unless said otherwise.

    Attributes
    ----------
    rain_rate : Tensor
        Surface rain in mm h-1.
    rain_aloft : Tensor
        Rate in mm h-1 that the profile belongs to: that of the 5 km around, `rain_rate` if not
        known. Where it alone is above 0, precipitation aloft does not reach the ground.
    t2m, skin_temperature : Tensor
        Air temperature at 2 m and skin temperature in K.
    water_vapour, cloud_liquid, cloud_ice : Tensor
        Column amounts in kg m-2. Cloud ice here is the model's cloud ice, a predictor of
        humidity aloft and of ice without surface rain.
    wind_speed : Tensor
        At 10 m, in m s-1.
    freezing_level : Tensor
        Height of 0 °C above the surface in km, 0 where it freezes at the surface.
    surface : Tensor of int64
        0 ocean, 1 land, 2 snow cover, 3 sea ice.
    land_fraction, convective_fraction : Tensor
        Between 0 and 1.
    ice_scale : Tensor
        Multiplies the ice above raining columns: 1 is the median of its lognormal unknown.
    elevation : Tensor
        Height of the surface above the sea in km.
    rain_top, humidity_aloft, dsd, cloud, ice, kind : Tensor
        Standard normal deviates of the height that the precipitation reaches, the humidity above
        the 256 K level, the drop concentration, the cloud liquid, the ice aloft among columns of
        like rain, and of whether the rain is convective.
    emissivity : Tensor, (N, EMISSIVITY_MODES)
        Standard normal deviates of the emissivity modes of land, snow and sea ice.
    """

    rain_rate: Tensor
    rain_aloft: Tensor
    t2m: Tensor
    skin_temperature: Tensor
    water_vapour: Tensor
    cloud_liquid: Tensor
    cloud_ice: Tensor
    wind_speed: Tensor
    freezing_level: Tensor
    surface: Tensor
    land_fraction: Tensor
    convective_fraction: Tensor
    ice_scale: Tensor
    elevation: Tensor
    rain_top: Tensor
    humidity_aloft: Tensor
    dsd: Tensor
    cloud: Tensor
    ice: Tensor
    kind: Tensor
    emissivity: Tensor

    def __len__(self) -> int:
        return int(self.rain_rate.shape[0])

    @classmethod
    def derive(
        cls,
        *,
        rain_rate: Tensor | float = 0.0,
        t2m: Tensor | float = 288.0,
        parameters: Parameters | None = None,
        device: torch.device | str = "cpu",
        **given: Tensor | float | int,
    ) -> Environment:
        """Complete a state from what is known of it.

        Parameters
        ----------
        rain_rate, t2m : Tensor or float
            See the class.
        parameters : Parameters, optional
            For the lapse rate that gives the default freezing level.
        device : torch.device or str
            Where the tensors shall live.
        **given : Tensor, float or int
            Any other attribute. Scalars broadcast. Without them: skin at `t2m`, vapour at 70 % of
            a saturated column, wind 7 m/s, no cloud, freezing level by the lapse rate, ocean (or
            by `land_fraction`), convective fraction that of real columns alike, deviates 0.

        Raises
        ------
        InputError
            If a value is outside its physical limits, or a name is unknown.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(given) - known):
            raise InputError(
                f"unknown variable of a column: {', '.join(unknown)}; "
                f"known are {', '.join(sorted(known))}"
            )
        values = {
            k: torch.as_tensor(v, device=device)
            for k, v in {"rain_rate": rain_rate, "t2m": t2m, **given}.items()
        }
        flat = [tuple(v.shape[:1] if k == "emissivity" else v.shape) for k, v in values.items()]
        shape = torch.Size(np.broadcast_shapes(*flat, (1,)))
        for k, v in values.items():
            if k not in {"emissivity", "surface"}:
                values[k] = v.float().expand(shape)
        _derive_missing(values, shape, parameters or default_parameters())
        environment = cls(**values)
        environment.check()
        return environment

    def check(self) -> None:
        """Raise InputError if a variable is NaN or leaves its physical limits."""
        problems = []
        for name, (low, high, unit) in _LIMITS.items():
            value = getattr(self, name)
            if value.numel() == 0:
                continue
            if not bool(((value >= low) & (value <= high)).all()):
                lowest, highest = float(value.min()), float(value.max())
                problems.append(
                    f"{name} must lie within {low:g}–{high:g} {unit}, got {lowest:g} to {highest:g}"
                )
        if problems:
            raise InputError("; ".join(problems))

    def replace(self, **changes: Tensor) -> Environment:
        """Copy with some variables changed."""
        return dataclasses.replace(self, **changes)

    def select(self, index: Tensor | slice) -> Environment:
        """Return the columns of an index or a slice."""
        return Environment(**{f.name: getattr(self, f.name)[index] for f in _FIELDS})

    def to(self, device: torch.device | str) -> Environment:
        """Copy on another device."""
        return Environment(**{f.name: getattr(self, f.name).to(device) for f in _FIELDS})


_FIELDS = dataclasses.fields(Environment)


def _derive_missing(values: dict[str, Tensor], shape: torch.Size, parameters: Parameters) -> None:
    """Fill in whatever of a state is not given."""
    t2m, rain = values["t2m"], values["rain_rate"]

    def default(name: str, value: Tensor | float) -> None:
        if name not in values:
            values[name] = torch.as_tensor(value, device=t2m.device).float().expand(shape)

    default("rain_aloft", rain)
    default("skin_temperature", t2m)
    default("water_vapour", (0.7 * 10.0 * torch.exp(0.066 * (t2m - 273.15))).clamp(1.0, 62.0))
    default("cloud_liquid", 0.0)
    default("cloud_ice", 0.01 + 0.05 * torch.sqrt(rain))
    default("wind_speed", 7.0)
    air = parameters.atmosphere
    highest = air.highest_freezing_level
    default("freezing_level", ((t2m - 273.15) / air.lapse_rate).clamp(0.0, highest))
    for name in ("elevation", *DEVIATES):
        default(name, 0.0)
    default("ice_scale", 1.0)
    _derive_surface(values, shape)
    place = (rain, values["freezing_level"], values["land_fraction"])
    default("convective_fraction", convective_share(*place))
    if "emissivity" not in values:
        values["emissivity"] = torch.zeros((*shape, EMISSIVITY_MODES), device=t2m.device)
    values["emissivity"] = values["emissivity"].float().expand(*shape, EMISSIVITY_MODES)


def _derive_surface(values: dict[str, Tensor], shape: torch.Size) -> None:
    surface, fraction = values.get("surface"), values.get("land_fraction")
    if surface is None:
        whole = torch.zeros(shape, device=values["t2m"].device) if fraction is None else fraction
        surface = (whole > 0.5).long()
    values["surface"] = surface.long().expand(shape)
    if fraction is None:
        values["land_fraction"] = (values["surface"] > 0).float()


def draw_unknowns(
    environment: Environment,
    generator: torch.Generator | None = None,
    parameters: Parameters | None = None,
) -> Environment:
    """Draw the unknowns of every column independently, with the fitted statistics.

    Parameters
    ----------
    environment : Environment
        Columns whose deviates and ice scale are replaced.
    generator : torch.Generator, optional
        For reproducible draws, on the environment's device.
    parameters : Parameters, optional
        Defaults to the fitted ones.
    """
    p = parameters or default_parameters()
    device = environment.rain_rate.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device)

    n = len(environment)
    drawn = {name: normal(n) for name in DEVIATES}
    drawn["ice_scale"] = torch.exp(p.ice.scale_spread * normal(n))
    drawn["emissivity"] = normal(n, EMISSIVITY_MODES)
    return environment.replace(**drawn)
