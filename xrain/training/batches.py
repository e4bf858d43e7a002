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
from xrain.sensors import Channel, get_sensor, list_sensors
from xrain.training.samples import Shard

COMPLETE = 0.6
"""Share of samples with every channel."""

CROPS = (32, 32, 64)
"""Scans and pixels of the training squares of a batch, drawn anew for each. A batch covers the
same area whatever the size: many small squares of many storms, or few large ones with farther
surroundings. Still smaller ones are mostly edge, where neighbours are missing."""

LEAST_WETNESS = 0.1
"""Added to the raining share of a patch, this makes a known pixel's chance to be drawn."""

MISFIT, NOISE = 2.5, 1.5
"""Standard deviations in K of errors added to simulated channels: one that a training square
shares, and one of each pixel. The simulator is no better than that."""

TOGETHER = 0.5
"""Factor of these errors in squares. What neighbours tell stands in gradients and textures, which
errors as large as those of lone pixels blur: learning with them costs boosting on neighbourhoods
of GMI .01 of correlation over the ocean, .04 over land (``tools/baseline_neighbours.py``)."""

REAL_NOISE = 1.0
"""Standard deviation in K of the noise added to observations, so that none is learned by heart."""

GROUPS = 16
"""Parts of a batch of lone pixels that lose channels together."""

LOSING = 6
"""How many of these parts lose any."""

PATCHES = 64
"""Patches from which a batch draws its lone pixels with rain, and as many without."""

RAINING = 0.1
"""Rate in mm/h from which a pixel counts as raining when samples are drawn."""

BANDS = (8.5, 15.0, 21.0, 28.0, 42.0, 70.0, 100.0, 130.0, 170.0)
"""Frequencies in GHz between the bands that come and go together from instrument to instrument."""


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
        0 where the rain is unknown.
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
    sources: Sequence[Source],
    channels: Mapping[str, Sequence[Channel]],
    size: int,
    seed: tuple[int, int],
) -> Batch:
    """Draw the training batch that belongs to a seed and a step."""
    rng = np.random.default_rng(seed)
    source = _choose(rng, sources)
    squares, weight = _squares(rng, source, size)
    if rng.uniform() < 0.5:
        squares, weight = [x[:, :, ::-1] for x in squares], weight[:, :, ::-1]
    tb, rain, angle, land = squares
    tb = add_errors(rng, tb, source.simulated, TOGETHER)
    lose_information(rng, tb, angle, land, channels[source.sensor])
    planes = stack_planes(*(torch.from_numpy(np.ascontiguousarray(x)) for x in (tb, angle, land)))
    truth, counted = (torch.from_numpy(np.ascontiguousarray(x)) for x in (rain, weight))
    return Batch(planes, truth, counted, source.sensor)


def add_errors(
    rng: np.random.Generator,
    tb: npt.NDArray[np.float32],
    simulated: bool,
    factor: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Add what the simulator gets wrong, times a factor, or the little that blurs observations.

    The errors of brightness temperatures (square, …, channel) in K are partly shared by a square.
    """
    if not simulated:
        return tb + REAL_NOISE * rng.standard_normal(tb.shape, np.float32)
    shape = len(tb), *(1,) * (tb.ndim - 2), tb.shape[-1]
    shared = rng.normal(0.0, factor * MISFIT, shape).astype(np.float32)
    return tb + shared + np.float32(factor * NOISE) * rng.standard_normal(tb.shape, np.float32)


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
    """

    planes: Tensor
    rain: Tensor
    weight: Tensor
    sensor: str


def draw_pixels(
    sources: Sequence[Source],
    channels: Mapping[str, Sequence[Channel]],
    size: int,
    seed: tuple[int, int],
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


def lose_channels(
    rng: np.random.Generator,
    tb: npt.NDArray[np.float32],
    channels: Sequence[Channel],
    losing: int,
) -> None:
    """Take channels from `losing` of `GROUPS` parts of lone pixels (pixel, channel), in place."""
    for part in np.array_split(rng.permutation(len(tb)), GROUPS)[:losing]:
        tb[np.ix_(part, ~keep_channels(rng, channels))] = np.nan


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

    Each is placed at random around a known pixel, drawn from all of its patch, and moved inside
    the patch. Returns the fields and the weight of each pixel: the chance that the square was
    placed for it, over how often its patch is drawn.
    """
    shard = source.shard
    rows, cols = shard.rain.shape[1:]
    side = min(int(rng.choice(CROPS)), rows, cols)
    many = max(size * rows * cols // side**2, 1)
    patch = rng.choice(len(source.chance), many, p=source.chance)
    row, col = _known_pixels(rng, shard.rain, patch)
    top = np.clip(row - rng.integers(0, side, many), 0, rows - side)
    left = np.clip(col - rng.integers(0, side, many), 0, cols - side)
    places = list(zip(patch, top, left, strict=True))
    cut = [
        np.stack([f[p, t : t + side, c : c + side] for p, t, c in places]).astype(np.float32)
        for f in (shard.tb, shard.rain, shard.incidence, shard.land)
    ]
    ways = _ways(top, rows, side)[:, :, None] * _ways(left, cols, side)[:, None, :]
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
