"""The solver against analytic cases and a discrete-ordinate solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xrain.sensors import get_sensor
from xrain.simulate import radiative as rt
from xrain.simulate.environment import Environment, draw_unknowns
from xrain.simulate.forward import ForwardModel, whole_column

MU = torch.tensor(0.605)


def lambertian(optics, planck, emissivity, skin, sky, mu=MU):
    """Radiance above a Lambertian surface, through the public pieces of the solver."""
    i0, i1 = rt.diffuse_field(*optics, planck, emissivity, skin, sky)
    first = torch.stack(i0), torch.stack(i1)
    field, flux_down = rt.refine_field(optics, planck, first, emissivity, skin, sky)

    def ground(down, through):
        # the sky enters the flux; what the path itself brings to the ground is not used here
        return emissivity * skin + (1.0 - emissivity) * flux_down

    return radiance(optics, planck, field, mu, ground)


def radiance(optics, planck, field, mu, ground):
    """Radiance of one polarisation, with the third layer from below as the first of its own."""
    below, above = tuple(x[:2] for x in optics), tuple(x[2:] for x in optics)
    return rt.slant_radiance(below, [above], planck, field, mu, [ground])[0]


def random_optics(seed, layers=8, columns=50):
    rng = torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(shape, generator=rng)

    tau = torch.exp(uniform(-5.0, 1.5, layers, columns))
    albedo = uniform(0.0, 0.99, layers, columns)
    asymmetry = uniform(-0.1, 0.85, layers, columns)
    return tau, albedo, asymmetry


@pytest.mark.parametrize("seed", range(5))
def test_equilibrium_at_one_temperature_whatever_the_scattering(seed):
    tau, albedo, asymmetry = random_optics(seed)
    temperature = torch.full((9, 50), 275.0)
    emissivity = torch.linspace(0.05, 1.0, 50)
    tb = lambertian(
        rt.delta_scale(tau, albedo, asymmetry),
        temperature,
        emissivity,
        torch.tensor(275.0),
        torch.tensor(275.0),
    )
    torch.testing.assert_close(tb, torch.full((50,), 275.0), atol=2e-2, rtol=0)


def test_without_scattering_the_field_solver_changes_nothing():
    tau, _, _ = random_optics(1)
    zero = torch.zeros_like(tau)
    planck = torch.linspace(290.0, 220.0, 9)[:, None].expand(9, 50)
    emissivity, skin, sky = torch.full((50,), 0.9), torch.tensor(292.0), torch.tensor(2.7)
    up, down, through = rt.clear_sky(tau, planck, MU)
    expected = up + through * (0.9 * skin + 0.1 * (down + through * sky))
    i0, i1 = rt.diffuse_field(tau, zero, zero, planck, emissivity, skin, sky)

    def ground(down, through):
        return emissivity * skin + (1 - emissivity) * (down + through * sky)

    field = torch.stack(i0), torch.stack(i1)
    tb = radiance((tau, zero, zero), planck, field, MU, ground)
    torch.testing.assert_close(tb, expected, atol=1e-3, rtol=0)


@given(st.floats(0.01, 3.0), st.floats(200.0, 300.0), st.floats(0.4, 1.0))
def test_isothermal_slab_over_a_black_surface(tau, temperature, mu):
    """T_b = T (1 - t) + T_s t for a slab of one temperature, whatever its layers."""
    layers = torch.full((6, 1), tau / 6)
    planck = torch.full((7, 1), temperature)
    up, _, through = rt.clear_sky(layers, planck, torch.tensor(mu))
    expected = np.exp(-tau / mu)
    assert float(through) == pytest.approx(expected, rel=1e-4)
    assert float(up) == pytest.approx(temperature * (1 - expected), rel=1e-4)


def test_source_linear_in_optical_depth_is_integrated_exactly():
    coarse_tau, fine_tau = torch.full((1, 1), 0.8), torch.full((400, 1), 0.002)
    coarse = rt.clear_sky(coarse_tau, torch.tensor([[290.0], [230.0]]), MU)[0]
    fine = rt.clear_sky(fine_tau, torch.linspace(290.0, 230.0, 401)[:, None], MU)[0]
    torch.testing.assert_close(coarse, fine, atol=2e-2, rtol=0)


def test_thick_absorber_hides_everything_below():
    tau = torch.full((5, 1), 30.0)
    planck = torch.linspace(300.0, 250.0, 6)[:, None]
    up, down, through = rt.clear_sky(tau, planck, MU)
    assert float(through) < 1e-6
    assert float(up) == pytest.approx(250.0, abs=0.4)
    assert float(down) == pytest.approx(300.0, abs=0.4)


def test_thick_scatterer_reflects_the_cold_sky():
    """A semi-infinite scattering cloud emits less the larger its albedo."""
    albedo = torch.tensor([0.0, 0.5, 0.9, 0.99])
    tau = torch.full((10, 4), 20.0)
    planck = torch.full((11, 4), 260.0)
    optics = rt.delta_scale(tau, albedo.expand(10, 4), torch.full((10, 4), 0.3))
    tb = lambertian(optics, planck, torch.tensor(1.0), torch.tensor(260.0), torch.tensor(2.7))
    assert (tb.diff() < -10).all()
    assert float(tb[0]) == pytest.approx(260.0, abs=0.1)


def test_layers_can_be_split_without_changing_the_result():
    tau, albedo, asymmetry = (x[:1] for x in random_optics(3))
    surface = torch.tensor(0.5), torch.tensor(290.0), torch.tensor(2.7)
    one = lambertian(rt.delta_scale(tau, albedo, asymmetry), torch.full((2, 50), 270.0), *surface)
    many = lambertian(
        rt.delta_scale((tau / 16).expand(16, 50), albedo.expand(16, 50), asymmetry.expand(16, 50)),
        torch.full((17, 50), 270.0),
        *surface,
    )
    # the diffuse field is exact in one layer; the path integral sees it linear within each
    thin = tau[0] < 0.3
    torch.testing.assert_close(one[thin], many[thin], atol=0.5, rtol=0)


def test_cosmic_background_is_the_planck_radiance_of_the_sky():
    frequency = torch.tensor([10.65, 89.0, 183.31])
    x = 0.04799243 * frequency
    radiance = x / (torch.exp(x / 2.725) - 1)
    at_300 = x / (torch.exp(x / 300.0) - 1)
    slope_scale = rt.cosmic_background(frequency)
    # temperature scale tangent to warm bodies: 300 K must map onto 300 K
    torch.testing.assert_close(at_300 + x / 2, torch.full((3,), 300.0), atol=0.03, rtol=0)
    torch.testing.assert_close(slope_scale - x / 2, radiance, atol=1e-4, rtol=0)


def test_gradient_reaches_the_optics():
    tau, albedo, asymmetry = random_optics(4)
    tau.requires_grad_(True)
    planck = torch.linspace(290.0, 220.0, 9)[:, None].expand(9, 50)
    surface = torch.tensor(0.6), torch.tensor(290.0), torch.tensor(2.7)
    lambertian(rt.delta_scale(tau, albedo, asymmetry), planck, *surface).sum().backward()
    assert torch.isfinite(tau.grad).all()
    assert (tau.grad != 0).any()


def disort(tau, albedo, asymmetry, planck, emissivity, skin, sky, mu):
    """Brightness temperature of one column by 16-stream discrete ordinates."""
    from PythonicDISORT import subroutines
    from PythonicDISORT.pydisort import pydisort

    tau, albedo, asymmetry = (np.asarray(x, float)[::-1] for x in (tau, albedo, asymmetry))
    planck = np.asarray(planck, float)[::-1]
    albedo = np.clip(albedo, 1e-7, 1 - 1e-7)
    depth = np.cumsum(tau)
    legendre = np.clip(asymmetry, 0.0, None)[:, None] ** np.arange(33)[None]
    slope = np.diff(planck) / tau
    offset = planck[:-1] - slope * (depth - tau)
    u0 = pydisort(
        depth,
        albedo,
        16,
        legendre,
        0.0,
        0.0,
        0.0,
        NFourier=1,
        NLeg=16,
        f_arr=legendre[:, 16],
        b_pos=emissivity * skin,
        b_neg=sky,
        s_poly_coeffs=np.stack([offset, slope], axis=-1),
        BDRF_Fourier_modes=[1 - emissivity],
    )[3]
    return float(np.squeeze(subroutines.interpolate(u0)(np.array([mu]), 0.0)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clear", "rain", "ice"])
def test_agrees_with_discrete_ordinates(kind):
    """Random columns of the model: 95 % within 2 K of 16 streams over a Lambertian surface."""
    pytest.importorskip("PythonicDISORT")
    rng = torch.Generator().manual_seed(7)
    n = 16
    rate = {"clear": torch.zeros(n), "rain": 0.1 + 20 * torch.rand(n, generator=rng) ** 3}
    environment = Environment.derive(
        rain_rate=rate.get(kind, 0.3 + 5 * torch.rand(n, generator=rng)),
        t2m=275.0 + 27 * torch.rand(n, generator=rng),
    )
    environment = draw_unknowns(environment, rng)
    if kind == "ice":
        environment = environment.replace(ice_scale=3 * environment.ice_scale)
    wanted = ("10.65V", "36.64V", "89.0V", "166.0V", "183.31+-3V")
    model = ForwardModel([get_sensor("gmi").channel(c) for c in wanted])
    with torch.no_grad():
        optics = model.optics(environment)
        scaled = whole_column(optics)
        emissivity = torch.full((n, len(wanted)), 0.6)
        skin, sky = environment.skin_temperature[:, None], model.sky
        ours = lambertian(scaled, optics.planck, emissivity, skin, sky)
        raw_tau = optics.clear + torch.cat(
            [optics.rain.extinction * optics.warm_depth, optics.ice.extinction * optics.cold_depth]
        )
        particles = raw_tau - optics.clear
        albedo = torch.cat([optics.rain.albedo, optics.ice.albedo]) * particles / raw_tau
        asymmetry = torch.cat([optics.rain.asymmetry, optics.ice.asymmetry])
    errors = [
        float(ours[i, c])
        - disort(
            raw_tau[:, i, c],
            albedo[:, i, c],
            asymmetry[:, i, c],
            optics.planck[:, i, 0],
            0.6,
            float(skin[i]),
            float(sky[c]),
            float(MU),
        )
        for i in range(n)
        for c in range(len(wanted))
    ]
    assert np.mean(np.abs(errors) < 2.0) >= 0.95


def test_layers_that_all_see_alike_are_crossed_once_with_the_same_radiance():
    optics = rt.delta_scale(*random_optics(6))
    icier = (1.3 * optics[0], optics[1], optics[2])
    planck = torch.linspace(295.0, 215.0, 9)[:, None].expand(9, 50).contiguous()
    skin, sky = torch.tensor(296.0), torch.tensor(2.7)
    emissivity = torch.linspace(0.3, 0.95, 50)
    i0, i1 = rt.diffuse_field(*optics, planck, emissivity, skin, sky)
    field = torch.stack(i0), torch.stack(i1)

    def ground(down, through):
        return emissivity * skin + (1 - emissivity) * (down + through * sky)

    def split(edge):
        pairs = zip(optics, icier, strict=True)
        own = tuple(torch.cat([a[edge:4], b[4:]]) for a, b in pairs)
        above = [tuple(x[edge:] for x in optics), own]
        below = tuple(x[:edge] for x in optics)
        return rt.slant_radiance(below, above, planck, field, MU, [ground, ground])

    whole, parts = split(0), split(4)
    assert (whole[0] - whole[1]).abs().max() > 0.1
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)
