"""Channels at every second pixel: what lies between their samples."""

from __future__ import annotations

import numpy as np
import pytest

import xrain
import xrain.testing
from xrain.retrieval.sampling import fill_between_samples
from xrain.testing import fake_swath

LOW = ["10.65V", "10.65H", "18.7V", "18.7H", "23.8V", "36.5V", "36.5H"]


def in_turn(ds):
    """AMSR2 as its files have it: low frequencies at every second pixel of 89 GHz."""
    low = ds.channel.isin(LOW).values
    tb = ds.tb.values.copy()
    tb[:, 1::2, low] = np.nan
    return ds.assign(tb=(ds.tb.dims, tb, ds.tb.attrs))


def test_the_probability_does_not_jump_from_pixel_to_pixel():
    whole = fake_swath("AMSR2", 24, 60)
    expected = whole.rain.retrieve()
    found = in_turn(whole).rain.retrieve()
    logs = [np.log(r.surface_precip.values + 1e-3) for r in (found, expected)]
    # pixels without a sample of their own differ from those with one by no more than they would
    between, own = (np.abs(logs[0] - logs[1])[:, k::2].mean() for k in (1, 0))
    bare = whole.sel(channel=~whole.channel.isin(LOW)).rain.retrieve("amsr2-unet")
    lost = np.abs(np.log(bare.surface_precip.values + 1e-3) - logs[1])[:, 1::2].mean()
    assert own < between < 0.35 * lost
    assert not (found.retrieval_quality & 1).any()


def test_it_does_not_depend_on_chunks():
    ds = in_turn(fake_swath("AMSR2", 40, 60))
    eager = ds.rain.retrieve()
    lazy = ds.chunk(scan=16).rain.retrieve()
    np.testing.assert_array_equal(lazy.surface_precip, eager.surface_precip)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("pixels", [8, 9])
def test_every_gap_between_samples_is_filled_to_both_ends(first, pixels):
    tb = np.random.default_rng(0).uniform(150, 250, (3, pixels, 2)).astype("f4")
    half = tb.copy()
    half[:, first::2, 0] = np.nan
    out = fill_between_samples(half)
    np.testing.assert_array_equal(out[..., 1], tb[..., 1])
    np.testing.assert_array_equal(out[:, 1 - first :: 2], tb[:, 1 - first :: 2])
    for p in range(first, pixels, 2):
        near = [half[:, q, 0] for q in (p - 1, p + 1) if 0 <= q < pixels]
        np.testing.assert_allclose(out[:, p, 0], np.mean(near, axis=0), rtol=1e-6)


@pytest.mark.parametrize("lost", [[4], [4, 5], [0], [0, 1, 2, 3], [3, 4, 5], list(range(12))])
def test_other_gaps_stay(lost):
    tb = np.full((2, 12, 1), 200, "f4")
    tb[:, lost] = np.nan
    np.testing.assert_array_equal(fill_between_samples(tb), tb)


def test_granules_of_amsr2_and_tmi_have_no_gap_between_samples(tmp_path):
    for name in ("AMSR2", "TMI"):
        path = xrain.testing.write_fake_l1c(tmp_path / f"{name}.HDF5", name, scans=40)
        tb = xrain.open_l1c(path).tb
        low = tb.sel(channel=[n for n in tb.channel.values if not str(n).startswith("89")])
        assert np.isfinite(low.values[8:-8]).all()
