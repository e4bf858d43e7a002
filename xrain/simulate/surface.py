"""Emissivity of sea, land, snow and sea ice in both polarisations."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.sensors import Channel
from xrain.simulate.environment import LAND, SEA_ICE, Environment
from xrain.simulate.parameters import OceanParameters, Parameters

__all__ = ["SurfaceModel", "emissivity_table", "fresnel", "sea_water_permittivity"]

REFERENCE_ANGLE = 52.8  # degrees, at which the land emissivities were inferred
_WIND_FREQUENCIES = (10.65, 18.7, 36.64, 89.0, 166.0)  # GHz of the wind coefficients


def sea_water_permittivity(
    frequency: Tensor, temperature: Tensor, salinity: float
) -> tuple[Tensor, Tensor]:
    """Relative permittivity of sea water, Meissner and Wentz (2004, 2012).

    Parameters
    ----------
    frequency, temperature : Tensor
        GHz and K; they broadcast.
    salinity : float
        PSU, 20–40.

    Returns
    -------
    real, loss : Tensor
        ``epsilon = real - i loss``.
    """
    t = (temperature - 273.15).clamp(-2.0, 40.0)
    s = salinity
    static = (3.70886e4 - 8.2168e1 * t) / (4.21854e2 + t)
    static = static * torch.exp(-3.56417e-3 * s + 4.74868e-6 * s * s + 1.15574e-5 * t * s)
    nu1 = (45.0 + t) / (5.0478 - 7.0315e-2 * t + 6.0059e-4 * t * t)
    nu1 = nu1 * (1.0 + s * (2.39357e-3 - 3.13530e-5 * t + 2.52477e-7 * t * t))
    eps1 = 5.7230 + 2.2379e-2 * t - 7.1237e-4 * t * t
    eps1 = eps1 * torch.exp(-6.28908e-3 * s + 1.76032e-4 * s * s - 9.22144e-5 * t * s)
    nu2 = (45.0 + t) / (1.3652e-1 + 1.4825e-3 * t + 2.4166e-4 * t * t)
    nu2 = nu2 * (1.0 + s * (-1.99723e-2 + 1.81176e-4 * t))
    infinite = (3.6143 + 2.8841e-2 * t) * (1.0 + s * (-2.04265e-3 + 1.57883e-4 * t))
    x1, x2 = frequency / nu1, frequency / nu2
    d1, d2 = (static - eps1) / (1.0 + x1 * x1), (eps1 - infinite) / (1.0 + x2 * x2)
    conductivity = _conductivity(t, s)
    return d1 + d2 + infinite, d1 * x1 + d2 * x2 + 17.97510 * conductivity / frequency


def _conductivity(t: Tensor, s: float) -> Tensor:
    """Conductivity of sea water in S m-1 (Stogryn et al. 1995), t in °C, s in PSU."""
    base = 2.903602 + t * (8.607e-2 + t * (4.738817e-4 + t * (-2.991e-6 + t * 4.3047e-9)))
    r15 = s * (37.5109 + 5.45216 * s + 1.4409e-2 * s * s) / (1004.75 + 182.283 * s + s * s)
    a0 = (6.9431 + 3.2841 * s - 9.9486e-2 * s * s) / (84.850 + 69.024 * s + s * s)
    a1 = 49.843 - 0.2276 * s + 0.198e-2 * s * s
    return base * r15 * (1.0 + (t - 15.0) * a0 / (a1 + t))


def fresnel(real: Tensor, loss: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    """Fresnel power reflectivity in V and H.

    Parameters
    ----------
    real, loss : Tensor
        Permittivity ``real - i loss``.
    mu : Tensor
        Cosine of the incidence angle.

    Returns
    -------
    v, h : Tensor
        Reflectivities between 0 and 1.
    """
    sin2 = 1.0 - mu * mu
    a = real - sin2
    modulus = torch.sqrt(a * a + loss * loss)
    p = torch.sqrt(0.5 * (modulus + a))  # sqrt(eps - sin2) = p - i q
    q = torch.sqrt((0.5 * (modulus - a)).clamp_min(0.0))
    q2 = q * q
    h = ((mu - p) ** 2 + q2) / ((mu + p) ** 2 + q2)
    er, ei = real * mu, loss * mu
    v = ((er - p) ** 2 + (ei - q) ** 2) / ((er + p) ** 2 + (ei + q) ** 2)
    return v, h


@functools.cache
def emissivity_table() -> dict[str, NDArray[np.float64]]:
    """Emissivity of land, snow and sea ice at 52.8°.

    ``mean`` (class, predictor, frequency, V/H) multiplies `emissivity_predictors`, ``modes``
    (class, mode, frequency, V/H) the standard normal deviates of a column.
    """
    path = resources.files("xrain.simulate") / "tables" / "emissivity.npz"
    with path.open("rb") as file, np.load(file) as table:
        return {k: table[k].astype(np.float64) for k in table.files}


def emissivity_predictors(skin_temperature: Tensor, water_vapour: Tensor) -> Tensor:
    """Return what the mean emissivity of land is linear in, (N, 3): 1, skin temperature, vapour.

    Hot and dry ground is barren, with a low and polarised emissivity; both predictors are
    scaled to about unit size and bounded.
    """
    return torch.stack(
        [
            torch.ones_like(skin_temperature),
            ((skin_temperature - 285.0) / 15.0).clamp(-2.5, 2.0),
            ((water_vapour - 20.0) / 15.0).clamp(-1.4, 2.5),
        ],
        dim=-1,
    )


def _interpolated(values: NDArray[np.float64], channels: Sequence[Channel]) -> Tensor:
    """Interpolate (..., frequency, pol) to the channels, linear in log frequency."""
    grid = np.log(emissivity_table()["frequency"])
    x = np.log([c.frequency for c in channels]).clip(grid[0], grid[-1])
    i = np.clip(np.searchsorted(grid, x) - 1, 0, grid.size - 2)
    w = ((x - grid[i]) / (grid[i + 1] - grid[i]))[:, None]
    return torch.as_tensor((1 - w) * values[..., i, :] + w * values[..., i + 1, :]).float()


class SurfaceModel:
    """Emissivity of any mixture of surfaces for a list of channels.

    Parameters
    ----------
    channels : sequence of Channel
        Channels whose centre frequencies count.
    parameters : Parameters
        Those of the ocean.
    device : torch.device or str
        Where to evaluate.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        parameters: Parameters,
        device: torch.device | str = "cpu",
    ) -> None:
        table = emissivity_table()
        self._ocean = parameters.ocean
        self._frequency = torch.tensor([c.frequency for c in channels], device=device)
        land = parameters.land
        share = (10.65 / self._frequency) ** land.wet_soil_exponent
        self._wet_soil = share[:, None] * torch.tensor(land.wet_soil, device=device)
        self._per_wind = _at_wind_frequencies(channels, self._ocean).to(device)
        self._foam = torch.tensor(self._ocean.foam_emissivity, device=device)
        self._mean = _interpolated(table["mean"], channels).to(device)
        self._modes = _interpolated(table["modes"], channels).to(device)

    def ocean(self, temperature: Tensor, wind: Tensor, mu: Tensor) -> Tensor:
        """Emissivity of the rough, foamy sea.

        Parameters
        ----------
        temperature, wind : Tensor, (N,)
            Skin temperature in K, wind speed at 10 m in m s-1.
        mu : Tensor, (N or 1, channel)
            Cosine of the incidence angle.

        Returns
        -------
        Tensor, (N, channel, 2)
            V and H.
        """
        o = self._ocean
        real, loss = sea_water_permittivity(self._frequency, temperature[:, None], o.salinity)
        flat = torch.stack(fresnel(real, loss, mu), dim=-1)
        # roughness acts on the polarisation difference: it vanishes towards nadir
        tilt = ((1.0 - mu * mu) / _sin2(REFERENCE_ANGLE))[..., None]
        nadir = self._per_wind.mean(-1, keepdim=True)
        rough = nadir + (self._per_wind - nadir) * tilt
        speed = wind.clamp(0.0, 30.0)[:, None, None]
        emissivity = 1.0 - flat + rough * speed
        foam = (o.foam * speed.clamp_min(0.1) ** o.foam_exponent).clamp_max(1.0)
        return (emissivity + foam * (self._foam - emissivity)).clamp(0.02, 1.0)

    def reflected_sky(
        self, environment: Environment, down: Tensor, through: Tensor, sky: Tensor
    ) -> Tensor:
        """Downward radiance that the surface reflects, (N, channel, 2).

        A rough sea also reflects parts of the sky nearer to the horizon: the path through the
        atmosphere is longer by a factor that grows with the variance of the slopes. Coefficients
        have the form of Wentz and Meissner (2000, RSS algorithm theoretical basis, equation 67);
        written as a path, the correction keeps thermal equilibrium.

        Parameters
        ----------
        environment : Environment
            N columns.
        down, through : Tensor, (N, channel)
            Emission of the atmosphere downwards in K and its transmission, along the specular
            path.
        sky : Tensor, (channel,)
            Cosmic background in K.
        """
        below = (37.0 - self._frequency).clamp(0.0, 27.0)
        variance = 5.22e-3 * environment.wind_speed[:, None] * (1.0 - 0.00748 * below**1.3)
        variance = variance.clamp_max(0.07) * (1.0 - _ground_fraction(environment))[:, None]
        warmth = down / (1.0 - through).clamp_min(1e-6)
        opacity = -torch.log(through.clamp_min(1e-8))
        longer = [torch.exp(-opacity * (1.0 + g * variance)) for g in self._ocean.sky_roughness]
        return torch.stack([warmth + (sky - warmth) * t for t in longer], dim=-1)

    def land(self, environment: Environment, mu: Tensor) -> Tensor:
        """Emissivity of land, snow or sea ice, (N, channel, 2), from its standard deviates."""
        kind = (environment.surface - 1).clamp_min(0)
        predictors = emissivity_predictors(environment.skin_temperature, environment.water_vapour)
        wet = 1.0 - torch.exp(-environment.rain_rate / 0.5)
        drawn = torch.zeros((kind.shape[0], *self._mean.shape[2:]), device=mu.device)
        for k in torch.unique(kind).tolist():
            value = torch.tensordot(predictors, self._mean[k], dims=1)
            value = value + torch.tensordot(environment.emissivity, self._modes[k], dims=1)
            if k + 1 == LAND:
                value = value - wet[:, None, None] * self._wet_soil
            drawn = torch.where((kind == k)[:, None, None], value, drawn)
        tilt = ((1.0 - mu * mu) / _sin2(REFERENCE_ANGLE))[..., None]
        middle = drawn.mean(-1, keepdim=True)
        return (middle + (drawn - middle) * tilt).clamp(0.3, 1.0)

    def __call__(self, environment: Environment, mu: Tensor) -> Tensor:
        """Emissivity of the columns' surfaces, (N, channel, 2)."""
        fraction = _ground_fraction(environment)
        water = self.ocean(environment.skin_temperature, environment.wind_speed, mu)
        if not bool((fraction > 0).any()):
            return water
        ground = self.land(environment, mu)
        weight = fraction[:, None, None]
        return weight * ground + (1.0 - weight) * water


def _ground_fraction(environment: Environment) -> Tensor:
    """Part of the pixel that is not open water."""
    return torch.where(environment.surface == SEA_ICE, 1.0, environment.land_fraction)


def _at_wind_frequencies(channels: Sequence[Channel], ocean: OceanParameters) -> Tensor:
    """Change of emissivity per m/s, (channel, 2), linear in log frequency between the nodes."""
    x = np.log([c.frequency for c in channels])
    nodes = np.log(_WIND_FREQUENCIES)
    pair = [np.interp(x, nodes, values) for values in (ocean.wind_v, ocean.wind_h)]
    return torch.as_tensor(np.stack(pair, axis=-1)).float()


def _sin2(angle: float) -> float:
    return float(np.sin(np.deg2rad(angle)) ** 2)
