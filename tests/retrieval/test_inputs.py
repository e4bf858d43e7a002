"""What datasets of other tools look like, and values that are none."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import InputError, ModelError
from xrain.models.store import Model
from xrain.retrieval.dataset import check, retrieve, retrieve_both
from xrain.testing import fake_swath, tiny_model, tiny_rate, write_fake_l1c

MISSING, RANGE, LOST, EDGE, ASSUMED, NONE, SUSPECT = QUALITY_FLAGS.values()
FILLS = (-9999.9, -999.0, -99.0, -80.0, 0.0, 19.0, 401.0, 655.35, 65535.0, 1e20, 9.96921e36, np.inf)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model("GMI", seed=1)


@pytest.fixture
def gmi() -> xr.Dataset:
    return fake_swath("GMI", 40, 30)


# ---- temperatures


@pytest.mark.parametrize("fill", FILLS)
def test_what_cannot_be_a_temperature_is_missing(gmi, model, fill):
    spoilt, gap = gmi.copy(deep=True), gmi.copy(deep=True)
    spoilt.tb[20, 15, [3, 7]] = fill
    gap.tb[20, 15, [3, 7]] = np.nan
    expected = retrieve(gap, model)
    for ds in (spoilt, spoilt.chunk(scan=11)):
        rain = retrieve(ds, model)
        for name in expected.data_vars:
            np.testing.assert_array_equal(rain[name], expected[name])
    assert expected.retrieval_quality[20, 15] & MISSING
    assert np.isfinite(expected.surface_precip).all()


def test_a_table_of_pixels_knows_no_impossible_temperature_either(model):
    ds = fake_swath("GMI", 10, 10).stack(sample=("scan", "pixel")).reset_index("sample")
    ds = ds.transpose("sample", ...)
    spoilt, gap = ds.copy(deep=True), ds.copy(deep=True)
    spoilt.tb[4, 2], gap.tb[4, 2] = 65535.0, np.nan
    np.testing.assert_array_equal(
        retrieve(spoilt, model).surface_precip, retrieve(gap, model).surface_precip
    )


def test_integers_in_hundredths_are_refused(gmi, model):
    with pytest.raises(ModelError, match="brightness temperatures in K lie between"):
        retrieve(gmi.assign(tb=(gmi.tb * 100).astype("i4")), model)


def celsius(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(tb=ds.tb - 273.15)


def test_celsius_is_refused_or_missing_in_every_pixel(gmi, model):
    with pytest.raises(ModelError, match="in K lie between"):
        retrieve(celsius(gmi), model)
    lazy = celsius(gmi).chunk(scan=10)
    rain = retrieve(lazy, model)
    assert np.isnan(rain.surface_precip).all()
    assert (rain.retrieval_quality & NONE > 0).all()
    (problem,) = check(lazy, model)
    assert problem.startswith("error: tb lies between")


def test_a_file_of_fills_is_a_valid_and_empty_input(gmi, model):
    for fill in (-9999.9, 0.0):
        rain = retrieve(gmi.assign(tb=gmi.tb * 0 + fill), model)
        assert np.isnan(rain.surface_precip).all()
    odd = np.arange(40)[:, None, None] % 2
    both = gmi.assign(tb=xr.where(odd, -99.0, gmi.tb * 0 - 9999.9))
    assert np.isnan(retrieve(both, model).surface_precip).all()


@pytest.mark.parametrize("unit", ["K", "kelvin", "Kelvin", "kelvins", "deg_K", "degrees Kelvin"])
def test_kelvin_is_kelvin(gmi, model, unit):
    gmi["tb"].attrs["units"] = unit
    assert check(gmi, model) == []


# ---- names


def test_positions_and_times_that_are_plain_variables_are_kept(gmi, model):
    plain = gmi.reset_coords(["latitude", "longitude", "time", "earth_incidence_angle"])
    xr.testing.assert_equal(retrieve(plain, model), retrieve(gmi, model))
    renamed = plain.rename(latitude="lat", longitude="lon", earth_incidence_angle="incidence_angle")
    xr.testing.assert_equal(retrieve(renamed, model), retrieve(gmi, model))
    assert check(renamed, model) == []
    assert "latitude" not in renamed


@pytest.mark.parametrize("name", [{"gmi"}, np.str_("GMI"), np.array(["GMI"]), ["GMI"], b"GMI"])
def test_a_sensor_is_named_in_any_kind_of_text(gmi, model, name):
    rain = retrieve(gmi.assign_attrs(sensor=name), model)
    assert type(rain.attrs["sensor"]) is str
    assert not (rain.retrieval_quality & ASSUMED).any()


# ---- what check sees


def test_check_sees_what_is_missing_in_the_values(gmi, model):
    assert check(gmi.where(gmi.channel != "36.64V"), model) == [
        "channels without any value: 36.64V"
    ]
    gmi.tb[:10, :, 0] = np.nan
    gmi.tb[3, 3, 1] = 9e36
    gmi.latitude[:4] = -9999.9
    remarks = check(gmi, model)
    assert remarks[0] == "missing brightness temperatures: 10.65V 25 %, 10.65H under 1 %"
    assert "outside 20 to 400 K" in remarks[1]
    assert remarks[2].startswith("10 % of the pixels have no valid position")


def test_check_sees_an_empty_granule_in_memory_and_in_chunks(tmp_path, model):
    path = write_fake_l1c(tmp_path / "a.HDF5", "GMI", scans=40, missing="tb")
    for chunks in (None, {}):
        remarks = check(xrain.open_l1c(path, chunks=chunks), model)
        assert any("no pixel has a brightness temperature" in r for r in remarks)


# ---- arguments


def test_one_run_gives_both_conditions(gmi, model):
    free, wet = retrieve_both(gmi, model)
    for found, given in ((free, False), (wet, True)):
        expected = retrieve(gmi, model, given_rain=given)
        for name in expected.data_vars:
            np.testing.assert_array_equal(found[name], expected[name])
            assert found[name].attrs == expected[name].attrs
    lazy = retrieve_both(gmi.chunk(scan=11), model)
    for found, expected in zip(lazy, (free, wet), strict=True):
        for name in expected.data_vars:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
            assert found[name].dtype == expected[name].dtype


def test_a_prior_is_a_number_or_a_field(gmi):
    model = tiny_model("GMI", seed=1, prior=(0.9, 0.06, 0.04))
    assert model.card.prevalence == pytest.approx(0.1)
    own, same, high = (retrieve(gmi, model, prior=p) for p in (None, 0.1, 0.6))
    np.testing.assert_allclose(same.surface_precip, own.surface_precip, rtol=1e-4)
    assert (high.probability_of_precip > own.probability_of_precip).any()
    field = xr.DataArray(np.full((30, 40), 0.6), dims=("pixel", "scan"))
    by_scan = xr.DataArray(np.full(40, 0.6), dims="scan")
    for prior in (field, by_scan, field.chunk(scan=9), np.full((40, 30), 0.6)):
        for ds in (gmi, gmi.chunk(scan=13)):
            found = retrieve(ds, model, prior=prior)
            np.testing.assert_allclose(found.surface_precip, high.surface_precip, atol=1e-5)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1, np.nan, np.full((40, 30), 2.0), np.ones(3)])
def test_a_prior_that_is_no_frequency_is_told(gmi, model, prior):
    with pytest.raises(InputError, match="prior"):
        retrieve(gmi, model, prior=prior)


def test_a_prior_of_other_dimensions_is_told(gmi, model):
    with pytest.raises(InputError, match="prior has the dimensions"):
        retrieve(gmi, model, prior=xr.DataArray(np.full(3, 0.5), dims="month"))


def test_chunks_of_unknown_length_are_told(gmi, model):
    mask = da.from_array(np.arange(40) % 3 > 0, chunks=20)
    tb = gmi.chunk(scan=20).tb.data[mask]
    ds = xr.Dataset({"tb": (("scan", "pixel", "channel"), tb)}, {"channel": gmi.channel.values})
    with pytest.raises(InputError, match="compute_chunk_sizes"):
        retrieve(ds, model)


def test_lazy_rain_of_several_granules_goes_to_zarr(tmp_path):
    pytest.importorskip("zarr")
    first = fake_swath("MHS", 700, 5)
    later = first.assign_coords(time=first.time + np.timedelta64(90, "m"))
    ds = xr.concat([first.chunk(scan=520), later.chunk(scan=520)], "scan")
    rain = retrieve(ds, tiny_model("MHS", seed=1))
    rain.to_zarr(tmp_path / "rain.zarr")
    back = xr.open_zarr(tmp_path / "rain.zarr")
    eager = retrieve(ds.load(), tiny_model("MHS", seed=1))
    np.testing.assert_allclose(back.surface_precip, eager.surface_precip, atol=1e-4)
    np.testing.assert_array_equal(back.retrieval_quality, eager.retrieval_quality)


def test_the_formula_holds_whatever_the_names(gmi):
    rain = retrieve(gmi.rename(tb="Tc"), tiny_model("GMI"))
    np.testing.assert_allclose(rain.surface_precip, tiny_rate(gmi.tb.values), atol=1e-4)
