"""Batches with the losses of information that a network will meet: channels, scans, neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrain.models.unet import stack_planes
from xrain.sensors import Channel, get_sensor, list_sensors
from xrain.training.samples import Shard

COMPLETE = 0.45
"""Share of samples with every channel."""

CROPS = (16, 16, 32, 64)
"""Scans and pixels of the training squares of a batch, drawn anew for each. A batch covers the
same area whatever the size: many small squares of many storms teach quickly what a pixel tells,
few large ones what its surroundings add."""

LEAST_WETNESS = 0.1
"""Added to the raining share of a patch, this makes its chance to be drawn."""

MISFIT, NOISE = 4.0, 2.0
"""Standard deviations in K of errors added to the channels: one that a training square shares,
and one of each pixel. The simulator is no better than that: without them a network leans on fine
agreements between channels that nature does not keep (lone real ocean pixels: correlation .53
without, .58 with 3 and 2 K, .62 with 5 and 3 K after the same short training)."""

BANDS = (8.5, 15.0, 21.0, 28.0, 42.0, 70.0, 100.0, 130.0, 170.0)
"""Frequencies in GHz between the bands that come and go together from instrument to instrument."""


@dataclass(frozen=True)
class Batch:
    """Squares of one sensor.

    Attributes
    ----------
    planes : Tensor, (batch, plane, row, column)
        Input of the network.
    rain : Tensor, (batch, row, column)
        True rate in mm/h, NaN where unknown.
    weight : Tensor, (batch,)
        Makes up for how often the like of a square is drawn.
    sensor : str
        The instrument.
    """

    planes: Tensor
    rain: Tensor
    weight: Tensor
    sensor: str


def classes(rain: Tensor, edges: Sequence[float]) -> Tensor:
    """Class of each rate: 0 below the first edge, the last class above the last but one; NaN −1."""
    bounds = torch.tensor(edges[:-1], dtype=rain.dtype, device=rain.device)
    out = torch.bucketize(torch.nan_to_num(rain), bounds, right=True)
    return torch.where(torch.isnan(rain), -1, out)


def draw_batch(
    samples: Mapping[str, Shard],
    channels: Mapping[str, Sequence[Channel]],
    size: int,
    seed: tuple[int, int],
) -> Batch:
    """Draw the training batch that belongs to a seed and a step."""
    rng = np.random.default_rng(seed)
    names = list(samples)
    many = np.array([len(samples[n].rain) for n in names], float)
    name = str(rng.choice(names, p=many / many.sum()))
    (tb, rain, angle, land), weight = _crops(rng, samples[name], size)
    if rng.uniform() < 0.5:
        tb, rain, angle, land = (x[:, :, ::-1] for x in (tb, rain, angle, land))
    shared = rng.normal(0.0, MISFIT, (len(tb), 1, 1, tb.shape[3])).astype(np.float32)
    tb = tb + shared + NOISE * rng.standard_normal(tb.shape, np.float32)
    lose_information(rng, tb, angle, land, channels[name])
    planes = stack_planes(*(torch.from_numpy(np.ascontiguousarray(x)) for x in (tb, angle, land)))
    truth = torch.from_numpy(np.ascontiguousarray(rain))
    return Batch(planes, truth, torch.from_numpy(weight), name)


def _crops(
    rng: np.random.Generator, shard: Shard, size: int
) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Cut as many squares at random as fill the area of `size` whole patches.

    Patches with rain are drawn more often, and weigh less.
    """
    count, rows, cols = shard.rain.shape
    side = min(int(rng.choice(CROPS)), rows, cols)
    many = max(size * rows * cols // side**2, 1)
    chance = shard.wetness + LEAST_WETNESS
    chance = chance / chance.sum()
    patch = rng.choice(count, many, p=chance)
    top, left = rng.integers(0, rows - side + 1, many), rng.integers(0, cols - side + 1, many)
    fields = (shard.tb, shard.rain, shard.incidence, shard.land)
    places = list(zip(patch, top, left, strict=True))
    cut = [
        np.stack([f[p, t : t + side, c : c + side] for p, t, c in places]).astype(np.float32)
        for f in fields
    ]
    return cut, (1 / (count * chance[patch])).astype(np.float32)


def lose_information(
    rng: np.random.Generator,
    tb: npt.NDArray[np.float32],
    angle: npt.NDArray[np.float32],
    land: npt.NDArray[np.float32],
    channels: Sequence[Channel],
) -> None:
    """Take away channels, scans, pixels, angles and land masks from some samples, in place."""
    count, rows = tb.shape[:2]
    for k in range(count):
        if rng.uniform() > COMPLETE:
            tb[k][..., ~keep_channels(rng, channels)] = np.nan
        if rng.uniform() < 0.15 and rows > 16:
            first, length = rng.integers(0, rows), rng.integers(1, 12)
            lost = slice(None) if rng.uniform() < 0.5 else rng.integers(0, len(channels))
            tb[k, first : first + length, :, lost] = np.nan
        if rng.uniform() < 0.2 and len(channels) > 1:
            _end_group(rng, tb[k])
        if rng.uniform() < 0.1:
            tb[k, rng.uniform(size=tb.shape[1:3]) > rng.choice([0.05, 0.3, 0.7])] = np.nan
        if rng.uniform() < 0.1:
            angle[k] = np.nan
        if rng.uniform() < 0.15:
            land[k] = np.nan


def keep_channels(rng: np.random.Generator, channels: Sequence[Channel]) -> npt.NDArray[np.bool_]:
    """Draw channels that stay: single ones, whole bands, or the bands of another instrument.

    Returns a mask (channel,) in which at least one is true.
    """
    count, kind = len(channels), rng.uniform()
    band = np.searchsorted(BANDS, [c.frequency for c in channels])
    if kind < 0.35:
        kept = rng.uniform(size=count) < rng.choice([0.25, 0.5, 0.8, 0.95])
    elif kind < 0.65:
        kept = (rng.uniform(size=len(BANDS) + 1) < rng.choice([0.3, 0.6, 0.85]))[band]
    else:
        other = get_sensor(str(rng.choice(list_sensors())))
        kept = np.isin(band, np.searchsorted(BANDS, [c.frequency for c in other.channels]))
    if kind > 0.35 and rng.uniform() < 0.25:
        vertical = np.array([c.polarization in ("V", "QV") for c in channels])
        kept &= vertical == (rng.uniform() < 0.7)
    kept[rng.integers(0, count)] = True
    return np.asarray(kept)


def _end_group(rng: np.random.Generator, tb: npt.NDArray[np.float32]) -> None:
    """Let some neighbouring channels end at a column, as where one swath group is narrower."""
    first = rng.integers(0, tb.shape[2])
    last = rng.integers(first, tb.shape[2]) + 1
    column = rng.integers(0, tb.shape[1])
    beyond = slice(column, None) if rng.uniform() < 0.5 else slice(None, column)
    if last - first < tb.shape[2]:
        tb[:, beyond, first:last] = np.nan
