"""The network: folding, reach, missing channels, and the planes that it looks at."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from xrain.errors import ModelError
from xrain.models.rain_classes import class_rates
from xrain.models.trunk import UNetConfig, observed_share
from xrain.models.unet import (
    AUXILIARY,
    ConstellationUNet,
    describe,
    load_network,
    observed,
    stack_planes,
)
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import tiny_model

CONFIGS = [
    UNetConfig(16, (1,), edges=(0.1, 1.0), hidden=4, pixel=8, pixel_hidden=4),
    UNetConfig(16, (1, 3, 2), edges=(0.1, 1.0), hidden=4, pixel=8, pixel_hidden=4),
    UNetConfig(16, (2, 2, 1, 1), edges=(0.1, 1.0, 10.0), hidden=4, pixel=8, pixel_hidden=4),
]


def planes_of(channels: int, rows: int, pixels: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    tb = rng.uniform(150, 290, (1, rows, pixels, channels)).astype("f4")
    tb[rng.random(tb.shape) < 0.1] = np.nan
    angle = rng.uniform(0, 60, tb.shape[:3]).astype("f4")
    land = rng.uniform(0, 1, tb.shape[:3]).astype("f4")
    return stack_planes(*(torch.from_numpy(x) for x in (tb, angle, land)))


@pytest.mark.parametrize("name", list_sensors())
def test_the_folded_network_is_the_network(name):
    channels = get_sensor(name).channels
    network = tiny_model(seed=2).network
    planes = planes_of(len(channels), 16, 24)
    whole = network(planes, describe(channels))
    folded = network.fold(channels)(planes)
    assert whole.std() > 0.01
    torch.testing.assert_close(folded, whole, atol=1e-5, rtol=1e-5)


def random_network(config: UNetConfig, seed: int = 0) -> ConstellationUNet:
    """Network whose neighbours count, unlike those of a new one."""
    torch.manual_seed(seed)
    network = ConstellationUNet(config).eval().requires_grad_(False)
    for name, tensor in network.named_parameters():
        if ".trunk." in name and tensor.ndim > 1:
            torch.nn.init.kaiming_normal_(tensor)
    return network


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: str(c.dilations))
@pytest.mark.parametrize("axis", [2, 3])
def test_the_network_looks_exactly_as_far_as_its_halo(config, axis):
    channels = get_sensor("MHS").channels
    folded = random_network(config).fold(channels)
    size = [1, 2 * (len(channels) + len(AUXILIARY)), 1, 1]
    size[axis] = 2 * config.halo + 5
    at, farthest = config.halo + 2, 0
    for seed in range(9):
        torch.manual_seed(seed)
        planes = torch.rand(size)
        planes[:, size[1] // 2 :] = 1.0
        answer = folded(planes.requires_grad_()).select(axis - 1, at)
        (slope,) = torch.autograd.grad(answer.square().sum(), planes)
        seen = torch.nonzero(slope.abs().amax(dim=[d for d in range(4) if d != axis]))
        farthest = max(farthest, int((seen - at).abs().max()))
    assert farthest == config.halo


def swath_of(channels: int, rows: int, pixels: int) -> list[torch.Tensor]:
    torch.manual_seed(9)
    tb = torch.rand(1, rows, pixels, channels) * 100 + 180
    return [tb, torch.full(tb.shape[:3], 53.1), torch.rand(tb.shape[:3])]


def test_where_a_file_begins_does_not_matter():
    channels = get_sensor("SSMIS").channels
    config = UNetConfig(pixel=8, pixel_hidden=4, hidden=4)
    folded = random_network(config).fold(channels)
    fields = swath_of(len(channels), 70, 30)
    whole = folded(stack_planes(*fields))
    for cut in (1, 5, 8):
        part = folded(stack_planes(*(x[:, cut:] for x in fields)))
        far = config.halo
        torch.testing.assert_close(part[:, far:], whole[:, cut + far :], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(part[:, :far], whole[:, cut : cut + far], atol=1e-2)


def test_a_gap_is_the_same_as_the_end_of_a_swath():
    channels = get_sensor("GMI").channels
    folded = random_network(CONFIGS[1]).fold(channels)
    tb, angle, land = swath_of(len(channels), 40, 20)
    gap = tb.clone()
    gap[:, 20:] = torch.nan
    holed = folded(stack_planes(gap, angle, land))[:, :20]
    ended = folded(stack_planes(tb[:, :20], angle[:, :20], land[:, :20]))
    torch.testing.assert_close(holed, ended, atol=1e-5, rtol=1e-5)


def test_a_missing_channel_is_as_one_that_was_never_there():
    channels = get_sensor("GMI").channels
    network = tiny_model(seed=3).network
    rng = np.random.default_rng(1)
    tb = torch.from_numpy(rng.uniform(150, 290, (1, 16, 16, 13)).astype("f4"))
    angle, land = torch.full((1, 16, 16), 52.8), torch.zeros(1, 16, 16)
    kept = [0, 1, 4, 7, 12]
    holes = torch.full_like(tb, torch.nan)
    holes[..., kept] = tb[..., kept]
    whole = network.fold(channels)(stack_planes(holes, angle, land))
    part = network.fold([channels[i] for i in kept])(stack_planes(tb[..., kept], angle, land))
    torch.testing.assert_close(whole, part, atol=1e-5, rtol=1e-5)


def test_a_lone_pixel_is_judged_by_the_branch_for_single_pixels():
    channels = get_sensor("SSMIS").channels
    network = random_network(CONFIGS[0])
    tb = torch.rand(1, 16, 16, len(channels)) * 100 + 180
    alone = torch.full_like(tb, torch.nan)
    alone[:, 5, 9] = tb[:, 5, 9]
    angle, land = torch.full((1, 16, 16), 53.1), torch.zeros(1, 16, 16)
    with torch.no_grad():
        planes = stack_planes(alone, angle, land)
        image = network(planes, describe(channels))
        table = network.pixel(planes.permute(0, 2, 3, 1)[:, 5, 9], describe(channels))
        crowd = network(stack_planes(tb, angle, land), describe(channels))
    torch.testing.assert_close(image[:, 5, 9], table)
    assert not torch.allclose(crowd[:, 5, 9], table, atol=1e-3)


def test_neighbours_are_counted():
    planes = torch.zeros(1, 2 * (3 + len(AUXILIARY)), 9, 9)
    planes[:, 5, 4, 4] = 1.0  # the mask of the first of three channels
    planes[:, 7, 4, 5] = 1.0
    share = observed_share(observed(planes))[0, :, :, 0]
    assert share[4, 4] == share[4, 5] == pytest.approx(1 / 24)
    assert share[3, 3] == pytest.approx(2 / 24)
    assert share[0, 0] == 0
    planes[:, 5:8] = 1.0
    assert observed_share(observed(planes))[0, 4, 4, 0] == pytest.approx(1)


def test_the_order_of_channels_does_not_matter():
    channels = get_sensor("TMI").channels
    network = tiny_model(seed=4).network
    tb = torch.rand(1, 16, 16, len(channels)) * 100 + 180
    angle, land = torch.full((1, 16, 16), 52.8), torch.ones(1, 16, 16)
    one = network.fold(channels)(stack_planes(tb, angle, land))
    other = network.fold(channels[::-1])(stack_planes(tb.flip(3), angle, land))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_folding_takes_a_copy():
    channels = get_sensor("MHS").channels
    network = tiny_model(seed=5).network
    folded = network.fold(channels)
    before = folded.stem.weight.clone()
    with torch.no_grad():
        network.neighbours.bias += 1
        network.neighbours.maker[-1].bias += 1
    torch.testing.assert_close(folded.stem.weight, before)


def test_planes_are_scaled_values_and_masks():
    tb = torch.tensor([230.0, 270.0, torch.nan]).view(1, 1, 1, 3)
    planes = stack_planes(tb, torch.full((1, 1, 1), 60.0), torch.full((1, 1, 1), torch.nan))
    want = [0.0, 1.0, 0.0, (0.5 - 0.6) * 3, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    assert planes[0, :, 0, 0].tolist() == pytest.approx(want, abs=1e-6)
    assert planes_of(4, 8, 8).is_contiguous(memory_format=torch.channels_last)
    assert tb.isnan().any()  # the input is left alone


def test_what_a_channel_is_told_by():
    rows = describe(get_sensor("GMI").channels)
    assert torch.isfinite(rows).all()
    assert rows.abs().max() < 10
    assert len({tuple(r) for r in rows.tolist()}) == 13
    channel = get_sensor("GMI").channels[0]
    for change in ({"frequency": 37.0}, {"polarization": "H"}, {"sideband_offsets": (3.0,)}):
        other = describe([dataclasses.replace(channel, **change)])[0]
        assert not torch.allclose(other, rows[0]), change
    beside = {"name": "other", "swath": "S9", "nedt": 3.0, "footprint": (50.0, 50.0)}
    same = describe([dataclasses.replace(channel, **beside)])[0]
    torch.testing.assert_close(same, rows[0])


def test_rates_of_classes_are_the_means_of_their_spread():
    edges = (0.1, 0.5, 4.0, 60.0)
    rates = class_rates(edges)
    assert rates[0] == 0
    for k, (low, high) in enumerate(itertools.pairwise(edges), 1):
        draws = np.exp(np.linspace(np.log(low), np.log(high), 100_001))
        assert rates[k].item() == pytest.approx(draws.mean(), rel=1e-4)


def test_a_card_rebuilds_the_network():
    network = tiny_model(seed=6).network
    architecture = json.loads(json.dumps(network.config.to_dict()))
    half = {k: v.half() for k, v in network.state_dict().items()}
    again = load_network(architecture, half)
    assert again.config == network.config
    assert not again.training
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, half[name].float())
    with pytest.raises(ModelError, match="unknown architecture 'transformer'"):
        load_network({"kind": "transformer"}, half)
    del half["pixel.bias"]
    with pytest.raises(ModelError, match="do not fit the model card"):
        load_network(architecture, half)
