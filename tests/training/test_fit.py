"""A small run from simulated samples to published models that retrieve."""

import dataclasses

import numpy as np
import pytest
import torch

from xrain.errors import InputError
from xrain.models.store import load_model
from xrain.models.unet import UNetConfig
from xrain.retrieval import retrieve
from xrain.testing import fake_swath
from xrain.training.batches import LONE_EVERY, classes, draw_batch, lose_information
from xrain.training.export import class_frequencies
from xrain.training.fit import Run, settings
from xrain.training.samples import Shard, load_samples, make_samples, shard_path

SENSORS = ("GMI", "MHS")
SMALL = UNetConfig(widths=(8, 12, 16), hidden=16)


def small(**changes):
    return settings("tiny", SENSORS, config=SMALL, size=16, **{"steps": 8} | changes)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder, small().training_plan, workers=2)
    return folder


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("run"), small(), cache=cache)
    assert run.train()
    return run


def test_samples_hold_every_channel_and_known_rain(cache):
    samples = load_samples(cache, small().training_plan)
    assert set(samples) == set(SENSORS)
    assert samples["GMI"].tb.shape == (12, 16, 16, 13)  # three shards for one of the others
    assert samples["MHS"].tb.shape == (4, 16, 16, 5)
    for shard in samples.values():
        tb = shard.tb[np.isfinite(shard.tb)].astype(float)
        assert 60 < tb.min() < tb.max() < 330
        assert (shard.rain[np.isfinite(shard.rain)] >= 0).all()


def test_samples_depend_on_their_seed_alone(cache, tmp_path):
    plan = small().training_plan
    make_samples(tmp_path, plan, workers=1)
    other = load_samples(tmp_path, plan)
    for sensor, shard in load_samples(cache, plan).items():
        np.testing.assert_array_equal(shard.tb, other[sensor].tb)
        np.testing.assert_array_equal(shard.rain, other[sensor].rain)


def test_only_missing_shards_are_made(cache):
    plan = small().training_plan
    path = shard_path(cache, plan, "GMI", 0)
    before = path.stat().st_mtime_ns
    seen = []
    make_samples(cache, plan, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 4)]
    assert path.stat().st_mtime_ns == before


def test_a_run_learns(run):
    samples = load_samples(run.cache, run.settings.training_plan)
    fresh = Run(run.folder.parent / "fresh", dataclasses.replace(run.settings, seed=7))
    batch = draw_batch(samples, SENSORS, SMALL.edges, 4, (3, 0))
    with torch.no_grad():
        assert float(run._loss(batch)) < float(fresh._loss(batch))


def test_an_interrupted_run_ends_like_a_whole_one(run, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("xrain.training.fit.SAVE_EVERY", 3)
    assert not Run(tmp_path, run.settings, cache=cache).train(stop_after=0.0)
    again = Run(tmp_path, run.settings, cache=cache)
    assert 0 < again.step < 8
    assert again.train()
    for key, value in run.result().state_dict().items():
        torch.testing.assert_close(again.result().state_dict()[key], value, atol=1e-6, rtol=1e-5)


def test_a_run_is_not_resumed_with_other_settings(run):
    with pytest.raises(InputError, match="steps"):
        Run(run.folder, small(steps=9), cache=run.cache)


def test_unknown_preset_and_sensor():
    with pytest.raises(InputError, match="tiny, cpu, gpu"):
        settings("huge", SENSORS)
    with pytest.raises(Exception, match="SSMIS"):
        settings("tiny", ("nonesuch",))


def test_published_models_load_and_retrieve(run):
    cards = run.publish()
    assert [c.name for c in cards] == ["constellation-unet", "gmi-unet", "mhs-unet"]
    models = run.folder / "models"
    assert len(list(models.rglob("*.safetensors"))) == 1
    card = cards[1]
    assert card.halo == SMALL.halo
    assert sum(card.prior) == pytest.approx(1)
    assert card.event_frequency == pytest.approx(1 - card.prior[0])
    assert set(card.scores["simulated"]["GMI"]) >= {"correlation", "rmse", "coverage90_rain"}
    swath = fake_swath("gmi", 20, 15)
    rain = retrieve(swath, str(models / "gmi-unet-1"))
    same = retrieve(swath, str(models / "constellation-unet-1"))
    assert rain.surface_precip.notnull().all()
    np.testing.assert_allclose(rain.surface_precip, same.surface_precip, atol=1e-5)
    network = load_model(str(models / "gmi-unet-1")).network
    for key, value in run.result().state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], value, atol=2e-3, rtol=2e-3)


def test_classes_of_rates():
    edges = (0.1, 1.0, 10.0)
    rain = torch.tensor([0.0, 0.0999, 0.1, 0.99, 1.0, 500.0, torch.nan])
    assert classes(rain, edges).tolist() == [0, 0, 1, 1, 2, 2, -1]


def test_class_frequencies_count_known_pixels():
    rain = np.array([[[0.0, 0.0, 0.5, np.nan]]], np.float32).repeat(1000, 0)
    shard = Shard(rain, rain, rain, rain)
    dry, low, high = class_frequencies({"GMI": shard}, (0.1, 1.0, 10.0))
    assert dry == pytest.approx(2 / 3, abs=1e-3)
    assert low == pytest.approx(1 / 3, abs=1e-3)
    assert 0 < high < 1e-3


def test_lone_batches_show_one_pixel_each(cache):
    samples = load_samples(cache, small().training_plan)
    step = (LONE_EVERY - 1) * len(SENSORS)
    batch = draw_batch(samples, SENSORS, SMALL.edges, 4, (1, step))
    channels = samples[batch.sensor].tb.shape[-1]
    masks = batch.planes[:, channels + 2 : 2 * channels + 2]
    assert batch.planes.shape[2:] == (8, 8)
    assert (masks.amax(1).sum((1, 2)) <= 1).all()
    assert masks.amax(1).sum() > 0
    assert ((batch.target >= 0).sum((1, 2)) <= 1).all()


def test_information_loss_spares_some_and_never_takes_all_channels():
    rng = np.random.default_rng(0)
    tb = np.full((200, 8, 8, 9), 250.0, np.float32)
    angle, land = np.full((2, 200, 8, 8), 0.5, np.float32)
    lose_information(rng, tb, angle, land)
    kept = np.isfinite(tb).all((1, 2)).sum(-1)
    assert kept.min() >= 1
    assert (kept == 9).mean() > 0.4
    assert (kept < 9).mean() > 0.3
    assert 0 < np.isnan(land).mean() < 0.5
