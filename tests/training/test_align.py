"""Simulated samples go where a real instrument's lie, as far as the difference is no chance."""

import numpy as np
import pytest
from typer.testing import CliRunner

import xrain.training.align as align
from xrain.cli import app
from xrain.errors import InputError
from xrain.io.open import open_l1c
from xrain.models.store import load_card
from xrain.sensors import get_sensor
from xrain.simulate.granule import simulate_granule
from xrain.testing import write_fake_l1c
from xrain.training.inputs import Inputs
from xrain.training.settings import settings

PATCHES, SIZE = 64, 24


def swaths(seed, depth=1.0, warmer=0.0, channels=2):
    """Patches whose climate is their own, with rain that cools a tenth of the pixels by `depth`."""
    rng = np.random.default_rng(seed)
    shape = (PATCHES, SIZE, SIZE)
    climate = rng.normal(250 + warmer, 12, (PATCHES, 1, 1, 1))
    rain = np.where(rng.uniform(size=shape) < 0.1, rng.exponential(1.0, shape), 0.0)
    noise = rng.normal(0, 1.5, (*shape, channels))
    tb = climate - 20 * depth * rain[..., None] + noise
    land = np.broadcast_to(np.arange(PATCHES)[:, None, None] % 2, shape)
    return tb.astype(np.float32), land.astype(np.float32), rain


def test_deeper_rain_is_found_though_the_climate_differs():
    tb, land, rain = swaths(1)
    truth = tb - 20 * rain[..., None]
    found = align.fit_alignment(tb, land, *swaths(2, depth=2.0, warmer=3.0)[:2]).apply(tb, land)
    raining, dry = rain > 0.3, rain == 0
    before = np.sqrt(np.mean((tb - truth)[raining] ** 2))
    after = np.sqrt(np.mean((found - truth)[raining] ** 2))
    assert before > 20
    assert after < 0.3 * before
    assert np.sqrt(np.mean((found - truth)[dry] ** 2)) < 1


def test_what_differs_by_chance_alone_is_left_alone():
    tb, land, _ = swaths(1)
    found = align.fit_alignment(tb, land, *swaths(3, warmer=-4.0)[:2]).apply(tb, land)
    assert np.abs(found - tb).mean() < 0.1


def test_only_the_surface_that_differs_is_moved():
    tb, land, rain = swaths(1)
    seen, seen_land, seen_rain = swaths(2)
    seen -= (20 * seen_rain * (seen_land == 1))[..., None]
    found = align.fit_alignment(tb, land, seen, seen_land).apply(tb, land)
    moved, raining = np.abs(found - tb).max(-1), rain > 1
    assert moved[raining & (land == 1)].mean() > 15
    assert moved[land == 0].mean() < 0.2


def test_order_stays_and_what_lies_beyond_keeps_its_distance():
    tb, land, _ = swaths(1)
    fitted = align.fit_alignment(tb, land, *swaths(2, depth=2.0)[:2])
    patch, where = tb[:1].copy(), land[:1]
    patch[0, 0, 0], patch[0, 0, 1] = 20.0, 30.0  # colder than any
    found = fitted.apply(patch, where)
    order = np.argsort(patch[0, ..., 0].ravel())
    assert np.all(np.diff(found[0, ..., 0].ravel()[order]) >= -1e-3)
    assert found[0, 0, 1, 0] - found[0, 0, 0, 0] == pytest.approx(10.0, abs=1e-3)
    assert np.array_equal(fitted.apply(patch, where), found)
    again = align.fit_alignment(tb, land, *swaths(2, depth=2.0)[:2])
    assert np.array_equal(again.shifts, fitted.shifts)


def test_missing_values_stay_and_a_dead_channel_is_not_moved():
    tb, land, _ = swaths(1)
    tb[:, :3] = np.nan
    seen, seen_land, _ = swaths(2, depth=2.0)
    seen[..., 1] = np.nan
    found = align.fit_alignment(tb, land, seen, seen_land).apply(tb, land)
    assert np.array_equal(np.isnan(found), np.isnan(tb))
    assert np.array_equal(found[..., 1], tb[..., 1], equal_nan=True)
    assert np.nanmax(np.abs(found - tb)[..., 0]) > 10


def test_what_cannot_be_aligned_is_told():
    tb, land, _ = swaths(1)
    with pytest.raises(InputError, match="2 simulated channels cannot be aligned with 1"):
        align.fit_alignment(tb, land, tb[..., :1], land)
    with pytest.raises(InputError, match=r"needs 16 patches .* there are 5 observed: give more"):
        align.fit_alignment(tb, land, tb[:5], land[:5])


def test_granules_are_cut_into_patches(tmp_path):
    path = write_fake_l1c(tmp_path / "g.HDF5", "mhs", scans=70)
    names = [c.name for c in get_sensor("mhs").channels]
    tb, land = align.observed_patches([path], [names[1], "nothing", names[0]], 32)
    with open_l1c(path) as ds:
        whole = ds.tb.transpose("scan", "pixel", "channel").values
    assert tb.shape == (4, 32, 32, 3)
    assert land.shape == (4, 32, 32)
    assert np.array_equal(tb[3, ..., 0], whole[32:64, 32:64, 1], equal_nan=True)
    assert np.array_equal(tb[3, ..., 2], whole[32:64, 32:64, 0], equal_nan=True)
    assert np.isnan(tb[..., 1]).all()
    with pytest.raises(InputError, match="no granule to align with is 99 scans long"):
        align.observed_patches([path], names, 99)


@pytest.fixture(scope="module")
def granules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("granules")
    places = ((5.0, -30.0), (10.0, 10.0))
    return [
        simulate_granule(
            "mhs", folder / f"{k}.HDF5", scans=128, seed=k, place=place, spacing=8.0
        )
        for k, place in enumerate(places)
    ]  # fmt: skip


def test_a_run_learns_from_samples_that_were_moved(tmp_path, granules):
    out, cache = tmp_path / "run", tmp_path / "cache"
    pattern = str(granules[0].parent / "?.HDF5")
    command = ["train", "--init", "constellation-unet", "--sensors", "mhs", "--align", pattern]
    command += ["--preset", "tiny", "--samples", "13", "--steps", "2", "--cache", str(cache)]
    done = CliRunner().invoke(app, [*command, "--output", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    card = load_card(str(out / "models" / "mhs-unet-1"))
    assert card.training["aligned"] == {"granules": 2, "sensors": ["MHS"]}
    files = tuple(map(str, granules))
    chosen = settings("tiny", ("MHS",), shards=4, align=files)
    moved = Inputs(chosen, cache).learned().samples["MHS"]
    plain = Inputs(settings("tiny", ("MHS",), shards=4), cache).learned().samples["MHS"]
    seen = align.observed_patches(files, [c.name for c in get_sensor("mhs").channels], 32)
    expected = align.fit_alignment(plain.tb, plain.land, *seen).apply(plain.tb, plain.land)
    assert np.array_equal(moved.tb, expected.astype(np.float16), equal_nan=True)
    assert np.array_equal(moved.rain, plain.rain, equal_nan=True)


def test_granules_of_another_instrument_are_refused(tmp_path, granules):
    chosen = settings("tiny", ("SAPHIR",), shards=4, align=(str(granules[0]),))
    with pytest.raises(
        InputError, match="granules of MHS cannot be aligned with samples of SAPHIR"
    ):
        Inputs(chosen, tmp_path).learned()


def test_the_command_refuses_an_alignment_of_nothing(tmp_path):
    none = str(tmp_path / "none*.HDF5")
    done = CliRunner().invoke(app, ["train", "-o", str(tmp_path / "run"), "--align", none])
    assert done.exit_code == 2
    assert "no file matches" in done.output
