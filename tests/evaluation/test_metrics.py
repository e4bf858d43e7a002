from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import stats

from xrain.errors import XrainError
from xrain.evaluation.metrics import (
    bootstrap_intervals,
    event_scores,
    probability_scores,
    quantile_coverage,
    rate_scores,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def test_rate_scores_agree_with_scipy_and_with_sums_by_hand(rng: np.random.Generator) -> None:
    truth = rng.gamma(1.0, 2.0, 500)
    estimate = 0.7 * truth + rng.normal(0.5, 1.0, 500)
    found = rate_scores(estimate, truth)
    error = estimate - truth
    assert found["correlation"] == pytest.approx(stats.pearsonr(estimate, truth)[0])
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).sum() / 500))
    assert found["mae"] == pytest.approx(np.abs(error).sum() / 500)
    assert found["bias"] == pytest.approx(error.sum() / 500)
    assert found["relative_bias"] == pytest.approx(estimate.sum() / truth.sum() - 1)


def test_a_pair_with_a_nan_on_either_side_does_not_count(rng: np.random.Generator) -> None:
    truth, estimate = rng.random((2, 50))
    spoilt_truth, spoilt = np.append(truth, [np.nan, 3.0]), np.append(estimate, [2.0, np.nan])
    whole, part = rate_scores(estimate, truth), rate_scores(spoilt, spoilt_truth)
    assert {k: float(v) for k, v in part.items()} == pytest.approx(
        {k: float(v) for k, v in whole.items()}
    )


def test_leading_axes_are_scored_one_by_one(rng: np.random.Generator) -> None:
    truth, estimate = rng.random((2, 3, 40))
    event = (truth > 0.5).astype(float)
    for score, second in ((rate_scores, truth), (probability_scores, event)):
        together = score(estimate, second)
        for k in range(3):
            alone = score(estimate[k], second[k])
            for name, value in alone.items():
                assert together[name][k] == pytest.approx(float(value)), name


def test_event_scores_by_hand() -> None:
    hits, misses, false_alarms, negatives = 30, 10, 20, 140
    forecast = np.repeat([1, 0, 1, 0], [hits, misses, false_alarms, negatives])
    event = np.repeat([1, 1, 0, 0], [hits, misses, false_alarms, negatives])
    found = event_scores(forecast, event)
    n = 200
    chance = (
        (hits + misses) * (hits + false_alarms) + (misses + negatives) * (false_alarms + negatives)
    ) / n
    assert found["pod"] == pytest.approx(30 / 40)
    assert found["far"] == pytest.approx(20 / 50)
    assert found["csi"] == pytest.approx(30 / 60)
    assert found["hss"] == pytest.approx((hits + negatives - chance) / (n - chance))


def test_auc_is_the_rank_statistic_of_mann_and_whitney(rng: np.random.Generator) -> None:
    event = rng.random(300) < 0.3
    p = np.round(np.clip(0.3 * event + 0.7 * rng.random(300), 0, 1), 2)  # with ties
    u = stats.mannwhitneyu(p[event], p[~event]).statistic
    found = probability_scores(p, event.astype(float))
    assert found["auc"] == pytest.approx(u / (event.sum() * (~event).sum()))
    assert found["brier"] == pytest.approx(np.mean((p - event) ** 2))


def test_coverage_of_true_quantiles_is_their_level(rng: np.random.Generator) -> None:
    scale = rng.uniform(1, 3, 20_000)
    truth = rng.exponential(scale)
    low, high = (stats.expon.ppf(q, scale=scale) for q in (0.05, 0.95))
    assert quantile_coverage(high, truth) == pytest.approx(0.95, abs=0.01)
    assert quantile_coverage(low, truth) == pytest.approx(0.05, abs=0.01)
    assert quantile_coverage([1.0, 1.0], [1.0, 1.5]) == 0.5
    assert np.isnan(quantile_coverage([1.0], [np.nan]))


def test_bootstrap_of_lone_pixels_has_the_standard_error_of_the_mean(
    rng: np.random.Generator,
) -> None:
    values = rng.normal(3.0, 2.0, 400)

    def mean(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": np.nanmean(x, axis=-1)}

    alone = bootstrap_intervals(mean, [values], np.arange(400), 2000)["mean"]
    expected = 1.96 * values.std() / np.sqrt(400)
    assert (alone[1] - alone[0]) / 2 == pytest.approx(expected, rel=0.08)
    assert alone[0] < values.mean() < alone[1]


def test_bootstrap_draws_days_whole_and_the_same_for_the_same_seed(
    rng: np.random.Generator,
) -> None:
    days = np.repeat(np.arange(20), 50)
    values = rng.normal(size=20)[days]  # a day's pixels are all alike: 20 draws, not 1000

    def mean(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": np.nanmean(x, axis=-1)}

    wide = bootstrap_intervals(mean, [values], days, 1000, seed=1)["mean"]
    narrow = bootstrap_intervals(mean, [values], np.arange(1000), 1000, seed=1)["mean"]
    ratio = (wide[1] - wide[0]) / (narrow[1] - narrow[0])
    assert ratio == pytest.approx(np.sqrt(50), rel=0.15)
    assert bootstrap_intervals(mean, [values], days, 1000, seed=1)["mean"] == wide
    assert bootstrap_intervals(mean, [values], days, 1000, seed=2)["mean"] != wide


def test_without_the_package_scores_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scores", None)
    with pytest.raises(XrainError, match=r"extra 'evaluate': pip install .*scores>="):
        rate_scores([1.0], [1.0])
