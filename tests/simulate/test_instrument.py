"""Footprints, polarisation and noise against their definitions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xrain.sensors import get_sensor
from xrain.simulate.instrument import (
    SwathPlane,
    add_noise,
    footprint_average,
    footprint_widths,
    receive,
    truth_channel,
)

SPACING = (2.0, 2.0)
SHAPE = (160, 160)


def _plane(x, y, view=(0.0, 1.0), scan=0.0):
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    one = np.ones_like(x)
    return SwathPlane(x, y, view[0] * one, view[1] * one, 50 * one, scan * one)


def _widths(plane, along, across):
    one = np.ones_like(plane.x)
    return along * one, across * one


def _point():
    field = torch.zeros(1, *SHAPE)
    field[0, 80, 80] = 1.0
    return field


@pytest.mark.parametrize("degrees", [0, 30, 70, 90, 200])
@pytest.mark.parametrize(("along", "across"), [(32.0, 19.0), (12.0, 12.0), (9.0, 20.0)])
def test_half_power_widths_are_those_asked_for(degrees, along, across):
    view = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    steps = np.linspace(-40, 40, 401)
    seen = {}
    for name, direction in (("along", view), ("across", (view[1], -view[0]))):
        plane = _plane([160 + steps * direction[0]], [160 + steps * direction[1]], view)
        response = footprint_average(_point(), SPACING, plane, _widths(plane, along, across))
        response = response[0, 0].numpy()
        above = steps[response >= 0.5 * response.max()]
        seen[name] = above[-1] - above[0]
    assert seen["along"] == pytest.approx(along, rel=0.07)
    assert seen["across"] == pytest.approx(across, rel=0.07)


def test_the_whole_response_sums_to_one():
    y, x = np.meshgrid(np.arange(100, 220, 2.0), np.arange(100, 220, 2.0), indexing="ij")
    plane = _plane(x, y, (0.6, 0.8))
    response = footprint_average(_point(), SPACING, plane, _widths(plane, 30.0, 18.0))
    assert float(response.sum()) == pytest.approx(1.0, abs=0.01)


def test_an_even_field_stays_as_it_is():
    plane = _plane(np.linspace(50, 250, 40)[None], np.linspace(60, 200, 30)[:, None])
    mean = footprint_average(torch.full((2, *SHAPE), 251.5), SPACING, plane, _widths(plane, 40, 25))
    assert mean.numpy() == pytest.approx(251.5, abs=1e-3)


def test_footprints_of_a_sounder_grow_towards_the_edge():
    atms = get_sensor("atms")
    channel = atms.channel("165.5QH")
    angle = np.array([[0.0, 30.0, 60.0]])
    along, across = footprint_widths(atms, channel, angle)
    assert along[0, 0] == pytest.approx(channel.footprint[0])
    assert across[0, 0] == pytest.approx(channel.footprint[1])
    assert across[0, 2] == pytest.approx(2.0 * across[0, 0], rel=0.15)
    assert along[0, 2] == pytest.approx(2 * across[0, 2], rel=1e-6)  # 1 / cos 60°
    point = torch.zeros(1, *SHAPE)
    point[0, :, 80] = 1.0  # a line across the scan
    plane = SwathPlane(
        np.array([[160.0, 160.0, 160.0]]), np.full((1, 3), 160.0),
        np.ones((1, 3)), np.zeros((1, 3)), angle, angle,
    )  # fmt: skip
    seen = footprint_average(point, SPACING, plane, (along, across))[0, 0].numpy()
    assert seen[1] == pytest.approx(seen[0] * along[0, 0] / along[0, 1], rel=0.05)
    assert seen[2] == pytest.approx(seen[0] * along[0, 0] / along[0, 2], rel=0.05)


def test_mixed_polarisation_turns_with_the_scan():
    atms = get_sensor("atms")
    channels = (atms.channel("88.2QV"), atms.channel("165.5QH"))
    tb = torch.zeros(*SHAPE, 2, 2)
    tb[..., 0], tb[..., 1] = 270.0, 230.0
    scan = np.array([[0.0, 30.0, 45.0, -30.0]])
    plane = replace(_plane([[160.0] * 4], [[160.0]]), scan_angle=scan)
    seen = receive(tb, SPACING, atms, channels, [plane, plane]).numpy()[0]
    share = np.sin(np.radians(scan[0])) ** 2
    assert seen[:, 0] == pytest.approx(270 - 40 * share, abs=0.01)
    assert seen[:, 1] == pytest.approx(230 + 40 * share, abs=0.01)


def test_channels_see_their_own_pixels():
    gmi = get_sensor("gmi")
    channels = (gmi.channel("89.0V"), gmi.channel("166.0V"))
    tb = torch.arange(SHAPE[1]).float()[None, :, None, None].expand(*SHAPE, 2, 2).clone()
    left, right = _plane([[100.0]], [[160.0]]), _plane([[200.0]], [[160.0]])
    seen = receive(tb, SPACING, gmi, channels, [left, right]).numpy()[0, 0]
    assert seen == pytest.approx([50.0, 100.0], abs=0.05)


def test_noise_is_that_of_the_channels_and_the_bias_is_shared():
    gmi = get_sensor("gmi")
    tb = np.full((200, 200, 13), 250.0, np.float32)
    noisy = add_noise(tb, gmi.channels, np.random.default_rng(1))
    nedt = np.array([c.nedt for c in gmi.channels])
    assert (noisy - tb).std(axis=(0, 1)) == pytest.approx(nedt, rel=0.03)
    assert (noisy - tb).mean(axis=(0, 1)) == pytest.approx(0, abs=0.02)
    biased = add_noise(tb, gmi.channels, np.random.default_rng(1), calibration=2.0)
    bias = (biased - tb).mean(axis=(0, 1))
    assert 1.0 < bias.std() < 3.5
    assert (biased - tb).std(axis=(0, 1)) == pytest.approx(nedt, rel=0.03)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("gmi", "36.64V"),
        ("amsr2", "36.5V"),
        ("ssmis", "37.0V"),
        ("atms", "88.2QV"),
        ("mhs", "89.0QV"),
    ],
)
def test_truth_is_averaged_over_37_or_89_ghz(name, channel):
    assert truth_channel(get_sensor(name)).name == channel
