from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from xrain.errors import InputError
from xrain.evaluation.matchups import model_inputs
from xrain.evaluation.ood_test import CORRUPTIONS, corrupt, score_detection
from xrain.io.matchups import matched_days, open_matchups
from xrain.models.card import ModelCard
from xrain.models.outliers import (
    STUCK_SCANS,
    OutlierTest,
    choose_outlier_test,
    is_one_number,
    stuck_channels,
)
from xrain.models.store import Model
from xrain.retrieval.dataset import retrieve
from xrain.sensors import get_sensor
from xrain.testing import tiny_model
from xrain.training.outlier_test import fit_outlier_test

NAMES = [c.name for c in get_sensor("SSMI").channels][:4]
MEAN = np.array([200.0, 150.0, 240.0, 220.0])
SPREAD = np.array([[90.0, 80, 30, 0], [80, 120, 20, 0], [30, 20, 50, 10], [0, 0, 10, 60]])


def normal(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal(MEAN, SPREAD, n).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> dict:
    """One component: the limit of a chi-squared law is known."""
    return fit_outlier_test(normal(30_000), NAMES, components=1, share=0.01)


def test_one_component_is_the_mahalanobis_distance(known: dict) -> None:
    (part,) = known["components"]
    assert part["mean"] == pytest.approx(MEAN, abs=0.3)
    assert np.array(part["covariance"]) == pytest.approx(SPREAD + np.eye(4), abs=4.0)
    scale = np.trace(np.linalg.solve(SPREAD + np.eye(4), SPREAD)) / 4
    assert part["limit"] == pytest.approx(stats.chi2.isf(0.01, 4) * scale, rel=0.1)


def test_a_missing_channel_is_integrated_out_at_the_same_rarity(known: dict) -> None:
    x = normal(40_000, seed=1)
    outliers = OutlierTest.from_dict(known, NAMES)
    x[:, 2] = np.nan
    assert outliers.find(x).mean() == pytest.approx(0.01, abs=0.004)
    left = [0, 1, 3]
    centred = x[:, left] - MEAN[left]
    d2 = (centred * np.linalg.solve((SPREAD + np.eye(4))[np.ix_(left, left)], centred.T).T).sum(1)
    found = outliers.find(x)
    assert d2[found].min() > 0.9 * d2[~found].max()


def test_gaps_and_order_of_channels_and_shape_do_not_change_a_pixel(known: dict) -> None:
    x = normal(500, seed=2)
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    x[::7] += 60.0
    whole = OutlierTest.from_dict(known, NAMES).find(x)
    one_by_one = [bool(OutlierTest.from_dict(known, NAMES).find(row)) for row in x]
    assert whole.tolist() == one_by_one
    assert 0 < whole.sum() < 500
    turned = OutlierTest.from_dict(known, NAMES[::-1]).find(x[:, ::-1].reshape(50, 10, 4))
    assert turned.ravel().tolist() == one_by_one


def test_a_relation_between_channels_is_seen_though_each_is_usual(known: dict) -> None:
    odd = np.array([[216.0, 134.0, 240.0, 220.0]], np.float32)
    usual = np.array([[216.0, 166.0, 240.0, 220.0]], np.float32)
    outliers = OutlierTest.from_dict(known, NAMES)
    assert outliers.find(odd).all()
    assert not outliers.find(usual).any()


def test_two_clouds_are_not_one_and_between_them_is_strange() -> None:
    x = normal(4000)
    x[::2] += 80.0
    values = fit_outlier_test(x, NAMES, components=2, share=0.005)
    outliers = OutlierTest.from_dict(json.loads(json.dumps(values)), NAMES)
    assert outliers.find(x).mean() < 0.02
    assert outliers.find((MEAN + 40.0).astype(np.float32)[None]).all()


def test_too_few_channels_say_nothing(known: dict) -> None:
    x = np.full((3, 4), np.nan, np.float32)
    x[:, :2] = 9999.0
    assert not OutlierTest.from_dict(known, NAMES).find(x).any()
    assert choose_outlier_test({"SSMI": known}, NAMES[:2]) is None
    assert choose_outlier_test({}, NAMES) is None


def test_the_one_that_knows_most_channels_is_chosen(known: dict) -> None:
    three = fit_outlier_test(normal(3000)[:, :3], NAMES[:3], components=1)
    both = {"three": three, "four": known}
    assert choose_outlier_test(both, NAMES).fitted == 4
    assert choose_outlier_test(both, NAMES[:3]).fitted == 3


def test_bad_fits_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        fit_outlier_test(normal(100), NAMES[:3])
    with pytest.raises(InputError, match="at least"):
        fit_outlier_test(normal(100), NAMES)


def test_one_number_in_four_channels_is_no_weather() -> None:
    tb = np.array(
        [[250, 250, 250, 250], [250, 250, 250, np.nan], [np.nan] * 4, [250, 250, 250, 251]],
        np.float32,
    )
    assert is_one_number(tb).tolist() == [True, False, False, False]
    five = np.insert(tb, 0, np.nan, axis=1)
    assert is_one_number(five).tolist() == [True, False, False, False]
    assert not is_one_number(tb[:, :3]).any()


def test_a_stuck_channel_is_found_where_it_is_stuck() -> None:
    tb = np.random.default_rng(0).normal(250, 0.3, (60, 4, 3)).astype(np.float32).round(2)
    tb[5 : 5 + STUCK_SCANS, 1, 2] = 201.5
    tb[20 : 20 + STUCK_SCANS - 1, 2, 0] = 201.5  # one scan too few
    tb[30:60, 3, 1] = 180.0
    tb[44, 3, 1] = np.nan  # a gap ends a run
    expected = np.zeros(tb.shape, bool)
    expected[5 : 5 + STUCK_SCANS, 1, 2] = True
    expected[30:44, 3, 1] = expected[45:60, 3, 1] = True
    assert np.array_equal(stuck_channels(tb), expected)
    assert np.array_equal(stuck_channels(tb[::-1]), expected[::-1])
    assert not stuck_channels(tb[30:41]).any()


def test_a_part_with_enough_scans_around_it_finds_what_the_whole_does() -> None:
    rng = np.random.default_rng(1)
    tb = rng.integers(200, 202, (300, 3, 2)).astype(np.float32)
    tb[rng.random(tb.shape) < 0.7] = 200.0
    whole, reach = stuck_channels(tb), STUCK_SCANS - 1
    assert 0.1 < whole.mean() < 0.9
    part = stuck_channels(tb[100 - reach : 180 + reach])[reach:-reach]
    assert np.array_equal(part, whole[100:180])


def test_a_card_carries_the_test_and_the_retrieval_heeds_it(known: dict) -> None:
    tiny = tiny_model(prior=(0.5, 0.3, 0.2))
    tiny = Model(dataclasses.replace(tiny.card, ranges={}), tiny.network)
    card = ModelCard.from_json(dataclasses.replace(tiny.card, outliers={"SSMI": known}).to_json())
    assert card.outliers == {"SSMI": known}
    tb = normal(250, seed=3)
    tb[200:, 2] += 60.0
    ds = xr.Dataset({"tb": (("sample", "channel"), tb)}, {"channel": NAMES}, {"sensor": "SSMI"})
    found = retrieve(ds, Model(card, tiny.network))
    without = retrieve(ds, tiny)
    strange = (found["retrieval_quality"].values & 2) > 0
    assert strange[:200].mean() < 0.05
    assert strange[200:].all()
    assert not (without["retrieval_quality"].values & 2).any()
    assert found["surface_precip"].equals(without["surface_precip"])
    wide = found["surface_precip_quantile"].diff("quantile").sum("quantile")
    narrow = without["surface_precip_quantile"].diff("quantile").sum("quantile")
    assert (wide.values[strange] != narrow.values[strange]).any()
    assert wide.values[~strange] == pytest.approx(narrow.values[~strange])


# ---- on real pixels


def test_every_corruption_changes_what_it_says() -> None:
    names = [c.name for c in get_sensor("GMI").channels]
    tb = np.random.default_rng(0).uniform(150, 280, (40, 13)).astype(np.float32)
    ds = xr.Dataset({"tb": (("sample", "channel"), tb)}, {"channel": names})
    swapped = corrupt(ds, "swapped_polarizations")["tb"]
    assert np.array_equal(swapped.sel(channel="89.0V"), ds["tb"].sel(channel="89.0H"))
    assert np.array_equal(swapped.sel(channel="183.31+-3V"), ds["tb"].sel(channel="183.31+-3V"))
    assert (corrupt(ds, "zero")["tb"] == 0).all()
    assert np.ptp(corrupt(ds, "constant")["tb"].values, axis=1).max() == 0
    risen = (corrupt(ds, "interference")["tb"] - ds["tb"]).values
    assert np.allclose(risen[:, :2], 50, atol=1e-4)
    assert (risen[:, 2:] == 0).all()
    off = np.abs((corrupt(ds, "one_channel_off")["tb"] - ds["tb"]).values)
    assert np.allclose(np.sort(off, axis=1)[:, -2:], [0, 30], atol=1e-4)
    for kind in ("rolled_channels", "shuffled_channels"):
        moved = corrupt(ds, kind)["tb"].values
        assert np.array_equal(np.sort(moved, axis=1), np.sort(tb, axis=1))
        assert not np.array_equal(moved, tb)
    assert (corrupt(ds, "noise")["tb"] - ds["tb"]).values.std() == pytest.approx(20, rel=0.1)
    with pytest.raises(InputError, match="no way to spoil"):
        corrupt(ds, "magic")


def test_spoilt_real_pixels_are_noticed_and_good_ones_left_alone(data_dir: Path) -> None:
    """Fitted to the even days of real pixels, asked about the odd ones."""
    files = sorted((data_dir / "matchups").glob("gmi_*.nc"))
    tables = [open_matchups(f) for f in files]
    even = [ds["tb"].values[matched_days(ds) % 2 == 0] for ds in tables]
    names = [str(n) for n in tables[0]["channel"].values]
    outliers = fit_outlier_test(np.concatenate(even), names)
    tiny = tiny_model(prior=(0.9, 0.07, 0.03))
    card = dataclasses.replace(tiny.card, ranges={}, outliers={"GMI": outliers})
    model = Model(card, tiny.network)
    ds = next(t for t, f in zip(tables, files, strict=True) if f.name == "gmi_dpr_phase.nc")
    found = score_detection(ds.isel(sample=matched_days(ds) % 2 == 1), model)
    assert set(found) == {"model", "false_alarms", *CORRUPTIONS}
    assert found["false_alarms"]["all"] < 0.015
    for kind in (
        "rolled_channels",
        "shuffled_channels",
        "interference",
        "noise",
        "constant",
        "zero",
    ):
        assert found[kind]["all"] > 0.95, kind
        assert found[kind]["ocean"] > 0.95, kind
    assert found["swapped_polarizations"]["ocean"] > 0.95
    assert found["one_channel_off"]["all"] > 0.9
    few = score_detection(ds, model, channels=["ssmi"])
    assert few["false_alarms"]["all"] < 0.015
    assert few["noise"]["all"] > 0.9
    assert "interference" not in few  # there is no 10 GHz to spoil
    assert model_inputs(ds).sizes == {"sample": 6180, "channel": 13}
