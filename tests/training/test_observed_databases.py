"""Databases of real pixels as frequent in rain as nature."""

import dataclasses

import numpy as np
import pytest
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.models.store import load_model
from xrain.sensors import get_sensor
from xrain.testing import fake_swath
from xrain.training import observed_databases, recipes
from xrain.training.brain import Recipe, make_brain
from xrain.training.covariance import Fit
from xrain.training.observed import read_observed
from xrain.training.observed_databases import (
    COLD,
    FREEZING,
    ICE,
    ICE_ACROSS,
    MATCHED,
    MATCHED_COLD,
    SHEETS,
    kept_apart_pixels,
    kept_apart_rows,
    natural_pixels,
    natural_rows,
    score_natural,
)
from xrain.training.translation import Translator, make_library, simulate_ice_sheets

QUICK = Recipe(wet=150, dry=150, fit=Fit(steps=3, batch=64))


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_matchups, write_transects):
    folder = tmp_path_factory.mktemp("data")
    return [write_transects(folder / "transects.nc", overpasses=100, length=28)], [
        write_matchups(folder / "phase.nc", seed=1),
        write_matchups(folder / "rain.nc", kind="rate", seed=3),
        write_matchups(folder / "snow.nc", kind="rate", cold=True, seed=4),
    ]


@pytest.fixture(scope="module")
def observed(files):
    """Real pixels, what translates them, and ice sheets."""
    sensors = ("GMI", "MHS")
    translator = Translator(make_library(files[1], sensors), "GMI")
    found = read_observed(*files)
    near = {k: translator.nearest(t.tb, t.land) for k, t in found.tables.items()}
    return dataclasses.replace(found, columns=near), translator, simulate_ice_sheets(100, sensors)


@pytest.fixture(scope="module")
def more_tables(files, observed, tmp_path_factory, write_matchups):
    """The same with a second table of events, colder."""
    path = write_matchups(tmp_path_factory.mktemp("cold") / "cold.nc", cold=True, seed=7)
    found = read_observed(files[0], [*files[1], path])
    table = found.events[1]
    near = observed[1].nearest(table.tb, table.land)
    columns = observed[0].columns | {"events1": near}
    return dataclasses.replace(found, columns=columns), *observed[1:]


@pytest.mark.parametrize(("name", "ice"), [("GMI", ICE), ("MHS", ICE_ACROSS)])
def test_rain_stays_as_frequent_as_in_the_transects(observed, name, ice):
    rows = natural_rows(get_sensor(name), *observed)
    natural = natural_pixels(rows)
    total, wet = natural.sum(), rows.wet[natural].mean()
    assert total == len(observed[0].transects)
    weight = rows.population[:, 0].astype(float)
    assert weight.sum() == pytest.approx(total * (1 + MATCHED + ice))
    matched = wet * (1 + MATCHED) / (1 + MATCHED + ice)
    assert weight[rows.wet].sum() / weight.sum() == pytest.approx(matched)
    # Both tables of rates weigh as their share of the rain; all rows serve a stage.
    rates = rows.population[:, 1].astype(float).sum()
    assert rates == pytest.approx(total * wet * (1 + 2 * MATCHED))
    assert (rows.population > 0).any(axis=1).all()


def test_cold_pixels_of_other_tables_keep_clusters_of_their_own(more_tables, observed):
    sensor = get_sensor("MHS")
    rows = natural_rows(sensor, *more_tables)
    cold = rows.kind == MATCHED_COLD
    table = more_tables[0].events[1]
    assert cold.sum() == (table.t2m < FREEZING).sum() > 0
    before = natural_rows(sensor, *observed)
    assert len(before) == len(rows) - cold.sum()
    weight = rows.population[cold, 0].astype(float)
    assert weight.sum() == pytest.approx(COLD * natural_pixels(rows).sum())
    assert weight[rows.wet[cold]].sum() / weight.sum() == pytest.approx(
        rows.wet[natural_pixels(rows)].mean()
    )
    brain = make_brain(sensor, rows, QUICK)
    # Whatever the cold pixels are, the errors are those without them.
    spoilt = dataclasses.replace(rows, vectors=rows.vectors + 40.0 * cold[:, None])
    assert make_brain(sensor, spoilt, QUICK).inversion.config.errors == (
        brain.inversion.config.errors
    )
    entries = brain.inversion
    sheets = (rows.kind == SHEETS).sum()
    assert len(entries.rate) < len(rows)
    assert float(entries.population[:, 0].sum()) == pytest.approx(
        rows.population[:, 0].astype(float).sum(), rel=1e-4
    )
    assert sheets == 100


def test_pixels_kept_apart_are_told_by_table(observed):
    rows = natural_rows(get_sensor("GMI"), *observed)
    apart = kept_apart_rows(rows)
    told = sum(int(kept_apart_pixels(observed[0], n).sum()) for n in ("transects", "events0"))
    assert told == apart[rows.population[:, 0] > 0].sum() - apart[rows.kind == SHEETS].sum()


def test_a_cross_track_scanner_has_dry_rows_at_every_angle(observed):
    rows = natural_rows(get_sensor("MHS"), *observed)
    steepest = 1.0 / np.cos(np.deg2rad(58.0))
    dry = rows.vectors[~rows.wet & natural_pixels(rows), -1]
    counts, _ = np.histogram(dry, np.linspace(1.0, steepest, 6))
    assert counts.min() > 20


def test_no_overpass_is_on_both_sides(observed):
    rows = natural_rows(get_sensor("GMI"), *observed)
    apart = kept_apart_rows(rows)
    assert 0.1 < apart.mean() < 0.3
    assert not set(rows.group[apart]) & set(rows.group[~apart])


def test_scores_tell_a_good_database_from_a_bad_one(observed):
    sensor = get_sensor("GMI")
    rows = natural_rows(sensor, *observed)
    apart = kept_apart_rows(rows)
    judged = rows.pick(apart & natural_pixels(rows))
    brain = make_brain(sensor, rows.pick(~apart), QUICK)
    shuffled = dataclasses.replace(
        judged, vectors=np.random.default_rng(0).permutation(judged.vectors)
    )
    good, bad = (score_natural([brain], [part]) for part in (judged, shuffled))
    good, bad = good["all"], bad["all"]
    assert good["n"] == len(judged)
    assert good["auc"] > 0.8 > bad["auc"]
    assert good["brier_skill"] > 0 > bad["brier_skill"]
    assert good["correlation"] > bad["correlation"] + 0.2


def test_the_recipe_makes_models_of_every_kind(files, tmp_path, monkeypatch):
    monkeypatch.setattr(observed_databases, "ICE_COLUMNS", 40)
    folder = files[0][0].parent
    small = recipes.Recipe(("transects.nc",), ("phase.nc", "rain.nc", "snow.nc"), databases=True)
    monkeypatch.setitem(recipes.RECIPES, "brain", small)
    monkeypatch.setattr(observed_databases, "NATURAL", QUICK)
    words = ["train", "--recipe", "brain", "--data", str(folder), "--sensors", "GMI,MHS",
             "-o", str(tmp_path), "--version", "2"]  # fmt: skip
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    for name, kind in (("GMI", "transects"), ("MHS", "translated")):
        model = load_model(tmp_path / "models" / f"{name.lower()}-brain-2")
        card = model.card
        assert card.training["transects"] == ["transects.nc"]
        assert card.training["matchups"] == ["phase.nc", "rain.nc", "snow.nc"]
        told = card.scores["kept_apart"][kind]
        assert told["facts"]["data"] == "transects.nc"
        assert {"brier", "correlation", "correlation_interval"} <= set(told["table"]["all"])
        assert card.prevalence == pytest.approx(0.1, abs=0.03)
        out = xrain.retrieve(fake_swath(name, 8, 12), model)
        assert np.isfinite(out["surface_precip"]).all()
    result = CliRunner().invoke(app, [*words, "--device", "cpu"])
    assert "--recipe brain takes no --device" in result.output
