"""Observed swaths without rain in training."""

import numpy as np
import pytest
import torch

from xrain.errors import InputError
from xrain.models.trunk import UNetConfig
from xrain.models.unet import describe
from xrain.testing import fake_swath
from xrain.training.learner import Learner
from xrain.training.unlabelled import SCANS, read_unlabelled


@pytest.fixture
def path(tmp_path):
    fake_swath("mhs", 200, 30).reset_coords().to_netcdf(tmp_path / "swath.nc", engine="h5netcdf")
    return tmp_path / "swath.nc"


def test_a_swath_is_read_and_cut_into_pieces(path):
    swath = read_unlabelled(path)
    assert swath.channels[0].name.startswith("89")
    assert swath.tb.shape == (200, 30, 5)
    assert np.isfinite(swath.incidence).all()
    drawn = [swath.draw((1, k)) for k in range(40)]
    assert {d.shape for d in drawn} == {(1, 14, SCANS, 30)}
    assert torch.equal(swath.draw((1, 3)), drawn[3])
    masks = {tuple(d[0, 7:12].amax((1, 2)).tolist()) for d in drawn}
    assert len(masks) > 1  # of some pieces channels are taken away


def test_what_is_no_swath_is_refused(tmp_path):
    table = fake_swath("mhs", 4, 4).stack(sample=("scan", "pixel")).reset_index("sample")
    table.reset_coords(drop=True)[["tb"]].to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="is no swath"):
        read_unlabelled(tmp_path / "t.nc")


def test_the_law_holds_better_where_nobody_knows_the_rain(path):
    swath = read_unlabelled(path)
    torch.manual_seed(0)
    learner = Learner(UNetConfig(6, (1, 2), hidden=8, pixel=8, pixel_hidden=8))
    torch.nn.init.normal_(learner.network.neighbours.trunk.head.weight, std=0.3)
    learner.network.neighbours.trunk.head.bias.data[:4] = 0.5  # drier than the pixels say
    learner.hold_pixels()
    planes, description = swath.draw((1, 0)), describe(swath.channels)
    optimiser = torch.optim.Adam(learner.network.neighbours.parameters(), lr=0.01)
    before = float(learner.swath_loss(planes, description).detach())
    for _ in range(40):
        optimiser.zero_grad()
        learner.swath_loss(planes, description).backward()
        optimiser.step()
    assert before > 1e-3
    assert float(learner.swath_loss(planes, description).detach()) < 0.1 * before
