"""From granules of an archive to weights: stores made by the real command, and runs on them."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from xrain.cli import app
from xrain.collocation import collocate
from xrain.collocation.store import list_groups, open_store
from xrain.errors import FileFormatError, InputError, OutputError
from xrain.io.truth import radar_path, truth_path
from xrain.models.publish import check_package, package_models
from xrain.models.store import load_model
from xrain.models.trunk import UNetConfig
from xrain.retrieval.dataset import retrieve
from xrain.sensors import get_sensor
from xrain.testing import fake_swath
from xrain.training.archive import open_archive
from xrain.training.batches import Source, draw_batch, draw_pixels, tally
from xrain.training.export import publish
from xrain.training.fit import Run
from xrain.training.inputs import Learned
from xrain.training.samples import Shard
from xrain.training.settings import settings
from xrain.training.validation import judged_loss

SMALL = UNetConfig(8, (1, 2), hidden=16, pixel=16, pixel_hidden=16, pixel_blocks=1)
NAMES = [c.name for c in get_sensor("GMI").channels]


@pytest.fixture(scope="module")
def shifted(store, tmp_path_factory):
    """The same as seen by an instrument that is 25 K too warm."""
    other = tmp_path_factory.mktemp("shifted") / "shifted.zarr"
    shutil.copytree(store, other)
    for group in list_groups(other):
        path = group.path / "tb" / "zarr.json"
        facts = json.loads(path.read_text())
        facts["attributes"]["add_offset"] += 25.0
        path.write_text(json.dumps(facts))
    moved = open_store(other).tb.mean() - open_store(store).tb.mean()
    assert float(moved) == pytest.approx(25, abs=0.1)
    return other


def on(*stores, preset="archive", **changes):
    usual = {
        "config": SMALL,
        "simulated": 0.0,
        "pixel_steps": 30,
        "pixel_rate": 1e-2,
        "steps": 60,
        "batch": 2,
        "judge_every": 10,
        "rate": 1e-2,
    }
    paths = tuple(str(s) for s in stores)
    return settings(preset, ("GMI",), **usual | {"stores": paths} | changes)


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("run"), on(store))
    assert run.train()
    run.publish()
    return run


def judged(run):
    return judged_loss(run.result(), run.inputs.held_out())


def command(*words):
    return CliRunner().invoke(app, ["train", *map(str, words)])


# ---- arrays on disk


def test_arrays_hold_what_the_store_holds(store, tmp_path):
    some = NAMES[5:9]
    whole, few = (open_archive(store, "train", tmp_path, names) for names in (NAMES, some))
    ds = open_store(store, "train").load()
    np.testing.assert_array_equal(whole.shard.tb, ds.tb.values.astype(np.float16))
    np.testing.assert_array_equal(few.shard.tb, ds.tb.sel(channel=some).values.astype("f2"))
    np.testing.assert_array_equal(whole.shard.rain, ds.surface_precip.values)
    np.testing.assert_array_equal(whole.shard.incidence, ds.earth_incidence_angle.values)
    np.testing.assert_array_equal(whole.shard.land, ds.land_fraction.values.astype(np.float16))
    assert (
        whole.known.tolist() == ds.surface_precip.notnull().sum(("scan", "pixel")).values.tolist()
    )
    wet = (ds.surface_precip >= 0.1).sum(("scan", "pixel")) / whole.known
    np.testing.assert_allclose(whole.wetness, wet)
    assert whole.facts["granules"] == 2
    assert whole.facts["pixels"] == ds.surface_precip.notnull().sum()
    assert (whole.facts["first"][:10], whole.facts["last"][:10]) == ("2019-03-01", "2019-03-02")
    two = whole.some(2)
    np.testing.assert_array_equal(two.rain, whole.shard.rain[[0, -1]])


def test_arrays_are_made_once_and_anew_when_the_store_grew(archive, cutting, tmp_path):
    grown = tmp_path / "grown.zarr"
    radar = [radar_path(g) for g in archive]
    collocate(archive[:1], radar, grown, cutting, workers=1)
    cache = tmp_path / "cache"

    def stamps():
        return {p: p.stat().st_mtime_ns for p in cache.rglob("*.npy")}

    first = open_archive(grown, "train", cache, NAMES)
    before = stamps()
    open_archive(grown, "train", cache, NAMES)
    assert stamps() == before
    collocate(archive[2:], radar, grown, workers=1)
    open_archive(grown, "train", cache, NAMES)
    assert stamps() == before  # days that are held out change nothing here
    collocate(archive, radar, grown, workers=1)
    second = open_archive(grown, "train", cache, NAMES)
    assert len(second.known) > len(first.known)
    assert not {*before} & {*stamps()}
    assert len(stamps()) == len(before)


def spoiled(store, path, name):
    """Copy a store, and take a chunk away from the first group, or cut it short."""
    shutil.copytree(store, path)
    (chunk, *_) = sorted(
        p for p in (list_groups(path)[0].path / name / "c").rglob("*") if p.is_file()
    )
    return chunk


@pytest.mark.parametrize("name", ["tb", "surface_precip"])
def test_a_damaged_piece_is_told_and_nothing_is_left(store, tmp_path, name):
    chunk = spoiled(store, tmp_path / "lost.zarr", name)
    chunk.unlink()
    cut = spoiled(store, tmp_path / "cut.zarr", name)
    cut.write_bytes(cut.read_bytes()[:40])
    for path in (tmp_path / "lost.zarr", tmp_path / "cut.zarr"):
        with pytest.raises(FileFormatError, match=r"damaged.*repeat 'xrain collocate'"):
            open_archive(path, "train", tmp_path / "cache", NAMES)
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_full_disk_is_told_and_the_run_goes_on_later(store, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
            open_archive(store, "train", disk, NAMES)
        assert not list(disk.rglob("*.npy"))
        subprocess.run([*mount[:4], "remount,size=10m", "tmpfs", str(disk)], check=True)
        assert len(open_archive(store, "train", disk, NAMES).known)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# ---- what is drawn


def test_squares_hold_known_pixels_and_weigh_as_nature_does(monkeypatch):
    monkeypatch.setattr("xrain.training.batches.LINES", 0.0)
    monkeypatch.setattr("xrain.training.batches.lose_information", lambda *_: None)
    rng = np.random.default_rng(2)
    rain = np.full((4, 32, 32), np.nan, np.float32)
    for k, width in enumerate((3, 9, 14, 32)):  # bands, at the edge and in the middle
        rain[k, :, 5 * k : 5 * k + width] = rng.gamma(
            0.3, 3.0, rain[k, :, 5 * k : 5 * k + width].shape
        )
    rain[1] *= rain[1] > 5
    tb = np.full((*rain.shape, 5), 250, np.float16)
    shard = Shard(tb, rain, rain.astype("f2"), rain.astype("f2"))
    source = Source("MHS", shard, *tally(rain), 1.0, simulated=False)
    channels = {"MHS": get_sensor("MHS").channels}
    sums = np.zeros(2)
    count = 800
    for step in range(count):
        batch = draw_batch([source], channels, 2, (1, step))
        known = torch.isfinite(batch.rain)
        assert known.any(2).any(1).all()
        assert not (batch.weight > 0)[~known].any()
        sums += float(batch.weight.sum()), float((batch.weight * batch.rain.nan_to_num()).sum())
    assert sums[0] / count == pytest.approx(1, abs=0.03)
    assert sums[1] / count == pytest.approx(float(np.nanmean(rain)), rel=0.04)


def test_lone_pixels_stand_for_all_that_are_known():
    rng = np.random.default_rng(3)
    rain = np.where(rng.random((6, 16, 16)) < 0.3, rng.gamma(0.3, 3.0, (6, 16, 16)), 0.0)
    rain[:, :, 9:] = np.nan
    rain[2] *= 0.0
    rain = rain.astype(np.float32)
    tb = np.full((*rain.shape, 5), 250, np.float16)
    source = Source(
        "MHS", Shard(tb, rain, *[rain.astype("f2")] * 2), *tally(rain), 1.0, simulated=False
    )
    channels = {"MHS": get_sensor("MHS").channels}
    drawn = [draw_pixels([source], channels, 512, (1, step)) for step in range(60)]
    for batch in drawn:
        assert float(batch.weight.sum()) == pytest.approx(1, abs=1e-4)
        assert float((batch.rain >= 0.1).float().mean()) == 0.5
    lost = [float((b.planes[:, 7:12] == 0).any(1).float().mean()) for b in drawn]
    assert 0.1 < np.mean(lost) < 0.4
    means = [float((b.weight * b.rain).sum()) for b in drawn]
    assert np.mean(means) == pytest.approx(float(np.nanmean(rain)), rel=0.05)


def test_the_share_of_simulated_batches_is_as_asked(run):
    other = np.zeros((40, 16, 16), np.float32)
    shard = Shard(np.zeros((*other.shape, 5), "f2"), other, other.astype("f2"), other.astype("f2"))
    archives = run.inputs.archives("train")
    sources = Learned({"MHS": shard}, archives, 0.4).sources()
    channels = {s: get_sensor(s).channels for s in ("GMI", "MHS")}
    drawn = [draw_batch(sources, channels, 1, (0, k)).sensor for k in range(400)]
    assert drawn.count("MHS") / 400 == pytest.approx(0.4, abs=0.08)
    assert [s.sensor for s in Learned({}, archives, 0.0).sources()] == ["GMI"]


def test_observations_get_little_noise_and_none_of_the_errors_of_simulations(run, monkeypatch):
    (archive,) = run.inputs.archives("train")
    real = archive.source(1.0)
    made = dataclasses.replace(real, simulated=True)
    monkeypatch.setattr(
        "xrain.training.batches.add_errors",
        lambda _, tb, simulated, *factor: tb + 1000.0 * simulated,
    )

    def highest(source):
        return float(draw_batch([source], run.channels, 2, (0, 0)).planes.max())

    assert highest(real) < 5 < 20 < highest(made)
    monkeypatch.undo()
    noisy = draw_batch([real], run.channels, 2, (0, 0)).planes
    monkeypatch.setattr("xrain.training.degrade.REAL_NOISE", 0.0)
    added = 40 * (noisy - draw_batch([real], run.channels, 2, (0, 0)).planes)
    assert float(added[added != 0].std()) == pytest.approx(1, abs=0.1)


# ---- runs


def test_a_run_learns_from_a_store_alone(run, store, tmp_path):
    assert not list(run.folder.rglob("*.npz"))  # nothing was simulated
    fresh = Run(tmp_path, on(store, seed=7))
    assert judged(run) < judged(fresh)
    log = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert min(f["held_out"] for f in log if "held_out" in f) == pytest.approx(judged(run))


def test_cards_say_what_was_learned_from(run):
    models = run.folder / "models"
    assert sorted(p.name for p in models.iterdir() if p.is_dir()) == [
        "constellation-unet-1",
        "gmi-drain-1",
        "gmi-unet-1",
    ]
    card = load_model(models / "gmi-unet-1").card
    (told,) = card.training["stores"]
    assert (told["name"], told["reference"], told["granules"]) == ("gmi-dpr.zarr", "2ADPR", 2)
    assert card.training["pixels"] == told["pixels"] > 1000
    assert "simulated swaths" not in card.limits[0]
    assert "2ADPR V07, 2 simulated granules of 2019-03-01 to 2019-03-02" in card.limits[0]
    assert "simulated" not in card.scores
    rain = np.concatenate([a.shard.rain.ravel() for a in run.inputs.archives("train")])
    rain = rain[np.isfinite(rain)]
    assert card.event_frequency == pytest.approx((rain >= SMALL.edges[0]).mean(), abs=0.02)
    assert retrieve(fake_swath("gmi", 20, 15), models / "gmi-unet-1").surface_precip.notnull().all()


def test_a_receiver_that_died_has_no_range(run, tmp_path):
    learned = run.inputs.learned()
    samples = learned.typical()
    samples["GMI"].tb[..., 5] = np.nan
    told = {**learned.told(), "matchups": []}
    cards = publish(
        run.result(), samples, run.channels, tmp_path, version=1, training=told, scores={}
    )
    assert [len(card.ranges) for card in cards] == [12, 12]
    assert NAMES[5] not in cards[1].ranges
    assert NAMES[5] in cards[1].channels
    assert len(cards[1].outliers["GMI"]["channels"]) == 12
    swath = fake_swath("gmi", 20, 15)
    assert retrieve(swath, tmp_path / "gmi-unet-1").surface_precip.notnull().all()


def test_an_interrupted_run_ends_like_a_whole_one(run, store, tmp_path, monkeypatch):
    monkeypatch.setattr("xrain.training.fit.SAVE_EVERY", 7)
    assert not Run(tmp_path, on(store)).train(stop_after=0.0)
    again = Run(tmp_path, on(store))
    assert 0 < again.step < 60
    assert again.train()
    for key, value in run.result().state_dict().items():
        torch.testing.assert_close(again.result().state_dict()[key], value, atol=1e-6, rtol=1e-5)


def test_the_command_begins_with_a_model_and_says_what_the_store_brought(run, shifted, tmp_path):
    words = ["--data", shifted, "--init", run.folder / "models" / "gmi-unet-1"]
    words += [
        "--simulated",
        0,
        "--pixel-steps",
        20,
        "--steps",
        40,
        "-o",
        tmp_path / "tuned",
        "--version",
        2,
    ]
    found = command(*words)
    assert found.exit_code == 0, found.output
    kept = load_model(tmp_path / "tuned" / "models" / "gmi-unet-2").card
    scores = kept.scores["real"]["GMI"]["shifted.zarr"]
    group = list_groups(shifted, "test")[0]
    wanted = {"correlation", "rmse", "mae", "relative_bias", "coverage90", "pod", "far", "csi"}
    for state in ("before", "after"):
        assert scores[state]["all"]["n"] == group.attrs["matched_pixels"]
        assert {*scores[state]["all"]} >= wanted | {"hss"}
    assert scores["before"] != scores["after"]
    path = tmp_path / "tuned" / "models" / "gmi-unet-2"
    told = CliRunner().invoke(app, ["score", str(shifted), "-m", str(path), "--json"])
    again = json.loads(told.stdout)["swath"]["all"]
    assert again["rmse"] == pytest.approx(scores["after"]["all"]["rmse"], abs=2e-3)
    assert "gmi-unet@1" in kept.training["before"]
    whole = load_model(tmp_path / "tuned" / "models" / "constellation-unet-2").card
    assert whole.scores["real"]["GMI"] == kept.scores["real"]["GMI"]
    package_models(
        [tmp_path / "tuned" / "models" / "gmi-unet-2"], tmp_path / "package", name="mine"
    )
    assert check_package(tmp_path / "package") == ["mine@2"]


def test_what_is_no_better_than_its_beginning_is_not_kept(run, store, tmp_path):
    spoilt = Run(tmp_path, on(store, rate=3.0, pixel_rate=3.0, steps=20))
    before = run.result().state_dict()
    spoilt.start_from(before)
    assert spoilt.train()
    assert spoilt.best["step"] == 0
    for key, value in spoilt.result().state_dict().items():
        assert torch.equal(value, before[key])


def test_a_frozen_trunk_stays_and_the_rest_learns_a_shifted_sensor(run, shifted, tmp_path):
    chosen = on(shifted, freeze="trunk")
    before = run.result().state_dict()
    tuned = Run(tmp_path / "tuned", chosen)
    tuned.start_from(before)
    start = judged(tuned)
    assert tuned.train()
    assert judged(tuned) < start
    after = tuned.result().state_dict()
    for key, value in before.items():
        assert torch.equal(value, after[key]) == (".trunk." in key), key


def test_two_sensors_learn_together(store, run, granules, cutting, tmp_path):
    files = granules("mhs", tmp_path)
    other = tmp_path / "mhs.zarr"
    truth = [truth_path(f) for f in files]
    collocate(files, truth, other, cutting | {"size": 24}, workers=1)
    base = run.folder / "models" / "gmi-unet-1"
    found = command("--data", store, "--data", other, "--simulated", 0,
                    "--pixel-steps", 4, "--steps", 4,
                    "--init", base, "-o", tmp_path / "both")  # fmt: skip
    assert found.exit_code == 0, found.output
    names = [line.split("@")[0] for line in found.stdout.splitlines()]
    assert names == ["constellation-unet", "gmi-unet", "mhs-unet", "gmi-drain"]
    card = load_model(tmp_path / "both" / "models" / "mhs-unet-1").card
    assert {*card.scores["real"]} == {"MHS"}
    assert {*card.scores["real"]["MHS"]["mhs.zarr"]} == {"before", "after"}
    assert [s["sensor"] for s in card.training["stores"]] == ["GMI", "MHS"]


# ---- what cannot be used


def emptied(store, path, *splits):
    """Copy a store without the groups of some purposes."""
    shutil.copytree(store, path)
    for group in list_groups(path):
        if group.split in splits:
            shutil.rmtree(group.path)
    return path


def renamed(store, path, **facts):
    shutil.copytree(store, path)
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"] |= facts
    (path / "zarr.json").write_text(json.dumps(root))
    return path


def test_stores_that_will_not_do_are_told_before_any_work(store, tmp_path):
    cases = {
        "no patches for validation": emptied(store, tmp_path / "a.zarr", "validation"),
        "no patches for train and for validation": emptied(
            store, tmp_path / "b.zarr", "train", "validation", "test"
        ),
        "it holds channels 10.65V": renamed(store, tmp_path / "c.zarr", channels=NAMES[:4]),
    }
    for message, path in cases.items():
        with pytest.raises(InputError, match=message):
            Run(tmp_path / "run", on(path))
    with pytest.raises(InputError, match="it holds GMI, the run is for MHS"):
        Run(tmp_path / "run", dataclasses.replace(on(store), sensors=("MHS",)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--simulated", "0.5"], "--simulated needs --data of a store"),
        (["--freeze", "trunk"], "--freeze needs --init"),
        (["--freeze", "head", "--init", "gmi-unet"], "--freeze must be 'trunk'"),
        (["--data", "STORE", "--folds", "3", "--init", "gmi-unet"], "of matched pixels"),
        (["--data", "STORE", "--brain"], "not stores"),
        (["--data", "FOLDER"], "is no store of samples"),
        (["--data", "STORE", "--simulated", "1.5"], "less than or equal to 1"),
    ],
)
def test_what_does_not_go_together_is_told(store, tmp_path, words, message):
    places = {"STORE": store, "FOLDER": tmp_path}
    found = command("-o", tmp_path / "run", *(places.get(w, w) for w in words))
    assert found.exit_code == 2
    assert message in " ".join(found.output.split())
    assert not (tmp_path / "run").exists()
