from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.demo import demo_granule
from xrain.errors import InputError
from xrain.evaluation.evaluate import evaluate
from xrain.evaluation.metrics import event_scores, rate_scores
from xrain.io.truth import open_truth
from xrain.testing import tiny_model


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return open_truth(demo_granule()).isel(scan=slice(80, 180), pixel=slice(40, 140))


@pytest.fixture(scope="module")
def rain() -> xr.Dataset:
    ds = xrain.open_l1c(demo_granule()).isel(scan=slice(80, 180), pixel=slice(40, 140))
    return xrain.retrieve(ds.load(), tiny_model())


def test_the_accessor_scores_the_demo_granule_against_its_truth(
    rain: xr.Dataset, truth: xr.Dataset
) -> None:
    scores = rain.rain.evaluate(truth, bootstrap=20)
    f, o = (d["surface_precip"].values.ravel() for d in (rain, truth))
    for name, value in rate_scores(f, o).items():
        assert scores[name].sel(stratum="all") == pytest.approx(float(value)), name
    flag = np.where(np.isfinite(f), rain["precip_flag"].values.ravel() == 1, np.nan)
    expected = event_scores(flag, np.where(np.isfinite(o), o >= 0.1, np.nan))
    assert scores["hss_flag"].sel(stratum="all") == pytest.approx(float(expected["hss"]))
    sea = truth["land_fraction"].values.ravel() < 0.01
    assert scores["n"].sel(stratum="ocean") == (np.isfinite(f + o) & sea).sum()
    assert scores["fss"].notnull().any()
    assert {"auc", "crps", "correlation_interval"} <= set(scores.data_vars)
    assert scores["n"].sel(stratum="JJA") == scores["n"].sel(stratum="all")


def test_a_lazy_retrieval_and_turned_dimensions_score_the_same(
    rain: xr.Dataset, truth: xr.Dataset
) -> None:
    expected = evaluate(rain, truth, bootstrap=0)
    for other in (rain.chunk(scan=30), rain.transpose("pixel", "scan", ...)):
        xr.testing.assert_allclose(evaluate(other, truth.transpose(), bootstrap=0), expected)


def test_a_truth_scores_itself_perfectly(truth: xr.Dataset) -> None:
    scores = evaluate(truth, truth, bootstrap=0)
    here = scores.sel(stratum="all")
    assert here["correlation"] == pytest.approx(1.0)
    assert (here["rmse"], here["far_flag"]) == (0.0, 0.0)
    assert here["csi"].values == pytest.approx(np.ones(3))
    assert scores["fss"].values == pytest.approx(np.ones((3, 4)))
    assert here["effective_resolution"] < 14.0  # two pixels


def test_a_table_of_pixels_is_scored_without_what_needs_neighbours(rain: xr.Dataset) -> None:
    table = rain.stack(sample=("scan", "pixel")).reset_index("sample").drop_vars(["scan", "pixel"])
    scores = evaluate(table, table, bootstrap=10)
    assert scores["correlation"].sel(stratum="all") == pytest.approx(1.0)
    assert scores["fss"].isnull().all()
    assert scores["effective_resolution"].isnull().all()


def test_other_pixels_are_refused(rain: xr.Dataset, truth: xr.Dataset) -> None:
    with pytest.raises(InputError, match="match it to the pixels"):
        evaluate(rain, truth.isel(scan=slice(10)))
    moved = truth.assign_coords(longitude=truth["longitude"] + 1.0)
    with pytest.raises(InputError, match="degrees away"):
        evaluate(rain, moved)
    turned = truth.assign_coords(longitude=truth["longitude"] + 360.0)
    assert evaluate(rain, turned, bootstrap=0)["n"].sel(stratum="all") > 0
    with pytest.raises(InputError, match="has no surface_precip"):
        evaluate(rain, truth.drop_vars("surface_precip"))
    with pytest.raises(InputError, match="retrieve rain first"):
        evaluate(rain.drop_vars("surface_precip"), truth)
    with pytest.raises(InputError, match=r"scores need \(scan, pixel\) or \(sample,\)"):
        evaluate(rain.rename(scan="y"), truth)


def test_a_rate_alone_is_enough(rain: xr.Dataset, truth: xr.Dataset) -> None:
    scores = evaluate(rain[["surface_precip"]], truth, bootstrap=0)
    detected = scores["csi"].sel(threshold=0.1)
    assert scores["csi_flag"].equals(detected.drop_vars("threshold"))
    likely = evaluate(rain[["surface_precip", "probability_of_precip"]], truth, bootstrap=0)
    flag = np.where(rain["probability_of_precip"] > 0.5, 1, 0)
    flagged = evaluate(rain.assign(precip_flag=rain["precip_flag"].copy(data=flag)), truth)
    np.testing.assert_array_equal(likely["csi_flag"], flagged["csi_flag"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (40, 1), (0, 30), (40, 30)])
def test_any_number_of_pixels_and_positions_by_axis_are_scored(shape: tuple[int, int]) -> None:
    """Positions along scan and pixel alone, as of a grid, mean those of every pixel."""
    rate = np.random.default_rng(0).gamma(0.5, 2.0, shape)
    lat, lon = np.linspace(0, 3, shape[0]), np.linspace(0, 2, shape[1])
    axes = xr.Dataset(
        {"surface_precip": (("scan", "pixel"), rate)},
        {"latitude": ("scan", lat), "longitude": ("pixel", lon)},
    )
    full = np.meshgrid(lat, lon, indexing="ij")
    whole = axes.drop_vars(["latitude", "longitude"]).assign_coords(
        latitude=(("scan", "pixel"), full[0]), longitude=(("scan", "pixel"), full[1])
    )
    by_axis, by_pixel = (evaluate(ds, whole, bootstrap=0) for ds in (axes, whole))
    xr.testing.assert_identical(by_axis, by_pixel)
    assert by_axis["n"].sel(stratum="all") == rate.size


def test_positions_of_other_pixels_are_refused() -> None:
    rate = xr.Dataset({"surface_precip": (("scan", "pixel"), np.ones((3, 4)))})
    wrong = rate.assign_coords(latitude=("other", np.zeros(5)), longitude=("other", np.zeros(5)))
    with pytest.raises(InputError, match="positions of the same pixels"):
        evaluate(wrong, rate)


def test_a_share_of_hardly_any_rain_is_not_told() -> None:
    """29 events say nothing of the relative bias, 30 may."""
    for events, told in ((29, False), (30, True)):
        rate = np.zeros((40, 30))
        rate.ravel()[:events] = 0.2
        truth = xr.Dataset({"surface_precip": (("scan", "pixel"), rate)})
        found = evaluate(truth + 5.0, truth, bootstrap=3)["relative_bias"].sel(stratum="all")
        assert np.isfinite(found) == told
