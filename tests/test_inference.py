"""Tiles that do not show, and distributions that say what they hold."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xrain import inference
from xrain.errors import InputError, ModelError
from xrain.inference import Engine, choose_device, plan, segments
from xrain.models.trunk import UNetConfig
from xrain.sensors import get_sensor
from xrain.testing import tiny_model, tiny_rate

MHS = get_sensor("MHS").channels
LEVELS = (0.05, 0.5, 0.95)


def swath(rows: int, pixels: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    tb = rng.uniform(180, 290, (rows, pixels, len(MHS))).astype("f4")
    tb[rng.random(tb.shape) < 0.05] = np.nan
    angle = rng.uniform(0, 58, (rows, pixels)).astype("f4")
    land = rng.uniform(0, 1, (rows, pixels)).astype("f4")
    return tb, angle, land, rng.random((rows, pixels)) < 0.1


def engine(prior=(0.8, 0.15, 0.05), **options) -> Engine:
    model = tiny_model("MHS", seed=1)
    return Engine(model.network, MHS, LEVELS, prior=prior, **options)


def assert_same(values, expected):
    """Compare means and probabilities closely; quantiles magnify rounding near a class's edge."""
    np.testing.assert_allclose(values[:2], expected[:2], atol=1e-4)
    np.testing.assert_allclose(values[2:], expected[2:], atol=1e-3)


# ---- tiles


@given(
    st.integers(0, 700), st.integers(1, 300), st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 6)
)
def test_tiles_cover_every_row_once_with_halo(rows, tile_rows, stride, strides):
    halo = strides * stride
    tiles = plan(rows, tile_rows, stride, halo)
    assert [r for t in tiles for r in range(t.start, t.stop)] == list(range(rows))
    for tile in tiles:
        assert tile.start % stride == tile.low % stride == 0
        assert tile.low == max(tile.start - halo, 0)
        assert tile.high == min(tile.stop + halo, rows) or tile.stop == rows
        assert tile.stop - tile.start <= max(tile_rows, stride)


def test_stretches_between_breaks():
    assert list(segments(np.array([3, 7]), 9)) == [(0, 3), (3, 7), (7, 9)]
    assert list(segments(np.array([0, 9], int), 9)) == [(0, 9)]
    assert list(segments(np.array([], int), 0)) == []


@functools.cache
def whole():
    return engine().swath(*swath(150, 21))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 200))
def test_any_tiling_gives_the_whole(rows):
    cut = engine()
    cut._rows_at_once = lambda pixels: rows
    assert_same(cut.swath(*swath(150, 21)), whole())


def test_neighbours_matter_but_not_beyond_the_reach():
    reach = tiny_model(seed=1).network.config.reach
    tb, angle, land, strange = swath(150, 21)
    changed = tb.copy()
    changed[70, 10] += 30
    difference = np.abs(engine().swath(changed, angle, land, strange) - whole()).max(axis=0)
    rows = np.flatnonzero(difference.max(axis=1) > 1e-4)
    assert rows.min() < 66
    assert rows.max() > 74
    far = np.abs(np.arange(150) - 70) > reach
    assert difference[far].max() == 0


def test_a_lone_pixel_has_no_neighbours():
    tb, angle, land, strange = (x.reshape(-1, *x.shape[2:]) for x in swath(20, 11))
    alone = engine().lone(tb, angle, land, strange)
    assert alone.shape == (5, 220)
    order = np.random.default_rng(0).permutation(220)
    shuffled = engine().lone(tb[order], angle[order], land[order], strange[order])
    np.testing.assert_allclose(shuffled, alone[:, order], atol=1e-4)


def test_lone_pixels_in_batches(monkeypatch):
    tb, angle, land, strange = (x.reshape(-1, *x.shape[2:]) for x in swath(20, 11))
    alone = engine().lone(tb, angle, land, strange)
    monkeypatch.setattr(inference, "LONE_BATCH", 7)
    np.testing.assert_allclose(engine().lone(tb, angle, land, strange), alone, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 21), (5, 0), (1, 1), (3, 200)])
def test_swaths_of_any_size(shape):
    out = engine().swath(*swath(*shape))
    assert out.shape == (5, *shape)
    assert np.isfinite(out).all()


# ---- memory


def starve(cut: Engine, limit: int) -> list[int]:
    """Let the network run out of memory above some rows; list the rows that it was asked for."""
    classify, asked = cut._network.classify, []

    def run(tb, angle, land):
        asked.append(tb.shape[1])
        if tb.shape[1] > limit:
            raise torch.OutOfMemoryError("out of memory")
        return classify(tb, angle, land)

    cut._network.classify = run
    return asked


def test_where_memory_does_not_suffice_tiles_shrink_and_nothing_changes():
    cut = engine()
    asked = starve(cut, 72)
    assert_same(cut.swath(*swath(150, 21)), whole())
    assert max(asked) > 72 > min(asked)


def test_a_device_too_small_for_anything_is_told():
    cut = engine()
    starve(cut, 8)
    with pytest.raises(ModelError, match=r"too little memory even for 4 rows; use device='cpu'"):
        cut.swath(*swath(50, 21))


def test_tiles_fit_the_budget():
    cut = engine()
    narrow, wide = cut._rows_at_once(90), cut._rows_at_once(500)
    assert narrow > wide >= 4 * cut.stride
    assert narrow * 90 * cut._width * 4 <= inference.MEMORY_BUDGET


# ---- distributions


def draws_of(p: np.ndarray, edges, rng) -> np.ndarray:
    """Rates drawn from class probabilities: none if dry, else even in their logarithm."""
    kind = rng.choice(len(p), size=200_000, p=p)
    low, high = np.log(edges)[np.maximum(kind - 1, 0)], np.log(edges)[kind]
    return np.where(kind == 0, 0, np.exp(low + rng.random(kind.size) * (high - low)))


@pytest.mark.parametrize("seed", range(4))
def test_mean_and_quantiles_are_those_of_the_distribution(seed):
    rng = np.random.default_rng(seed)
    levels = (0.02, 0.1, 0.3, 0.5, 0.8, 0.97, 0.999)
    model = tiny_model("MHS")
    edges = model.network.config.edges
    p = rng.dirichlet([0.7, 0.7, 0.7], size=5)
    made = Engine(model.network, MHS, levels).posterior(
        torch.from_numpy(np.log(p)).float(), torch.zeros(5, dtype=torch.bool)
    )
    for k in range(5):
        drawn = draws_of(p[k] / p[k].sum(), edges, rng)
        assert made[0, k] == pytest.approx(drawn.mean(), rel=0.02, abs=0.01)
        assert made[1, k] == pytest.approx((drawn > 0).mean(), abs=0.005)
        got = made[2:, k].numpy()
        # so much of the distribution lies below each quantile; at 0 lies the dry share
        for level, rate in zip(levels, got, strict=True):
            assert (drawn < rate * (1 - 1e-5)).mean() <= level + 0.005
            assert (drawn <= rate * (1 + 1e-5)).mean() >= level - 0.005


@given(st.lists(st.floats(-80, 80), min_size=32, max_size=32))
@settings(deadline=None)
def test_any_logits_make_a_proper_distribution(logits):
    out = wide_engine().posterior(torch.tensor([logits]), torch.zeros(1, dtype=torch.bool))[:, 0]
    assert torch.isfinite(out).all()
    edges = UNetConfig().edges
    assert 0 <= out[0] <= edges[-1]
    assert -1e-6 <= out[1] <= 1
    quantiles = out[2:]
    assert (quantiles.diff() >= 0).all()
    assert (
        (quantiles == 0) | ((quantiles >= edges[0] * 0.999) & (quantiles <= edges[-1] * 1.001))
    ).all()


@functools.cache
def wide_engine() -> Engine:
    from xrain.models.unet import ConstellationUNet

    network = ConstellationUNet(UNetConfig(widths=(2, 2), hidden=2))
    return Engine(network, MHS, np.linspace(0.01, 0.99, 23))


def test_a_sure_answer_is_sharp():
    logits = torch.full((2, 32), -60.0)
    logits[0, 0], logits[1, 10] = 60.0, 60.0
    out = wide_engine().posterior(logits, torch.zeros(2, dtype=torch.bool))
    assert out[:, 0].abs().max() == pytest.approx(0, abs=1e-6)
    low, high = UNetConfig().edges[9:11]
    assert low < out[0, 1] < high
    assert out[1, 1] == pytest.approx(1)
    assert (out[2:, 1] >= low * 0.999).all()
    assert (out[2:, 1] <= high * 1.001).all()


@pytest.mark.parametrize(("prior", "moved"), [((0.9, 0.0999, 0.0001), 2), ((0.01, 0.01, 0.98), 4)])
def test_a_strange_input_widens_the_interval_and_keeps_the_mean(prior, moved):
    tb, angle, land, _ = swath(24, 21)
    made = engine(prior, given_rain=moved == 2)
    calm = made.swath(tb, angle, land, np.zeros((24, 21), bool))
    odd = made.swath(tb, angle, land, np.ones((24, 21), bool))
    np.testing.assert_array_equal(odd[:2], calm[:2])
    np.testing.assert_array_equal(odd[3], calm[3])
    assert (odd[2] <= calm[2]).all()
    assert (odd[4] >= calm[4]).all()
    assert (odd[moved] != calm[moved]).mean() > 0.5


def test_a_strange_input_is_never_surely_dry():
    from xrain.models.unet import ConstellationUNet

    network = ConstellationUNet(UNetConfig(widths=(2, 2), hidden=2))
    prior = (0.999, *[0.001 / 31] * 31)
    made = Engine(network, MHS, (0.05, 0.7, 0.95), prior=prior)
    logits = torch.full((2, 32), -60.0)
    logits[:, 0] = 60.0
    low, middle, high = made.posterior(logits, torch.tensor([False, True]))[2:].numpy()
    np.testing.assert_allclose([low[0], middle[0], high[0]], 0, atol=1e-6)
    # half of the mixture is the prior, half of that rains: 95 % lie below its 80 % quantile
    edges = network.config.edges
    assert low[1] == middle[1] == 0
    assert edges[23] < high[1] < edges[26]


def test_without_a_prior_nothing_is_widened():
    model, (tb, angle, land, _) = tiny_model("MHS", seed=1), swath(24, 21)
    plain = Engine(model.network, MHS, LEVELS)
    one = plain.swath(tb, angle, land, np.zeros((24, 21), bool))
    np.testing.assert_array_equal(plain.swath(tb, angle, land, np.ones((24, 21), bool)), one)


def test_the_tiny_model_answers_its_formula():
    tb, angle, land, strange = swath(30, 17)
    out = Engine(tiny_model("MHS").network, MHS, ()).swath(tb, angle, land, strange)
    assert out.shape[0] == 2
    np.testing.assert_allclose(out[0], tiny_rate(tb), atol=1e-4)


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
    near = engine(precision="bfloat16").swath(*swath(48, 21))
    exact = engine().swath(*swath(48, 21))
    assert near.dtype == np.float32
    error = np.abs(near[0] - exact[0])
    assert 0 < error.mean() < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_the_cpu_gives():
    there = engine(device="cuda").swath(*swath(150, 21))
    np.testing.assert_allclose(there, whole(), atol=1e-3)
