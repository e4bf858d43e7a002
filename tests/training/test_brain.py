"""Databases: errors that are found again, clusters that keep the climate, and the command line."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.errors import InputError
from xrain.evaluation.matchups import score_matchups
from xrain.models.bayes import SURFACES, StageError
from xrain.models.rain_classes import rain_classes
from xrain.models.store import load_model
from xrain.sensors import get_sensor
from xrain.testing import fake_swath
from xrain.training.brain import Recipe, compact, draw, fit_errors, make_brain, near_limits
from xrain.training.covariance import Fit, Target, fit_error, log_likelihood, widened
from xrain.training.databases import cross_validate, publish_brain, simulation
from xrain.training.vectors import Vectors, lay_out, table_vectors

QUICK = Recipe(fit=Fit(steps=6, batch=64))


def pixels(count=900, seed=0, days=15, sensor="SSMI") -> Vectors:
    """Rain that warms every channel in proportion to its logarithm, over noise."""
    rng = np.random.default_rng(seed)
    sensor = get_sensor(sensor)
    rate = np.where(rng.random(count) < 0.5, 0.06 + np.exp(rng.normal(0, 1, count)), 0)
    width = len(sensor.channels)
    signal = np.log(rate + 0.05)[:, None] * np.linspace(12, -4, width)
    tb = 220 + signal + rng.normal(0, 5, (count, width))
    land = rng.choice([0.0, 1.0, 0.5], count)
    return lay_out(sensor, tb, rate, land, np.full(count, 53.1), rng.integers(0, days, count))


def table(count=400, seed=0, phase=False) -> xr.Dataset:
    """Matched GMI pixels over the Pacific."""
    rng = np.random.default_rng(seed)
    rate = 0.06 + np.exp(rng.normal(0, 1, count))
    wet = rng.random(count) < 0.5 if phase else np.ones(count, bool)
    names = [c.name for c in get_sensor("GMI").channels]
    signal = np.where(wet, np.log(rate) + 3, 0)[:, None] * np.linspace(10, -3, 13)
    tb = 220 + signal + rng.normal(0, 4, (count, 13))
    truth = (
        {"phase": ("sample", wet.astype("i1"))} if phase else {"surface_precip": ("sample", rate)}
    )
    return xr.Dataset(
        {"tb": (("sample", "channel"), tb.astype("f4")), **truth,
         "month": ("sample", np.ones(count, "i1")), "day": ("sample", rng.integers(1, 20, count))},
        coords={"channel": names, "latitude": ("sample", np.zeros(count)),
                "longitude": ("sample", np.full(count, -150.0))},
    )  # fmt: skip


# ---- errors


def test_the_noise_of_a_known_case_is_found_again():
    """The rate is told by two channels, through noise of 4 and of 12 K."""
    rng = np.random.default_rng(0)
    count = 1000
    rate = np.exp(rng.normal(0, 1, count)).astype("f4")
    clean = 200 + 10 * np.log(rate)[:, None] * [1.0, 1.5]
    noisy = clean + rng.normal(0, 1, (count, 2)) * [4.0, 12.0]
    flat = np.zeros(count, int)
    database = Target(clean.astype("f4"), rate, flat, np.arange(count), np.ones(count, "f4"))
    wanted = dataclasses.replace(database, vectors=noisy.astype("f4"), group=flat - 1)
    error = fit_error(wanted, database, "rate", Fit(steps=60, batch=250))
    sigma = np.sqrt(np.diag(error.covariance))
    np.testing.assert_allclose(sigma, [4.0, 12.0], rtol=0.25)
    narrow = StageError(((1.0, 0.0), (0.0, 9.0)), 1.0)
    good = StageError(((16.0, 0.0), (0.0, 144.0)), 1.0)
    assert log_likelihood(wanted, database, "rate", good) > log_likelihood(
        wanted, database, "rate", narrow
    )
    assert widened(wanted, database, "rate", good, (0.1, 1.0, 10.0))[1] == 1.0
    assert widened(wanted, database, "rate", narrow, (1.0, 16.0))[0].covariance[0][0] == 16.0


def test_pixels_of_one_group_do_not_predict_each_other():
    rows = pixels(300)
    target = draw(rows, "detection", np.random.default_rng(0))
    twins = dataclasses.replace(target, group=np.zeros_like(target.group))
    sharp = StageError(tuple(map(tuple, (0.01 * np.eye(target.vectors.shape[1])).tolist())), 1.0)
    alone = dataclasses.replace(target, group=np.arange(len(target.group)))
    assert log_likelihood(alone, alone, "detection", sharp) > -20.0
    assert log_likelihood(twins, twins, "detection", sharp) < -1e6 or np.isclose(
        log_likelihood(twins, twins, "detection", sharp), np.log(0.5), atol=0.2
    )


def test_every_covariance_is_one_and_few_pixels_share_it():
    rows = pixels(600)
    errors = fit_errors(rows, QUICK)
    for by_surface in errors.values():
        assert set(by_surface) == set(SURFACES)
        assert by_surface["ocean"] is by_surface["land"]  # too few of each for one of its own
        matrix = np.array(by_surface["ocean"].covariance)
        np.testing.assert_allclose(matrix, matrix.T)
        assert np.linalg.eigvalsh(matrix).min() > 0


# ---- rows and clusters


def test_rows_know_what_they_count_for():
    sensor = get_sensor("MHS")
    tb = np.full((4, 5), 250.0)
    tb[3, 2] = np.nan
    rows = lay_out(
        sensor, tb, np.array([0.0, 0.03, 2.0, 5.0]), np.array([0.0, 1.0, 0.4, 0.0]),
        np.array([0.0, 60.0, 0.0, 0.0]), np.arange(4),
    )  # fmt: skip
    assert rows.rate.tolist() == [0.0, 0.0, 2.0]
    assert rows.surface.tolist() == [0, 1, 2]
    assert rows.population.tolist() == [[1, 0], [1, 0], [1, 1]]
    np.testing.assert_allclose(rows.vectors[:, -1], [1.0, 2.0, 1.0], rtol=1e-6)
    assert rain_classes(np.array([0.0, 0.05, 149.0, 400.0], "f4")).tolist() == [0, 1, 35, 35]


def test_a_table_with_phase_teaches_detection_and_one_of_rain_the_rate():
    sensor = get_sensor("GMI")
    wet, mixed = table(40), table(40, phase=True)
    days = np.arange(40)
    assert table_vectors(sensor, wet, days).population.tolist() == [[0, 1]] * 40
    rows = table_vectors(sensor, mixed, days)
    assert rows.population.tolist() == [[1, 0]] * 40
    assert rows.wet.tolist() == (mixed["phase"].values >= 1).tolist()
    with pytest.raises(InputError, match=r"needs all its channels; the table lacks 10\.65V"):
        table_vectors(sensor, wet.isel(channel=slice(1, None)), days)


def test_clusters_keep_the_climate():
    rows = pixels(6000)
    errors = fit_errors(rows.pick(slice(300)), QUICK)
    small = compact(rows, errors, Recipe(300, 100))
    assert 300 < len(small) < 550
    np.testing.assert_allclose(small.population.sum(axis=0), rows.population.sum(axis=0), rtol=1e-4)
    for surface in range(3):
        before, after = rows.pick(rows.surface == surface), small.pick(small.surface == surface)
        weight = after.population[:, 1]
        assert np.average(after.rate, weights=weight) == pytest.approx(
            before.rate[before.wet].mean(), rel=1e-3
        )
    assert compact(rows, errors, Recipe(5000, 5000)) is rows


def test_few_pixels_of_other_days_are_far():
    rows = pixels(1500)
    errors = fit_errors(rows.pick(slice(300)), QUICK)
    limits = near_limits(rows, rows, errors, 0)
    assert 0 < limits["detection"] < 200
    far = pixels(200, seed=1)
    far = dataclasses.replace(far, vectors=far.vectors + 80)
    assert near_limits(far, rows, errors, 0)["detection"] > 3 * limits["detection"]


def test_a_database_needs_rain_and_dry_pixels():
    rows, sensor = pixels(200), get_sensor("SSMI")
    with pytest.raises(InputError, match="pixels with rain"):
        make_brain(sensor, rows.pick(~rows.wet), QUICK)
    with pytest.raises(InputError, match="dry pixels too"):
        make_brain(sensor, rows.pick(rows.wet), QUICK)


# ---- models


def test_a_published_database_retrieves(tmp_path):
    sensor = get_sensor("SSMI")
    brain = make_brain(sensor, pixels(1500), QUICK)
    card = publish_brain(brain, tmp_path, version=1, training={"data": "test"})
    model = load_model(tmp_path / "ssmi-brain-1")
    assert model.card == card
    assert card.name == "ssmi-brain"
    assert card.event_frequency == pytest.approx(0.5, abs=0.05)
    assert sum(card.prior) == pytest.approx(1)
    assert set(card.outliers) == {"SSMI"}
    assert (tmp_path / "registry.json").exists()
    swath = fake_swath("SSMI", 12, 20)
    out = xrain.retrieve(swath, model)
    assert np.isfinite(out["surface_precip"]).all()
    assert out.attrs["model"] == "ssmi-brain"


def test_unseen_days_judge_a_database():
    scores = cross_validate(get_sensor("SSMI"), pixels(1200), QUICK, folds=3)
    assert scores["all"]["correlation"] > 0.6
    assert scores["all"]["auc"] > 0.9
    assert {"ocean", "land"} <= set(scores)
    with pytest.raises(InputError, match="15 days"):
        cross_validate(get_sensor("SSMI"), pixels(100, days=5), QUICK, folds=15)


def test_presets():
    assert simulation("tiny").size == 32
    with pytest.raises(InputError, match="unknown preset 'huge'"):
        simulation("huge")


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_the_command_line_makes_a_database_of_real_pixels_and_scores_it(tmp_path):
    table(500).to_netcdf(tmp_path / "rain.nc", engine="h5netcdf")
    table(500, seed=1, phase=True).to_netcdf(tmp_path / "phase.nc", engine="h5netcdf")
    done = run(
        "train", "--brain", "--data", tmp_path / "rain.nc", "--data", tmp_path / "phase.nc",
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "gmi-brain@1" in done.stdout
    folder = tmp_path / "run" / "models" / "gmi-brain-1"
    card = json.loads((folder / "card.json").read_text())
    assert card["training"]["files"] == ["rain.nc", "phase.nc"]
    assert card["scores"]["other_days"]["GMI"]["all"]["correlation"] > 0.5
    done = run("score", tmp_path / "rain.nc", "--model", folder, "--json", "--bootstrap", "0")
    assert json.loads(done.stdout)["all"]["correlation"] > 0.6


def test_patches_make_a_database_by_the_command_line(tmp_path):
    words = ["--sensors", "saphir", "--samples", 5, "--version", 3, "--cache", tmp_path / "cache"]
    done = run("train", "--brain", "--preset", "tiny", *words, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "cache").iterdir())
    model = load_model(tmp_path / "models" / "saphir-brain-3")
    assert model.card.training["patches"] == 8  # two full files of four
    assert model.network.config.air_mass
    assert "auc" in model.card.scores["simulated"]["SAPHIR"]["all"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "5", "--folds", "0", "--init", "gmi-unet"],
         "--brain takes no --init, --folds, --steps"),
        (["--data", "rain.nc", "--seed", "2", "--samples", "16", "--sensors", "gmi"],
         "--brain and --data takes no --sensors, --samples, --seed"),
        (["--device", "cpu", "--stop-after", "3"], "--brain takes no --device, --stop-after"),
    ],
)  # fmt: skip
def test_options_that_a_database_would_not_heed_are_refused(tmp_path, words, told):
    table(50).to_netcdf(tmp_path / "rain.nc", engine="h5netcdf")
    words = [str(tmp_path / w) if w.endswith(".nc") else w for w in words]
    done = run("train", "--brain", "-o", tmp_path / "run", *words)
    assert done.exit_code == 2
    assert told in done.output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_real_pixels_of_other_days_are_met(tmp_path, data_dir):
    """A database of four fifths of the days, judged by the rest."""
    from xrain.io.matchups import matched_days, open_matchups

    sensor, parts, kept = get_sensor("GMI"), [], {}
    for name in ("gmi_dpr_rain", "gmi_dpr_phase"):
        ds = open_matchups(data_dir / "matchups" / f"{name}.nc")
        apart = matched_days(ds) % 5 == 0
        kept[name] = ds.isel(sample=np.flatnonzero(apart))
        rest = ds.isel(sample=np.flatnonzero(~apart))
        parts.append(table_vectors(sensor, rest, matched_days(rest)))
    brain = make_brain(sensor, Vectors.join(parts), Recipe(fit=Fit(steps=40, batch=256)))
    publish_brain(brain, tmp_path, version=1, training={})
    model = load_model(tmp_path / "gmi-brain-1")
    rain, phase = (score_matchups(ds, model, bootstrap=0) for ds in kept.values())
    assert rain["all"]["correlation"] > 0.65
    assert phase["all"]["hss"] > 0.7
    few = score_matchups(kept["gmi_dpr_rain"], model, channels=["ssmi"], bootstrap=0)
    assert few["all"]["correlation"] > 0.6
