"""Scenes: states of the air and surfaces against the columns that they stand for."""

import numpy as np
import pytest
import xarray as xr

from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.simulate.climate import draw_state, saturated_column, season_of
from xrain.simulate.environment import LAND, OCEAN, SEA_ICE, SNOW
from xrain.simulate.rain import RainGrid, stochastic_rain
from xrain.simulate.scenes import Place, draw_place, draw_scene, place_grid


@pytest.fixture(scope="module")
def raining_ocean(data_dir):
    with xr.open_dataset(data_dir / "matchups" / "gmi_dpr_rain.nc") as d:
        return d.isel(sample=(d.land_fraction < 0.01).values).load()


def test_drawn_states_have_the_joint_statistics_of_real_columns(raining_ocean):
    rng = np.random.default_rng(0)
    states = [draw_state("ocean", True, rng) for _ in range(1500)]
    real = raining_ocean
    pairs = {
        "t2m": (np.array([s.t2m for s in states]), real.t2m.values),
        "vapour": (
            np.array([np.exp(s.log_humidity) * saturated_column(s.t2m) for s in states]),
            real.total_column_water_vapour.values,
        ),
        "wind": (
            np.array([s.sqrt_wind**2 for s in states]),
            np.hypot(real.u10.values, real.v10.values),
        ),
        "liquid": (
            np.array([np.exp(s.log_cloud_liquid) - 1e-3 for s in states]),
            real.total_column_cloud_liquid.values,
        ),
    }
    for name, (ours, theirs) in pairs.items():
        got = np.quantile(ours, [0.1, 0.5, 0.9])
        want = np.nanquantile(theirs, [0.1, 0.5, 0.9])
        spread = want[2] - want[0]
        assert np.abs(got - want).max() < 0.12 * spread, name
    good = np.isfinite(real.t2m.values) & np.isfinite(real.total_column_water_vapour.values)
    ours = np.corrcoef(pairs["t2m"][0], pairs["vapour"][0])[0, 1]
    theirs = np.corrcoef(pairs["t2m"][1][good], pairs["vapour"][1][good])[0, 1]
    assert ours == pytest.approx(theirs, abs=0.06)


def test_what_is_known_of_a_state_is_kept_and_guides_the_rest():
    rng = np.random.default_rng(0)
    cold = [draw_state("ocean", False, rng, {"latitude": 55.0, "season": -1.0}) for _ in range(200)]
    warm = [draw_state("ocean", False, rng, {"latitude": 5.0, "season": -1.0}) for _ in range(200)]
    assert {s.latitude for s in cold} == {55.0}
    assert np.mean([s.t2m for s in warm]) > np.mean([s.t2m for s in cold]) + 12


def test_rain_comes_with_cloud_and_moist_air():
    rng = np.random.default_rng(0)
    known = {"latitude": 15.0, "season": 1.0}
    wet, dry = (
        [draw_state("ocean", raining, rng, known) for _ in range(200)] for raining in (True, False)
    )
    for name in ("log_humidity", "log_cloud_liquid", "log_cloud_ice"):
        assert np.mean([getattr(s, name) for s in wet]) > np.mean([getattr(s, name) for s in dry])


def test_seasons():
    assert season_of(np.datetime64("2020-07-15")) == pytest.approx(1)
    assert season_of(np.datetime64("1999-01-31")) == pytest.approx(-1)


def test_places_lie_where_their_surface_is():
    rng = np.random.default_rng(2)
    for surface, on_land in (("ocean", False), ("land", True), ("snow", True)):
        places = [draw_place(rng, surface) for _ in range(40)]
        share = np.array([land_fraction(p.latitude, p.longitude) for p in places])
        assert np.mean((share > 0.5) == on_land) > 0.75
    with pytest.raises(InputError, match="unknown surface 'lava': use ocean, land, snow, ice"):
        draw_place(rng, "lava")


def test_the_grid_of_a_place_keeps_distances_and_direction():
    place = Place(50.0, 170.0, 90.0, "ocean", 0.0)
    lat, lon = place_grid((101, 201), (5.0, 4.0), place)
    assert lat[50, 100] == pytest.approx(50, abs=1e-3)
    # y runs east, x runs south
    assert lat[50, 200] == pytest.approx(50 - 400 / 111.195, abs=1e-2)
    east = (lon[100, 100] - 170 + 180) % 360 - 180
    assert east * 111.195 * np.cos(np.radians(50)) == pytest.approx(250, rel=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_scenes_are_complete_possible_and_smooth(seed):
    rng = np.random.default_rng(seed)
    rain = stochastic_rain((120, 100), (5.0, 5.0), seed=rng)
    scene = draw_scene(rain, rng)
    scene.environment().check()
    v = scene.variables
    assert all(f.shape == (120, 100) and f.dtype == np.float32 for f in v.values())
    assert scene.emissivity.shape[:2] == (120, 100)
    for name in ("t2m", "water_vapour", "wind_speed", "humidity_aloft"):
        f = v[name]
        step = np.abs(np.diff(f, axis=1)).mean()
        assert step < 0.35 * np.abs(f - np.roll(f, 50, axis=1)).mean() + 1e-6, name
    assert np.array_equal(v["rain_rate"], rain.rate)
    assert (v["elevation"][v["land_fraction"] == 0] == 0).all()


def test_the_unknowns_are_standard_normal_over_many_scenes():
    rng = np.random.default_rng(5)
    names = ("humidity_aloft", "rain_top", "dsd", "cloud")
    drawn = {n: [] for n in names}
    for _ in range(60):
        rain = stochastic_rain((48, 48), (8.0, 8.0), seed=rng)
        for name in names:
            drawn[name].append(draw_scene(rain, rng).variables[name])
    for name in names:
        fields = np.stack(drawn[name])
        assert fields.mean() == pytest.approx(0, abs=0.35), name
        assert fields.std() == pytest.approx(1, abs=0.2), name
        # a scene shares part of the unknown, and the rest varies within it
        assert 0.3 < fields.mean(axis=(1, 2)).std() < 0.95, name


def test_surfaces_can_be_forced_and_freeze_where_it_is_cold():
    rng = np.random.default_rng(1)
    rain = stochastic_rain((60, 60), (8.0, 8.0), seed=rng)
    at_sea = Place(30.0, -40.0, 0.0, "ocean", 1.0)
    scene = draw_scene(rain, rng, place=at_sea, surface="land")
    assert (scene.variables["surface"] == LAND).all()
    assert (scene.variables["land_fraction"] == 1).all()
    scene = draw_scene(rain, rng, place=at_sea)
    assert (scene.variables["surface"] == OCEAN).all()
    kinds = set()
    for _ in range(12):
        kinds |= set(np.unique(draw_scene(rain, rng, surface="snow").variables["surface"]))
        kinds |= set(np.unique(draw_scene(rain, rng, surface="ice").variables["surface"]))
    assert {SNOW, SEA_ICE} <= kinds


def test_dry_scenes_reach_the_heat_of_deserts_and_the_cold_of_winter():
    rng = np.random.default_rng(4)
    rate = np.zeros((24, 24), np.float32)
    dry = RainGrid(rate, rate.copy(), (10.0, 10.0))
    land = [draw_scene(dry, rng, place=draw_place(rng, "land")) for _ in range(150)]
    t2m = [float(s.variables["t2m"].mean()) for s in land]
    skin = [float(s.variables["skin_temperature"].mean()) for s in land]
    assert max(t2m) > 305
    assert max(skin) > 312
    snow = [draw_scene(dry, rng, place=draw_place(rng, "snow")) for _ in range(40)]
    assert min(float(s.variables["t2m"].mean()) for s in snow) < 258


def test_unobserved_rain_counts_as_dry():
    rng = np.random.default_rng(1)
    rain = stochastic_rain((60, 60), (8.0, 8.0), seed=rng)
    rain.rate[:20] = np.nan
    scene = draw_scene(rain, rng)
    assert (scene.variables["rain_rate"][:20] == 0).all()
    assert all(np.isfinite(f).all() for f in scene.variables.values())
