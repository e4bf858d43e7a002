"""Scattering and absorption by rain, cloud droplets and ice.

Tables of Mie spheres (``tables/particles.npz``, made by ``tools/make_tables.py`` with miepython)
are condensed, per channel, into polynomials in the logarithm of the mean particle diameter, the
temperature, and for ice the density; evaluating them is a matrix product and one exponential.
Rain and ice follow the normalised gamma distribution ``N(D) = Nw f(D / Dm)`` (Testud et al.
2001), ice in terms of melted diameters, so that content ``W = pi rho Nw Dm**4 / 256``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.sensors import Channel

__all__ = [
    "CloudAbsorption",
    "IceOptics",
    "Optics",
    "RainOptics",
    "mean_diameter",
    "particle_table",
    "together",
]

Array = NDArray[np.float64]
WATER_DENSITY = 1e-3  # g mm-3


@functools.cache
def particle_table() -> dict[str, Array]:
    """Return the stored single-scattering tables and their grids."""
    path = resources.files("xrain.simulate") / "tables" / "particles.npz"
    with path.open("rb") as file, np.load(file) as table:
        return {k: table[k].astype(np.float64) for k in table.files}


@dataclass(frozen=True)
class Optics:
    """Extinction (km-1), single-scattering albedo and asymmetry, each (..., channel)."""

    extinction: Tensor
    albedo: Tensor
    asymmetry: Tensor


def together(one: Optics, other: Optics) -> Optics:
    """Optics of two kinds of particles in the same air."""
    extinction = one.extinction + other.extinction
    scattered = (one.extinction * one.albedo, other.extinction * other.albedo)
    total = (scattered[0] + scattered[1]).clamp_min(1e-12)
    forward = scattered[0] * one.asymmetry + scattered[1] * other.asymmetry
    return Optics(extinction, total / extinction.clamp_min(1e-12), forward / total)


def mean_diameter(content: Tensor, log10_nw: Tensor | float) -> Tensor:
    """Mass-weighted mean (melted) diameter in mm from content (g m-3) and log10 Nw (mm-1 m-3)."""
    nw = 10.0 ** torch.as_tensor(log10_nw, dtype=content.dtype, device=content.device)
    return (256.0 * content.clamp_min(1e-7) / (np.pi * WATER_DENSITY * nw)) ** 0.25


def _at_channels(values: Array, channels: Sequence[Channel]) -> Array:
    """Table with frequency leading, interpolated in log frequency to the channels' centres."""
    grid = np.log(particle_table()["frequency"])
    x = np.log([c.frequency for c in channels])
    i = np.clip(np.searchsorted(grid, x) - 1, 0, grid.size - 2)
    w = ((x - grid[i]) / (grid[i + 1] - grid[i])).reshape((-1,) + (1,) * (values.ndim - 1))
    return np.asarray((1 - w) * values[i] + w * values[i + 1])


def _transform(table: Array) -> Array:
    """Log extinction, logit albedo and asymmetry, which polynomials fit well."""
    extinction, albedo = table[..., 0], np.clip(table[..., 1], 1e-5, 1 - 1e-5)
    return np.stack([np.log(extinction), np.log(albedo / (1 - albedo)), table[..., 2]], axis=-1)


def _fit(terms: Array, targets: Array, device: torch.device | str) -> Tensor:
    """Least squares; `targets` (channel, state, 3) give coefficients (3, term, channel)."""
    flat = targets.transpose(1, 2, 0).reshape(targets.shape[1], -1)
    solved = np.linalg.lstsq(terms, flat, rcond=None)[0]
    solved = solved.reshape(terms.shape[1], 3, -1).transpose(1, 0, 2).copy()
    return torch.as_tensor(solved, dtype=torch.float32, device=device)


def _optics(terms: Tensor, coefficients: Tensor, content: Tensor) -> Optics:
    extinction, albedo, asymmetry = (terms @ c.to(terms.dtype) for c in coefficients)
    return Optics(
        content.unsqueeze(-1) * torch.exp(extinction),
        torch.sigmoid(albedo),
        asymmetry.clamp(-0.2, 0.95),
    )


def _powers(x: Tensor, order: int) -> list[Tensor]:
    powers = [torch.ones_like(x)]
    for _ in range(order):
        powers.append(powers[-1] * x)
    return powers


class RainOptics:
    """Mie spheres of rain, normalised gamma with shape parameter 2."""

    LIMITS = (0.2, 4.5)  # mm

    def __init__(self, channels: Sequence[Channel], device: torch.device | str = "cpu") -> None:
        table = particle_table()
        t, d = np.meshgrid(table["rain_temperature"], table["rain_diameter"], indexing="ij")
        keep = (d > 0.17) & (d < 4.8)
        targets = _transform(_at_channels(table["rain"], channels))[:, keep]
        terms = self._terms(torch.as_tensor(d[keep]), torch.as_tensor(t[keep])).numpy()
        self._coefficients = _fit(terms, targets, device)
        rate = np.log(table["rain_rate_per_content"])
        # R / Nw is a function of Dm alone; its inverse gives Dm from the rain rate
        log_d = np.log(table["rain_diameter"])
        log_content = np.log(np.pi * WATER_DENSITY / 256.0) + 4.0 * log_d
        self._inverse = np.polynomial.polynomial.polyfit(rate + log_content, log_d, 4)

    @staticmethod
    def _terms(diameter: Tensor, temperature: Tensor) -> Tensor:
        x = _powers(torch.log(diameter), 6)
        y = (temperature - 280.0) / 30.0
        return torch.stack([*x, y, y * y, y * x[1], y * x[2], y * x[3], y * y * x[1]], dim=-1)

    def diameter(self, rain_rate: Tensor, log10_nw: Tensor) -> Tensor:
        """Mean diameter in mm of rain of the given rate (mm h-1) and log10 Nw (mm-1 m-3)."""
        x = torch.log(rain_rate.clamp_min(1e-4)) - np.log(10.0) * log10_nw
        value = torch.zeros_like(x)
        for c in self._inverse[::-1]:
            value = value * x + float(c)
        return torch.exp(value).clamp(*self.LIMITS)

    def content(self, diameter: Tensor, log10_nw: Tensor) -> Tensor:
        """Water content in g m-3."""
        return (np.pi * WATER_DENSITY / 256.0) * 10.0**log10_nw * diameter**4

    def __call__(self, content: Tensor, diameter: Tensor, temperature: Tensor) -> Optics:
        """Optics of rain: content in g m-3, mean diameter in mm, temperature in K."""
        return _optics(self._terms(diameter, temperature), self._coefficients, content)


class IceOptics:
    """Soft spheres of ice, exponential in melted diameter, of any density 0.05–0.9 g cm-3."""

    LIMITS = (0.1, 3.5)  # mm

    def __init__(self, channels: Sequence[Channel], device: torch.device | str = "cpu") -> None:
        table = particle_table()
        rho, t, d = np.meshgrid(
            table["ice_density"], table["ice_temperature"], table["ice_diameter"], indexing="ij"
        )
        targets = _transform(_at_channels(table["ice"], channels))
        targets = targets.reshape(len(channels), -1, 3)
        terms = self._terms(*(torch.as_tensor(a.ravel()) for a in (d, t, rho)))
        self._coefficients = _fit(terms.numpy(), targets, device)

    @staticmethod
    def _terms(diameter: Tensor, temperature: Tensor, density: Tensor) -> Tensor:
        x = _powers(torch.log(diameter) + 0.6, 6)
        r = _powers(torch.log(density) + 1.5, 4)
        y = (temperature - 250.0) / 25.0
        cross = [x[i] * r[j] for i in range(1, 5) for j in range(1, 4) if i + j <= 5]
        return torch.stack([*x, *r[1:], *cross, y, y * x[1], y * r[1]], dim=-1)

    def __call__(
        self, content: Tensor, diameter: Tensor, temperature: Tensor, density: Tensor
    ) -> Optics:
        """Optics of ice: g m-3, mean melted diameter in mm, K, density in g cm-3."""
        terms = self._terms(diameter.clamp(*self.LIMITS), temperature, density)
        return _optics(terms, self._coefficients, content)


class CloudAbsorption:
    """Rayleigh absorption by cloud droplets."""

    def __init__(self, channels: Sequence[Channel], device: torch.device | str = "cpu") -> None:
        table = particle_table()
        t = (table["cloud_temperature"] - 273.0) / 30.0
        values = np.log(_at_channels(table["cloud"], channels))
        fit = np.polynomial.polynomial.polyfit(t, values.T, 3)
        self._coefficients = torch.as_tensor(fit, dtype=torch.float32, device=device)

    def __call__(self, content: Tensor, temperature: Tensor) -> Tensor:
        """Absorption in km-1, (..., channel), of liquid in g m-3 at a temperature in K."""
        x = _powers((temperature.clamp(233.0, 305.0) - 273.0) / 30.0, 3)
        terms = torch.stack(x, dim=-1)
        return content.unsqueeze(-1) * torch.exp(terms @ self._coefficients.to(terms.dtype))
