"""The training of the branch for single pixels on tables of real pixels."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from xrain.errors import InputError
from xrain.models.rain_classes import class_rates
from xrain.models.trunk import UNetConfig
from xrain.models.unet import describe
from xrain.sensors import get_sensor
from xrain.training.batches import pixel_planes
from xrain.training.observed import Shown, degrade, draw_natural, read_observed
from xrain.training.pixel_batches import LOST, Sizes, trust
from xrain.training.pixel_stage import PixelSettings, PixelStage, natural_frequencies

CONFIG = UNetConfig(pixel=24, pixel_blocks=1, pixel_hidden=16)
SMALL = Sizes(transects=128, rain=48, snow=16, events=32, lessons=48, ice=16)


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_matchups, write_transects):
    folder = tmp_path_factory.mktemp("observed")
    tables = [
        write_matchups(folder / "phase.nc", seed=1),
        write_matchups(folder / "more.nc", seed=2),
        write_matchups(folder / "rain.nc", kind="rate", seed=3),
        write_matchups(folder / "snow.nc", kind="rate", cold=True, seed=4),
    ]
    return [write_transects(folder / "transects.nc")], tables


@pytest.fixture(scope="module")
def settings(files):
    transects, tables = ([str(p) for p in f] for f in files)
    return PixelSettings(
        tuple(transects), tuple(tables), ("GMI", "MHS"), steps=60, sizes=SMALL, lessons=500
    )


def test_tables_are_told_apart_by_what_they_hold(files):
    observed = read_observed(*files)
    assert len(observed.transects) == 400
    assert observed.prevalence == pytest.approx(0.1, abs=0.04)
    assert len(observed.events) == 2
    assert np.median(observed.rain.t2m) > 280 > np.median(observed.snow.t2m)
    with pytest.raises(InputError, match="snow rates are missing"):
        read_observed(files[0], files[1][:3])


def test_what_is_kept_apart_shares_no_day_and_no_block_of_overpasses(files):
    observed = read_observed(*files)
    learned, judged = observed.split(0, 2)
    for name, table in learned.tables.items():
        other = judged.tables[name]
        assert len(table) + len(other) == len(observed.tables[name])
        assert not set(table.day) & set(other.day)
    assert not set(learned.transects.day // 5) & set(judged.transects.day // 5)


def test_weights_undo_that_rain_is_drawn_more_often():
    rate = np.where(np.arange(1000) % 20 == 0, 2.0, 0.0).astype("f4")
    rows, weight = draw_natural(np.random.default_rng(0), rate, 200)
    assert (rate[rows] > 0).mean() == 0.5
    assert float(weight.sum()) == pytest.approx(1.0)
    assert float(weight @ torch.as_tensor(rate[rows])) == pytest.approx(0.1, rel=1e-5)


def test_channels_angles_and_land_are_lost_now_and_then():
    rng = np.random.default_rng(0)
    channels = get_sensor("GMI").channels
    shown = Shown(np.full((1600, 13), 250.0, "f4"), np.full(1600, 52.8, "f4"), np.zeros(1600, "f4"))
    planes, seen = degrade(rng, shown, channels, translated=False)
    planes = planes.numpy()
    masks = planes[:, 15:]
    whole = masks[:, :13].all(1)
    assert whole.mean() == pytest.approx(4 / 16, abs=0.02)
    assert (seen == masks[:, :13].astype(bool)).all()
    assert masks[:, :13].any(1).all()
    np.testing.assert_allclose(1 - masks[:, 13:].mean(0), 0.1, atol=0.03)
    assert planes[whole, :13].std() == pytest.approx(1.0 / 40, rel=0.05)
    assert (shown.tb == 250.0).all()
    # Pixels of a part of the batch share an error where they were translated.
    shared = degrade(rng, shown, channels, translated=True)[0].numpy()[:, 0]
    assert shared[shared != 0].std() > 1.3 / 40


def test_tables_that_are_no_sample_of_nature_count_by_what_is_seen():
    channels = get_sensor("GMI").channels
    seen = np.ones((3, 13), bool)
    seen[1, 0] = False
    seen[2, :11] = False  # both channels at 183 GHz are left
    assert trust(seen, channels).tolist() == pytest.approx([1.0, LOST, 0.0])
    assert trust(np.ones((1, 6), bool), get_sensor("SAPHIR").channels).tolist() == [0.0]


def test_the_stage_learns_when_and_how_hard_it_rains(settings, tmp_path):
    stage = PixelStage(tmp_path, replace(settings, steps=400), CONFIG)
    assert stage.train()
    branch = stage.result()
    observed = read_observed(settings.transects, settings.tables)
    channels = describe(get_sensor("GMI").channels)

    def shares(table):
        angle = np.full(len(table), 52.8, "f4")
        return torch.softmax(branch(pixel_planes(table.tb, angle, table.land), channels), 1)

    wet = shares(observed.events[0])[:, 4:].sum(1).numpy()
    event = observed.events[0].event == 1
    assert wet[event].mean() > 3 * wet[~event].mean()
    rates = class_rates(CONFIG.edges)
    found = shares(observed.rain)
    given = (found[:, 1:] @ rates[1:] / found[:, 1:].sum(1)).numpy()
    assert np.corrcoef(np.log(given), np.log(observed.rain.rate))[0, 1] > 0.4
    mean = (shares(observed.transects) @ rates).numpy()
    assert mean.mean() == pytest.approx(observed.transects.rate.mean(), rel=1e-3)
    frequencies = natural_frequencies(observed, CONFIG)
    assert sum(frequencies[4:]) == pytest.approx(observed.prevalence)


def test_a_stopped_stage_goes_on_as_if_it_had_not(settings, tmp_path):
    whole = PixelStage(tmp_path / "whole", settings, CONFIG)
    whole.train()
    PixelStage(tmp_path / "parts", settings, CONFIG).train(stop_after=25)
    parts = PixelStage(tmp_path / "parts", settings, CONFIG)
    assert parts.step == 25
    told = []
    assert parts.train(told.append)
    for name, value in whole.mean.items():
        torch.testing.assert_close(parts.mean[name], value)
    assert told[-1]["step"] == 60
    lines = (tmp_path / "parts" / "pixel_log.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["of"] == 60
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        PixelStage(tmp_path / "parts", replace(settings, seed=2), CONFIG)
