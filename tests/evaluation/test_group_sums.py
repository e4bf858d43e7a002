from __future__ import annotations

import numpy as np
import pytest

from xrain.evaluation.group_sums import ENOUGH, MANY, GroupSums


def grouped(keys: list[tuple[str, ...]], seed: int = 0) -> GroupSums:
    rng = np.random.default_rng(seed)
    return GroupSums(
        tuple(keys), {"a": rng.random((len(keys), 3)), "b": rng.random((len(keys), 2, 2))}
    )


def stretches(days: int, granules: int, each: int) -> list[tuple[str, ...]]:
    return [
        (f"2020-01-{d + 1:02d}", f"g{d}.{g}", str(k))
        for d in range(days)
        for g in range(granules)
        for k in range(each)
    ]


def test_groups_of_one_key_add_up_and_others_stay() -> None:
    a, b = (
        grouped([("d", "g", "0"), ("d", "g", "1")]),
        grouped([("d", "g", "1"), ("d", "h", "0")], 1),
    )
    both = a.merge(b)
    assert both.keys == (("d", "g", "0"), ("d", "g", "1"), ("d", "h", "0"))
    np.testing.assert_allclose(both.values["a"][1], a.values["a"][1] + b.values["a"][0])
    for name, total in both.total().items():
        np.testing.assert_allclose(total, a.total()[name] + b.total()[name])


@pytest.mark.parametrize(
    ("days", "granules", "each", "depth"), [(12, 2, 3, 1), (3, 5, 3, 2), (1, 2, 30, 3)]
)
def test_the_coarsest_groups_of_which_there_are_enough(
    days: int, granules: int, each: int, depth: int
) -> None:
    coarse = grouped(stretches(days, granules, each)).coarsen()
    assert {len(k) for k in coarse.keys} == {depth}
    assert len(coarse.keys) >= ENOUGH


def test_many_groups_are_put_together_on_the_way_and_nothing_is_lost() -> None:
    """A month with twenty granules a day never holds more than its groups may be."""
    whole = grouped(stretches(30, 20, 4))
    running = None
    for first in range(0, len(whole.keys), 4):
        part = GroupSums(
            whole.keys[first : first + 4],
            {n: v[first : first + 4] for n, v in whole.values.items()},
        )
        running = part if running is None else running.merge(part)
        assert len(running.keys) <= MANY
    assert running is not None
    for name, total in whole.total().items():
        np.testing.assert_allclose(running.total()[name], total)
    assert running.coarsen().keys == whole.coarsen().keys
    np.testing.assert_allclose(running.coarsen().values["a"], whole.coarsen().values["a"])


def test_drawn_sums_spread_as_draws_of_groups_do() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(5.0, 2.0, (60, 1))
    drawn = GroupSums(tuple((str(k),) for k in range(60)), {"x": values}).draw(4000, seed=1)["x"]
    assert drawn.shape == (4000, 1)
    assert drawn.mean() == pytest.approx(values.sum(), rel=0.01)
    assert drawn.std() == pytest.approx(values.std() * np.sqrt(60), rel=0.05)
