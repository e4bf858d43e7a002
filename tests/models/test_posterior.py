"""Distributions that say what they hold, whatever the classes, the condition and the prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xrain.conventions import CERTAIN_RATE, EVENT_RATE
from xrain.errors import InputError, ModelError
from xrain.models.event import event_shares, split_edges
from xrain.models.posterior import OUTER, Posterior, Rain
from xrain.models.trunk import UNetConfig

EDGES = UNetConfig().edges
COUNT = len(EDGES)
DRAWS = 200_000


def calm(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.bool)


def draws_of(p: np.ndarray, edges, rng) -> np.ndarray:
    """Rates drawn from class probabilities: none if dry, else even in their logarithm."""
    kind = rng.choice(len(p), size=DRAWS, p=p)
    low, high = np.log(edges)[np.maximum(kind - 1, 0)], np.log(edges)[kind]
    return np.where(kind == 0, 0, np.exp(low + rng.random(kind.size) * (high - low)))


def assert_is_distribution(rain: Rain, k: int, drawn: np.ndarray, levels) -> None:
    """Compare one pixel with draws of its rate."""
    noise = 2.5 / np.sqrt(len(drawn))
    assert rain.mean[k] == pytest.approx(drawn.mean(), rel=0.03, abs=0.01)
    for level, rate in zip(levels, rain.quantiles[:, k].numpy(), strict=True):
        if level >= OUTER:
            drawn = np.maximum(drawn, min(drawn.mean(), rate))  # never below the mean
        # so much of the distribution lies below each quantile; at 0 lies the dry share
        assert (drawn < rate * (1 - 1e-3)).mean() <= level + noise
        assert (drawn <= rate * (1 + 1e-3)).mean() >= level - noise


@pytest.mark.parametrize("edges", [(0.1, 1.0, 10.0), (0.03, 0.3, 3.0), (0.2, 0.5, 30.0)])
@pytest.mark.parametrize("given_rain", [False, True])
def test_mean_and_quantiles_are_those_of_the_distribution(edges, given_rain):
    rng = np.random.default_rng(len(edges) + int(100 * edges[0]))
    levels = (0.02, 0.15, 0.3, 0.5, 0.8, 0.97, 0.999)
    p = rng.dirichlet([0.7, 0.7, 0.7], size=5)
    made = Posterior(edges, levels)(
        torch.from_numpy(np.log(p)).float(), calm(5), given_rain=given_rain
    )
    for k in range(5):
        drawn = draws_of(p[k] / p[k].sum(), edges, rng)
        event = drawn >= EVENT_RATE
        assert made.probability[k] == pytest.approx(event.mean(), abs=0.005)
        if event.mean() > 0.02:
            assert_is_distribution(made, k, drawn[event] if given_rain else drawn, levels)


def test_the_event_begins_at_a_tenth_of_a_millimetre_whatever_the_classes():
    wanted = np.log(0.2 / 0.1) / np.log(0.2 / 0.05)
    assert event_shares((0.05, 0.2, 1.0)) == pytest.approx((0, wanted, 1))
    assert split_edges((0.05, 0.2, 1.0)) == (0.05, 0.1, 0.2, 1.0)
    fine = tuple(0.05 * 2 ** (k / 3) for k in range(36))
    assert split_edges(fine) == fine
    assert event_shares(fine)[:6] == (0, 0, 0, 0, 1, 1)
    assert event_shares((0.1, 1.0, 10.0)) == (0, 1, 1)
    with pytest.raises(ModelError, match="no rain class above"):
        Posterior((0.01, 0.05), ())


@given(
    logits=st.lists(st.floats(-80, 80), min_size=COUNT, max_size=COUNT),
    given_rain=st.booleans(),
    outlier=st.booleans(),
    prior=st.none() | st.floats(1e-4, 1 - 1e-4),
)
@settings(deadline=None, max_examples=300)
def test_any_logits_make_a_safe_answer(logits, given_rain, outlier, prior):
    levels = np.linspace(0.01, 0.99, 23)
    climatology = np.geomspace(1, 1e-3, COUNT)
    posterior = Posterior(EDGES, levels, climatology / climatology.sum(), prevalence=0.1)
    rain = posterior(
        torch.tensor([logits]), torch.tensor([outlier]), given_rain=given_rain, prior=prior
    )
    mean, quantiles, probability = (x[..., 0].numpy() for x in rain[:3])
    assert np.isfinite([mean, *quantiles, probability]).all()
    assert 0 <= mean <= EDGES[-1]
    assert 0 <= probability <= 1
    assert (np.diff(quantiles) >= 0).all()
    assert (quantiles >= 0).all()
    assert (quantiles <= EDGES[-1] * 1.001).all()
    assert quantiles[0] <= mean <= quantiles[-1]
    if not given_rain:
        assert bool(rain.detected) == bool(probability > 0.5 or mean >= CERTAIN_RATE)
    else:
        free = posterior(torch.tensor([logits]), torch.tensor([outlier]), prior=prior)
        assert bool(rain.detected) == bool(free.detected)
        assert mean >= EVENT_RATE * 0.999


def test_a_high_mean_is_never_flagged_dry():
    logits = torch.full((1, COUNT), -60.0)
    logits[0, 0], logits[0, 27] = np.log(0.8), np.log(0.2)  # one in five chance of heavy rain
    rain = Posterior(EDGES, ())(logits, calm(1))
    assert rain.probability[0] == pytest.approx(0.2)
    assert rain.mean[0] > CERTAIN_RATE
    assert bool(rain.detected[0])


def test_the_threshold_is_the_models():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    found = [bool(Posterior((0.1, 0.2, 0.4), (), threshold=t)(logits, calm(1)).detected)
             for t in (0.2, 0.4)]  # fmt: skip
    assert found == [True, False]


def test_a_sure_answer_is_sharp():
    logits = torch.full((2, COUNT), -60.0)
    logits[0, 0], logits[1, 10] = 60.0, 60.0
    out = Posterior(EDGES, np.linspace(0.01, 0.99, 23))(logits, calm(2))
    assert float(out.mean[0]) == pytest.approx(0, abs=1e-6)
    assert float(out.quantiles[:, 0].max()) == pytest.approx(0, abs=1e-6)
    low, high = EDGES[9:11]
    assert low < out.mean[1] < high
    assert out.probability.tolist() == pytest.approx([0, 1])
    assert (out.quantiles[:, 1] >= low * 0.999).all()
    assert (out.quantiles[:, 1] <= high * 1.001).all()


def test_an_outlier_is_never_surely_dry():
    count = len(EDGES)
    climatology = (0.999, *[0.001 / (count - 1)] * (count - 1))
    made = Posterior(EDGES, (0.05, 0.7, 0.95), climatology)
    logits = torch.full((2, count), -60.0)
    logits[:, 0] = 60.0
    low, middle, high = made(logits, torch.tensor([False, True])).quantiles.numpy()
    np.testing.assert_allclose([low[0], middle[0], high[0]], 0, atol=1e-6)
    # half of the mixture is the climatology, half of that rains at least 0.1 mm/h: 95 % lie
    # below its 80 % quantile
    assert low[1] == middle[1] == 0
    assert EDGES[26] < high[1] < EDGES[31]


# ---- the prior


def rates_given_bayes(p: np.ndarray, own: float, prior: float) -> np.ndarray:
    """Class probabilities for another frequency of the event, by Bayes' theorem."""
    shares = np.array(event_shares(EDGES))
    weight = shares * prior / own + (1 - shares) * (1 - prior) / (1 - own)
    return p * weight / (p * weight).sum(axis=1, keepdims=True)


def test_a_prior_moves_probability_mean_and_quantiles_by_bayes():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(COUNT, 0.3), size=40)
    logits = torch.from_numpy(np.log(p + 1e-12)).float()
    levels = (0.3, 0.5, 0.8)
    made = Posterior(EDGES, levels, prevalence=0.1)
    shifted = made(logits, calm(40), prior=0.4)
    shares = np.array(event_shares(EDGES))
    wanted = (p * shares).sum(1)
    odds = wanted / (1 - wanted) * (0.4 / 0.6) / (0.1 / 0.9)
    np.testing.assert_allclose(shifted.probability, odds / (1 + odds), rtol=1e-3)
    # classes other than the one that 0.1 mm/h splits keep their shape
    q = rates_given_bayes(p, 0.1, 0.4)
    direct = Posterior(EDGES, levels)(torch.from_numpy(np.log(q + 1e-12)).float(), calm(40))
    np.testing.assert_allclose(shifted.mean, direct.mean, rtol=0.01, atol=2e-3)
    np.testing.assert_allclose(shifted.quantiles, direct.quantiles, rtol=0.02, atol=2e-3)


def test_the_models_own_prior_changes_nothing_and_higher_ones_raise_everything():
    logits = torch.from_numpy(np.random.default_rng(4).normal(0, 3, (50, COUNT))).float()
    made = Posterior(EDGES, (0.2, 0.5, 0.95), prevalence=0.08)
    own, same, nan = (made(logits, calm(50), prior=p) for p in (None, 0.08, torch.tensor(np.nan)))
    for a, b, c in zip(own[:3], same[:3], nan[:3], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(c, a)
    high = made(logits, calm(50), prior=0.5)
    assert (high.probability >= own.probability).all()
    assert (high.mean >= own.mean).all()
    assert (high.quantiles >= own.quantiles - 1e-4).all()
    wet, wetter = (made(logits, calm(50), prior=p, given_rain=True) for p in (None, 0.5))
    np.testing.assert_allclose(wetter.mean, wet.mean, rtol=1e-4)


def test_a_model_that_does_not_know_its_prevalence_cannot_leave_it():
    with pytest.raises(InputError, match="prevalence"):
        Posterior(EDGES, ())(torch.zeros(1, COUNT), calm(1), prior=0.5)
