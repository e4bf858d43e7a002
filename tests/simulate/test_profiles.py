"""Profiles of storms: real ones, for their rate, alike for neighbours, with nothing made up."""

import numpy as np
import pytest
import torch

from xrain.simulate import profiles
from xrain.simulate.environment import Environment
from xrain.simulate.neighbourhood import POINTS, draw_neighbourhood, rates_aloft
from xrain.simulate.precipitation import draw_storm
from xrain.simulate.profiles import VIRGA, choose_storm, convective_share, library


def storm(rate, *, aloft=None, level=4.0, land=0.0, convective=False, ice=0.0, depth=0.0):
    rate = torch.as_tensor(rate, dtype=torch.float32)
    full = torch.full_like(rate, 1.0)
    return choose_storm(
        rate,
        rate if aloft is None else full * aloft,
        full * level,
        full * land,
        torch.full(rate.shape, convective),
        full * ice,
        full * depth,
    )


def ice_path(found):
    return found.above[0].sum(-1) * (profiles.ABOVE[1] - profiles.ABOVE[0])


def test_the_package_holds_a_small_library_of_real_columns():
    stored = library()
    assert len(stored.rate) > 10_000
    assert stored.below.shape == (3, len(stored.rate), len(profiles.BELOW))
    assert stored.above.shape == (3, len(stored.rate), len(profiles.ABOVE))
    assert int(stored.candidates.max()) < len(stored.rate)
    assert 0.05 < float((stored.rate == 0).float().mean()) < 0.5
    assert float(stored.rate.max()) > 50


def test_bytes_keep_contents_and_diameters_within_a_few_per_cent():
    values = np.geomspace(2e-3, 29.0, 200)
    table = {
        "x_content": profiles.encode_content(values[None]),
        "x_cloud": profiles.encode_content(0 * values[None]),
        "x_diameter": profiles.encode_diameter(np.linspace(0.3, 4.0, 200)[None]),
    }
    content, diameter, cloud = profiles.decode(table, "x")[:, 0]
    np.testing.assert_allclose(content, values, rtol=0.025)
    np.testing.assert_allclose(diameter, np.linspace(0.3, 4.0, 200), atol=0.01)
    assert (cloud == 0).all()


def test_heavier_rain_has_more_water_below_and_more_ice_above():
    found = storm([0.3, 1.0, 3.0, 10.0, 30.0])
    assert (found.below[0, :, 0].diff() > 0).all()
    assert (ice_path(found).diff() > 0).all()


def test_the_deviate_of_the_ice_puts_columns_of_like_rain_in_order():
    paths = torch.stack([ice_path(storm([2.0], ice=x)) for x in (-2.0, -0.5, 0.5, 2.0)])
    assert (paths.diff(dim=0) > 0).all()
    one, other = (storm([2.0], ice=x) for x in (0.50, 0.51))
    torch.testing.assert_close(one.above, other.above)


def test_water_near_the_ground_belongs_to_the_rate():
    rate = torch.full((400,), 5.0)
    generator = torch.Generator().manual_seed(1)
    state = Environment.derive(rain_rate=rate, t2m=295.0)
    drawn = {n: torch.randn(400, generator=generator) for n in ("ice", "kind", "rain_top")}
    content = draw_storm(state.replace(**drawn)).below[0, :, 0]
    # Marshall and Palmer (1948): 0.072 R**0.88 g m-3
    assert float(content.median()) == pytest.approx(0.072 * 5.0**0.88, rel=0.35)
    assert float(content.std()) > 0.02


def test_where_nothing_reaches_the_ground_there_may_be_ice_aloft_or_nothing():
    virga, nothing = storm([0.0], aloft=VIRGA, ice=1.0), storm([0.0], aloft=0.0)
    assert float(ice_path(virga)) > 0.01
    assert float(nothing.above[0].abs().max()) == 0
    rain = storm([3.0], aloft=0.0)
    assert float(ice_path(rain)) == 0
    assert float(rain.below[0].max()) > 0.05


def test_levels_are_interpolated_and_end_at_the_top():
    found = storm([8.0], level=4.0)
    height = torch.tensor([[4.0], [4.25], [4.5], [4.0 + profiles.ABOVE[-1] + 0.3]])
    content = found.over(height, torch.tensor([4.0]))[0, :, 0]
    first, second = found.above[0, 0, :2]
    torch.testing.assert_close(content[:3], torch.stack([first, (first + second) / 2, second]))
    assert float(content[3]) == 0
    ground = found.under(torch.tensor([[0.0]]), torch.tensor([4.0]))
    torch.testing.assert_close(ground[:, 0, 0], found.below[:, 0, 0])


def test_heavy_rain_is_mostly_convective_and_light_rain_over_land_is_not():
    rate, level = torch.tensor([0.5, 40.0]), torch.full((2,), 4.0)
    share = convective_share(rate, level, torch.ones(2))
    assert float(share[0]) < 0.5 < 0.8 < float(share[1])


def test_the_slant_path_looks_at_ice_ahead():
    points = draw_neighbourhood(
        torch.full((500,), 4.0), torch.zeros(500), torch.Generator().manual_seed(2)
    )
    upright, aslant = (rates_aloft(points, slant) for slant in (False, True))
    assert upright.shape == aslant.shape == (500, POINTS)
    torch.testing.assert_close(upright[:, 0], points[:, :4].mean(1))
    torch.testing.assert_close(aslant[:, 0], 0.5 * (points[:, 4] + points[:, 8]))


def test_heavy_rain_over_the_sea_is_as_wide_as_along_real_tracks():
    rate = torch.full((4000,), 9.0)
    sea = draw_neighbourhood(rate, torch.zeros(4000), torch.Generator().manual_seed(3))
    rings = sea[:, 4:].reshape(-1, 3, 4).mean((0, 2))
    # 9.2, 8.2 and 6.8 mm/h at 5, 10 and 15 km from pixels of 6 to 15 mm/h
    np.testing.assert_allclose(rings.numpy(), [9.0, 8.0, 6.8], rtol=0.25)
