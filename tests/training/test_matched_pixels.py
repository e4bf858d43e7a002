"""Real matched pixels in training: reading, days kept apart, and losses that claim no more."""

import numpy as np
import pytest
import torch
import xarray as xr

from xrain.errors import FileFormatError, InputError
from xrain.models.trunk import UNetConfig
from xrain.models.unet import PixelBranch
from xrain.sensors import get_sensor
from xrain.training.matched_pixels import (
    Reality,
    RealPixels,
    event_loss,
    rate_loss,
    read_real,
    read_transects,
)

EDGES = (0.1, 1.0, 10.0)
NAMES = [c.name for c in get_sensor("GMI").channels]


def write(path, count=60, **labels):
    rng = np.random.default_rng(0)
    xr.Dataset(
        {"tb": (("sample", "channel"), rng.uniform(150, 290, (count, 13)).astype("f4"))}
        | {k: ("sample", np.asarray(v)) for k, v in labels.items()},
        coords={
            "channel": NAMES,
            "latitude": ("sample", np.full(count, 10.0)),
            "longitude": ("sample", np.full(count, -150.0)),
            "month": ("sample", np.repeat([1, 2, 3], count // 3)),
            "day": ("sample", np.tile([1, 2, 3, 4], count // 4)),
        },
    ).to_netcdf(path, engine="h5netcdf")
    return path


def test_pixels_are_read_as_the_instrument_they_come_from(tmp_path):
    rates = np.linspace(0.1, 19, 60)
    real = read_real(write(tmp_path / "rain.nc", surface_precip=rates))
    assert real.channels == get_sensor("GMI").channels
    np.testing.assert_allclose(real.rate, rates, rtol=1e-6)
    assert np.isnan(real.event).all()
    assert (real.land == 0).all()
    phase = read_real(write(tmp_path / "phase.nc", phase=np.arange(60) % 3))
    np.testing.assert_array_equal(phase.event, (np.arange(60) % 3 >= 1).astype(float))


def test_days_are_kept_apart_whole_and_each_once(tmp_path):
    real = read_real(write(tmp_path / "rain.nc", surface_precip=np.ones(60)))
    seen = []
    for fold in range(4):
        train, test = real.split(fold, 4)
        assert not set(train.day) & set(test.day)
        assert len(train) + len(test) == 60
        seen += list(test.day)
    assert sorted(seen) == sorted(real.day)


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(InputError, match="surface_precip in mm/h or phase"):
        read_real(write(tmp_path / "none.nc"))
    (tmp_path / "bad.nc").write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match=r"bad\.nc"):
        read_real(tmp_path / "bad.nc")


def test_rates_say_nothing_of_how_often_it_rains():
    logits = torch.randn(4, 3, requires_grad=True)
    loss = rate_loss(logits, np.array([0.5, np.nan, 5.0, 0.0], "f4"), EDGES)
    loss.backward()
    assert logits.grad[:, 0].abs().max() == 0
    assert logits.grad[[1, 3]].abs().max() == 0  # no rate, no rain
    assert logits.grad[0, 1] < 0 < logits.grad[0, 2]
    both = rate_loss(torch.zeros(2, 3), np.array([0.5, 5.0], "f4"), EDGES)
    assert float(both) == pytest.approx(np.log(2))


def test_events_are_judged_at_the_frequency_of_their_table():
    # a probability of 10 % in training is as good as even where half of the pixels rain
    logits = torch.log(torch.tensor([[0.9, 0.05, 0.05]] * 2))
    shift = np.log(1.0) - np.log(0.1 / 0.9)
    loss = event_loss(logits, np.array([0.0, 1.0], "f4"), shift)
    assert float(loss) == pytest.approx(np.log(2), abs=1e-5)
    assert float(event_loss(logits, np.full(2, np.nan, "f4"), 0.0)) == 0


def test_real_pixels_teach_the_branch_for_single_pixels(tmp_path):
    rates = np.where(np.arange(60) % 2, 5.0, 0.5)
    rain = write(tmp_path / "rain.nc", surface_precip=rates)
    phase = write(tmp_path / "phase.nc", phase=np.arange(60) % 2)
    torch.manual_seed(0)
    branch = PixelBranch(UNetConfig(edges=EDGES, pixel=8, pixel_blocks=1, pixel_hidden=8))
    reality = Reality((read_real(rain), read_real(phase)), EDGES, prior=0.1)
    before = float(reality.loss(branch, 64, (1, 0)).detach())
    optimiser = torch.optim.Adam(branch.parameters(), lr=0.01)
    for step in range(60):
        optimiser.zero_grad()
        reality.loss(branch, 64, (1, step)).backward()
        optimiser.step()
    assert float(reality.loss(branch, 64, (1, 0)).detach()) < 0.9 * before


def test_transects_are_read_as_pixels_of_their_overpass(tmp_path, write_transects):
    path = write_transects(tmp_path / "transects.nc", overpasses=4, length=20)
    pixels = read_transects(path)
    assert len(pixels) == 80
    assert pixels.channels == get_sensor("GMI").channels
    np.testing.assert_array_equal(pixels.day, np.repeat(np.arange(4), 20))
    np.testing.assert_array_equal(pixels.event, (pixels.rate >= 0.1).astype(float))


def test_tables_are_joined_and_pixels_with_gaps_left_out(tmp_path):
    real = read_real(write(tmp_path / "rain.nc", surface_precip=np.ones(60)))
    both = RealPixels.join([real, real])
    assert len(both) == 120
    both.tb[7, 3] = np.nan
    whole = both.complete()
    assert len(whole) == 119
    assert np.isfinite(whole.tb).all()
    assert (real.t2m == 285).all()  # unknown
