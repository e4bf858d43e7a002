"""A small run from simulated samples to published models that retrieve."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import xarray as xr

from xrain.errors import InputError
from xrain.models.rain_classes import classes
from xrain.models.store import load_model
from xrain.models.trunk import UNetConfig
from xrain.models.unet import describe
from xrain.retrieval.dataset import retrieve
from xrain.sensors import get_sensor
from xrain.testing import fake_swath
from xrain.training.batches import DRY_SHARE, draw_batch, simulated_sources
from xrain.training.degrade import (
    MISFIT,
    NOISE,
    SMOOTH,
    TOGETHER,
    add_errors,
    keep_channels,
    lose_information,
)
from xrain.training.export import class_frequencies
from xrain.training.fit import Run
from xrain.training.learner import pixel_loss
from xrain.training.samples import Shard, load_samples, make_samples, shard_path
from xrain.training.settings import settings
from xrain.training.validation import judged_loss

SENSORS = ("GMI", "MHS")
CHANNELS = {s: get_sensor(s).channels for s in SENSORS}
SMALL = UNetConfig(8, (1, 2), hidden=16, pixel=16, pixel_hidden=16, pixel_blocks=1)


def small(**changes):
    steps = {"simulated_steps": 4, "pixel_steps": 4, "steps": 8}
    return settings("tiny", SENSORS, config=SMALL, size=16, **steps | changes)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder, *small().training_plans, workers=2)
    return folder


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("run"), small(), cache=cache)
    assert run.train()
    return run


def test_samples_hold_every_channel_and_known_rain(cache):
    samples = load_samples(cache, *small().training_plans)
    assert set(samples) == set(SENSORS)
    assert samples["GMI"].tb.shape == (12, 16, 16, 13)  # three shards for one of the others
    assert samples["MHS"].tb.shape == (4, 16, 16, 5)
    for shard in samples.values():
        tb = shard.tb[np.isfinite(shard.tb)].astype(float)
        assert 60 < tb.min() < tb.max() < 330
        assert (shard.rain[np.isfinite(shard.rain)] >= 0).all()


def test_samples_depend_on_their_seed_alone(cache, tmp_path):
    (plan,) = small().training_plans
    make_samples(tmp_path, plan, workers=1)
    other = load_samples(tmp_path, plan)
    for sensor, shard in load_samples(cache, plan).items():
        np.testing.assert_array_equal(shard.tb, other[sensor].tb)
        np.testing.assert_array_equal(shard.rain, other[sensor].rain)


def test_each_radar_file_gives_its_rain_to_samples_of_its_own(tmp_path):
    rain = np.full((60, 60), 3.0, "f4")
    axis = np.arange(60) * 5.0
    radar = tmp_path / "everywhere.nc"
    xr.Dataset(
        {"rain_rate": (("y", "x"), rain, {"units": "mm h-1"})},
        {"y": ("y", axis, {"units": "km"}), "x": ("x", axis, {"units": "km"})},
    ).to_netcdf(radar, engine="h5netcdf")
    chosen = small(rain=(str(radar),), shards=4)
    storms, other = chosen.training_plans
    assert not storms.radar
    assert other.radar == (str(radar),)
    assert (storms.shards, other.shards) == (4, 2)
    many = dataclasses.replace(chosen, rain=tuple(f"{k}.nc" for k in range(12)))
    assert len({p.seed for p in (*many.training_plans, many.judging_plan)}) == 14
    one = dataclasses.replace(other, sensors=("MHS",), shards=1, per_shard=1)
    none = dataclasses.replace(one, radar=())
    assert shard_path(tmp_path, one, "MHS", 0) != shard_path(tmp_path, none, "MHS", 0)
    make_samples(tmp_path, one, workers=1)
    (shard,) = load_samples(tmp_path, one, none).values()
    known = shard.rain[np.isfinite(shard.rain)]
    assert known.size > 100
    assert known.min() > 0.5  # it rains wherever the radar looked


def test_only_missing_shards_are_made(cache):
    (plan,) = small().training_plans
    path = shard_path(cache, plan, "GMI", 0)
    before = path.stat().st_mtime_ns
    seen = []
    make_samples(cache, plan, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 4)]
    assert path.stat().st_mtime_ns == before


def test_errors_of_a_square_are_partly_shared_and_smaller_than_those_of_lone_pixels():
    none = np.zeros((2000, 12, 12, 2), np.float32)
    square = add_errors(np.random.default_rng(0), none, True, TOGETHER)
    lone = add_errors(np.random.default_rng(0), none[:, 0, 0], True)
    whole = math.sqrt(MISFIT**2 + SMOOTH**2 + NOISE**2)
    assert lone.std() == pytest.approx(whole, rel=0.05)
    assert square.std() == pytest.approx(TOGETHER * whole, rel=0.1)
    shared = square.mean((1, 2))
    assert TOGETHER * MISFIT < shared.std() < TOGETHER * math.hypot(MISFIT, SMOOTH)
    rest = square - shared[:, None, None]
    near = np.corrcoef(rest[:, 5, 5].ravel(), rest[:, 5, 6].ravel())[0, 1]
    far = np.corrcoef(rest[:, 1, 1].ravel(), rest[:, 9, 9].ravel())[0, 1]
    assert near > 0.7 > 0.1 > far  # errors change over some pixels


def test_a_run_learns(run):
    samples = load_samples(run.inputs.cache, *run.settings.training_plans)
    fresh = Run(run.folder.parent / "fresh", dataclasses.replace(run.settings, seed=7))
    batch = draw_batch(simulated_sources(samples), CHANNELS, 4, (3, 0))
    description = describe(CHANNELS[batch.sensor])
    with torch.no_grad():
        learned, none = (r.learner.square_loss(batch, description, 0.0) for r in (run, fresh))
    assert float(learned) < float(none)


def test_an_interrupted_run_ends_like_a_whole_one(run, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("xrain.training.fit.SAVE_EVERY", 3)
    assert not Run(tmp_path, run.settings, cache=cache).train(stop_after=0.0)
    again = Run(tmp_path, run.settings, cache=cache)
    assert 0 < again.step < 12
    assert again.train()
    for key, value in run.result().state_dict().items():
        torch.testing.assert_close(again.result().state_dict()[key], value, atol=1e-6, rtol=1e-5)


def test_a_run_is_not_resumed_with_other_settings(run):
    with pytest.raises(InputError, match="steps"):
        Run(run.folder, small(steps=9), cache=run.inputs.cache)


def test_the_best_weights_are_kept_and_a_run_ends_when_nothing_gets_better(
    cache, tmp_path, monkeypatch
):
    monkeypatch.setattr("xrain.training.fit.PATIENCE", 2)
    losses = iter([3.0, 2.0, 2.5, 2.6, 9.0, 9.0])
    monkeypatch.setattr("xrain.training.fit.judged_loss", lambda *_: next(losses))
    run = Run(tmp_path, small(steps=40, judge_every=2), cache=cache)
    assert run.train()
    assert run.step == 12
    assert run.best == {"step": 8, "held_out": 2.0}
    last = {k.removeprefix("network."): v for k, v in run.mean.items()}
    assert any(not torch.equal(v, last[k]) for k, v in run.result().state_dict().items())
    assert Run(tmp_path, small(steps=40, judge_every=2), cache=cache).best == run.best


def test_losses_are_computed_where_their_input_lies():
    # no GPU is needed to see it: tensors without values refuse to meet those of the processor
    rain = torch.zeros(1, 4, 4, device="meta")
    output = torch.zeros(1, 4, 4, SMALL.classes, device="meta")
    for seen in (True, False):
        assert pixel_loss(output, rain, SMALL.edges, observed=seen).device.type == "meta"


def test_what_a_reference_cannot_see_is_one_class():
    logits = torch.log_softmax(torch.randn(5, SMALL.classes), 1)
    rain = torch.tensor([0.0, 0.07, 0.2, 3.0, torch.nan])
    simulated = pixel_loss(logits, rain, SMALL.edges, observed=False)
    assert simulated.tolist() == pytest.approx(
        [-float(logits[k, c]) for k, c in enumerate((0, 2, 7, 18))] + [0.0]
    )
    observed = pixel_loss(logits, rain, SMALL.edges, observed=True)
    none = -logits[:, :4].exp().sum(1).log()
    assert observed.tolist() == pytest.approx(torch.cat([none[:2], simulated[2:]]).tolist())


def test_real_pixels_can_be_mixed_in(run, cache, tmp_path):
    count = 40
    xr.Dataset(
        {
            "tb": (("sample", "channel"), np.full((count, 13), 250.0, "f4")),
            "surface_precip": ("sample", np.full(count, 2.0)),
        },
        coords={
            "channel": [c.name for c in get_sensor("GMI").channels],
            "latitude": ("sample", np.zeros(count)),
            "longitude": ("sample", np.full(count, -150.0)),
            "month": ("sample", np.ones(count, int)),
            "day": ("sample", np.arange(count) // 10),
        },
    ).to_netcdf(tmp_path / "real.nc", engine="h5netcdf")
    chosen = small(matchups=(str(tmp_path / "real.nc"),), steps=2)
    mixed = Run(tmp_path / "mixed", chosen, cache=cache)
    mixed.start_from(run.result().state_dict())
    assert mixed.train()
    plain = Run(tmp_path / "plain", small(steps=2), cache=cache)
    plain.start_from(run.result().state_dict())
    assert plain.train()
    assert mixed.best["step"] == 10
    after = mixed.network.state_dict()
    assert any(not torch.equal(v, after[k]) for k, v in plain.network.state_dict().items())


def test_a_store_is_mixed_in_and_judges(run, cache, store, tmp_path):
    chosen = small(stores=(str(store),), simulated=0.5, judge_every=4)
    mixed = Run(tmp_path, chosen, cache=cache)
    assert mixed.train()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = {f["step"]: f["held_out"] for f in log if "held_out" in f}
    assert [*losses] == [0, 12, 16]
    assert judged_loss(mixed.result(), mixed.inputs.held_out()) == pytest.approx(
        min(losses.values())
    )
    card = mixed.publish(real=lambda model: {"GMI": {"n": len(model.card.rates)}})[1]
    assert {*card.scores} == {"simulated", "real"}
    assert card.scores["real"] == {"GMI": {"n": len(SMALL.edges)}}
    (told,) = card.training["stores"]
    assert card.training["patches"] == told["patches"] + 16
    assert "in 50% of the batches simulated swaths" in card.limits[0]
    assert "DPR" in card.limits[0]


def test_single_pixels_are_learned_first_and_then_stay(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("xrain.training.fit.SAVE_EVERY", 4)
    run = Run(tmp_path, small(), cache=cache)
    start = {k: v.clone() for k, v in run.learner.state_dict().items()}
    assert not run.train(stop_after=0.0)
    assert run.step == 4
    middle = {k: v.clone() for k, v in run.mean.items()}
    for key, value in middle.items():
        told = key.endswith(("trunk.head.weight", "trunk.head.bias"))
        assert torch.equal(value, start[key]) != key.startswith("simulated.") or told, key
    assert run.train()
    for key, value in run.learner.state_dict().items():
        if key.startswith(("simulated.", "network.pixel.")):  # the network takes the simulation's
            own = key.replace("network.pixel.", "simulated.")
            assert torch.equal(value, middle[own]), key
        elif key.startswith("network.neighbours."):
            assert not torch.equal(value, middle[key]), key


def test_the_judgement_of_real_pixels_is_kept_beside_that_of_simulated_ones(run, cache, tmp_path):
    start = {k: v + 0.01 for k, v in run.result().state_dict().items()}
    again = Run(tmp_path, small(seed=5), cache=cache)
    again.start_from(start)
    assert again.train()
    for key, value in again.result().state_dict().items():
        assert torch.equal(value, start[key]) == key.startswith("pixel."), key
    own, simulated = again.learner.network.pixel.bias, again.learner.simulated.bias
    assert not torch.allclose(own, simulated)


def test_unknown_preset_and_sensor():
    with pytest.raises(InputError, match="tiny, cpu, finetune, archive, gpu"):
        settings("huge", SENSORS)
    with pytest.raises(Exception, match="SSMIS"):
        settings("tiny", ("nonesuch",))


def test_published_models_load_and_retrieve(run):
    cards = run.publish()
    assert [c.name for c in cards] == ["constellation-unet", "gmi-unet", "mhs-unet", "gmi-drain"]
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


def test_drain_is_the_network_with_four_channels(run):
    run.publish()
    models = run.folder / "models"
    card = load_model(str(models / "gmi-drain-1")).card
    assert card.channels == ("36.64V", "36.64H", "89.0V", "89.0H")
    swath = fake_swath("gmi", 20, 15)
    rain = retrieve(swath, str(models / "gmi-drain-1"))
    few = swath.sel(channel=list(card.channels))
    same = retrieve(few, str(models / "constellation-unet-1"))
    np.testing.assert_allclose(rain.surface_precip, same.surface_precip, atol=1e-5)
    assert (rain.surface_precip_quantile.diff("quantile") >= 0).all()


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


def test_rainy_patches_are_drawn_more_often_and_weigh_less():
    rain = np.zeros((10, 16, 16), np.float32)
    rain[0] = 1.0
    tb = np.full((10, 16, 16, 5), 250.0, np.float16)
    sources = simulated_sources({"MHS": Shard(tb, rain, rain.astype("f2"), rain.astype("f2"))})
    wet, total, drawn = 0.0, 0.0, 0.0
    for step in range(300):
        batch = draw_batch(sources, CHANNELS, 1, (5, step))
        rainy = (batch.rain > 0).any(2).any(1).float()
        wet += float((batch.weight * rainy[:, None, None]).sum())
        total += float(batch.weight.sum())
        drawn += float(rainy.mean())
    assert drawn / 300 > 0.4  # one patch in ten rains
    assert wet / total == pytest.approx(0.1, abs=0.02)


def test_squares_are_cut_into_lines_whose_weights_keep_their_sum(monkeypatch):
    rng = np.random.default_rng(2)
    rain = rng.gamma(0.3, 2.0, (4, 32, 32)).astype("f4")
    tb = np.full((4, 32, 32, 5), 250.0, np.float16)
    sources = simulated_sources({"MHS": Shard(tb, rain, rain.astype("f2"), rain.astype("f2"))})
    monkeypatch.setattr("xrain.training.batches.LINES", 1.0)
    shapes, total = set(), []
    for step in range(40):
        batch = draw_batch(sources, CHANNELS, 2, (6, step))
        rows, columns = batch.rain.shape[1:]
        assert batch.planes.shape[2:] == (rows, columns)
        shapes.add((rows, columns))
        total.append(float(batch.weight.sum()))
    assert shapes == {(32, 1), (1, 32)}
    assert np.mean(total) == pytest.approx(1, abs=0.15)


def test_most_dry_pixels_are_passed_over_and_the_others_weigh_more():
    dry = np.zeros((4, 64, 64), np.float32)
    tb = np.full((4, 64, 64, 5), 250.0, np.float16)
    sources = simulated_sources({"MHS": Shard(tb, dry, dry.astype("f2"), dry.astype("f2"))})
    batches = [draw_batch(sources, CHANNELS, 1, (1, step)) for step in range(30)]
    counted = np.mean([float((b.weight > 0).float().mean()) for b in batches])
    assert 0.8 * DRY_SHARE < counted <= DRY_SHARE * 1.02
    assert np.mean([float(b.weight.sum()) for b in batches]) == pytest.approx(1, abs=0.1)


def test_a_group_of_channels_ends_along_or_across_the_track():
    rng = np.random.default_rng(3)
    channels = get_sensor("GMI").channels
    tb = np.full((400, 32, 32, 13), 250.0, np.float32)
    angle, land = np.zeros((2, 400, 32, 32), np.float32)
    lose_information(rng, tb, angle, land, channels)
    count = np.isfinite(tb).sum(-1)
    ends = [  # an edge between two numbers of channels, neither nought, right across the square
        [bool(((np.diff(c, axis=a) != 0).all(1 - a) & (c.min() > 0)).sum() == 1) for c in count]
        for a in (0, 1)
    ]
    assert np.mean(ends[0]) > 0.03
    assert np.mean(ends[1]) > 0.03


def test_channels_go_singly_or_in_bands():
    rng = np.random.default_rng(4)
    channels = get_sensor("GMI").channels
    kept = np.array([keep_channels(rng, channels) for _ in range(2000)])
    assert kept.any(1).all()
    low = np.array([c.frequency < 15 for c in channels])
    assert (~kept[:, low].any(1) & kept[:, ~low].all(1)).mean() > 0.005  # as of an SSMIS
    assert 0.4 < kept.mean() < 0.7


def test_information_loss_spares_some_and_never_takes_all_channels():
    rng = np.random.default_rng(0)
    tb = np.full((200, 16, 16, 9), 250.0, np.float32)
    angle, land = np.full((2, 200, 16, 16), 0.5, np.float32)
    lose_information(rng, tb, angle, land, get_sensor("AMSR2").channels[:9])
    kept = np.isfinite(tb).any((1, 2)).sum(-1)
    assert kept.min() >= 1
    assert (kept == 9).mean() > 0.5
    assert 0.02 < np.isnan(tb).all(-1).mean() < 0.15  # single pixels go too
    assert (kept < 9).mean() > 0.2
    assert 0 < np.isnan(land).mean() < 0.5
