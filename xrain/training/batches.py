"""Batches with the losses of information that a network will meet: channels, scans, neighbours."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrain.models.unet import stack_planes
from xrain.sensors import Channel
from xrain.training.degrade import LOSING, TOGETHER, add_errors, lose_channels, lose_information
from xrain.training.samples import Shard

CROPS = (32, 32, 64)
"""Scans and pixels of the training squares of a batch, drawn anew for each. A batch covers the
same area whatever the size: many small squares of many storms, or few large ones with farther
surroundings. Still smaller ones are mostly edge, where neighbours are missing."""

LINES = 0.12
"""Share of the batches whose squares are cut into lines one pixel wide, along track or across: a
radar's nadir ray, a piece of one scan, a subset of a granule."""

DRY_SHARE = 0.25
"""Share of the dry pixels of squares that are learned from, weighted to make up for it. Most
pixels are dry and tell little."""

LEAST_WETNESS = 0.1
"""Added to the raining share of a patch, this makes a known pixel's chance to be drawn."""

PATCHES = 64
"""Patches from which a batch draws its lone pixels with rain, and as many without."""

RAINING = 0.1
"""Rate in mm/h from which a pixel counts as raining when samples are drawn."""


@dataclass(frozen=True)
class Source:
    """Patches of one instrument, and how often they are drawn.

    Attributes
    ----------
    sensor : str
        The instrument.
    shard : Shard
        The patches.
    known : ndarray of int64, shape (patch,)
        Pixels of each patch whose rain is known.
    wetness : ndarray of float64, shape (patch,)
        Share of these in which it rains at 0.1 mm/h and more.
    share : float
        Chance that a batch is drawn from here, before all chances are scaled to one.
    simulated : bool
        Whether the brightness temperatures are simulated, not observed.
    """

    sensor: str
    shard: Shard
    known: npt.NDArray[np.int64]
    wetness: npt.NDArray[np.float64]
    share: float
    simulated: bool

    @functools.cached_property
    def chance(self) -> npt.NDArray[np.float64]:
        """Chance of each patch to be drawn: by its known pixels, and more with rain."""
        chance = self.known * (self.wetness + LEAST_WETNESS)
        return np.asarray(chance / chance.sum())


def tally(rain: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count pixels whose rain is known, and their raining share, by patch (patch, row, column)."""
    known = np.isfinite(rain).sum((1, 2))
    wet = (rain >= RAINING).sum((1, 2))
    return known.astype(np.int64), wet / np.maximum(known, 1)


def simulated_sources(samples: Mapping[str, Shard], share: float = 1.0) -> list[Source]:
    """Draw from simulated samples by sensor, in proportion to their patches; `share` in all."""
    total = sum(len(shard.rain) for shard in samples.values())
    return [
        Source(name, shard, *tally(shard.rain), share * len(shard.rain) / total, simulated=True)
        for name, shard in samples.items()
    ]


@dataclass(frozen=True)
class Batch:
    """Squares of one sensor.

    Attributes
    ----------
    planes : Tensor, (batch, plane, row, column)
        Input of the network.
    rain : Tensor, (batch, row, column)
        True rate in mm/h, NaN where unknown.
    weight : Tensor, (batch, row, column)
        Makes the weighted sum of losses, on average, the mean loss of a known pixel of the source;
        0 where the rain is unknown, nothing was observed, or a dry pixel is passed over.
    sensor : str
        The instrument.
    simulated : bool
        Whether a simulator made the pixels, not nature.
    """

    planes: Tensor
    rain: Tensor
    weight: Tensor
    sensor: str
    simulated: bool


def draw_batch(
    sources: Sequence[Source],
    channels: Mapping[str, Sequence[Channel]],
    size: int,
    seed: tuple[int, ...],
) -> Batch:
    """Draw the training batch that belongs to a seed and a step."""
    rng = np.random.default_rng(seed)
    source = _choose(rng, sources)
    squares, weight = _squares(rng, source, size)
    if rng.uniform() < 0.5 and weight.shape[2] > 1:
        squares, weight = [x[:, :, ::-1] for x in squares], weight[:, :, ::-1]
    tb = add_errors(rng, squares[0], source.simulated, TOGETHER)
    fields = [np.ascontiguousarray(x) for x in (tb, *squares[1:], weight)]
    if rng.uniform() < LINES:
        fields = _lines(rng, fields)
    tb, rain, angle, land, weight = fields
    lose_information(rng, tb, angle, land, channels[source.sensor])
    weight = _pass_over_dry(rng, rain, np.where(np.isfinite(tb).any(-1), weight, 0))
    planes = stack_planes(*(torch.from_numpy(x) for x in (tb, angle, land)))
    truth, counted = torch.from_numpy(rain), torch.from_numpy(weight)
    return Batch(planes, truth, counted, source.sensor, source.simulated)


def _lines(
    rng: np.random.Generator, fields: list[npt.NDArray[np.float32]]
) -> list[npt.NDArray[np.float32]]:
    """Cut every second line out of squares: most along track, some across; weights keep their sum.

    Fields and weight (square, scan, pixel, …), the weight last, become (line, …) likewise.
    """
    along = rng.uniform() < 0.85
    *out, weight = (
        np.moveaxis(x[:, :, ::2], 2, 1)[:, :, :, None].reshape(-1, x.shape[1], 1, *x.shape[3:])
        if along
        else x[:, ::2, None].reshape(-1, 1, x.shape[2], *x.shape[3:])
        for x in fields
    )
    total = float(weight.sum())
    return [*out, weight * np.float32(fields[-1].sum() / total)] if total else [*out, weight]


def _pass_over_dry(
    rng: np.random.Generator,
    rain: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Weights of which most dry pixels have none, and the others so much more."""
    kept = rng.uniform(size=rain.shape) < DRY_SHARE
    dry = np.nan_to_num(rain) < RAINING
    return np.where(dry, weight * kept / np.float32(DRY_SHARE), weight).astype(np.float32)


@dataclass(frozen=True)
class Pixels:
    """Lone pixels of one sensor, half of them with rain if there is any.

    Attributes
    ----------
    planes : Tensor, (pixel, plane)
        Input of the network.
    rain : Tensor, (pixel,)
        True rate in mm/h.
    weight : Tensor, (pixel,)
        Makes the weighted sum of losses, on average, the mean loss of a known pixel of the source.
    sensor : str
        The instrument.
    simulated : bool
        Whether a simulator made the pixels, not nature.
    """

    planes: Tensor
    rain: Tensor
    weight: Tensor
    sensor: str
    simulated: bool


def draw_pixels(
    sources: Sequence[Source],
    channels: Mapping[str, Sequence[Channel]],
    size: int,
    seed: tuple[int, ...],
) -> Pixels:
    """Draw the lone pixels that belong to a seed and a step."""
    rng = np.random.default_rng(seed)
    source = _choose(rng, sources)
    wet = np.rint(source.known * source.wetness)
    kinds = [(wet, True), (source.known - wet, False)]
    parts = [_pick(rng, source, w, rains, size // 2) for w, rains in kinds if w.sum() >= 1]
    tb, rain, angle, land, weight = (np.concatenate(x) for x in zip(*parts, strict=True))
    tb = add_errors(rng, tb, source.simulated)
    lose_channels(rng, tb, channels[source.sensor], LOSING)
    for plane in (angle, land):
        plane[rng.uniform(size=len(plane)) < 0.1] = np.nan
    return Pixels(
        pixel_planes(tb, angle, land),
        torch.from_numpy(rain),
        torch.from_numpy(weight),
        source.sensor,
        source.simulated,
    )


def _pick(
    rng: np.random.Generator,
    source: Source,
    count: npt.NDArray[np.float64],
    rains: bool,
    size: int,
) -> list[npt.NDArray[np.float32]]:
    """Draw pixels with rain, or without, of some patches, of which each has `count`."""
    shard, chosen = source.shard, []
    for patch in rng.choice(len(count), PATCHES, p=count / count.sum()):
        rain = shard.rain[patch].ravel()
        fits = np.flatnonzero(rain >= RAINING if rains else rain < RAINING)
        chosen.append((patch, fits[rng.integers(0, len(fits), max(size // PATCHES, 1))]))
    fields = (shard.tb, shard.rain, shard.incidence, shard.land)
    out = [
        np.concatenate([f[p].reshape(-1, *f.shape[3:])[k] for p, k in chosen]).astype(np.float32)
        for f in fields
    ]
    share = count.sum() / source.known.sum()
    return [*out, np.full(len(out[1]), share / len(out[1]), np.float32)]


def pixel_planes(
    tb: npt.NDArray[np.float32], angle: npt.NDArray[np.float32], land: npt.NDArray[np.float32]
) -> Tensor:
    """Input planes (pixel, plane) of lone pixels."""
    arrays = (torch.from_numpy(x[:, None, None]) for x in (tb, angle, land))
    return stack_planes(*arrays)[:, :, 0, 0]


def _choose(rng: np.random.Generator, sources: Sequence[Source]) -> Source:
    share = np.array([s.share for s in sources])
    return sources[rng.choice(len(sources), p=share / share.sum())]


def _squares(
    rng: np.random.Generator, source: Source, size: int
) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Cut as many squares at random as fill the area of `size` whole patches.

    They are narrower where the patches are, such as those of transects, of one pixel. Each is
    placed at random around a known pixel, drawn from all of its patch, and moved inside the patch.
    Returns the fields and the weight of each pixel: the chance that the square was placed for it,
    over how often its patch is drawn.
    """
    shard = source.shard
    rows, cols = shard.rain.shape[1:]
    side = int(rng.choice(CROPS))
    high, wide = min(side, rows), min(side, cols)
    many = max(size * rows * cols // (high * wide), 1)
    patch = rng.choice(len(source.chance), many, p=source.chance)
    row, col = _known_pixels(rng, shard.rain, patch)
    top = np.clip(row - rng.integers(0, high, many), 0, rows - high)
    left = np.clip(col - rng.integers(0, wide, many), 0, cols - wide)
    places = list(zip(patch, top, left, strict=True))
    cut = [
        np.stack([f[p, t : t + high, c : c + wide] for p, t, c in places]).astype(np.float32)
        for f in (shard.tb, shard.rain, shard.incidence, shard.land)
    ]
    ways = _ways(top, rows, high)[:, :, None] * _ways(left, cols, wide)[:, None, :]
    ways = np.where(np.isfinite(cut[1]), ways, 0.0)
    ways /= ways.sum((1, 2), keepdims=True)
    often = many * source.chance[patch] * source.known.sum() / source.known[patch]
    return cut, (ways / often[:, None, None]).astype(np.float32)


def _known_pixels(
    rng: np.random.Generator, rain: npt.NDArray[np.float32], patch: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row and column of a random pixel of each patch whose rain is known."""
    row, col = np.zeros((2, len(patch)), np.int64)
    left = np.arange(len(patch))
    while left.size:
        row[left] = rng.integers(0, rain.shape[1], left.size)
        col[left] = rng.integers(0, rain.shape[2], left.size)
        left = left[~np.isfinite(rain[patch[left], row[left], col[left]])]
    return row, col


def _ways(first: npt.NDArray[np.int64], length: int, side: int) -> npt.NDArray[np.float64]:
    """Count the draws that put a square at `first`, by the pixel they began from: (square, side).

    One inside the patch; at its ends also those that were moved there.
    """
    place = np.arange(side, dtype=np.float64)
    low, high = (first == 0)[:, None], (first == length - side)[:, None]
    return np.asarray(1.0 + low * (side - 1 - place) + high * place)
