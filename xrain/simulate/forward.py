"""Brightness temperatures of columns: the simulator's one forward model."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xrain.errors import InputError
from xrain.sensors import Channel
from xrain.simulate import radiative as rt
from xrain.simulate.atmosphere import Columns, build_columns
from xrain.simulate.environment import Environment, draw_unknowns
from xrain.simulate.gases import GasAbsorption
from xrain.simulate.hydrometeors import CloudAbsorption, IceOptics, Optics, RainOptics, together
from xrain.simulate.parameters import Parameters, default_parameters
from xrain.simulate.precipitation import draw_storm, ice_profile, rain_profile
from xrain.simulate.surface import SurfaceModel

__all__ = ["Environment", "ForwardModel", "draw_unknowns", "mix_polarization", "whole_column"]


def mix_polarization(
    tb: Tensor, polarization: Sequence[str], scan_angle: Tensor | float = 0.0
) -> Tensor:
    """Turn true V and H into what each channel's feed receives.

    Parameters
    ----------
    tb : Tensor, (..., channel, 2)
        Vertical and horizontal brightness temperatures in K.
    polarization : sequence of str
        ``"V"``, ``"H"``, ``"QV"`` or ``"QH"`` for each channel.
    scan_angle : Tensor or float
        Scan angle phi in degrees, broadcast against ``(...)``; used by the mixed ones:
        ``QV = V cos² phi + H sin² phi`` and ``QH = V sin² phi + H cos² phi``.

    Returns
    -------
    Tensor, (..., channel)
    """
    phi = torch.deg2rad(torch.as_tensor(scan_angle, dtype=tb.dtype, device=tb.device))
    sin2 = torch.sin(phi) ** 2
    share = {
        "V": torch.zeros_like(sin2),
        "H": torch.ones_like(sin2),
        "QV": sin2,
        "QH": 1.0 - sin2,
    }
    if unknown := sorted(set(polarization) - set(share)):
        raise InputError(f"unknown polarisation {', '.join(unknown)}: use V, H, QV or QH")
    horizontal = torch.stack([share[p] for p in polarization], dim=-1)
    return tb[..., 0] + (tb[..., 1] - tb[..., 0]) * horizontal


class ScalableOptics(Protocol):
    """Optical properties of columns in which the extinction of ice can be multiplied."""

    @property
    def planck(self) -> Tensor:
        """Temperature of the layer boundaries in K, (layer + 1, N, 1)."""

    @property
    def below(self) -> rt.LayerOptics:
        """Delta-scaled optics of the lower layers, which hold no ice; there may be none."""

    def above(self, ice_share: float) -> rt.LayerOptics:
        """Delta-scaled optics of the layers over them, (layer, N, band)."""


@dataclass(frozen=True)
class ColumnOptics:
    """Optical properties of layered columns, layers leading, (layer, N, channel).

    Attributes
    ----------
    planck : Tensor, (layer + 1, N, 1)
        Temperature of the layer boundaries in K.
    clear : Tensor, (layer, N, channel)
        Optical thickness of gases and cloud.
    rain, ice : Optics
        Of the layers below and above the freezing level.
    warm_depth, cold_depth : Tensor, (layer, N, 1)
        Their depths in km.
    """

    planck: Tensor
    clear: Tensor
    rain: Optics
    ice: Optics
    warm_depth: Tensor
    cold_depth: Tensor

    def above(self, ice_share: float) -> rt.LayerOptics:
        """Delta-scaled optics of the layers of ice, whose extinction is multiplied."""
        ice = self._ice_depth * ice_share
        total = self.clear[-ice.shape[0] :] + ice
        return rt.delta_scale(total, self.ice.albedo * ice / total, self.ice.asymmetry)

    @functools.cached_property
    def below(self) -> rt.LayerOptics:
        """Delta-scaled optics of the layers of rain."""
        rain = self.rain.extinction * self.warm_depth
        tau = self.clear[: rain.shape[0]] + rain
        return rt.delta_scale(tau, self.rain.albedo * rain / tau, self.rain.asymmetry)

    @functools.cached_property
    def _ice_depth(self) -> Tensor:
        return self.ice.extinction * self.cold_depth


def whole_column(optics: ScalableOptics) -> rt.LayerOptics:
    """Delta-scaled thickness, albedo and asymmetry of all layers, as unpolarised light sees them.

    Each is (layer, N, band).
    """
    tau, albedo, asymmetry = (
        torch.cat(pair) for pair in zip(optics.below, optics.above(1.0), strict=True)
    )
    return tau, albedo, asymmetry


def _distinct_bands(channels: Sequence[Channel]) -> tuple[list[Channel], list[int]]:
    """Channels that differ in more than polarisation, and the place of each channel in them."""
    keys: dict[tuple[object, ...], int] = {}
    chosen: list[Channel] = []
    places: list[int] = []
    for c in channels:
        key = (c.frequency, c.sideband_offsets, c.bandwidth, c.incidence_angle, c.swath)
        if key not in keys:
            keys[key] = len(chosen)
            chosen.append(c)
        places.append(keys[key])
    return chosen, places


class ForwardModel:
    """Brightness temperatures in V and H for a list of channels.

    Parameters
    ----------
    channels : sequence of Channel
        Any channels within 6–235 GHz.
    layers : int
        Layers of the columns.
    parameters : Parameters, optional
        Defaults to the fitted ones.
    device : torch.device or str
        Where to compute.
    compile : bool
        Fuse the solver with ``torch.compile`` (slow first call, then faster).
    block : int, optional
        Columns solved at a time; small enough for the processor's cache by default, all on a GPU.

    See Also
    --------
    xrain.simulate_granule : A whole granule.
    xrain.simulate.scenes.draw_scene : What lies around a rain field.

    References
    ----------
    Meissner, T., and F. J. Wentz, 2012: The emissivity of the ocean surface between 6 and 90 GHz,
    doi 10.1109/TGRS.2011.2179662.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        layers: int = 20,
        parameters: Parameters | None = None,
        device: torch.device | str = "cpu",
        compile: bool = False,
        block: int | None = None,
    ) -> None:
        self.channels = tuple(channels)
        channels, places = _distinct_bands(self.channels)
        self._places = torch.tensor(places, device=device)
        self._first = torch.tensor([places.index(k) for k in range(len(channels))], device=device)
        self.layers = layers
        self.parameters = parameters or default_parameters()
        self.device = torch.device(device)
        self.gases = GasAbsorption(channels, device)
        self.rain = RainOptics(channels, device)
        self.ice = IceOptics(channels, device)
        self.liquid = CloudAbsorption(channels, device)
        self._surface = SurfaceModel(channels, self.parameters, device)
        frequency = torch.tensor([c.frequency for c in channels], device=device)
        self._sky = rt.cosmic_background(frequency)
        self._nominal = torch.tensor([c.incidence_angle for c in self.channels], device=device)
        self._block = block or (1024 if self.device.type == "cpu" else 1 << 20)
        self._solve = torch.compile(self._scatter, dynamic=True) if compile else self._scatter

    def __call__(self, environment: Environment, incidence_angle: Tensor | None = None) -> Tensor:
        """Simulate the columns.

        Parameters
        ----------
        environment : Environment
            N columns.
        incidence_angle : Tensor, (N,) or (N, channel), optional
            Earth incidence angle in degrees; nominal if not given.

        Returns
        -------
        Tensor, (N, channel, 2)
            Brightness temperature in K, V and H.
        """
        count = len(environment)
        mu = self._cosines(incidence_angle, count)
        icy = (environment.rain_rate > 0) | (environment.rain_aloft > 0)
        parts = []
        for wanted, solve in ((~icy, self._clear), (icy, self._solve)):
            index = torch.nonzero(wanted)[:, 0]
            for start in range(0, index.numel(), self._block):
                chunk = index[start : start + self._block]
                parts.append((chunk, solve(environment.select(chunk), mu[chunk])))
        out = torch.empty((count, len(self._first), 2), device=self.device)
        for chunk, tb in parts:
            out = out.index_copy(0, chunk, tb)
        return out[:, self._places]

    def _cosines(self, angle: Tensor | None, count: int) -> Tensor:
        """Cosines of the incidence angle, (N, distinct band)."""
        if angle is None:
            angle = self._nominal
        if angle.ndim == 1 and angle.shape[0] == count and angle is not self._nominal:
            angle = angle[:, None]
        angle = angle.to(self.device).float().expand(count, len(self.channels))
        if bool((angle < 0).any() | (angle > 75).any()):
            raise InputError("incidence_angle must lie within 0–75 degrees")
        return torch.cos(torch.deg2rad(angle[:, self._first]))

    def _absorption(self, columns: Columns) -> Tensor:
        """Optical thickness of gases and cloud, (layer, N, channel)."""
        k = self.gases(columns.pressure, columns.temperature, columns.vapour)
        k = k + self.liquid(columns.cloud, columns.temperature)
        return k * columns.thickness[..., None]

    def clear_atmosphere(
        self, environment: Environment, incidence_angle: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the air alone does: emission up and down (K), transmission, (N, channel).

        Rain and ice are left out; the angle is as in a call of the model.
        """
        parts = self._emission(environment, self._cosines(incidence_angle, len(environment)))
        up, down, through = (x[:, self._places] for x in parts)
        return up, down, through

    @property
    def sky(self) -> Tensor:
        """Effective cosmic background of each channel in K."""
        return self._sky[self._places]

    def _emission(self, environment: Environment, mu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        columns = build_columns(environment, self.layers, self.parameters)
        tau = self._absorption(columns)
        planck = columns.level_temperature[..., None].expand(-1, *mu.shape).contiguous()
        return rt.clear_sky(tau, planck, mu)

    def _clear(self, environment: Environment, mu: Tensor) -> Tensor:
        up, down, through = self._emission(environment, mu)
        emissivity = self._surface(environment, mu)
        sky = self._surface.reflected_sky(environment, down, through, self._sky)
        skin = environment.skin_temperature[:, None, None]
        ground = emissivity * skin + (1.0 - emissivity) * sky
        return up[..., None] + through[..., None] * ground

    def optics(self, environment: Environment) -> ColumnOptics:
        """Optical properties of raining columns in the distinct bands, before delta scaling."""
        storm = draw_storm(environment)
        columns = build_columns(environment, self.layers, self.parameters, storm)
        rain = rain_profile(storm, environment, columns, self.parameters)
        seen, hidden = ice_profile(storm, environment, columns, self.parameters)
        warm = columns.warm
        return ColumnOptics(
            columns.level_temperature[..., None],
            self._absorption(columns),
            self.rain(rain.content, rain.diameter, rain.temperature),
            together(
                *(self.ice(i.content, i.diameter, i.temperature, i.density) for i in (seen, hidden))
            ),
            columns.thickness[:warm, :, None],
            columns.thickness[warm:, :, None],
        )

    def _scatter(self, environment: Environment, mu: Tensor) -> Tensor:
        return self._radiance(self.optics(environment), environment, mu)

    def from_optics(
        self,
        optics: ScalableOptics,
        environment: Environment,
        incidence_angle: Tensor | None = None,
        emissivity: Tensor | None = None,
    ) -> Tensor:
        """Brightness temperature (N, channel, 2) of columns whose optics are given.

        The environment supplies the surface alone, whose emissivity (N, channel, 2) may be given
        too; optics are in the distinct bands.
        """
        mu = self._cosines(incidence_angle, len(environment))
        given = None if emissivity is None else emissivity[:, self._first]
        return self._radiance(optics, environment, mu, given)[:, self._places]

    def _radiance(
        self,
        optics: ScalableOptics,
        environment: Environment,
        mu: Tensor,
        emissivity: Tensor | None = None,
    ) -> Tensor:
        if emissivity is None:
            emissivity = self._surface(environment, mu)
        skin = environment.skin_temperature[:, None]
        sky = self._sky.expand_as(mu)
        middle, surface = whole_column(optics), (emissivity.mean(-1), skin, sky)
        # contiguous in the channels: broadcasting over so few is slower than reading them
        planck = optics.planck.expand(-1, *mu.shape).contiguous()
        i0, i1 = rt.diffuse_field(*middle, planck, *surface)
        two_stream = torch.stack(i0), torch.stack(i1)
        field, _ = rt.refine_field(middle, planck, two_stream, *surface)
        ratio = self.parameters.ice.polarization_ratio
        above = [optics.above(2.0 * part / (1.0 + ratio)) for part in (1.0, ratio)]

        def ground(pol: int, down: Tensor, through: Tensor) -> Tensor:
            e = emissivity[..., pol]
            reflected = self._surface.reflected_sky(environment, down, through, self._sky)
            return e * skin + (1.0 - e) * reflected[..., pol]

        grounds = [functools.partial(ground, pol) for pol in (0, 1)]
        bands = rt.slant_radiance(optics.below, above, planck, field, mu, grounds)
        return torch.stack(bands, dim=-1)
