"""Training patches look like pieces of a real swath."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xrain.errors import InputError
from xrain.sensors import get_sensor, list_sensors
from xrain.simulate.block_columns import scene_columns
from xrain.simulate.forward import ForwardModel
from xrain.simulate.instrument import receive
from xrain.simulate.orbit import scan_angles
from xrain.simulate.patches import _window, patch_at, training_patches
from xrain.simulate.rain import RainGrid, stochastic_rain
from xrain.simulate.scenes import Place, draw_scene

COARSE = 10.0


@pytest.mark.parametrize("name", ["AMSR2", "AMSUB", "ATMS", "GMI", "MWISG", "SSMIS", "TMS"])
def test_every_kind_of_sensor_has_patches(name):
    sensor = get_sensor(name)
    (patch,) = training_patches(name, 16, 1, seed=3, spacing=COARSE)
    assert patch.tb.shape == (16, 16, len(sensor.channels))
    assert patch.tb.dtype == patch.rain.dtype == np.float32
    assert patch.channels == sensor.channels
    assert 40 < patch.tb.min() < patch.tb.max() < 340
    assert patch.rain.min() >= 0
    nominal = np.array([c.incidence_angle for c in sensor.channels])
    if sensor.scan_type == "conical":
        assert np.abs(patch.incidence_angle - nominal).max() < 0.8
    else:
        assert patch.incidence_angle.max() < 72
        assert np.ptp(patch.incidence_angle[0, :, 0]) > 2
    assert ((patch.land_fraction >= 0) & (patch.land_fraction <= 1)).all()


def test_a_patch_depends_on_its_key_alone():
    gmi = get_sensor("gmi")
    model = ForwardModel(gmi.channels)
    again = patch_at((7, 1), gmi, 16, model, spacing=COARSE)
    _, second = training_patches(gmi, 16, 2, seed=7, spacing=COARSE)
    assert np.array_equal(again.tb, second.tb)
    assert np.array_equal(again.rain, second.rain)
    other = patch_at((7, 2), gmi, 16, model, spacing=COARSE)
    assert not np.array_equal(again.tb, other.tb)


def test_channels_can_be_chosen_and_a_wrong_model_is_told():
    names = ["10.65V", "89.0H"]
    (patch,) = training_patches("gmi", 16, 1, channels=names, spacing=COARSE)
    assert patch.tb.shape[2] == 2
    assert [c.name for c in patch.channels] == names
    model = ForwardModel(get_sensor("gmi").channels)
    with pytest.raises(InputError, match="made for other channels"):
        next(training_patches("gmi", 16, 1, channels=names, model=model))


@pytest.mark.parametrize("name", list_sensors())
def test_every_group_is_seen_at_its_own_sample_nearest_to_the_pixel(name):
    sensor = get_sensor(name)
    window = _window(sensor, 40, sensor.channels, None, np.random.default_rng(0))
    for group in sensor.swaths:
        plane = window.groups[group.name]
        gap = np.hypot(plane.x - window.reference.x, plane.y - window.reference.y)
        # Half the distance of the group's own scans and pixels, both at their widest.
        line = 7.2 * group.scan_period
        angles = scan_angles(sensor, group)
        reach = np.abs(np.diff(angles)).max() * np.pi / 180 * 1150
        step = reach if sensor.scan_type == "conical" else 0.1
        assert gap.max() < 0.5 * np.hypot(line, step) + 0.5, group.name


def test_a_narrow_swath_is_padded():
    (patch,) = training_patches("mhs", 100, 1, seed=1, spacing=16.0 / 2)
    assert patch.tb.shape[:2] == (100, 100)
    assert np.isnan(patch.tb[:, 90:]).all()
    assert np.isnan(patch.rain[:, 90:]).all()
    assert np.isfinite(patch.tb[:, :90]).all()


def _source(rate_of):
    def source(shape, spacing, rng):
        rate = rate_of(shape).astype(np.float32)
        return RainGrid(rate, np.zeros_like(rate), spacing)

    return source


def test_truth_follows_the_rain_and_leaves_out_what_was_not_observed():
    gmi = get_sensor("gmi")
    model = ForwardModel([gmi.channel("36.64H")])
    even = patch_at((1, 0), gmi, 16, model, rain=_source(lambda s: np.full(s, 2.5)), spacing=COARSE)
    assert even.rain == pytest.approx(2.5, abs=1e-3)
    dry = patch_at((1, 0), gmi, 16, model, rain=_source(np.zeros), spacing=COARSE)
    assert (dry.rain == 0).all()

    def half(shape):
        rate = np.ones(shape)
        rate[shape[0] // 2 :] = np.nan
        return rate

    seen = patch_at((1, 0), gmi, 16, model, rain=_source(half), spacing=COARSE)
    assert np.isnan(seen.rain).any()
    assert seen.rain[np.isfinite(seen.rain)] == pytest.approx(1, abs=0.01)
    assert np.isfinite(seen.tb).all()


def test_rain_warms_low_frequencies_over_sea_and_ice_cools_high_ones():
    gmi = get_sensor("gmi")
    names = ["10.65H", "18.7H", "166.0V"]
    wet, dry = [], []
    for patch in training_patches(gmi, 24, 14, seed=11, channels=names, spacing=COARSE):
        sea = (patch.land_fraction < 0.01) & (patch.surface == "ocean")
        wet.append(patch.tb[sea & (patch.rain > 2)])
        dry.append(patch.tb[sea & (patch.rain == 0)])
    wet, dry = np.concatenate(wet), np.concatenate(dry)
    assert len(wet) > 50
    assert len(dry) > 500
    assert wet[:, 0].mean() > dry[:, 0].mean() + 10
    assert wet[:, 1].mean() > dry[:, 1].mean() + 20
    assert np.quantile(wet[:, 2], 0.1) < np.quantile(dry[:, 2], 0.1) - 15


def test_plain_cells_that_share_a_column_stay_near_their_own():
    rng = np.random.default_rng(3)
    rain = stochastic_rain((72, 60), (5.0, 5.0), seed=rng)
    scene = draw_scene(rain, rng, place=Place(30.0, -85.0, 20.0, "ocean", 1.0))
    gmi = get_sensor("gmi")
    model = ForwardModel([gmi.channel(n) for n in ("18.7H", "89.0V", "166.0V")])
    angle = torch.tensor([c.incidence_angle for c in model.channels])
    own = scene_columns(scene, model, angle, block=1)
    shared = scene_columns(scene, model, angle)
    same = torch.from_numpy(rain.rate > 0)
    assert torch.equal(own[same], shared[same])
    gap = (own - shared)[~same]
    assert float(gap.mean().abs()) < 0.2
    assert float(gap.pow(2).mean().sqrt()) < 2.5
    assert float((own - shared).abs().amax()) > 0


def test_cells_that_no_pixel_needs_are_not_simulated():
    rng = np.random.default_rng(3)
    rain = stochastic_rain((40, 40), (8.0, 8.0), seed=rng)
    scene = draw_scene(rain, rng)
    model = ForwardModel([get_sensor("gmi").channel("36.64V")])
    chosen = np.zeros((40, 40), bool)
    chosen[10:20, 5:25] = True
    angle = torch.tensor([52.8])
    part = scene_columns(scene, model, angle, chosen=chosen, block=1)
    whole = scene_columns(scene, model, angle, block=1)
    mask = torch.from_numpy(chosen)
    assert torch.allclose(part[mask], whole[mask], atol=1e-3)
    assert float(part[~mask].std(dim=0).max()) == 0


def test_corners_that_no_footprint_reaches_are_left_out_unnoticed():
    gmi = get_sensor("gmi")
    channels = tuple(gmi.channel(c) for c in ("10.65V", "89.0H"))
    model = ForwardModel(channels)
    rng = np.random.default_rng(4)
    window = _window(gmi, 64, channels, None, rng)
    needed = window.needed()
    assert 0.02 < 1 - needed.mean() < 0.6
    field = stochastic_rain(window.shape, window.spacing, seed=rng)
    scene = draw_scene(field, rng, place=Place(15.0, 200.0, 0.0, "ocean", 1.0))
    planes = [window.groups[c.swath] for c in channels]
    angle = torch.tensor([c.incidence_angle for c in channels])[None, None]
    part, every = (
        receive(scene_columns(scene, model, angle, chosen=c), window.spacing, gmi, channels, planes)
        for c in (needed, None)
    )
    torch.testing.assert_close(part, every, atol=0.2, rtol=0)


def test_feeds_of_one_polarisation_and_mixed_ones_are_received_alike():
    atms = get_sensor("atms")
    channels = atms.channels[:3]
    window = _window(atms, 16, channels, None, np.random.default_rng(0))
    planes = [window.groups[c.swath] for c in channels]
    tb = torch.empty(*window.shape, len(channels), 2)
    tb[..., 0], tb[..., 1] = 250.0, 200.0
    pure = [replace(c, polarization=p) for c, p in zip(channels, ("H", "QV", "V"), strict=True)]
    seen = receive(tb, window.spacing, atms, pure, planes)
    share = np.sin(np.radians(planes[1].scan_angle)) ** 2
    np.testing.assert_allclose(seen[..., 0], 200.0, atol=0.01)
    np.testing.assert_allclose(seen[..., 1], 250.0 - 50.0 * share, atol=0.01)
    np.testing.assert_allclose(seen[..., 2], 250.0, atol=0.01)
