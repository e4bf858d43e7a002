"""A network that is tied to its mirror says the same whichever way the scans run."""

from __future__ import annotations

import pytest
import torch

from xrain.models.trunk import UNetConfig
from xrain.models.unet import ConstellationUNet, describe, stack_planes
from xrain.sensors import get_sensor
from xrain.training.mirrored import mirrored, tie_mirrored

CHANNELS = get_sensor("MHS").channels


def network(width: int, seed: int = 0) -> ConstellationUNet:
    torch.manual_seed(seed)
    config = UNetConfig(width=width, dilations=(1, 2), pixel=8, pixel_hidden=8, pixel_blocks=1)
    net = ConstellationUNet(config)
    for layer in net.modules():  # what begins at nought would hide what is wrong
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.3)
    torch.nn.init.normal_(net.neighbours.auxiliary)
    torch.nn.init.normal_(net.neighbours.bias)
    return net


def planes() -> torch.Tensor:
    tb = torch.randn(2, 30, 12, 5) * 20 + 250
    tb[0, 10:13] = torch.nan
    tb[1, 20:, :, 3:] = torch.nan
    return stack_planes(tb, torch.full(tb.shape[:3], 40.0), torch.rand(tb.shape[:3]))


def apart(net: ConstellationUNet, x: torch.Tensor) -> float:
    """How far the two directions are apart, over what neighbours add."""
    description = describe(CHANNELS)
    with torch.no_grad():
        alone = net.pixel(x.permute(0, 2, 3, 1), description)
        one = net.neighbours(x, description, alone)
        other = net.neighbours(x.flip(2), description, alone.flip(1)).flip(1)
    return float((one - other).abs().max() / one.abs().mean())


@pytest.mark.parametrize("width", [8, 5])
def test_both_directions_agree_from_the_first_step_to_the_last(width):
    net, x = network(width), planes()
    assert apart(net, x) > 0.1
    tie_mirrored(net.neighbours)
    assert apart(net, x) < 1e-3
    before = [p.detach().clone() for p in net.neighbours.parameters()]
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(5):
        loss = (net(x, describe(CHANNELS)) * torch.randn(36)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    pairs = zip(before, net.neighbours.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs)
    assert apart(net, x) < 1e-3


def test_each_change_undoes_itself():
    branch = network(6).neighbours
    values = dict(branch.named_parameters())
    for name, change in mirrored(branch).items():
        assert torch.equal(change(change(values[name])), values[name]), name
