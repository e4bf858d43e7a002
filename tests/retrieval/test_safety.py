"""What holds for every answer, whatever the swath: the properties that a user relies on."""

from __future__ import annotations

import functools
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tools.fuzz.strategies import swaths
from xrain.conventions import CERTAIN_RATE, PHASES, QUALITY_FLAGS
from xrain.models.store import Model, load_model
from xrain.retrieval.dataset import check, retrieve
from xrain.retrieval.sampling import fill_between_samples
from xrain.sensors import get_sensor
from xrain.testing import fake_swath, write_fake_l1c

MISSING, RANGE, LOST, EDGE, ASSUMED, NONE, SUSPECT = QUALITY_FLAGS.values()
MODELS = ("constellation-unet", "gmi-unet", "gmi-drain", "mhs-unet", "gmi-brain")


@functools.cache
def model(name: str) -> Model:
    return load_model(name)


def usable(ds: xr.Dataset) -> np.ndarray:
    """Where there is a possible temperature and a position."""
    tb = ds.tb.values
    there = ((tb >= 20) & (tb <= 400)).any(axis=-1)
    return there & (np.abs(ds.latitude.values) <= 90) & (np.abs(ds.longitude.values) <= 360)


@settings(max_examples=120, deadline=None)
@given(ds=swaths(), name=st.sampled_from(MODELS), given_rain=st.booleans())
def test_every_answer_is_safe(ds, name, given_rain):
    this = model(name)
    if any(p.startswith("error") for p in check(ds, this)):
        return  # refused as a whole, with a reason
    rain = retrieve(ds, this, quantiles=(0.02, 0.05, 0.3, 0.5, 0.95), given_rain=given_rain)
    rate, probability = rain.surface_precip.values, rain.probability_of_precip.values
    quantiles, flags = rain.surface_precip_quantile.values, rain.retrieval_quality.values
    known = np.isfinite(rate)
    assert not known[~usable(ds)].any()
    assert (flags[~known] & (NONE | LOST) > 0).all()
    for values in (probability, *quantiles):
        np.testing.assert_array_equal(np.isfinite(values), known)
    np.testing.assert_array_equal(rain.precip_flag.values == -1, ~known)
    assert (rate[known] >= 0).all()
    assert (rate[known] <= 200).all()
    assert ((probability[known] >= 0) & (probability[known] <= 1)).all()
    assert (np.diff(quantiles, axis=0)[:, known] >= 0).all()
    assert (quantiles[0][known] <= rate[known]).all()
    assert (quantiles[-1][known] >= rate[known]).all()
    detected = rain.precip_flag.values[known] == 1
    likely = probability[known] > this.card.threshold
    assert (detected[likely]).all()
    if not given_rain:
        assert detected[rate[known] >= CERTAIN_RATE].all()
        snow = detected & ~(likely | (rate[known] >= CERTAIN_RATE))
        assert (rain.precip_phase.values[known][snow] == PHASES["solid"]).all()
    used = [k for k in this.card.match([str(n) for n in ds.channel.values]) if k is not None]
    possible = np.where((ds.tb >= 20) & (ds.tb <= 400), ds.tb, np.nan).astype(np.float32)
    gaps = known & np.isnan(fill_between_samples(possible)[..., used]).any(axis=-1)
    assert (flags[gaps] & MISSING > 0).all()


@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@given(ds=swaths(), name=st.sampled_from(MODELS), rows=st.integers(1, 30), order=st.randoms())
def test_chunks_threads_and_the_order_of_channels_change_nothing(ds, name, rows, order):
    import torch

    this = model(name)
    if any(p.startswith("error") for p in check(ds, this)):
        return
    rain = retrieve(ds, this)
    again = retrieve(ds, this)
    channels = list(range(ds.sizes["channel"]))
    order.shuffle(channels)
    others = [ds.chunk(scan=rows), ds.isel(channel=channels), ds.transpose("pixel", ...)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        others = [retrieve(o, this).compute() for o in others]
    finally:
        torch.set_num_threads(threads)
    for name_of, values in rain.data_vars.items():
        np.testing.assert_array_equal(again[name_of], values)
    for other in others:
        other = other.transpose("quantile", "scan", "pixel")
        np.testing.assert_array_equal(other.retrieval_quality, rain.retrieval_quality)
        for mean in ("surface_precip", "probability_of_precip"):
            np.testing.assert_allclose(other[mean], rain[mean], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["constellation-unet", "mhs-brain"])
def test_no_value_gives_no_rain_and_says_so(name):
    ds = fake_swath("MHS", 20, 10)
    ds["tb"] = ds.tb * np.nan
    rain = retrieve(ds, name)
    for values in (rain.surface_precip, rain.probability_of_precip, rain.surface_precip_quantile):
        assert np.isnan(values).all()
    assert (rain.precip_flag == -1).all()
    assert (rain.retrieval_quality & (NONE | MISSING) == NONE | MISSING).all()


def test_lost_channels_are_told_in_every_pixel():
    ds = fake_swath("GMI", 20, 12)
    names = [c.name for c in get_sensor("GMI").channels]
    for kept in (names[:-1], names[9:], names[:1]):
        for part in (ds.sel(channel=kept), ds.where(ds.channel.isin(kept))):
            rain = retrieve(part, "gmi-unet")
            assert (rain.retrieval_quality & MISSING > 0).all()
            assert any("channels" in r for r in check(part, "gmi-unet"))


def test_a_receiver_that_is_stuck_is_flagged_in_a_file(tmp_path):
    path = write_fake_l1c(tmp_path, "MHS", scans=60)
    stuck = np.zeros((60, 90), bool)
    stuck[20:40, :30] = True
    before = strange(path)
    with h5py.File(path, "r+") as file:
        file["S1/Tc"][20:40, :30, 2] = 243.21
    after = strange(path)
    assert not before[stuck].all()
    assert after[stuck].all()
    np.testing.assert_array_equal(after[~stuck], before[~stuck])


def strange(path: Path) -> np.ndarray:
    """Pixels (scan, pixel) of a file that the retrieval says to be unlike its training data."""
    with xr.open_dataset(path, engine="gpm-l1c") as ds:
        rain = ds.rain.retrieve("mhs-unet").transpose("scan", "pixel", ...)
    return (rain.retrieval_quality & RANGE > 0).values
