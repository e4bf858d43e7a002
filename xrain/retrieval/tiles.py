"""How a swath is cut into tiles that do not show in the result."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Tile:
    """Rows [start, stop) to be computed from rows [low, high)."""

    start: int
    stop: int
    low: int
    high: int


def plan(rows: int, tile_rows: int, halo: int) -> list[Tile]:
    """Cut `rows` into tiles of so many rows, with halo."""
    step = max(tile_rows, 1)
    return [
        Tile(s, min(s + step, rows), max(s - halo, 0), min(s + step + halo, rows))
        for s in range(0, rows, step)
    ]


def segments(breaks: npt.NDArray[np.intp], rows: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of rows between breaks; a network must not look across one."""
    bounds = [0, *(int(b) for b in breaks), rows]
    for start, stop in itertools.pairwise(bounds):
        if stop > start:
            yield start, stop
