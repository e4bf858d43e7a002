"""Numbers that add up, kept apart by day, granule and stretch of scans.

Scores of a year come from sums over its granules. Keeping the sums of single groups lets
intervals be drawn from them without the pixels; groups are put together when they get many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GroupSums", "Key"]

Array = NDArray[np.float64]
Key = tuple[str, ...]
"""Day, granule and stretch, as many of them as are told apart."""

ENOUGH = 10
"""Groups from which intervals are drawn, at least, before finer ones are put together."""

MANY = 512
"""Groups that are kept apart at most, if coarser ones would be enough."""


@dataclass(frozen=True)
class GroupSums:
    """Sums by group.

    Attributes
    ----------
    keys : tuple of Key
        One for each group.
    values : dict of str to ndarray, shape (group, ...)
        What adds up.
    """

    keys: tuple[Key, ...]
    values: dict[str, Array]

    def merge(self, other: GroupSums) -> GroupSums:
        """Add sums; groups of the same key become one, and fine groups coarse if too many."""
        depth = min(len(k) for k in (*self.keys, *other.keys)) if self.keys and other.keys else None
        values = {n: np.concatenate([v, other.values[n]]) for n, v in self.values.items()}
        both = GroupSums((*self.keys, *other.keys), values)._together(depth)
        return both.coarsen() if len(both.keys) > MANY else both

    def coarsen(self) -> GroupSums:
        """Take the coarsest groups of which there are enough, else the finest there are."""
        depths = range(1, min(map(len, self.keys), default=0) + 1)
        enough = (d for d in depths if len({k[:d] for k in self.keys}) >= ENOUGH)
        return self._together(next(enough, None))

    def _together(self, depth: int | None) -> GroupSums:
        keys = [k[:depth] for k in self.keys]
        place = {k: i for i, k in enumerate(dict.fromkeys(keys))}
        if len(place) == len(keys):
            return GroupSums(tuple(keys), self.values)
        index = np.array([place[k] for k in keys])
        values = {}
        for name, value in self.values.items():
            values[name] = np.zeros((len(place), *value.shape[1:]))
            np.add.at(values[name], index, value)
        return GroupSums(tuple(place), values)

    def total(self) -> dict[str, Array]:
        """Add all groups up."""
        return {name: value.sum(axis=0) for name, value in self.values.items()}

    def draw(self, replicates: int, seed: int = 0) -> dict[str, Array]:
        """Add up groups drawn with replacement, shape (replicate, ...).

        The block bootstrap of Efron and Tibshirani (1993, ch. 8), with groups for blocks.
        """
        count = len(self.keys)
        rng = np.random.default_rng(seed)
        times = rng.multinomial(count, np.full(count, 1 / count), replicates).astype(np.float64)
        return {n: np.tensordot(times, v, axes=1) for n, v in self.values.items()}
