"""Brightness temperatures of columns that the caller describes level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from xrain.errors import InputError, UnknownChannelError
from xrain.sensors import Channel, Sensor, get_sensor
from xrain.simulate import radiative as rt
from xrain.simulate.environment import Environment
from xrain.simulate.forward import ForwardModel, mix_polarization
from xrain.simulate.hydrometeors import Optics, mean_diameter
from xrain.simulate.parameters import Parameters

__all__ = ["simulate_tb"]

# variable: limits, unit, default (None: required)
LEVEL_VARIABLES: dict[str, tuple[float, float, str, float | None]] = {
    "height": (-0.5, 80.0, "km", None),
    "temperature": (180.0, 340.0, "K", None),
    "pressure": (0.1, 1100.0, "hPa", None),
    "water_vapour": (0.0, 60.0, "g m-3", None),
    "cloud_liquid": (0.0, 10.0, "g m-3", 0.0),
    "rain": (0.0, 30.0, "g m-3", 0.0),
    "ice": (0.0, 30.0, "g m-3", 0.0),
    "ice_density": (0.05, 0.917, "g cm-3", 0.2),
}
SURFACE_VARIABLES: dict[str, tuple[float, float, str, float | None]] = {
    "skin_temperature": (180.0, 340.0, "K", None),
    "wind_speed": (0.0, 100.0, "m s-1", 7.0),
    "land_fraction": (0.0, 1.0, "1", 0.0),
    "surface": (0.0, 3.0, "flag", None),
}
Array = NDArray[np.float32]


@dataclass(frozen=True)
class LevelOptics:
    """Optics of explicit columns: any layer may hold rain and ice together."""

    planck: Tensor
    clear: Tensor
    rain: Optics
    ice: Optics

    @property
    def below(self) -> rt.LayerOptics:
        """No layers: each may hold ice."""
        none = self.clear[:0]
        return none, none, none

    def above(self, ice_share: float) -> rt.LayerOptics:
        """Delta-scaled thickness, albedo and asymmetry with the ice's extinction multiplied."""
        rain, ice = self.rain, self.ice
        ice_tau = ice_share * ice.extinction
        tau = self.clear + rain.extinction + ice_tau
        scattered = (rain.extinction * rain.albedo, ice_tau * ice.albedo)
        total = scattered[0] + scattered[1]
        forward = scattered[0] * rain.asymmetry + scattered[1] * ice.asymmetry
        return rt.delta_scale(tau, total / tau, forward / total.clamp_min(1e-12))


def simulate_tb(
    profiles: xr.Dataset,
    sensor: Sensor | str | Sequence[Channel],
    *,
    channels: Sequence[str] | None = None,
    incidence_angle: xr.DataArray | float | None = None,
    scan_angle: xr.DataArray | float = 0.0,
    parameters: Parameters | None = None,
    device: torch.device | str = "cpu",
) -> xr.Dataset:
    """Simulate what a radiometer sees over given columns.

    Parameters
    ----------
    profiles : xarray.Dataset
        Columns with a dimension ``level`` that rises from the surface and any others. On levels:
        ``height`` (km), ``temperature`` (K, 180–340), ``pressure`` (hPa), ``water_vapour``
        (g m-3), and where present ``cloud_liquid``, ``rain``, ``ice`` (g m-3) and
        ``ice_density`` (g cm-3, soft spheres, 0.2 by default). At the surface, where present:
        ``skin_temperature`` (K, else the lowest level's), ``wind_speed`` (m s-1, 7),
        ``land_fraction`` (0) and ``surface`` (0 ocean, 1 land, 2 snow, 3 sea ice).
    sensor : Sensor, str or sequence of Channel
        Instrument, or any channels within 6–235 GHz.
    channels : sequence of str, optional
        Names of the instrument's channels to simulate, all by default.
    incidence_angle : DataArray or float, optional
        Earth incidence angle in degrees; each channel's nominal one by default.
    scan_angle : DataArray or float
        Angle in degrees that mixes the polarisations of cross-track sounders.
    parameters : Parameters, optional
        Drop and particle concentrations, ice polarisation and sea roughness.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    xarray.Dataset
        ``tb(..., channel)`` in K as each channel receives it, and ``tb_vh(..., channel,
        polarization_true)`` with true V and H.

    Raises
    ------
    InputError
        If a variable is missing or leaves its limits.
    UnknownChannelError
        If a channel is unknown, or outside the simulator's range.
    """
    chosen = _channels(sensor, channels)
    level, shape, dims = _levels(profiles)
    model = ForwardModel(chosen, parameters=parameters, device=device)
    tensors = {k: torch.as_tensor(v, device=device) for k, v in level.items()}
    environment = _surface(profiles, tensors, dims, device)
    angle = _flat(incidence_angle, profiles, dims, device)
    with torch.no_grad():
        tb = model.from_optics(_optics(model, tensors), environment, angle)
    phi = _flat(scan_angle, profiles, dims, device)
    mixed = mix_polarization(tb, [c.polarization for c in chosen], 0.0 if phi is None else phi)
    coords = {k: v for k, v in profiles.coords.items() if "level" not in v.dims}
    names = [c.name for c in chosen]
    attrs = {"units": "K", "standard_name": "brightness_temperature"}
    return xr.Dataset(
        {
            "tb": ((*dims, "channel"), mixed.cpu().numpy().reshape(*shape, -1), attrs),
            "tb_vh": (
                (*dims, "channel", "polarization_true"),
                tb.cpu().numpy().reshape(*shape, len(names), 2),
                attrs,
            ),
        },
        coords={**coords, "channel": names, "polarization_true": ["V", "H"]},
    )


def _channels(
    sensor: Sensor | str | Sequence[Channel], names: Sequence[str] | None
) -> list[Channel]:
    found = get_sensor(sensor) if isinstance(sensor, str) else sensor
    every = found.channels if isinstance(found, Sensor) else tuple(found)
    if names is None:
        return list(every)
    known = {c.name: c for c in every}
    if unknown := [n for n in names if n not in known]:
        raise UnknownChannelError(
            f"unknown channel {', '.join(unknown)}; known are {', '.join(known)}"
        )
    return [known[n] for n in names]


def _check(name: str, values: Array, low: float, high: float, unit: str) -> None:
    if values.size and not bool(((values >= low) & (values <= high)).all()):
        raise InputError(
            f"{name} must lie within {low:g}–{high:g} {unit}, "
            f"got {np.min(values):g} to {np.max(values):g}"
        )


def _levels(profiles: xr.Dataset) -> tuple[dict[str, Array], tuple[int, ...], tuple[str, ...]]:
    """Level variables as (level, column), the other dims and their sizes."""
    missing = [k for k, v in LEVEL_VARIABLES.items() if v[3] is None and k not in profiles]
    if missing:
        raise InputError(f"profiles lack {', '.join(missing)}; see the documentation of columns")
    dims = tuple(str(d) for d in profiles["temperature"].dims if d != "level")
    template = profiles["temperature"].transpose("level", *dims)
    out = {}
    for name, (low, high, unit, default) in LEVEL_VARIABLES.items():
        data = profiles[name] if name in profiles else xr.full_like(template, default)
        values = data.broadcast_like(template).transpose("level", *dims).values
        _check(name, values, low, high, unit)
        out[name] = values.reshape(values.shape[0], -1).astype(np.float32)
    if not bool((np.diff(out["height"], axis=0) > 0).all()):
        raise InputError("height must rise along level, from the surface upwards")
    return out, template.shape[1:], dims


def _flat(
    value: xr.DataArray | float | None,
    profiles: xr.Dataset,
    dims: tuple[str, ...],
    device: torch.device | str,
) -> Tensor | None:
    """Values per column, (N,)."""
    if value is None:
        return None
    template = profiles["temperature"].isel(level=0, drop=True).transpose(*dims)
    data = value if isinstance(value, xr.DataArray) else xr.zeros_like(template) + value
    values = data.broadcast_like(template).transpose(*dims).values.ravel()
    return torch.as_tensor(values.astype(np.float32), device=device)


def _surface(
    profiles: xr.Dataset,
    level: dict[str, Tensor],
    dims: tuple[str, ...],
    device: torch.device | str,
) -> Environment:
    given: dict[str, Tensor] = {"skin_temperature": level["temperature"][0]}
    for name, (low, high, unit, default) in SURFACE_VARIABLES.items():
        value = _flat(profiles.get(name, default), profiles, dims, device)
        if value is not None:
            _check(name, value.cpu().numpy(), low, high, unit)
            given[name] = value.long() if name == "surface" else value
    if "surface" in given and "land_fraction" not in profiles:
        given["land_fraction"] = (given["surface"] > 0).float()
    thickness = level["height"][1:] - level["height"][:-1]
    vapour = 0.5 * (level["water_vapour"][1:] + level["water_vapour"][:-1])
    return Environment(**_complete(given, level["temperature"][0], (thickness * vapour).sum(0)))


def _complete(given: dict[str, Tensor], t2m: Tensor, vapour: Tensor) -> dict[str, Tensor]:
    """Every variable of an environment; those of the air do not enter."""
    rest: dict[str, Any] = dict(given)
    whole = Environment.derive(
        rain_rate=torch.zeros_like(t2m),
        t2m=t2m,
        water_vapour=vapour.clamp_max(119.0),
        device=t2m.device,
        **rest,
    )
    return {f.name: getattr(whole, f.name) for f in fields(whole)}


def _optics(model: ForwardModel, level: dict[str, Tensor]) -> LevelOptics:
    """Optics of the layers between the levels."""
    middle = {k: 0.5 * (v[1:] + v[:-1]) for k, v in level.items()}
    depth = (level["height"][1:] - level["height"][:-1])[..., None]
    pressure = torch.sqrt(level["pressure"][1:] * level["pressure"][:-1])
    temperature = middle["temperature"]
    gases = model.gases(pressure.clamp_min(40.0), temperature, middle["water_vapour"])
    # above 40 hPa, beyond the table, absorption falls with the square of pressure
    gases = gases * ((pressure / 40.0).clamp_max(1.0) ** 2)[..., None]
    clear = gases + model.liquid(middle["cloud_liquid"], temperature)
    p = model.parameters
    rain_d = mean_diameter(middle["rain"], p.rain.log10_nw).clamp(*model.rain.LIMITS)
    rain = model.rain(middle["rain"], rain_d, temperature.clamp(255.0, 305.0))
    ice_d = mean_diameter(middle["ice"], p.ice.log10_nw)
    ice = model.ice(middle["ice"], ice_d, temperature, middle["ice_density"])
    return LevelOptics(
        level["temperature"][..., None],
        clear * depth,
        Optics(rain.extinction * depth, rain.albedo, rain.asymmetry),
        Optics(ice.extinction * depth, ice.albedo, ice.asymmetry),
    )
