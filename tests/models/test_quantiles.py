"""Quantiles as a distribution over rain classes, and the loss that makes them quantiles."""

import numpy as np
import pytest
import torch
from scipy import stats

from xrain.models.quantiles import class_logits, pinball_loss, rising, stretched
from xrain.models.unet import class_rates

LEVELS = tuple(round(k / 100, 2) for k in range(1, 100))
EDGES = tuple(np.geomspace(0.05, 150.0, 32))


def raw_of(quantiles: np.ndarray) -> torch.Tensor:
    """Numbers that :func:`rising` turns into these quantiles."""
    y = torch.from_numpy(np.log1p(quantiles / 0.05))
    steps = torch.diff(y)
    return torch.cat([y[:1], torch.log(torch.expm1(steps)) + 3.0])


def test_quantiles_rise_from_nought():
    raw = torch.randn(50, 99) * 4
    found = rising(raw)
    assert (found >= 0).all()
    assert (torch.diff(found, dim=-1) >= 0).all()


def test_known_quantiles_give_the_probabilities_of_the_classes():
    law = stats.lognorm(s=1.0, scale=2.0)
    raw = raw_of(law.ppf(LEVELS))
    p = torch.softmax(class_logits(raw[None], LEVELS, EDGES), -1)[0].numpy()
    want, found = law.cdf(EDGES[:-1]), p[:-1].cumsum()
    inside = (want > LEVELS[0]) & (want < LEVELS[-1])
    np.testing.assert_allclose(found[inside], want[inside], atol=0.002)
    assert (found[want <= LEVELS[0]] <= LEVELS[0] + 1e-6).all()
    assert p.sum() == pytest.approx(1)


def test_the_tail_goes_on_as_the_last_quantiles_do():
    law = stats.lognorm(s=1.0, scale=2.0)
    p = torch.softmax(class_logits(raw_of(law.ppf(LEVELS))[None], LEVELS, EDGES), -1)[0]
    mean = float(p.double() @ class_rates(EDGES).double())
    assert mean == pytest.approx(law.mean(), rel=0.04)


def test_a_dry_share_is_dry():
    quantiles = np.where(np.array(LEVELS) < 0.7, 1e-6, 1.0) * np.linspace(1, 1.1, 99)
    p = torch.softmax(class_logits(raw_of(quantiles)[None], LEVELS, EDGES), -1)[0]
    assert float(p[0]) == pytest.approx(0.7, abs=0.01)


def test_the_loss_is_least_at_the_quantiles():
    rng = np.random.default_rng(0)
    rate = torch.from_numpy(np.where(rng.random(4000) < 0.4, 0.0, rng.lognormal(0, 1, 4000)))
    raw = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        pinball_loss(raw.expand(4000, 3), rate, (0.2, 0.6, 0.9)).mean().backward()
        optimiser.step()
    want = np.quantile(stretched(rate).numpy(), [0.2, 0.6, 0.9])
    np.testing.assert_allclose(rising(raw).detach().numpy(), want, atol=0.06)
