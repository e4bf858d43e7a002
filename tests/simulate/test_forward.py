"""The forward model as its users see it: contract, physics, bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr

from xrain.errors import InputError, UnknownChannelError
from xrain.sensors import get_sensor, list_sensors
from xrain.simulate.columns import simulate_tb
from xrain.simulate.environment import EMISSIVITY_MODES, Environment, draw_unknowns
from xrain.simulate.forward import ForwardModel, mix_polarization

GMI = get_sensor("gmi").channels


@pytest.fixture(scope="module")
def model():
    return ForwardModel(GMI)


def columns(**given):
    return Environment.derive(**{"t2m": 297.0, "water_vapour": 45.0, **given})


def by_name(tb):
    return {c.name: tb[..., k, "VH".index(c.polarization)] for k, c in enumerate(GMI)}


def test_shape_and_plausible_values(model):
    rate = torch.tensor([0.0, 0.3, 2.0, 15.0, 100.0])
    tb = model(columns(rain_rate=rate))
    assert tb.shape == (5, 13, 2)
    assert ((tb > 50) & (tb < 300)).all()


def test_rain_warms_low_frequencies_over_sea_and_ice_cools_high_ones(model):
    tb = by_name(model(columns(rain_rate=torch.tensor([0.0, 1.0, 5.0]))))
    assert (tb["10.65H"].diff() > 1).all()
    assert (tb["18.7H"].diff() > 5).all()
    assert (tb["89.0V"].diff() < 0).all()
    assert (tb["166.0V"].diff() < -5).all()


def test_more_ice_cools_183_without_touching_10(model):
    scale = torch.tensor([0.1, 1.0, 4.0])
    tb = by_name(model(columns(rain_rate=torch.full((3,), 2.0), ice_scale=scale)))
    assert (tb["183.31+-7V"].diff() < -3).all()
    assert (tb["10.65V"].diff().abs() < 0.3).all()


def test_ice_polarises_v_above_h_even_over_land(model):
    tb = by_name(model(columns(rain_rate=torch.full((1,), 3.0), surface=1, ice_scale=2.0)))
    assert 1.0 < float(tb["166.0V"] - tb["166.0H"]) < 20.0


def test_clear_and_scattering_solvers_meet_as_rain_vanishes(model):
    clear, drizzle = (
        model(columns(rain_rate=torch.full((1,), r), ice_scale=1e-6, cloud=-30.0))
        for r in (0.0, 1e-5)
    )
    # rain decides the humidity aloft only beyond a tenth of a millimetre per hour
    torch.testing.assert_close(clear, drizzle, atol=0.6, rtol=0)


def test_blocks_do_not_change_the_result(model):
    rate = torch.linspace(0, 5, 37)
    small = ForwardModel(GMI, block=5)
    torch.testing.assert_close(
        model(columns(rain_rate=rate)), small(columns(rain_rate=rate)), atol=1e-3, rtol=0
    )


def test_twenty_layers_are_enough(model):
    rate = torch.tensor([0.0, 0.5, 4.0, 20.0])
    fine = ForwardModel(GMI, layers=80)(columns(rain_rate=rate))
    assert (model(columns(rain_rate=rate)) - fine).abs().max() < 2.5


def test_angle_per_column_and_per_channel_agree(model):
    rate = torch.tensor([0.0, 3.0])
    angle = torch.tensor([20.0, 52.8])
    one = model(columns(rain_rate=rate), angle)
    each = model(columns(rain_rate=rate), angle[:, None].expand(2, len(GMI)))
    torch.testing.assert_close(one, each)
    spread = (one[0, :, 0] - one[0, :, 1]).abs()
    assert (spread < (one[1, :, 0] - one[1, :, 1]).abs() + 15).all()


def test_equilibrium_of_everything_at_one_temperature(model):
    """Thick wet columns over a sea of the air's temperature see neither surface nor sky."""
    air = 280.0
    height = np.linspace(0.0, 12.0, 25)
    profile = xr.Dataset(
        {
            "height": ("level", height),
            "temperature": ("level", np.full(25, air)),
            "pressure": ("level", 1000 * np.exp(-height / 8)),
            "water_vapour": ("level", np.full(25, 9.0)),
            "cloud_liquid": ("level", np.full(25, 1.0)),
        }
    )
    tb = simulate_tb(profile, "gmi", channels=["36.64V", "89.0H", "183.31+-3V"])["tb"]
    np.testing.assert_allclose(tb, air, atol=0.5)


@pytest.mark.parametrize("name", list_sensors())
def test_every_sensor_can_be_simulated(name):
    sensor = get_sensor(name)
    rate = torch.tensor([0.0, 4.0])
    with torch.no_grad():
        tb = ForwardModel(sensor.channels)(columns(rain_rate=rate))
    mixed = mix_polarization(tb, [c.polarization for c in sensor.channels], 30.0)
    assert mixed.shape == (2, len(sensor.channels))
    assert ((mixed > 60) & (mixed < 300)).all()


def test_gradients_flow_to_the_state():
    rate = torch.tensor([0.5, 3.0], requires_grad=True)
    vapour = torch.tensor([30.0, 50.0], requires_grad=True)
    tb = ForwardModel(GMI)(columns(rain_rate=rate, water_vapour=vapour))
    tb.sum().backward()
    assert torch.isfinite(rate.grad).all()
    assert (vapour.grad != 0).all()


def test_mixed_polarisation_by_scan_angle():
    tb = torch.tensor([[[200.0, 100.0], [200.0, 100.0]]])
    at = {phi: mix_polarization(tb, ["QV", "QH"], phi)[0] for phi in (0.0, 30.0, 90.0)}
    torch.testing.assert_close(at[0.0], torch.tensor([200.0, 100.0]))
    torch.testing.assert_close(at[30.0], torch.tensor([175.0, 125.0]))
    torch.testing.assert_close(at[90.0], torch.tensor([100.0, 200.0]))
    with pytest.raises(InputError, match="QX"):
        mix_polarization(tb, ["QX", "V"])


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("rain_rate", -1.0, "rain_rate must lie within 0"),
        ("t2m", 150.0, "t2m must lie within 180–340 K"),
        ("skin_temperature", 400.0, "skin_temperature must lie within 180–340 K"),
        ("land_fraction", 1.5, "land_fraction"),
        ("water_vapour", float("nan"), "water_vapour"),
    ],
)
def test_impossible_states_are_refused_by_name(variable, value, words):
    with pytest.raises(InputError, match=words):
        Environment.derive(**{variable: torch.tensor([value])})


def test_unknown_variable_is_named():
    with pytest.raises(InputError, match="rainrate"):
        Environment.derive(rainrate=1.0)


def test_incidence_angle_beyond_the_limb_is_refused(model):
    with pytest.raises(InputError, match="incidence_angle"):
        model(columns(rain_rate=torch.zeros(2)), torch.tensor([95.0, 20.0]))


def test_draws_are_standard_normal_reproducible_and_leave_the_state():
    state = columns(rain_rate=torch.ones(4000))
    one, two = (draw_unknowns(state, torch.Generator().manual_seed(3)) for _ in range(2))
    for name in ("rain_top", "humidity_aloft", "dsd", "cloud"):
        values = getattr(one, name)
        assert abs(float(values.mean())) < 0.06
        assert abs(float(values.std()) - 1) < 0.05
        assert torch.equal(values, getattr(two, name))
    assert one.emissivity.shape == (4000, EMISSIVITY_MODES)
    assert abs(float(one.ice_scale.log().median())) < 0.1
    assert torch.equal(one.rain_rate, state.rain_rate)


def profile(**changes):
    height = np.linspace(0, 15, 31)
    temperature = np.maximum(298 - 6.5 * height, 205.0)
    base = {
        "height": height,
        "temperature": temperature,
        "pressure": 1013 * np.exp(-height / 7.8),
        "water_vapour": 16 * np.exp(-height / 2.0),
        "rain": np.where(height < 4.5, 0.3, 0.0),
        "ice": np.where((height > 4.5) & (height < 9), 0.2, 0.0),
    }
    base.update(changes)
    data = xr.Dataset({k: ("level", v) for k, v in base.items()})
    return data.expand_dims(x=2, y=3)


def test_explicit_columns_keep_dims_and_agree_with_physics():
    wet = simulate_tb(profile(), "gmi")
    dry = simulate_tb(profile(rain=np.zeros(31), ice=np.zeros(31)), "gmi")
    assert wet["tb"].dims == ("x", "y", "channel")
    assert wet["tb"].sizes == {"x": 2, "y": 3, "channel": 13}
    change = (wet["tb"] - dry["tb"]).isel(x=0, y=0)
    assert float(change.sel(channel="10.65H")) > 5
    assert float(change.sel(channel="166.0V")) < -20


def test_explicit_columns_select_channels_and_name_unknown_ones():
    found = simulate_tb(profile(), "gmi", channels=["89.0H", "10.65V"])
    assert found["channel"].values.tolist() == ["89.0H", "10.65V"]
    with pytest.raises(UnknownChannelError, match="91GHz"):
        simulate_tb(profile(), "gmi", channels=["91GHz"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rain": np.full(31, -0.1)}, "rain must lie within 0"),
        ({"temperature": np.full(31, 150.0)}, "temperature must lie within 180–340 K"),
        ({"height": np.linspace(15, 0, 31)}, "height must rise"),
    ],
)
def test_impossible_columns_are_refused_by_name(change, words):
    with pytest.raises(InputError, match=words):
        simulate_tb(profile(**change), "gmi")


def test_missing_level_variable_is_named():
    with pytest.raises(InputError, match="pressure"):
        simulate_tb(profile().drop_vars("pressure"), "gmi")


def test_channel_outside_the_range_is_refused():
    odd = dataclasses.replace(GMI[0], frequency=325.0, name="325V")
    with pytest.raises(UnknownChannelError, match="325V"):
        ForwardModel([odd])
