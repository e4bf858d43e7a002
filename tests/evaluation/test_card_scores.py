"""Scores of pixels as a card tells them."""

import dataclasses
import json
import re

import numpy as np
import pytest

from xrain.evaluation.card_scores import ESTIMATES, TOLD, card_scores, kept_apart_scores
from xrain.evaluation.pixels import LEVELS, Pixels
from xrain.evaluation.rate_rows import TRUE_CLASSES, rate_rows
from xrain.evaluation.scorecard import Settings
from xrain.models.card_values import parse_json


def pixels(count=6000, seed=0):
    """Estimates that are right on average, in groups, with rain up to 40 mm/h."""
    rng = np.random.default_rng(seed)
    rate = np.where(rng.uniform(size=count) < 0.3, rng.gamma(0.5, 8.0, count), 0.0)
    mean = rate * np.exp(rng.normal(0.0, 0.3, count))
    probability = np.where(rate >= 0.1, 0.9, 0.1)
    return Pixels(
        mean, probability, (probability > 0.5) * 1.0,
        {q: mean * (0.5 + q) for q in LEVELS},
        rate, (rate >= 0.1) * 1.0, np.arange(count) // 100,
        {"ocean": rng.uniform(size=count) < 0.5, "land": np.zeros(count, bool)},
    )  # fmt: skip


def test_each_class_has_its_own_ratio_and_correlation():
    some = pixels()
    rows = rate_rows(some, 50, 0)
    assert [r["low"] for r in rows] == list(TRUE_CLASSES[:-1])
    assert rows[-1]["high"] is None
    assert sum(r["n"] for r in rows) == some.mean.size
    for row in rows:
        high = np.inf if row["high"] is None else row["high"]
        inside = (some.rate >= row["low"]) & (some.rate < high)
        f, o = some.mean[inside], some.rate[inside]
        assert row["n"] == inside.sum()
        assert row["ratio"] == pytest.approx(f.sum() / o.sum())
        assert row["correlation"] == pytest.approx(np.corrcoef(f, np.minimum(o, 50))[0, 1])
        low, high = row["ratio_interval"]
        assert low < row["ratio"] < high


def test_classes_of_few_pixels_and_unknown_rates_are_left_out():
    some = pixels()
    light = dataclasses.replace(some, rate=np.where(some.rate > 5, np.nan, some.rate))
    assert [r["low"] for r in rate_rows(light, 0, 0)] == [0.0, 1.0]
    assert rate_rows(dataclasses.replace(some, rate=None), 0, 0) == []


def test_a_card_tells_few_rounded_numbers_by_surface():
    found = card_scores(pixels(), Settings(30))
    assert set(found) == {"all", "ocean"}
    names = {n for n in found["all"] if not n.endswith("_interval")}
    assert names <= {*TOLD, "by_rate", "reliability"}
    assert {"brier", "crps", "rain_ratio", "hss_10", "coverage90"} <= names
    assert "reliability" not in found["ocean"]
    assert "correlation_log_given_rain" not in names  # the estimate is not conditional
    text = json.dumps(found)
    assert parse_json(text) == found
    assert not re.search(r"\d\.\d{5,}", text)


def test_an_estimate_without_quantiles_has_no_scores_of_them():
    found = card_scores(dataclasses.replace(pixels(), quantiles={}), Settings(0))["all"]
    assert not {"crps", "coverage90"} & set(found)
    assert {"correlation", "brier"} <= set(found)


def test_estimates_stand_side_by_side_with_their_facts():
    facts = {"data": "a.nc", "seen_as": "GMI", "split": "halves", "event": "rain"}
    found = kept_apart_scores(facts, {"boosting": {"all": {}}, "table": {"all": {}}, "other": {}})
    assert list(found) == ["facts", "table", "boosting"]
    assert {*found} - {"facts"} <= set(ESTIMATES)
