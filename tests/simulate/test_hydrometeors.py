"""Particle optics against Mie theory and the limits of small particles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xrain.sensors import get_sensor
from xrain.simulate.hydrometeors import (
    CloudAbsorption,
    IceOptics,
    RainOptics,
    mean_diameter,
    particle_table,
)

CHANNELS = [get_sensor("gmi").channel(c) for c in ("10.65V", "36.64V", "89.0V", "166.0V")]


def at_frequency(table, name, index):
    """Table values interpolated to the channels' frequencies, extinction in the log."""
    grid = np.log(table["frequency"])
    x = np.log([c.frequency for c in CHANNELS])
    return np.stack([np.interp(v, grid, table[name][(slice(None), *index)]) for v in x])


@pytest.mark.parametrize("diameter", [0.5, 1.1, 2.0, 3.2])
def test_rain_follows_its_mie_table(diameter):
    table = particle_table()
    t = 3
    d = int(np.argmin(np.abs(table["rain_diameter"] - diameter)))
    exact = [at_frequency(table, "rain", (t, d, k)) for k in range(3)]
    temperature = torch.tensor([float(table["rain_temperature"][t])])
    size = torch.tensor([float(table["rain_diameter"][d])])
    found = RainOptics(CHANNELS)(torch.ones(1), size, temperature)
    np.testing.assert_allclose(found.extinction[0], exact[0], rtol=0.12)
    np.testing.assert_allclose(found.albedo[0], exact[1], atol=0.03)
    np.testing.assert_allclose(found.asymmetry[0], exact[2], atol=0.04)


def test_mie_of_the_table_is_mie():
    """One entry of the table, recomputed from the spheres themselves."""
    miepython = pytest.importorskip("miepython")
    table = particle_table()
    i = int(np.argmin(np.abs(table["frequency"] - 36.6)))
    d = int(np.argmin(np.abs(table["ice_diameter"] - 0.9)))
    frequency, dm = table["frequency"][i], table["ice_diameter"][d]
    # solid ice, exponential in melted diameter; permittivity 3.17 dominates scattering
    melted = np.geomspace(0.02, 10.0, 400)
    number = np.exp(-4 * melted / dm)
    number /= np.pi / 6 * 1e-3 * np.trapezoid(number * melted**3, melted)
    size = melted * (1 / 0.917) ** (1 / 3)
    x = np.pi * size * frequency / 299.792458
    _, scattering, _, _ = miepython.efficiencies_mx(np.sqrt(3.176 - 0.0015j), x)
    expected = np.trapezoid(number * np.pi / 4 * size**2 * scattering, melted) * 1e-3
    stored = table["ice"][i, -1, 1, d]
    assert stored[0] * stored[1] == pytest.approx(expected, rel=0.03)


def test_small_particles_scatter_by_the_sixth_power():
    """Rayleigh: scattering per mass grows with the volume and the fourth power of frequency."""
    table = particle_table()
    ice = table["ice"][:, -1, 1]
    scattering = ice[..., 0] * ice[..., 1]
    d = table["ice_diameter"]
    slope = np.diff(np.log(scattering[0, :3])) / np.diff(np.log(d[:3]))
    np.testing.assert_allclose(slope, 3.0, atol=0.1)
    low = np.log(table["frequency"][:3])
    np.testing.assert_allclose(np.diff(np.log(scattering[:3, 0])) / np.diff(low), 4.0, atol=0.1)


def test_rate_content_and_diameter_are_consistent():
    """Content from the drop sizes of a rate reproduces the rate by the table's fall speeds."""
    optics, table = RainOptics(CHANNELS), particle_table()
    rate = torch.tensor([0.2, 1.0, 5.0, 25.0])
    nw = torch.full((4,), 3.7)
    diameter = optics.diameter(rate, nw)
    content = optics.content(diameter, nw)
    per_content = np.interp(diameter, table["rain_diameter"], table["rain_rate_per_content"])
    np.testing.assert_allclose(content.numpy() * per_content, rate, rtol=0.06)
    assert (diameter.diff() > 0).all()


def test_mean_diameter_inverts_the_content():
    content = torch.tensor([0.01, 0.1, 1.0])
    diameter = mean_diameter(content, 4.0)
    back = np.pi * 1e-3 / 256 * 1e4 * diameter**4
    torch.testing.assert_close(back, content)


def test_denser_ice_scatters_more_and_less_forward():
    optics = IceOptics(CHANNELS)
    density = torch.tensor([0.1, 0.2, 0.4, 0.7])
    found = optics(torch.ones(4), torch.full((4,), 0.8), torch.full((4,), 255.0), density)
    scattered = (found.extinction * found.albedo)[:, -1]
    assert (scattered.diff() > 0).all()
    assert (found.asymmetry[:, -1].diff() < 0).all()


def test_cold_cloud_absorbs_more_and_higher_frequencies_more():
    absorption = CloudAbsorption(CHANNELS)(torch.ones(3), torch.tensor([265.0, 280.0, 295.0]))
    assert (absorption[:, 0].diff() < 0).all()
    assert (absorption.diff(dim=1) > 0).all()
    # 36.5 GHz at 280 K: about 0.2 Np/km per g/m3 (Rayleigh with any modern permittivity)
    assert float(absorption[1, 1]) == pytest.approx(0.2, abs=0.04)
