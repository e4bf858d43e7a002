"""Tiles that do not show, and distributions that say what they hold."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xrain.errors import InputError, ModelError
from xrain.retrieval import engine as inference
from xrain.retrieval.devices import choose_device
from xrain.retrieval.engine import Engine
from xrain.retrieval.estimates import Estimate, Pixels
from xrain.retrieval.tiles import plan, segments
from xrain.sensors import get_sensor
from xrain.testing import tiny_model, tiny_rate

MHS = get_sensor("MHS").channels
LEVELS = (0.05, 0.5, 0.95)


def swath(rows: int, pixels: int, seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    tb = rng.uniform(180, 290, (rows, pixels, len(MHS))).astype("f4")
    tb[rng.random(tb.shape) < 0.05] = np.nan
    angle = rng.uniform(0, 58, (rows, pixels)).astype("f4")
    land = rng.uniform(0, 1, (rows, pixels)).astype("f4")
    return Pixels(tb, angle, land, rng.random((rows, pixels)) < 0.1)


def table(rows: int, pixels: int) -> Pixels:
    image = swath(rows, pixels)
    fields = (image.tb, image.incidence, image.land, image.outlier)
    return Pixels(*(x.reshape(-1, *x.shape[2:]) for x in fields))


def engine(prior=(0.8, 0.15, 0.05), **options) -> Engine:
    model = tiny_model("MHS", seed=1)
    return Engine(model.network, MHS, LEVELS, climatology=prior, **options)


def planes(estimate: Estimate) -> np.ndarray:
    return np.stack([estimate.mean, estimate.probability, *estimate.quantiles])


def run(engine: Engine, pixels: Pixels) -> np.ndarray:
    """Mean, probability and quantiles of a swath."""
    return planes(engine.swath(pixels)[0])


def run_single(engine: Engine, pixels: Pixels) -> np.ndarray:
    return planes(engine.single_pixels(pixels)[0])


def assert_same(values, expected):
    """Compare means and probabilities closely; quantiles magnify rounding near a class's edge."""
    np.testing.assert_allclose(values[:2], expected[:2], atol=1e-4)
    np.testing.assert_allclose(values[2:], expected[2:], atol=1e-3)


# ---- tiles


@given(st.integers(0, 700), st.integers(0, 300), st.integers(0, 40))
def test_tiles_cover_every_row_once_with_halo(rows, tile_rows, halo):
    tiles = plan(rows, tile_rows, halo)
    assert [r for t in tiles for r in range(t.start, t.stop)] == list(range(rows))
    for tile in tiles:
        assert tile.low == max(tile.start - halo, 0)
        assert tile.high == min(tile.stop + halo, rows)
        assert 0 < tile.stop - tile.start <= max(tile_rows, 1)


def test_stretches_between_breaks():
    assert list(segments(np.array([3, 7]), 9)) == [(0, 3), (3, 7), (7, 9)]
    assert list(segments(np.array([0, 9], int), 9)) == [(0, 9)]
    assert list(segments(np.array([], int), 0)) == []


@functools.cache
def whole():
    return run(engine(), swath(150, 21))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 200))
def test_any_tiling_gives_the_whole(rows):
    cut = engine()
    cut._rows_at_once = lambda pixels: rows
    assert_same(run(cut, swath(150, 21)), whole())


def test_neighbours_matter_but_not_beyond_the_reach():
    reach = tiny_model(seed=1).network.config.halo
    changed = swath(150, 21)
    changed.tb[70, 10] += 30
    difference = np.abs(run(engine(), changed) - whole()).max(axis=0)
    rows = np.flatnonzero(difference.max(axis=1) > 1e-4)
    assert rows.min() < 70
    assert rows.max() > 70
    far = np.abs(np.arange(150) - 70) > reach
    assert difference[far].max() == 0


def test_a_single_pixel_has_no_neighbours():
    pixels = table(20, 11)
    alone = run_single(engine(), pixels)
    assert alone.shape == (5, 220)
    order = np.random.default_rng(0).permutation(220)
    shuffled = Pixels(
        pixels.tb[order], pixels.incidence[order], pixels.land[order], pixels.outlier[order]
    )
    np.testing.assert_allclose(run_single(engine(), shuffled), alone[:, order], atol=1e-4)


def test_single_pixels_in_batches():
    alone = run_single(engine(), table(20, 11))
    cut = engine()
    cut.batch = 7
    np.testing.assert_allclose(run_single(cut, table(20, 11)), alone, atol=1e-4)
    assert_same(run(cut, swath(150, 21)), whole())


def test_patches_are_no_neighbours_of_each_other():
    image = swath(24, 21)
    image.outlier[:] = False
    one = run(engine(), image)
    twice = (np.stack([x, x]) for x in (image.tb, image.incidence, image.land))
    found = engine().patches(*twice)
    assert found.quantiles.shape == (3, 2, 24, 21)
    for k in range(2):
        np.testing.assert_array_equal(found.mean[k], one[0])
        np.testing.assert_array_equal(found.quantiles[:, k], one[2:])


@pytest.mark.parametrize("shape", [(0, 21), (5, 0), (1, 1), (3, 200)])
def test_swaths_of_any_size(shape):
    out = run(engine(), swath(*shape))
    assert out.shape == (5, *shape)
    assert np.isfinite(out).all()


# ---- memory


def starve(cut: Engine, limit: int) -> list[int]:
    """Let the network run out of memory above some rows; list the rows that it was asked for."""
    refine, asked = cut._network.refine, []

    def refined(planes, logits):
        asked.append(len(planes))
        if len(planes) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return refine(planes, logits)

    cut._network.refine = refined
    return asked


def test_where_memory_does_not_suffice_tiles_shrink_and_nothing_changes():
    cut = engine()
    asked = starve(cut, 72)
    assert_same(run(cut, swath(150, 21)), whole())
    assert max(asked) > 72 > min(asked)


def test_each_pixel_is_judged_once(monkeypatch):
    cut, judged = engine(), []
    judge = cut._network.judge
    monkeypatch.setattr(cut._network, "judge", lambda p: (judged.append(len(p)), judge(p))[1])
    cut._rows_at_once = lambda pixels: 13
    assert_same(run(cut, swath(150, 21)), whole())
    assert sum(judged) == 150 * 21


def test_a_device_too_small_for_anything_is_told():
    cut = engine()
    starve(cut, 0)
    with pytest.raises(ModelError, match=r"too little memory even for one row; use device='cpu'"):
        cut.swath(swath(50, 21))


def test_tiles_fit_the_budget():
    cut = engine()
    narrow, wide = cut._rows_at_once(90), cut._rows_at_once(500)
    assert narrow > wide >= 4 * cut.halo
    assert narrow * 90 * cut._width * 4 <= inference.MEMORY_BUDGET


# ---- outliers


@pytest.mark.parametrize(("prior", "moved"), [((0.9, 0.0999, 0.0001), 2), ((0.01, 0.01, 0.98), 4)])
def test_an_outlier_widens_the_interval_and_keeps_the_mean(prior, moved):
    pixels = swath(24, 21)
    made = engine(prior)
    calm, odd = (
        made.swath(dataclasses.replace(pixels, outlier=np.full((24, 21), is_odd)), conditions=both)
        for is_odd, both in ((False, (moved == 2,)), (True, (moved == 2,)))
    )
    assert odd[0].outlier.all()
    assert not calm[0].outlier.any()
    calm, odd = planes(calm[0]), planes(odd[0])
    np.testing.assert_array_equal(odd[:2], calm[:2])
    np.testing.assert_array_equal(odd[3], calm[3])
    assert (odd[2] <= calm[2]).all()
    assert (odd[4] >= calm[4]).all()
    assert (odd[moved] != calm[moved]).mean() > 0.25


def test_without_a_climatology_nothing_is_widened():
    plain = Engine(tiny_model("MHS", seed=1).network, MHS, LEVELS)
    pixels = swath(24, 21)
    calm, odd = (
        run(plain, dataclasses.replace(pixels, outlier=np.full((24, 21), is_odd)))
        for is_odd in (False, True)
    )
    np.testing.assert_array_equal(odd, calm)


def test_one_run_of_the_network_serves_both_conditions(monkeypatch):
    made, runs = engine(), []
    refine = made._network.refine
    monkeypatch.setattr(made._network, "refine", lambda *a: (runs.append(1), refine(*a))[1])
    free, wet = made.swath(swath(24, 21), conditions=(False, True))
    assert len(runs) == 1
    np.testing.assert_array_equal(planes(free), run(engine(), swath(24, 21)))
    np.testing.assert_array_equal(wet.probability, free.probability)
    np.testing.assert_array_equal(wet.detected, free.detected)
    assert (wet.mean >= free.mean - 1e-5).all()
    assert (wet.mean > free.mean).mean() > 0.5


def test_a_prior_for_each_pixel_is_that_of_its_place():
    made = engine(prevalence=0.2)
    pixels = swath(40, 21)
    prior = np.full((40, 21), np.nan, "f4")
    prior[:, 10:] = 0.7
    prior[7] = 0.2
    found = made.swath(dataclasses.replace(pixels, prior=prior))[0]
    own, high = (made.swath(dataclasses.replace(pixels, prior=p))[0] for p in (None, 0.7))
    np.testing.assert_allclose(found.mean[:, :10], own.mean[:, :10], rtol=1e-5)
    np.testing.assert_allclose(found.mean[7], own.mean[7], rtol=1e-5)
    others = np.arange(40) != 7
    np.testing.assert_array_equal(found.mean[others, 10:], high.mean[others, 10:])
    assert (high.mean >= own.mean - 1e-5).all()
    assert (high.mean > own.mean).mean() > 0.5


def test_the_tiny_model_answers_its_formula():
    pixels = swath(30, 17)
    out = Engine(tiny_model("MHS").network, MHS, ()).swath(pixels)[0]
    assert out.quantiles.shape == (0, 30, 17)
    np.testing.assert_allclose(out.mean, tiny_rate(pixels.tb), atol=1e-4)


# ---- devices


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")
    for wrong in ("cuda:99", "quantum"):
        with pytest.raises(InputError, match=f"device '{wrong}' cannot be used here"):
            choose_device(wrong)
    with pytest.raises(InputError, match="'float32' or 'bfloat16'"):
        engine(precision="float64")


def test_bfloat16_is_near():
    near = run(engine(precision="bfloat16"), swath(48, 21))
    exact = run(engine(), swath(48, 21))
    assert near.dtype == np.float32
    error = np.abs(near[0] - exact[0])
    assert 0 < error.mean() < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_the_cpu_gives():
    there = run(engine(device="cuda"), swath(150, 21))
    np.testing.assert_allclose(there, whole(), atol=1e-3)
