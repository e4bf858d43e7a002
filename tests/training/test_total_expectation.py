"""The law of total expectation while neighbours are learned."""

import pytest
import torch

from xrain.models.rain_classes import EDGES, class_rates
from xrain.training.total_expectation import TotalExpectation, event_class, expectation_report


def logits_of(count: int, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return 2 * torch.randn(count, len(EDGES)) - 0.3 * torch.arange(len(EDGES))


def test_rain_begins_where_the_class_of_a_tenth_of_a_millimetre_does():
    assert EDGES[event_class(EDGES) - 1] == pytest.approx(0.1)
    assert class_rates(EDGES)[event_class(EDGES)] > 0.1


def test_what_averages_out_is_not_punished_and_a_shift_is():
    alone = logits_of(4000, 1)
    weight = torch.full((4000,), 1 / 4000)
    shift = torch.zeros(len(EDGES))
    shift[:4] = 0.5  # drier
    chance, drier = TotalExpectation(EDGES, 1), TotalExpectation(EDGES, 1)
    for step in range(100):
        noise = 0.2 * torch.sign(torch.tensor(step % 2 - 0.5)) * shift
        chance.penalty(alone, alone + noise, weight, 0)
        drier.penalty(alone, alone + shift, weight, 0)
    assert chance.relative.abs().max() < 0.03
    assert drier.relative[0, 0, :5].max() < -0.05


def test_the_penalty_pushes_back():
    alone = logits_of(4000, 2)
    weight = torch.full((4000,), 1 / 4000)
    change = torch.zeros(len(EDGES))
    change[:4] = 0.5
    change.requires_grad_()
    law = TotalExpectation(EDGES, 1)
    law.penalty(alone, alone + change, weight, 0).backward()
    before = law.relative.clone()
    with torch.no_grad():
        better = alone + change - 0.3 * change.grad / change.grad.abs().max()
        law.penalty(alone, better, 100 * weight, 0)
    assert law.relative[0, 0].abs().sum() < before[0, 0].abs().sum()


def test_worlds_are_told_apart():
    alone = logits_of(1000, 3)
    law = TotalExpectation(EDGES, 2)
    law.penalty(alone, alone.roll(1, 1), torch.full((1000,), 1e-3), 1)
    assert law.relative[0].abs().max() == 0
    assert law.relative[1].abs().max() > 0.1


def test_the_report_tells_the_change_by_class_of_what_pixels_say_alone():
    alone = logits_of(5000, 4)
    same = expectation_report(alone, alone, EDGES)
    assert sum(row["share"] for row in same) == pytest.approx(1, abs=1e-3)
    assert {row["mean"] for row in same} == {row["probability"] for row in same} == {1.0}
    p = torch.softmax(alone, 1) @ class_rates(EDGES)
    some = (p >= 1.0) & (p < 2.0)
    both = alone.clone()
    both[some, 0] += 3.0
    changed = {row["from"]: row["mean"] for row in expectation_report(alone, both, EDGES)}
    ratio = (torch.softmax(both[some], 1) @ class_rates(EDGES)).mean() / p[some].mean()
    assert changed[1.0] == pytest.approx(float(ratio), abs=1e-3)
    assert changed[2.0] == changed[0.5] == 1.0
