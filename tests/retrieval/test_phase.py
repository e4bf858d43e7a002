"""Rain or snow: consistent planes, every way of cutting, what is missing, files, reality."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from satpy import Scene

import xrain
from xrain.conventions import ANCILLARY, PHASES
from xrain.errors import ModelError
from xrain.models.phase import FoldedPhase, load_phase
from xrain.models.store import PHASE_MODEL, load_model
from xrain.sensors import get_sensor, list_sensors
from xrain.sensors.nearest import stand_ins
from xrain.testing import fake_swath, tiny_model, write_fake_l1c

DATA = Path(os.environ.get("XRAIN_TEST_DATA", "../shared/data")) / "matchups"
PLANES = ("precip_phase", "probability_of_snow", "snowfall_rate", "precip_flag")
SOLID, LIQUID, NONE = (PHASES[n] for n in ("solid", "liquid", "no_precipitation"))


@pytest.fixture(scope="module")
def gmi() -> xr.Dataset:
    return fake_swath("GMI", 40, 24, seed=3)


@pytest.fixture(scope="module")
def snowy() -> xr.Dataset:
    """Matched pixels of the kind that snow has."""
    rng = np.random.default_rng(0)
    mean = np.array([165, 90, 190, 115, 200, 215, 160, 235, 215, 225, 220, 235, 230.0])
    tb = (mean + rng.normal(0, 12, (400, 13))).astype(np.float32)
    names = [c.name for c in get_sensor("GMI").channels]
    where = {"latitude": rng.uniform(40, 66, 400), "longitude": rng.uniform(-180, 180, 400)}
    coords = {n: ("sample", v) for n, v in where.items()}
    tb_of = (("sample", "channel"), tb)
    return xr.Dataset({"tb": tb_of}, {"channel": names, **coords}, {"sensor": "GMI"})


def with_air(ds: xr.Dataset, temperature: float) -> xr.Dataset:
    dims = ds["tb"].dims[:-1]
    full = np.full([ds.sizes[d] for d in dims], temperature, np.float32)
    return ds.assign(air_temperature_2m=(dims, full, {"units": "K"}))


def test_the_planes_agree(gmi, snowy):
    for ds in (gmi, snowy, with_air(snowy, 268.0)):
        rain = xrain.retrieve(ds)
        wet = rain.precip_flag.values == 1
        phase, snow = rain.precip_phase.values, rain.probability_of_snow.values
        assert (phase[~wet] == NONE).all()
        assert np.isin(phase[wet], (SOLID, LIQUID)).all()
        assert (phase[wet & (snow < 0.5)] == LIQUID).all()
        assert ((snow >= 0) & (snow <= 1)).all()
        low, high = load_phase().card.rates
        assert (rain.snowfall_rate.values >= low * 0.999).all()
        assert (rain.snowfall_rate.values <= high * 1.001).all()


def test_temperature_decides(snowy):
    said = [xrain.retrieve(with_air(snowy, t)).probability_of_snow for t in (262.0, 274.0, 288.0)]
    means = [float(p.mean()) for p in said]
    assert means[0] > means[1] > means[2]
    assert means[0] > means[2] + 0.15


def test_rain_itself_does_not_change(snowy):
    a, b = xrain.retrieve(snowy), xrain.retrieve(with_air(snowy, 262.0))
    for name in ("surface_precip", "surface_precip_quantile", "probability_of_precip"):
        xr.testing.assert_identical(a[name], b[name])


def test_a_prior_moves_what_is_detected(snowy):
    found = [
        int((xrain.retrieve(snowy, prior=p).precip_phase == SOLID).sum()) for p in (0.02, 0.5, 0.9)
    ]
    assert found[0] <= found[1] <= found[2]
    assert found[0] < found[2]
    each = xrain.retrieve(snowy, prior=np.full(400, 0.5))
    one = xrain.retrieve(snowy, prior=0.5)
    for name in PLANES:
        xr.testing.assert_allclose(each[name], one[name])
    unknown = xrain.retrieve(snowy, prior=np.full(400, np.nan))
    assert np.isfinite(unknown.probability_of_snow).all()


@pytest.mark.parametrize("scans", [7, 16, 40])
def test_chunks_do_not_show(gmi, scans):
    ds = with_air(gmi, 272.0)
    eager, lazy = xrain.retrieve(ds), xrain.retrieve(ds.chunk(scan=scans))
    for name in PLANES:
        assert lazy[name].chunks is not None
        xr.testing.assert_allclose(eager[name], lazy[name].compute(), atol=1e-5)


@pytest.mark.parametrize("sensor", list_sensors())
def test_every_sensor_has_a_phase(sensor):
    rain = xrain.retrieve(fake_swath(sensor, 12, 14), tiny_model(sensor))
    assert np.isfinite(rain.probability_of_snow).all()
    places = stand_ins(get_sensor(sensor).channels, load_phase().card.inputs)
    used = [i for i in places if i is not None]
    assert len(used) == len(set(used)) >= 2


def test_sounders_stand_for_the_nearest_channels():
    names = [c.name for c in load_phase().card.inputs]
    mhs = [c.name for c in get_sensor("MHS").channels]
    places = stand_ins(get_sensor("MHS").channels, load_phase().card.inputs)
    found = {names[k]: mhs[i] for k, i in enumerate(places) if i is not None}
    assert found == {
        "89.0V": "89.0QV", "166.0V": "157.0QV", "183.31+-3V": "183.31+-3QH",
        "183.31+-7V": "190.31QV",
    }  # fmt: skip


# ---- what is missing


def test_missing_channels(snowy):
    whole = xrain.retrieve(snowy).probability_of_snow
    few = xrain.retrieve(snowy.sel(channel=["89.0V", "166.0V"])).probability_of_snow
    gone = snowy.where(snowy.channel.isin(["89.0V", "166.0V"]))
    masked = xrain.retrieve(gone).probability_of_snow
    np.testing.assert_allclose(few, masked, atol=1e-4)
    assert float(abs(few - whole).max()) > 0.05


def test_where_nothing_is_known_nothing_is_said(gmi):
    ds = gmi.copy(deep=True)
    ds.tb[5, 7] = np.nan
    ds.latitude[6, 8] = -9999.0
    rain = xrain.retrieve(ds)
    for scan, pixel in ((5, 7), (6, 8)):
        at = rain.isel(scan=scan, pixel=pixel)
        assert np.isnan(at.probability_of_snow)
        assert np.isnan(at.snowfall_rate)
        assert int(at.precip_phase) == int(at.precip_flag) == -1


def test_the_folded_network_is_the_network():
    model = load_phase().network
    import torch

    count = model.config.inputs
    rng = np.random.default_rng(1)
    spread = model.offset + model.scale * torch.as_tensor(rng.normal(size=(50, count)).astype("f4"))
    present = [*range(14), 15]
    inputs = spread[:, present].clone()
    inputs[::3, 2] = np.nan
    whole = torch.full((50, count), np.nan)
    whole[:, present] = inputs
    for rows in (slice(None), slice(1, 2)):  # with gaps and without
        a, b = model(whole[rows]), FoldedPhase(model, present)(inputs[rows])
        torch.testing.assert_close(a.logits, b.logits, atol=2e-3, rtol=0)
        torch.testing.assert_close(a.log_snowfall, b.log_snowfall, atol=2e-3, rtol=0)


def test_the_phase_is_no_model_of_rain(gmi):
    assert PHASE_MODEL not in xrain.list_models()
    with pytest.raises(ModelError, match="tells rain from snow"):
        load_model(PHASE_MODEL)
    with pytest.raises(ModelError, match="does not tell the phase"):
        load_phase("gmi-unet")


# ---- files and other doors


def test_files_are_read_as_they_were_written(snowy, gmi, tmp_path):
    rain = xrain.retrieve(gmi)
    rain["precip_phase"][:2] = SOLID
    path = xrain.write_rain(rain, tmp_path / "a.rain.nc")
    with xr.open_dataset(path, engine="netcdf4", mask_and_scale=False) as raw:
        assert raw.precip_phase.dtype == np.int8
        assert raw.precip_phase.attrs["_FillValue"] == -1
        assert raw.precip_phase.attrs["flag_meanings"] == "solid mixed liquid no_precipitation"
        np.testing.assert_array_equal(raw.precip_phase, rain.precip_phase)
    scene = Scene([str(path)], reader="xrain_rain")
    scene.load(["precip_phase", "probability_of_snow", "snowfall_rate"])
    np.testing.assert_array_equal(scene["precip_phase"], rain.precip_phase)
    assert scene["precip_phase"].dtype == np.int8
    np.testing.assert_allclose(scene["probability_of_snow"], rain.probability_of_snow, atol=1e-6)


def test_satpy_and_the_dataset_agree(tmp_path):
    granule = write_fake_l1c(tmp_path, "gmi", scans=30)
    with xrain.open_l1c(granule) as ds:
        rain = xrain.retrieve(ds.load())
    scene = Scene([str(granule)], reader="gpm_l1c")
    names = ["precip_phase", "probability_of_snow", "snowfall_rate"]
    scene.load(names)
    for name in names:
        np.testing.assert_allclose(scene[name].values, rain[name].values, atol=1e-5)
    assert "flag_values" in scene["precip_phase"].attrs
    picture = scene["precip_phase"].copy()
    picture[:3] = SOLID
    from satpy.enhancements.enhancer import get_enhanced_image

    colours = get_enhanced_image(picture).data
    assert colours.sizes["bands"] == 3


# ---- reality


@pytest.mark.skipif(not DATA.is_dir(), reason="no matched pixels: set XRAIN_TEST_DATA")
def test_real_pixels():
    """Skill on the pixels from which it learned: a lower bound, not a score."""
    with xr.open_dataset(DATA / "gmi_dpr_phase.nc", engine="h5netcdf") as ds:
        ds = ds.load().assign_attrs(sensor="GMI")
    wet = ds.phase.values > 0
    alone = ds.drop_vars(["t2m", "skin_temperature", "total_column_water_vapour"])
    right = []
    for part in (alone, ds):
        snow = xrain.retrieve(part).probability_of_snow.values > 0.5
        right.append(float((snow == (ds.phase.values == 2))[wet].mean()))
    assert right[0] > 0.92
    assert right[1] > right[0]
    assert all(n not in ANCILLARY for n in alone.variables)
