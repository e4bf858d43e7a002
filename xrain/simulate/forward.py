"""Brightness temperatures of columns: the simulator's one forward model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xrain.errors import InputError
from xrain.sensors import Channel
from xrain.simulate import radiative as rt
from xrain.simulate.atmosphere import Columns, build_columns
from xrain.simulate.environment import Environment, draw_unknowns
from xrain.simulate.gases import GasAbsorption
from xrain.simulate.hydrometeors import CloudAbsorption, IceOptics, RainOptics
from xrain.simulate.parameters import Parameters, default_parameters
from xrain.simulate.precipitation import ice_profile, rain_profile
from xrain.simulate.surface import SurfaceModel

__all__ = ["Environment", "ForwardModel", "draw_unknowns", "mix_polarization"]


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


class ForwardModel:
    """Brightness temperatures in V and H for a list of channels.

    Parameters
    ----------
    channels : sequence of Channel
        Any channels within 6–200 GHz.
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
        self.layers = layers
        self.parameters = parameters or default_parameters()
        self.device = torch.device(device)
        self._gases = GasAbsorption(channels, device)
        self._rain = RainOptics(channels, device)
        self._ice = IceOptics(channels, device)
        self._liquid = CloudAbsorption(channels, device)
        self._surface = SurfaceModel(channels, self.parameters, device)
        frequency = torch.tensor([c.frequency for c in channels], device=device)
        self.sky = rt.cosmic_background(frequency)
        self._nominal = torch.tensor([c.incidence_angle for c in channels], device=device)
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
        icy = environment.rain_rate > 0
        parts = []
        for wanted, solve in ((~icy, self._clear), (icy, self._solve)):
            index = torch.nonzero(wanted)[:, 0]
            for start in range(0, index.numel(), self._block):
                chunk = index[start : start + self._block]
                parts.append((chunk, solve(environment.select(chunk), mu[chunk])))
        out = torch.empty((count, len(self.channels), 2), device=self.device)
        for chunk, tb in parts:
            out = out.index_copy(0, chunk, tb)
        return out

    def _cosines(self, angle: Tensor | None, count: int) -> Tensor:
        if angle is None:
            angle = self._nominal
        if angle.ndim == 1 and angle.shape[0] == count and angle is not self._nominal:
            angle = angle[:, None]
        angle = angle.to(self.device).float().expand(count, len(self.channels))
        if bool((angle < 0).any() | (angle > 75).any()):
            raise InputError("incidence_angle must lie within 0–75 degrees")
        return torch.cos(torch.deg2rad(angle))

    def _absorption(self, columns: Columns) -> Tensor:
        """Optical thickness of gases and cloud, (layer, N, channel)."""
        k = self._gases(columns.pressure, columns.temperature, columns.vapour)
        k = k + self._liquid(columns.cloud, columns.temperature.clamp(235.0, 305.0))
        return k * columns.thickness[..., None]

    def clear_atmosphere(
        self, environment: Environment, incidence_angle: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the air alone does: emission up and down (K), transmission, (N, channel).

        Rain and ice are left out; the angle is as in a call of the model.
        """
        return self._emission(environment, self._cosines(incidence_angle, len(environment)))

    def _emission(self, environment: Environment, mu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        columns = build_columns(environment, self.layers, self.parameters)
        tau = self._absorption(columns)
        return rt.clear_sky(tau, columns.level_temperature[..., None], mu)

    def _clear(self, environment: Environment, mu: Tensor) -> Tensor:
        up, down, through = self._emission(environment, mu)
        emissivity = self._surface(environment, mu)
        sky = self._surface.reflected_sky(environment, down, through, self.sky)
        skin = environment.skin_temperature[:, None, None]
        ground = emissivity * skin + (1.0 - emissivity) * sky
        return up[..., None] + through[..., None] * ground

    def _scatter(self, environment: Environment, mu: Tensor) -> Tensor:
        p = self.parameters
        columns = build_columns(environment, self.layers, p)
        gas = self._absorption(columns)
        tau_r, sca_r, g_r = self._rain_optics(environment, columns)
        tau_i, sca_i, g_i = self._ice_optics(environment, columns)
        planck = columns.level_temperature[..., None]
        emissivity = self._surface(environment, mu)
        skin = environment.skin_temperature[:, None]
        warm = columns.warm

        def combine(scale: float) -> tuple[Tensor, Tensor, Tensor]:
            tau = gas.clone()
            tau[:warm] += tau_r
            tau[warm:] += scale * tau_i
            sca = torch.cat([sca_r, scale * sca_i])
            albedo = sca / tau
            return rt.delta_scale(tau, albedo, torch.cat([g_r, g_i]))

        mean = combine(1.0)
        i0, i1 = rt.diffuse_field(
            *mean, planck, emissivity.mean(-1), skin, self.sky.expand_as(gas[0])
        )
        field = torch.stack(i0), torch.stack(i1)
        ratio = p.ice.polarization_ratio
        bands = [
            self._observe(environment, k, combine(s), planck, field, emissivity, mu)
            for k, s in enumerate((2.0 / (1.0 + ratio), 2.0 * ratio / (1.0 + ratio)))
        ]
        return torch.stack(bands, dim=-1)

    def _observe(
        self,
        environment: Environment,
        pol: int,
        optics: tuple[Tensor, Tensor, Tensor],
        planck: Tensor,
        field: tuple[Tensor, Tensor],
        emissivity: Tensor,
        mu: Tensor,
    ) -> Tensor:
        """Radiance of one polarisation (0 V, 1 H) along the slant path."""
        tau, albedo, g = optics
        i0, i1 = field
        weights = rt.slant_weights(tau, mu)
        low = (planck[:-1], i0[:-1], i1[:-1])
        high = (planck[1:], i0[1:], i1[1:])
        down = rt.path_down(
            rt.scattering_source(albedo, g, *low, -mu),
            rt.scattering_source(albedo, g, *high, -mu),
            weights,
            torch.zeros_like(mu),
        )
        through = torch.prod(weights[0], dim=0)
        sky = self._surface.reflected_sky(environment, down, through, self.sky)[..., pol]
        e = emissivity[..., pol]
        return rt.path_up(
            rt.scattering_source(albedo, g, *low, mu),
            rt.scattering_source(albedo, g, *high, mu),
            weights,
            e * environment.skin_temperature[:, None] + (1.0 - e) * sky,
        )

    def _rain_optics(self, environment: Environment, columns: Columns) -> tuple[Tensor, ...]:
        profile = rain_profile(environment, columns, self._rain, self.parameters)
        optics = self._rain(profile.content, profile.diameter, profile.temperature)
        tau = optics.extinction * columns.thickness[: columns.warm, :, None]
        return tau, tau * optics.albedo, optics.asymmetry

    def _ice_optics(self, environment: Environment, columns: Columns) -> tuple[Tensor, ...]:
        profile = ice_profile(environment, columns, self.parameters)
        optics = self._ice(profile.content, profile.diameter, profile.temperature, profile.density)
        tau = optics.extinction * columns.thickness[columns.warm :, :, None]
        return tau, tau * optics.albedo, optics.asymmetry
