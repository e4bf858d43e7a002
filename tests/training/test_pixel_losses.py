"""Losses that claim no more than their tables tell."""

import numpy as np
import pytest
import torch

from xrain.models.rain_classes import class_rates
from xrain.training.pixel_losses import (
    balanced_tilt,
    blurred,
    dry_loss,
    event_odds,
    first_event_class,
    log_odds,
    natural_loss,
    rate_loss,
    share_loss,
)

EDGES = (0.05, 0.1, 1.0, 10.0, 100.0)


def test_an_event_is_a_tenth_of_a_millimetre():
    assert first_event_class(EDGES) == 2
    assert first_event_class(tuple(0.05 * 2.0 ** (k / 3) for k in range(36))) == 4
    logits = torch.log(torch.tensor([[0.6, 0.2, 0.1, 0.05, 0.05]]))
    assert float(event_odds(logits, 2)) == pytest.approx(log_odds(0.2), abs=1e-5)


def natural(logits, rate, given_rain=0.0, mean=0.0):
    weight = torch.full((len(rate),), 1.0 / len(rate))
    return natural_loss(logits, torch.as_tensor(rate), weight, EDGES, given_rain, mean)


def test_nature_is_least_where_the_frequencies_are_right():
    rate = torch.tensor([0.0] * 8 + [0.5, 5.0])
    target = blurred(torch.tensor([2, 3]), 2, 5).mean(0)
    share = torch.tensor([0.6, 0.2, 0, 0, 0]) + 0.2 * target
    best = natural(torch.log(share).repeat(10, 1), rate)
    for odds in (0.5, 2.0):
        other = share * torch.tensor([1.0, 1.0, odds, odds, odds])
        assert natural(torch.log(other / other.sum()).repeat(10, 1), rate) > best
    # Whether a dry pixel has 0.05 mm/h or nothing, the radar does not say.
    moved = torch.cat([torch.tensor([0.1, 0.7]), share[2:]])
    assert float(natural(torch.log(moved).repeat(10, 1), rate)) == pytest.approx(float(best))


def test_classes_are_blurred_among_the_raining_ones():
    spread = blurred(torch.tensor([2, 12]), 2, 30)
    assert spread[:, :2].abs().max() == 0
    np.testing.assert_allclose(spread.sum(1), 1.0, rtol=1e-5)
    place = torch.arange(30.0)
    mean = float(spread[1] @ place)
    assert mean == pytest.approx(12.0, abs=1e-3)
    assert float(spread[1] @ (place - mean) ** 2) == pytest.approx(1.5**2, rel=0.02)


def test_the_loss_of_the_mean_is_least_at_the_mean():
    rate = torch.tensor([0.0, 0.0, 0.0, 16.0])
    logits = torch.zeros(4, 5, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        shared = logits.mean(0).expand(4, 5)
        (natural(shared, rate, mean=10.0) - natural(shared, rate)).backward()
        optimiser.step()
    mean = torch.softmax(logits.detach().mean(0), 0) @ class_rates(EDGES)
    assert float(mean) == pytest.approx(4.0, rel=0.05)


def test_rates_and_teachers_say_nothing_of_how_often_it_rains():
    for loss in (
        lambda x: rate_loss(x, torch.tensor([0.5, 0.01, 5.0]), EDGES),
        lambda x: share_loss(x, torch.tensor([[0.2, 0.5, 0.3]] * 3)),
    ):
        logits = torch.randn(3, 5, requires_grad=True)
        loss(logits).backward()
        assert logits.grad[:, 0].abs().max() == 0
        assert logits.grad[[0, 2], 1:].abs().max() > 0
    assert float(rate_loss(torch.zeros(1, 5), torch.tensor([0.01]), EDGES)) == 0


def test_a_teacher_is_followed():
    shares = torch.tensor([[0.2, 0.5, 0.3]])
    same = torch.log(torch.tensor([[0.9, 0.02, 0.05, 0.03, 1e-9]]))
    assert share_loss(same, shares) < share_loss(torch.zeros(1, 5), shares)


def test_heavy_rain_is_tilted_until_the_mean_is_right():
    edges = tuple(0.05 * 2.0 ** (k / 3) for k in range(36))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 36, generator=generator) - 0.2 * torch.arange(36)
    rates = class_rates(edges)
    mean = float((torch.softmax(logits, 1) @ rates).mean())
    for factor in (0.8, 1.3):
        tilt = balanced_tilt(logits, factor * mean, edges)
        assert tilt[rates < 2.0].abs().max() == 0
        found = float((torch.softmax(logits + tilt, 1) @ rates).mean())
        assert found == pytest.approx(factor * mean, rel=1e-3)


def test_dry_is_below_the_event():
    dry = torch.log(torch.tensor([[0.5, 0.49, 0.005, 0.004, 0.001]]))
    assert float(dry_loss(dry, 2, torch.ones(1))) == pytest.approx(-np.log(0.99), abs=1e-5)
    assert float(dry_loss(dry.repeat(2, 1), 2, torch.tensor([1.0, 0.0]))) == pytest.approx(
        -0.5 * np.log(0.99), abs=1e-5
    )
