"""Batches with the losses of information that a network will meet: channels, scans, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrain.models.unet import stack_planes
from xrain.training.samples import Shard

COMPLETE = 0.45
"""Share of samples with every channel."""

CROPS = (16, 16, 32, 64)
"""Scans and pixels of the training squares of a batch, drawn anew for each. A batch covers the
same area whatever the size: many small squares of many storms teach quickly what a pixel tells,
few large ones what its surroundings add."""

LONE_EVERY = 4
"""One batch in so many consists of pixels without neighbours."""


@dataclass(frozen=True)
class Batch:
    """Input planes (batch, plane, row, column) and the class of each pixel, −1 where unknown."""

    planes: Tensor
    target: Tensor
    sensor: str


def classes(rain: Tensor, edges: Sequence[float]) -> Tensor:
    """Class of each rate: 0 below the first edge, the last class above the last but one; NaN −1."""
    bounds = torch.tensor(edges[:-1], dtype=rain.dtype)
    out = torch.bucketize(torch.nan_to_num(rain), bounds, right=True)
    return torch.where(torch.isnan(rain), -1, out)


def draw_batch(
    samples: dict[str, Shard],
    names: Sequence[str],
    edges: Sequence[float],
    size: int,
    seed: tuple[int, int],
) -> Batch:
    """Draw the training batch that belongs to a seed and a step."""
    rng = np.random.default_rng(seed)
    name = names[seed[1] % len(names)]
    shard = samples[name]
    tb, rain, angle, land = _crops(rng, shard, size)
    if rng.uniform() < 0.5:
        tb, rain, angle, land = (x[:, :, ::-1] for x in (tb, rain, angle, land))
    if (seed[1] // len(names)) % LONE_EVERY == LONE_EVERY - 1:
        tb, rain, angle, land = _lone_pixels(rng, tb, rain, angle, land)
    lose_information(rng, tb, angle, land)
    planes = stack_planes(*(torch.from_numpy(np.ascontiguousarray(x)) for x in (tb, angle, land)))
    return Batch(planes, classes(torch.from_numpy(np.ascontiguousarray(rain)), edges), name)


def _crops(rng: np.random.Generator, shard: Shard, size: int) -> list[npt.NDArray[np.float32]]:
    """Cut as many squares at random as fill the area of `size` whole patches."""
    count, rows, cols = shard.rain.shape
    side = min(int(rng.choice(CROPS)), rows, cols)
    many = max(size * rows * cols // side**2, 1)
    patch = rng.integers(0, count, many)
    top, left = rng.integers(0, rows - side + 1, many), rng.integers(0, cols - side + 1, many)
    fields = (shard.tb, shard.rain, shard.incidence, shard.land)
    places = list(zip(patch, top, left, strict=True))
    return [
        np.stack([f[p, t : t + side, c : c + side] for p, t, c in places]).astype(np.float32)
        for f in fields
    ]


def _lone_pixels(
    rng: np.random.Generator, *fields: npt.NDArray[np.float32], size: int = 8
) -> list[npt.NDArray[np.float32]]:
    """Cut the fields into squares of the network's stride that show one pixel only."""
    count, rows, cols = fields[0].shape[:3]
    high, wide = rows // size, cols // size
    out = []
    picks = rng.integers(0, size, (2, count * high * wide))
    everyone = np.arange(count * high * wide)
    for field in fields:
        cut = field[:, : high * size, : wide * size]
        square = cut.reshape(count, high, size, wide, size, *field.shape[3:]).swapaxes(2, 3)
        square = square.reshape(-1, size, size, *field.shape[3:])
        alone = np.full_like(square, np.nan)
        alone[:, size // 2, size // 2] = square[everyone, picks[0], picks[1]]
        out.append(alone)
    return out


def lose_information(
    rng: np.random.Generator,
    tb: npt.NDArray[np.float32],
    angle: npt.NDArray[np.float32],
    land: npt.NDArray[np.float32],
) -> None:
    """Take away channels, scans, pixels, angles and land masks from some samples, in place."""
    count, rows, _, channels = tb.shape
    for k in range(count):
        if rng.uniform() > COMPLETE:
            kept = rng.uniform(size=channels) < rng.choice([0.25, 0.5, 0.8, 0.95])
            kept[rng.integers(0, channels)] = True
            tb[k][..., ~kept] = np.nan
        if rng.uniform() < 0.15 and rows > 16:
            first, length = rng.integers(0, rows), rng.integers(1, 12)
            lost = slice(None) if rng.uniform() < 0.5 else rng.integers(0, channels)
            tb[k, first : first + length, :, lost] = np.nan
        if rng.uniform() < 0.2 and channels > 1:
            _end_group(rng, tb[k])
        if rng.uniform() < 0.1:
            angle[k] = np.nan
        if rng.uniform() < 0.15:
            land[k] = np.nan


def _end_group(rng: np.random.Generator, tb: npt.NDArray[np.float32]) -> None:
    """Let some neighbouring channels end at a column, as where one swath group is narrower."""
    first = rng.integers(0, tb.shape[2])
    last = rng.integers(first, tb.shape[2]) + 1
    column = rng.integers(0, tb.shape[1])
    beyond = slice(column, None) if rng.uniform() < 0.5 else slice(None, column)
    if last - first < tb.shape[2]:
        tb[:, beyond, first:last] = np.nan
