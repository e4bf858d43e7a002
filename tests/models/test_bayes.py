"""Bayesian inversion against answers that are known, and the searches against brute force."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import xarray as xr

import xrain
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import ModelError
from xrain.geo.land import land_fraction
from xrain.io.transects import open_transects
from xrain.models import bayes, kernel_search
from xrain.models.bayes import (
    STAGES,
    SURELY_DRY,
    SURFACES,
    BayesianInversion,
    InversionConfig,
    StageError,
)
from xrain.models.build import load_inversion
from xrain.models.card import CardChannel, ModelCard
from xrain.models.export import save_model
from xrain.models.kernel_search import Search, bisect
from xrain.models.rain_classes import class_rates
from xrain.models.store import Model, list_models, load_card, load_model
from xrain.models.unet import UNetConfig
from xrain.retrieval.engine import Engine
from xrain.retrieval.estimates import Pixels
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import fake_swath

EDGES = UNetConfig().edges
MHS = get_sensor("MHS").channels
GMI = get_sensor("GMI").channels


def stage_error(covariance, other_surface=1.0):
    return StageError(tuple(map(tuple, np.asarray(covariance, float).tolist())), other_surface)


def inversion(vectors, rate, channels, covariance, *, surface=None, near=1e9, other=1.0, air=False):
    error = stage_error(covariance, other)
    errors = {stage: dict.fromkeys(SURFACES, error) for stage in STAGES}
    names = tuple(c.name for c in channels)
    config = InversionConfig(names, EDGES, errors, dict.fromkeys(STAGES, near), air)
    rate = torch.as_tensor(rate, dtype=torch.float32)
    count = len(rate)
    surface = torch.zeros(count) if surface is None else torch.as_tensor(surface)
    population = torch.stack([torch.ones(count), (rate > 0).float()], dim=1)
    vectors = torch.as_tensor(vectors, dtype=torch.float32)
    return BayesianInversion(config, vectors, rate, surface.to(torch.int8), population)


def random_inversion(channels=MHS, count=400, seed=0, noise=1.0, **options):
    rng = np.random.default_rng(seed)
    width = len(channels)
    vectors = rng.normal(250, 20, (count, width))
    rate = np.where(rng.random(count) < 0.4, 0.05 + 10 ** rng.normal(0, 0.5, count), 0.0)
    root = rng.normal(0, 3, (width, width))
    covariance = noise**2 * (root @ root.T + 9 * np.eye(width))
    surface = rng.integers(0, 3, count)
    return inversion(vectors, rate, channels, covariance, surface=surface, **options), covariance


def exact(model, covariance, measured, columns=None):
    """Class probabilities by the formula, entry for entry."""
    columns = range(len(covariance)) if columns is None else columns
    pick = list(columns)
    difference = measured[:, None, pick] - model.vectors.double().numpy()[None, :, pick]
    inverse = np.linalg.inv(covariance[np.ix_(pick, pick)])
    distance = np.einsum("nik,kl,nil->ni", difference, inverse, difference)
    weight = np.exp(-0.5 * (distance - distance.min(axis=1, keepdims=True)))
    kind = np.searchsorted(EDGES[:-1], model.rate.numpy(), side="right")
    wet = kind > 0
    p = (weight * wet).sum(1) / weight.sum(1)
    rain = np.where(wet, distance, np.inf)
    rain = np.exp(-0.5 * (rain - rain.min(axis=1, keepdims=True)))
    share = np.stack([(rain * (kind == k)).sum(1) for k in range(1, len(EDGES))], axis=1)
    share[p < SURELY_DRY] = np.bincount(kind, minlength=len(EDGES))[1:]
    share /= share.sum(axis=1, keepdims=True)
    return np.concatenate([1 - p[:, None], p[:, None] * share], axis=1)


def classify(model, tb, land=math.nan, channels=MHS, angle=30.0):
    tb = torch.as_tensor(tb, dtype=torch.float32)
    folded, count = model.fold(channels), tb.shape[:1]
    logits, far = folded.judge(
        folded.prepare(tb, torch.full(count, angle), torch.full(count, land))
    )
    return torch.softmax(logits.double(), dim=1).numpy(), far.numpy()


# ---- the posterior


def test_the_posterior_is_the_formula():
    model, covariance = random_inversion()
    tb = np.random.default_rng(1).normal(250, 20, (60, len(MHS)))
    found, _ = classify(model, tb)
    np.testing.assert_allclose(found, exact(model, covariance, tb), atol=2e-4)


def test_gaps_at_random_give_the_formula_and_prepare_nothing_for_each_pattern(monkeypatch):
    model, covariance = random_inversion(GMI, near=60.0)
    rng = np.random.default_rng(2)
    tb = rng.normal(250, 12, (300, len(GMI)))
    tb[rng.random(tb.shape) < 0.3] = np.nan
    tb[-5:] += 240.0
    folded = model.fold(GMI)
    pixels = torch.as_tensor(tb, dtype=torch.float32)
    count = pixels.shape[:1]
    logits, far = folded.judge(
        folded.prepare(pixels, torch.full(count, 50.0), torch.full(count, math.nan))
    )
    found = torch.softmax(logits.double(), dim=1).numpy()
    for row in np.flatnonzero(~far.numpy())[:80]:
        there = np.flatnonzero(np.isfinite(tb[row]))
        expected = exact(model, covariance, tb[row : row + 1], there)
        np.testing.assert_allclose(found[row : row + 1], expected, atol=5e-4)
    assert len(folded._searches) == len(STAGES)
    monkeypatch.setattr(bayes, "MANY", 1)
    other, too_far = classify(model, tb, channels=GMI)
    np.testing.assert_allclose(found, other, atol=5e-4)
    assert (far.numpy() == too_far).all()
    assert too_far[-5:].all()
    assert not too_far[:80].all()


def test_prepared_databases_are_few_however_many_patterns_there_are(monkeypatch):
    model, _ = random_inversion(GMI)
    monkeypatch.setattr(bayes, "MANY", 1)
    rng = np.random.default_rng(3)
    tb = rng.normal(250, 20, (200, len(GMI)))
    tb[rng.random(tb.shape) < 0.3] = np.nan
    folded = model.fold(GMI)
    pixels = torch.as_tensor(tb, dtype=torch.float32)
    folded.judge(folded.prepare(pixels, torch.zeros(len(pixels)), torch.zeros(len(pixels))))
    assert len(folded._searches) == bayes.KEPT


def test_beyond_the_steepest_entries_a_pixel_is_compared_with_these():
    rng = np.random.default_rng(4)
    count = 300
    vectors = rng.normal(250, 10, (count, len(MHS)))
    air = rng.uniform(1.0, 1.5, (count, 1))
    rate = np.where(rng.random(count) < 0.3, 2.0, 0.0)
    covariance = np.diag([20.0] * len(MHS) + [0.01])
    model = inversion(np.hstack([vectors, air]), rate, MHS, covariance, air=True)
    tb = vectors[:40]
    edge = math.degrees(math.acos(1 / float(model.vectors[:, -1].max())))
    beyond, _ = classify(model, tb, angle=65.0)
    np.testing.assert_allclose(beyond, classify(model, tb, angle=edge)[0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vectors", lambda t: t.double().mul(1e6).float()),
        ("vectors", lambda t: t[:, :-1]),
        ("vectors", lambda t: t.int()),
        ("rate", lambda t: -t - 1),
        ("rate", lambda t: t * 0),
        ("surface", lambda t: t + 3),
        ("surface", lambda t: t.float()),
        ("population", lambda t: -t),
        ("population", lambda t: t * 0),
        ("population", lambda t: t[:, 0]),
        ("rate", lambda t: t[:0]),
    ],
)
def test_a_database_that_cannot_be_meant_is_refused(name, change):
    model, _ = random_inversion()
    tensors = dict(model.state_dict())
    assert load_inversion(model.config.to_dict(), tensors)
    tensors[name] = change(tensors[name])
    with pytest.raises(ModelError, match="does not fit its card"):
        load_inversion(model.config.to_dict(), tensors)


@pytest.mark.parametrize("value", [0.0, -5.0, math.nan, math.inf])
def test_a_covariance_that_is_none_is_refused(value):
    model, _ = random_inversion()
    card = model.config.to_dict()
    card["errors"]["rate"]["land"]["covariance"][0][0] = value
    with pytest.raises(ModelError, match="covariance of rate over land"):
        load_inversion(card, dict(model.state_dict()))


def test_a_linear_gaussian_case_has_the_mean_and_spread_of_the_textbook():
    rng = np.random.default_rng(0)
    slope, noise = np.array([6.0, -4.0]), np.array([[9.0, 3.0], [3.0, 16.0]])
    mean, spread = 0.0, 0.6  # of the logarithm of the rate
    x = rng.normal(mean, spread, 60_000)
    model = inversion(200 + x[:, None] * slope, np.exp(x), MHS[:2], noise)
    engine = Engine(model, MHS[:2], (0.16, 0.5, 0.84))
    measured = np.array([0.8, -0.5])
    tb = (200 + measured[:, None] * slope).astype("f4")
    flat = np.zeros(2, "f4")
    pixels = Pixels(tb, flat, flat, np.zeros(2, bool))
    (out,) = engine.single_pixels(pixels, conditions=(True,))
    information = slope @ np.linalg.inv(noise) @ slope
    variance = 1 / (1 / spread**2 + information)
    centre = variance * information * measured
    np.testing.assert_allclose(out.mean, np.exp(centre + variance / 2), rtol=0.03)
    np.testing.assert_allclose(np.log(out.quantiles[1]), centre, atol=0.05)
    width = (np.log(out.quantiles[2]) - np.log(out.quantiles[0])) / 2
    np.testing.assert_allclose(width, math.sqrt(variance) * 0.9945, rtol=0.1)
    np.testing.assert_allclose(out.probability, 1.0, atol=1e-4)


def test_missing_channels_are_integrated_out():
    model, covariance = random_inversion()
    tb = np.random.default_rng(2).normal(250, 20, (50, len(MHS)))
    gaps = tb.copy()
    gaps[:, [1, 3]] = np.nan
    left = [c for k, c in enumerate(MHS) if k not in (1, 3)]
    found, _ = classify(model, gaps)
    fewer, _ = classify(model, tb[:, [0, 2, 4]], channels=left)
    np.testing.assert_allclose(found, fewer, atol=1e-5)
    np.testing.assert_allclose(found, exact(model, covariance, tb, [0, 2, 4]), atol=2e-4)


def test_channels_are_told_by_name_and_others_left_out():
    model, _ = random_inversion()
    tb = np.random.default_rng(3).normal(250, 20, (20, len(MHS)))
    turned = [*MHS[::-1], GMI[0]]
    more = np.concatenate([tb[:, ::-1], np.full((20, 1), 100.0)], axis=1)
    np.testing.assert_allclose(
        classify(model, more, channels=turned)[0], classify(model, tb)[0], atol=1e-5
    )


def test_other_surfaces_weigh_as_little_as_the_mask_is_trusted():
    tb = np.full((1, len(MHS)), 250.0)
    vectors = np.repeat(tb, 3, axis=0)
    covariance = 4 * np.eye(len(MHS))
    wet = [
        1 - classify(model, tb, land)[0][0, 0]
        for land in (0.0, 1.0, 0.5, math.nan)
        for model in [
            inversion(vectors, [1.0, 0, 0], MHS, covariance, surface=[0, 1, 2], other=0.1)
        ]
    ]
    assert wet == pytest.approx([1 / 1.2, 0.1 / 1.2, 0.1 / 1.2, 1 / 3], abs=1e-5)


def test_the_angle_of_a_cross_track_scanner_is_a_coordinate():
    vectors = np.full((2, len(MHS) + 1), 250.0)
    vectors[:, -1] = 1.0, 2.0  # air mass at 0 and 60 degrees
    covariance = np.diag([4.0] * len(MHS) + [0.01])
    model = inversion(vectors, [1.0, 0.0], MHS, covariance, air=True)
    tb = np.full((1, len(MHS)), 250.0)
    assert classify(model, tb, angle=0.0)[0][0, 0] < 1e-6
    assert classify(model, tb, angle=60.0)[0][0, 0] > 1 - 1e-6
    assert classify(model, tb, angle=math.nan)[0][0, 0] == pytest.approx(0.5)


# ---- no near neighbour


def test_where_nothing_is_near_the_search_widens_and_says_so():
    covariance = 4 * np.eye(len(MHS))
    vectors = np.array([250.0, 260.0])[:, None] * np.ones(len(MHS))
    model = inversion(vectors, [1.0, 0.0], MHS, covariance, near=16.0)
    tb = np.array([250.0, 400.0, 1e30, 0.0])[:, None] * np.ones(len(MHS))
    found, far = classify(model, tb)
    assert far.tolist() == [False, True, True, True]
    assert np.isfinite(found).all()
    distance = ((400 - vectors[:, 0]) ** 2 * len(MHS)) / 4
    odds = np.exp(-0.5 * (distance[0] - distance[1]) / (distance[1] / 16.0))
    assert found[1, 0] == pytest.approx(1 / (1 + odds), rel=1e-3)
    assert 0.01 < found[3, 0] < 0.5


# ---- the search


def brute(monkeypatch, model, tb):
    with monkeypatch.context() as patch:
        patch.setattr(kernel_search, "BLOCK", 1 << 40)
        return classify(model, tb, 0.0)


@pytest.mark.parametrize("spread", [3.0, 20.0, 60.0])
def test_leaving_cells_out_changes_nothing(monkeypatch, spread):
    model, _ = random_inversion(count=3000, noise=0.3, near=90.0, other=0.05)
    tb = np.random.default_rng(5).normal(250, spread, (3000, len(MHS)))
    expected, alone = brute(monkeypatch, model, tb)
    monkeypatch.setattr(kernel_search, "BLOCK", 1 << 18)
    asked = []
    scores = Search._scores

    def count(points, terms, best=None):
        asked.append(len(points) * terms.shape[1])
        return scores(points, terms, best)

    monkeypatch.setattr(Search, "_scores", staticmethod(count))
    found, far = classify(model, tb, 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(far, alone)
    assert max(asked) <= 1 << 18
    assert sum(asked) < 0.9 * 3000 * 4200 or spread == 60.0


def test_bisect_keeps_every_point_once():
    points = np.random.default_rng(0).normal(size=(1000, 3)).astype("f4")
    groups = bisect(points, 64)
    assert sorted(np.concatenate(groups)) == list(range(1000))
    assert max(map(len, groups)) <= 64
    assert bisect(points[:0], 64)[0].size == 0


# ---- in the engine, and from a folder


def gmi_model(near=40.0, prior=None):
    sensor = get_sensor("GMI")
    swath = fake_swath(sensor, 40, 30, seed=9)
    tb = swath["tb"].values.reshape(-1, 13)[::3]
    rng = np.random.default_rng(0)
    rate = np.where(rng.random(len(tb)) < 0.3, 0.05 + 10 ** rng.normal(0, 0.5, len(tb)), 0)
    base = inversion(tb, rate, GMI, 9 * np.eye(13), near=near)
    card = ModelCard(
        "mine-brain", 1, "For tests.", base.config.to_dict(), EDGES,
        inputs=tuple(CardChannel.from_channel(c) for c in GMI), sensor="GMI",
        event_frequency=0.3, prior=prior,
    )  # fmt: skip
    return Model(card, base)


def test_a_swath_in_chunks_is_the_whole_swath():
    model, ds = gmi_model(), fake_swath("GMI", 60, 40, seed=1)
    ds["tb"].values[5:9, :, 3] = np.nan
    ds["tb"].values[20, 10:14] = np.nan
    eager = xrain.retrieve(ds, model)
    lazy = xrain.retrieve(ds.chunk(scan=7, pixel=13), model)
    assert lazy["surface_precip"].chunks is not None
    xr.testing.assert_allclose(eager, lazy.compute(), atol=1e-4)
    value = eager["surface_precip"].values
    assert np.isnan(value[20, 10:14]).all()
    assert np.isfinite(np.delete(value.ravel(), np.arange(20 * 40 + 10, 20 * 40 + 14))).all()


def test_far_pixels_are_flagged_and_their_interval_widens():
    prior = np.full(len(EDGES), 1 / len(EDGES))
    model, ds = gmi_model(prior=tuple(prior)), fake_swath("GMI", 12, 10, seed=9)
    ds["tb"].values[3, 4] += 60.0
    out = xrain.retrieve(ds, model)
    flag = out["retrieval_quality"].values & QUALITY_FLAGS["outside_training_range"]
    assert flag[3, 4]
    assert not flag[8, 8]
    narrow = xrain.retrieve(ds, gmi_model())["surface_precip_quantile"].values
    wide = out["surface_precip_quantile"].values
    assert wide[2, 3, 4] > narrow[2, 3, 4]
    np.testing.assert_allclose(wide[:, 8, 8], narrow[:, 8, 8])
    table = ds.stack(sample=("scan", "pixel")).reset_index("sample")
    lone = xrain.retrieve(table.transpose("sample", "channel", ...), model)
    np.testing.assert_array_equal(
        lone["retrieval_quality"].values.reshape(12, 10)
        & QUALITY_FLAGS["outside_training_range"], flag
    )  # fmt: skip


def test_given_rain_leaves_the_dry_entries_out():
    model, ds = gmi_model(), fake_swath("GMI", 12, 10, seed=2)
    plain, wet = (xrain.retrieve(ds, model, given_rain=g) for g in (False, True))
    product = wet["surface_precip"] * plain["probability_of_precip"]
    drizzle = plain["surface_precip"] - product  # what the classes under 0.1 mm/h add
    assert (drizzle >= -1e-4).all()
    assert (drizzle <= 0.1 * (1 - plain["probability_of_precip"]) + 1e-4).all()


def test_the_mean_over_classes_is_that_over_entries():
    """Classes a quarter wide, with the mean of each, cost a few hundredths of a rate at worst."""
    model, covariance = random_inversion(count=4000, seed=4)
    tb = np.random.default_rng(1).normal(250, 10, (200, len(MHS)))
    p = exact(model, covariance, tb)
    by_class = p[:, 1:] @ class_rates(EDGES).double().numpy()[1:] / (1 - p[:, 0])
    difference = tb[:, None] - model.vectors.double().numpy()[None]
    inverse = np.linalg.inv(covariance)
    distance = np.einsum("nik,kl,nil->ni", difference, inverse, difference)
    rate = model.rate.double().numpy()
    distance[:, rate == 0] = np.inf
    weight = np.exp(-0.5 * (distance - distance.min(axis=1, keepdims=True)))
    entries = weight @ rate / weight.sum(axis=1)
    assert np.sqrt(np.mean((by_class / entries - 1) ** 2)) < 0.08
    assert abs(by_class.mean() / entries.mean() - 1) < 0.03


def test_a_model_goes_through_a_folder(tmp_path):
    model, ds = gmi_model(), fake_swath("GMI", 8, 9, seed=3)
    save_model(tmp_path / "mine", model.card, model.network.state_dict())
    again = load_model(tmp_path / "mine")
    assert isinstance(again.network, BayesianInversion)
    assert again.network.surface.dtype == torch.int8
    found, expected = (xrain.retrieve(ds, m)["probability_of_precip"] for m in (again, model))
    np.testing.assert_allclose(found, expected, atol=0.05)  # half precision: up to 0.125 K


def test_a_database_that_does_not_fit_its_card_is_told():
    model = gmi_model()
    state = model.network.state_dict()
    with pytest.raises(ModelError, match="does not fit its card: vectors"):
        load_inversion(model.card.architecture, state | {"vectors": state["vectors"][:, :5]})
    with pytest.raises(ModelError, match="incomplete"):
        load_inversion({"kind": "bayesian-inversion"}, state)
    config = dataclasses.replace(model.network.config, channels=("89.0V",)).to_dict()
    with pytest.raises(ModelError, match="does not fit"):
        load_inversion(config, state)


# ---- the databases of the package


@pytest.mark.parametrize(
    "name", [n for n in list_sensors() if f"{n.lower()}-brain" in list_models()]
)
def test_every_database_retrieves(name):
    ds = fake_swath(name, 6, 8)
    out = xrain.retrieve(ds, f"{name.lower()}-brain")
    assert np.isfinite(out["surface_precip"]).all()
    card = load_card(f"{name.lower()}-brain")
    assert card.sensor == name
    assert card.training["credits"]
    kind = "transects" if name == "GMI" else "translated"
    scores = card.scores["kept_apart"][kind]["table"]["all"]
    assert scores["auc"] > 0.9
    assert scores["brier_skill"] > 0.2


def test_overpasses_kept_apart_are_scored_as_the_card_says(data_dir):
    """Of every five blocks of 13 overpasses the last, of which the database holds nothing."""
    ds, model = (
        open_transects(data_dir / "transects" / "gmi_corra_conus.nc"),
        load_model("gmi-brain"),
    )
    overpass = ds["overpass"].values
    apart = (overpass - overpass.min()) // 13 % 5 == 4
    ds = ds.isel(scan=np.flatnonzero(apart))
    wet = np.flatnonzero(ds["surface_precip"].values >= 0.1)
    dry = np.flatnonzero(ds["surface_precip"].values == 0)[::10]
    land = land_fraction(ds["latitude"].values, ds["longitude"].values)
    chance = {}
    for kind, rows in (("wet", wet), ("dry", dry)):
        tb = ds["tb"].values[rows]
        pixels = Pixels(
            tb, np.full(len(rows), 52.8, np.float32), land[rows], np.zeros(len(rows), bool)
        )
        (found,) = Engine(model.network, GMI, ()).single_pixels(pixels)
        chance[kind] = found.probability.astype(float)
    brier = np.sum((1 - chance["wet"]) ** 2) + 10 * np.sum(chance["dry"] ** 2)
    told = model.card.scores["kept_apart"]["transects"]["table"]["all"]
    assert brier / (len(wet) + 10 * len(dry)) == pytest.approx(told["brier"], abs=0.002)
    assert told["brier"] < 0.03
    assert told["hss_10"] > 0.4


def test_no_rain_over_the_ice_of_antarctica(data_dir):
    """Cold ground that scatters is not rain; no pixel of this swath is in the database."""
    name = "mhs_metopb_20201026T21_antarctic.nc"
    with xr.open_dataset(data_dir / "swaths" / name, engine="h5netcdf") as ds:
        rain = xrain.retrieve(ds.load(), "mhs-brain")["surface_precip"]
    plateau = rain.values[ds["latitude"].values < -70]
    assert np.isfinite(plateau).sum() > 3000
    assert np.nanmax(plateau) < 1
