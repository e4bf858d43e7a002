"""Scores from sums are those of the pixels themselves, however the pixels were cut up."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scores.spatial import fss_2d_single_field

from xrain.evaluation import metrics
from xrain.evaluation.resolution import effective_resolution, swath_spectra
from xrain.evaluation.score_sums import SCALES, Estimate, ScoreSums, sum_scores
from xrain.evaluation.scores import SCORE_NAMES, scores_from_sums
from xrain.evaluation.strata import STRATA, strata_names

LEVELS = tuple(np.round(np.arange(0.025, 1, 0.05), 3))


def storm(count: int, seed: int = 0) -> tuple[Estimate, np.ndarray, xr.Dataset]:
    """Pixels of which a third rain, exponentially, as a calibrated forecast expects."""
    rng = np.random.default_rng(seed)
    p, scale = rng.beta(0.4, 0.8, count), rng.gamma(2.0, 1.5, count) + 0.3
    wet = rng.random(count) < p
    truth = np.where(wet, 0.1 + rng.exponential(scale), 0.0)
    quantiles = {}
    for level in LEVELS:  # of dry with 1 − p, else 0.1 mm/h and an exponential rate
        share = np.clip((level - (1 - p)) / p, 0, None)
        quantiles[level] = np.where(level > 1 - p, 0.1 + stats.expon.ppf(share, scale=scale), 0.0)
    estimate = Estimate(p * (0.1 + scale), (p > 0.4).astype(float), p, quantiles)
    place = xr.Dataset(
        coords={
            "latitude": ("sample", rng.uniform(-89, 89, count)),
            "longitude": ("sample", rng.uniform(-180, 180, count)),
            "time": (
                "sample",
                np.datetime64("2020-01-15", "ns")
                + rng.integers(0, 360, count) * np.timedelta64(1, "D"),
            ),
        }
    )
    return estimate, truth, place


def part(whole: tuple[Estimate, np.ndarray, xr.Dataset], rows: slice) -> ScoreSums:
    estimate, truth, place = whole
    cut = Estimate(
        estimate.rate[rows],
        estimate.flag[rows],
        None if estimate.probability is None else estimate.probability[rows],
        {k: v[rows] for k, v in estimate.quantiles.items()},
    )
    return sum_scores(cut, truth[rows], place.isel(sample=rows))


@pytest.fixture(scope="module")
def whole() -> tuple[Estimate, np.ndarray, xr.Dataset]:
    return storm(8_000)


@pytest.fixture(scope="module")
def scores(whole: tuple[Estimate, np.ndarray, xr.Dataset]) -> xr.Dataset:
    return scores_from_sums(part(whole, slice(None)))


def test_merged_parts_give_what_all_at_once_gives(
    whole: tuple[Estimate, np.ndarray, xr.Dataset], scores: xr.Dataset
) -> None:
    cuts = [0, 1, 3000, 3001, 4567, 8_000]
    merged = part(whole, slice(cuts[0], cuts[1]))
    for a, b in pairwise(cuts[1:]):
        merged = merged.merge(part(whole, slice(a, b)))
    found = scores_from_sums(merged, bootstrap=0)
    expected = scores[list(found.data_vars)]
    xr.testing.assert_allclose(found.drop_attrs(), expected.drop_attrs(), rtol=1e-9)


def test_sums_give_the_scores_of_the_pixels(
    whole: tuple[Estimate, np.ndarray, xr.Dataset], scores: xr.Dataset
) -> None:
    estimate, truth, place = whole
    event = (truth >= 0.1).astype(float)
    tropics = np.abs(place["latitude"].values) < 20
    for stratum, at in (("all", slice(None)), ("latitude 0-20", tropics)):
        here = scores.sel(stratum=stratum)
        for name, value in metrics.rate_scores(estimate.rate[at], truth[at]).items():
            assert here[name] == pytest.approx(float(value)), name
        for threshold in (0.1, 1.0):
            told = (estimate.rate >= threshold).astype(float)[at]
            for name, value in metrics.event_scores(told, truth[at] >= threshold).items():
                assert here[name].sel(threshold=threshold) == pytest.approx(float(value)), name
        for name, value in metrics.event_scores(estimate.flag[at], event[at]).items():
            assert here[f"{name}_flag"] == pytest.approx(float(value)), name
        exact = metrics.probability_scores(estimate.probability[at], event[at])
        assert here["brier"] == pytest.approx(float(exact["brier"]))
        assert here["auc"] == pytest.approx(float(exact["auc"]), abs=2e-3)
        p, happened = estimate.probability[at], event[at]
        good = np.isfinite(p + truth[at])
        tenths = [good & (np.clip((p * 10).astype(int), 0, 9) == k) for k in range(10)]
        assert here["event_frequency"].values == pytest.approx([happened[t].mean() for t in tenths])
        assert here["forecast_probability"].values == pytest.approx([p[t].mean() for t in tenths])
        assert here["forecast_count"].values == pytest.approx([t.sum() for t in tenths])


def test_strata_share_the_pixels_out(scores: xr.Dataset) -> None:
    for kind, names in STRATA.items():
        plain = kind in ("all", "surface", "season")
        labels = [n if plain else f"{kind} {n}" for n in names]
        assert scores["n"].sel(stratum=labels).sum() == 8_000, kind
        assert (scores["n"].sel(stratum=labels) > 0).all(), kind
    assert list(scores["stratum"].values) == strata_names()


def test_the_crps_is_the_integral_over_the_distribution(scores: xr.Dataset) -> None:
    """Against an ensemble drawn from the forecasts: E|X − y| − ½ E|X − X'|."""
    estimate, truth, _ = storm(8_000)
    u = np.random.default_rng(5).random((2, 60, truth.size))
    p = np.asarray(estimate.probability)
    scale = estimate.rate / p - 0.1
    share = np.clip((u - (1 - p)) / p, 0, 1 - 1e-12)
    x = np.where(u > 1 - p, 0.1 + stats.expon.ppf(share, scale=scale), 0.0)
    expected = np.abs(x - truth).mean() - 0.5 * np.abs(x[0] - x[1]).mean()
    assert scores["crps"].sel(stratum="all") == pytest.approx(expected, rel=0.03)


def test_calibrated_quantiles_cover_as_their_level_says(scores: xr.Dataset) -> None:
    covered = scores["quantile_coverage"].sel(stratum="all")
    levels = covered["quantile"].values
    assert covered.values[levels > 0.5] == pytest.approx(levels[levels > 0.5], abs=0.04)


def test_intervals_hold_the_score_and_shrink_with_more_groups(
    whole: tuple[Estimate, np.ndarray, xr.Dataset], scores: xr.Dataset
) -> None:
    for name in ("correlation", "bias", "hss_flag", "auc", "crps"):
        low, high = scores[f"{name}_interval"].sel(stratum="all").values
        assert low < scores[name].sel(stratum="all") < high, name
    few = scores_from_sums(part(whole, slice(0, 2500)))
    widths = [np.ptp(s["correlation_interval"].sel(stratum="all").values) for s in (scores, few)]
    assert widths[0] < widths[1]
    assert scores.attrs["group"] == "stretch of scans"
    again = scores_from_sums(part(whole, slice(None)))
    assert again["auc_interval"].equals(scores["auc_interval"])
    assert scores_from_sums(part(whole, slice(None)), seed=1)["auc_interval"].equals(
        scores["auc_interval"]
    ) is False  # fmt: skip


def test_every_score_says_what_it_is(scores: xr.Dataset) -> None:
    assert set(scores.data_vars) == set(SCORE_NAMES) | {
        n for n in scores.data_vars if str(n).endswith("_interval")
    }
    assert all(v.attrs["long_name"] and v.attrs["units"] for v in scores.data_vars.values())


def test_what_an_estimate_lacks_is_left_out(
    whole: tuple[Estimate, np.ndarray, xr.Dataset],
) -> None:
    estimate, truth, place = whole
    bare = dataclasses.replace(estimate, probability=None, quantiles={})
    found = scores_from_sums(sum_scores(bare, truth, place))
    assert not {"auc", "brier", "crps", "quantile_coverage"} & set(found.data_vars)
    assert "correlation_interval" in found
    with pytest.raises(ValueError, match="different"):
        sum_scores(bare, truth, place).merge(sum_scores(estimate, truth, place))


def test_nothing_known_is_nan_not_an_error(whole: tuple[Estimate, np.ndarray, xr.Dataset]) -> None:
    estimate, truth, place = whole
    found = scores_from_sums(sum_scores(estimate, np.full(truth.shape, np.nan), place))
    assert (found["n"] == 0).all()
    for name in ("correlation", "rmse", "hss_flag", "auc", "crps", "quantile_coverage"):
        assert found[name].isnull().all(), name


# ---- swaths


@pytest.fixture(scope="module")
def swath() -> tuple[np.ndarray, np.ndarray, xr.Dataset]:
    """A field and its truth on 5 × 5 km."""
    rng = np.random.default_rng(7)
    rows, columns = np.meshgrid(np.arange(160), np.arange(96), indexing="ij")
    k = np.hypot(np.fft.fftfreq(160)[:, None], np.fft.fftfreq(96)[None, :])
    smooth = np.fft.ifft2(np.fft.fft2(rng.normal(size=rows.shape)) / (k + 0.02) ** 1.5).real
    truth = np.clip(smooth / smooth.std(), 0, None) * 4
    step = np.degrees(5.0 / 6371.0)
    place = xr.Dataset(
        coords={
            "latitude": (("scan", "pixel"), (rows - 80) * step),
            "longitude": (("scan", "pixel"), (columns - 48) * step - 30.0),
            "time": ("scan", np.datetime64("2020-07-01", "ns") + np.arange(160)),
        }
    )
    return np.roll(truth, 4, axis=0), truth, place


def test_fractions_skill_score_is_that_of_the_package(
    swath: tuple[np.ndarray, np.ndarray, xr.Dataset],
) -> None:
    rate, truth, place = swath
    found = scores_from_sums(sum_scores(Estimate(rate, rate > 0.1, None, {}), truth, place))
    for scale in SCALES:
        window = (round(scale / 5), round(scale / 5))
        for threshold in (0.1, 1.0):
            expected = fss_2d_single_field(
                rate, truth, event_threshold=threshold, window_size=window,
                threshold_operator=np.greater_equal,
            )  # fmt: skip
            here = found["fss"].sel(scale=scale, threshold=threshold)
            assert here == pytest.approx(expected, abs=1e-9)
    assert (found["fss"].sel(threshold=0.1).diff("scale") > 0).all()


def test_spectra_of_two_granules_add_up(
    swath: tuple[np.ndarray, np.ndarray, xr.Dataset],
) -> None:
    rate, truth, place = swath
    estimate = Estimate(rate, rate > 0.1, None, {})
    one = sum_scores(estimate, truth, place, name="a")
    both = one.merge(sum_scores(estimate, truth, place, name="b"))
    spectra = swath_spectra(rate, truth, place["latitude"].values, place["longitude"].values)
    expected = effective_resolution(spectra)
    for sums in (one, both):
        found = scores_from_sums(sums)["effective_resolution"].sel(stratum="all")
        assert found == pytest.approx(expected)
    assert (
        scores_from_sums(both)["joint_count"].sum()
        == 2 * scores_from_sums(one)["joint_count"].sum()
    )
    assert "fss_interval" not in scores_from_sums(both)


def test_ten_granules_give_intervals_of_whole_granules(
    swath: tuple[np.ndarray, np.ndarray, xr.Dataset],
) -> None:
    rate, truth, place = swath
    rng = np.random.default_rng(0)
    sums = None
    for k in range(10):
        estimate = Estimate(np.roll(rate, rng.integers(-6, 6), 0), rate > 0.1, None, {})
        new = sum_scores(estimate, truth, place, name=str(k))
        sums = new if sums is None else sums.merge(new)
    assert sums is not None
    found = scores_from_sums(sums)
    low, high = found["fss_interval"].sel(threshold=1.0, scale=50).values
    assert low < found["fss"].sel(threshold=1.0, scale=50) < high
    assert found.attrs == {"event": "rain >= 0.1 mm/h", "groups": 10, "group": "granule"}
