"""Emissivity of every surface: physics of the sea, statistics of the land."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xrain.sensors import get_sensor
from xrain.simulate.environment import LAND, SEA_ICE, SNOW, Environment
from xrain.simulate.parameters import default_parameters
from xrain.simulate.surface import SurfaceModel, fresnel, sea_water_permittivity

CHANNELS = [get_sensor("gmi").channel(c) for c in ("10.65V", "36.64V", "89.0V", "166.0V")]


@pytest.fixture(scope="module")
def surface():
    return SurfaceModel(CHANNELS, default_parameters())


def cosines(count, angle):
    return torch.full((count, len(CHANNELS)), float(np.cos(np.deg2rad(angle))))


def test_sea_water_permittivity_of_the_literature():
    """Klein and Swift, and Meissner and Wentz agree to a few per cent at 10.7 GHz, 20 °C."""
    real, loss = sea_water_permittivity(torch.tensor(10.7), torch.tensor(293.15), 35.0)
    assert float(real) == pytest.approx(52.0, rel=0.05)
    assert float(loss) == pytest.approx(38.0, rel=0.05)


@given(st.floats(6.9, 190.0), st.floats(271.5, 304.0), st.floats(0.3, 1.0))
def test_reflectivity_is_a_fraction_and_smaller_in_v(frequency, temperature, mu):
    eps = sea_water_permittivity(torch.tensor(frequency), torch.tensor(temperature), 35.0)
    v, h = fresnel(*eps, torch.tensor(mu))
    assert 0.0 <= float(v) <= float(h) + 1e-6 <= 1.0


def test_brewster_angle_of_a_lossless_medium():
    """No reflection in V where tan(theta) = sqrt(epsilon)."""
    eps = torch.tensor(4.0)
    v, h = fresnel(eps, torch.tensor(0.0), torch.cos(torch.atan(torch.sqrt(eps))))
    assert float(v) == pytest.approx(0.0, abs=1e-6)
    assert float(h) > 0.3


def test_polarisations_agree_at_nadir(surface):
    environment = Environment.derive(
        t2m=torch.tensor([285.0] * 4), surface=torch.tensor([0, LAND, SNOW, SEA_ICE])
    )
    e = surface(environment, cosines(4, 0.0))
    torch.testing.assert_close(e[..., 0], e[..., 1], atol=1e-2, rtol=0)


def test_wind_roughens_h_more_than_v(surface):
    calm, windy = (
        surface.ocean(torch.tensor([290.0]), torch.tensor([w]), cosines(1, 52.8))
        for w in (2.0, 12.0)
    )
    gain = (windy - calm)[0]
    assert (gain[:3, 1] > 0.01).all()
    assert (gain[:3, 1] > gain[:3, 0]).all()


def test_mixture_is_linear_in_land_fraction(surface):
    fraction = torch.tensor([0.0, 0.25, 0.5, 1.0])
    environment = Environment.derive(
        t2m=torch.full((4,), 285.0), surface=LAND, land_fraction=fraction
    )
    e = surface(environment, cosines(4, 52.8))
    expected = e[0] + fraction[:, None, None] * (e[3] - e[0])
    torch.testing.assert_close(e, expected)
    assert (e[3] > e[0] + 0.1)[:2].all()


def test_emissivity_deviates_have_the_stored_covariance(surface):
    n = 4000
    generator = torch.Generator().manual_seed(0)
    environment = Environment.derive(t2m=torch.full((n,), 285.0), surface=LAND)
    fixed = surface(environment, cosines(n, 52.8))
    drawn = surface(
        environment.replace(emissivity=torch.randn(n, 6, generator=generator)), cosines(n, 52.8)
    )
    spread = drawn.std(0)
    assert (fixed.std(0) < 1e-6).all()
    assert (spread > 0.01).all()
    assert (spread[:, 1] > spread[:, 0]).all()  # roughness and moisture act on H
    correlation = np.corrcoef(drawn[:, 0, 1], drawn[:, 1, 1])[0, 1]
    assert correlation > 0.7  # neighbouring frequencies vary together


def test_reflected_sky_of_an_isothermal_atmosphere_keeps_its_temperature(surface):
    environment = Environment.derive(wind_speed=torch.tensor([0.0, 10.0, 20.0]))
    through = torch.full((3, len(CHANNELS)), 0.6)
    sky = torch.full((len(CHANNELS),), 270.0)
    found = surface.reflected_sky(environment, 270.0 * (1 - through), through, sky)
    torch.testing.assert_close(found, torch.full_like(found, 270.0), atol=1e-3, rtol=0)


def test_rough_sea_reflects_a_warmer_sky(surface):
    environment = Environment.derive(wind_speed=torch.tensor([0.0, 12.0]))
    through = torch.full((2, len(CHANNELS)), 0.8)
    sky = torch.full((len(CHANNELS),), 3.0)
    found = surface.reflected_sky(environment, 260.0 * (1 - through), through, sky)
    assert (found[1] > found[0]).all()
