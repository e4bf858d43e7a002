"""Real matched pixels for training: single pixels with the rain that a radar saw in them."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xrain.conventions import CHANNEL, LATITUDE, LONGITUDE, SAMPLE, SURFACE_PRECIP, TB
from xrain.errors import InputError
from xrain.io.matchups import PHASE, matched_days, open_matchups
from xrain.land import land_fraction
from xrain.models.quantiles import pinball_loss
from xrain.models.unet import ConstellationUNet, describe
from xrain.sensors import Channel
from xrain.sensors.describe import describe_channels, find_owner
from xrain.training.batches import add_errors, classes, lose_channels, pixel_planes

LOSING = 9
"""Parts of a batch, of :data:`~xrain.training.batches.GROUPS`, that lose channels. With more of
them instruments with few channels gain and GMI loses: from 6 to 10 ATMS .05, GMI .01."""


@dataclass(frozen=True)
class RealPixels:
    """Lone pixels of one instrument, each with a rate or with whether it rained.

    Attributes
    ----------
    tb : ndarray of float32, shape (pixel, channel)
        Brightness temperature in K.
    land : ndarray of float32, shape (pixel,)
        Land fraction of the packaged mask.
    channels : tuple of Channel
        Channels of `tb`.
    rate : ndarray of float32, shape (pixel,)
        Rain in mm/h, NaN where unknown.
    event : ndarray of float32, shape (pixel,)
        1 where it rained or snowed, 0 where dry, NaN where unknown.
    day : ndarray of int, shape (pixel,)
        The day by number; pixels of one day belong together.
    """

    tb: npt.NDArray[np.float32]
    land: npt.NDArray[np.float32]
    channels: tuple[Channel, ...]
    rate: npt.NDArray[np.float32]
    event: npt.NDArray[np.float32]
    day: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.day)

    def select(self, chosen: npt.NDArray[np.bool_]) -> RealPixels:
        """Keep some pixels."""
        names = ("tb", "land", "rate", "event", "day")
        return replace(self, **{n: getattr(self, n)[chosen] for n in names})

    def split(self, fold: int, folds: int) -> tuple[RealPixels, RealPixels]:
        """Pixels to learn from and to judge by; see :func:`kept_apart`."""
        apart = kept_apart(self.day, fold, folds)
        return self.select(~apart), self.select(apart)


def kept_apart(day: npt.NDArray[np.integer], fold: int, folds: int) -> npt.NDArray[np.bool_]:
    """Choose every `folds`-th day in the order of the calendar, from the day number `fold`."""
    _, order = np.unique(day, return_inverse=True)
    return np.asarray(order % folds == fold)


def read_real(path: str | os.PathLike[str], channels: Sequence[str] = ()) -> RealPixels:
    """Read matched pixels: ``tb(sample, channel)`` with ``surface_precip`` in mm/h or ``phase``.

    Only the `channels` named are kept, all by default.

    Raises
    ------
    FileFormatError
        If the file cannot be read as netCDF.
    InputError
        If it is no table of matched pixels, or lacks the channels.
    """
    ds = open_matchups(path)
    count = ds.sizes[SAMPLE]
    unknown = np.full(count, np.nan, np.float32)
    rate = ds[SURFACE_PRECIP].values.astype(np.float32) if SURFACE_PRECIP in ds else unknown
    phase = ds[PHASE].values.astype(np.float32) if PHASE in ds else unknown
    event = np.where(phase >= 0, (phase >= 1).astype(np.float32), np.float32(np.nan))
    names = [str(n) for n in ds[CHANNEL].values]
    every = describe_channels(names, find_owner(names))
    kept = [k for k, c in enumerate(every) if not channels or c.name in channels]
    if not kept:
        raise InputError(f"{path}: none of the channels {', '.join(channels)} is there")
    return RealPixels(
        tb=ds[TB].transpose(SAMPLE, CHANNEL).values[:, kept].astype(np.float32),
        land=land_fraction(ds[LATITUDE].values, ds[LONGITUDE].values),
        channels=tuple(every[k] for k in kept),
        rate=rate,
        event=event,
        day=matched_days(ds),
    )


@dataclass(frozen=True)
class Reality:
    """Real pixels made ready for a training run.

    Parameters
    ----------
    pixels : sequence of RealPixels
        Tables of the same channels.
    edges : sequence of float
        Bounds of the network's rain classes, mm/h.
    prior : float
        Frequency of rain in training, from which probabilities are shifted to the tables' own.
    amount : float
        Mean rate in training, dry pixels included, in mm/h.
    share : float
        Weight of the rates.
    detection : float
        Weight of whether it rained.
    """

    pixels: tuple[RealPixels, ...]
    edges: tuple[float, ...]
    prior: float
    amount: float
    share: float = 1.0
    detection: float = 0.15

    @functools.cached_property
    def rainy(self) -> float:
        """Share of raining pixels among the tables' with which as much rain falls as in training.

        A radar's table lacks what the radar does not see, so its rain is heavier.
        """
        rates = np.concatenate([t.rate[t.rate > 0] for t in self.pixels])
        return min(self.prior, self.amount / float(rates.mean())) if rates.size else self.prior

    def loss(self, network: ConstellationUNet, count: int, seed: Sequence[int]) -> Tensor:
        """Loss of a batch of `count` real pixels of each table, drawn by a seed."""
        rng = np.random.default_rng(tuple(seed))
        device = network.bias.device
        total = torch.zeros((), device=device)
        for table in self.pixels:
            part = table.select(rng.integers(0, len(table), count))  # type: ignore[arg-type]
            planes, description = _planes(part, rng).to(device), describe(table.channels)
            output = network.alone(planes, description.to(device)).float()
            if levels := network.config.levels:
                total = total + self.share * mixed_loss(output, part, self.rainy, levels)
                continue
            total = total + self.share * rate_loss(output, part.rate, self.edges)
            if np.isfinite(table.event).any():
                shift = _log_odds(float(np.nanmean(table.event))) - _log_odds(self.prior)
                total = total + self.detection * event_loss(output, part.event, shift)
        return total


def _log_odds(frequency: float) -> float:
    if not 0 < frequency < 1:
        return 0.0
    return math.log(frequency / (1 - frequency))


def _planes(pixels: RealPixels, rng: np.random.Generator) -> Tensor:
    """Input planes (pixel, plane) with noise and with losses of channels."""
    tb = add_errors(rng, pixels.tb, simulated=False)
    lose_channels(rng, tb, pixels.channels, LOSING)
    land = np.where(rng.uniform(size=len(tb)) < 0.1, np.float32(np.nan), pixels.land)
    angle = np.full(len(tb), pixels.channels[0].incidence_angle, np.float32)
    return pixel_planes(tb, angle, land.astype(np.float32))


def rate_loss(logits: Tensor, rate: npt.NDArray[np.float32], edges: Sequence[float]) -> Tensor:
    """Cross-entropy of the rate's class on the condition that it rains.

    The dry class is left out, since a table of raining pixels says nothing of how often it rains.
    The heaviest classes stay in, though a table may end below them: without them nothing ties
    them to real pixels, and a few wild estimates spoil the rest (correlation on days kept apart
    .64 without, .69 with them).
    """
    known = np.isfinite(rate) & (rate > 0)
    if not known.any():
        return logits.sum() * 0.0
    target = classes(torch.from_numpy(rate[known]), edges)
    kept = logits[torch.from_numpy(known).to(logits.device)][:, 1:]
    return nn.functional.cross_entropy(kept, (target - 1).clamp(min=0).to(logits.device))


def mixed_loss(
    quantiles: Tensor, pixels: RealPixels, prior: float, levels: Sequence[float]
) -> Tensor:
    """Quantile loss of raining pixels and of dry ones, of which a share `prior` rains.

    Quantiles hold dry cases too, so a table of raining pixels says nothing of them by itself.
    Pixels in which it rains at an unknown rate are left out.
    """
    total = quantiles.sum() * 0.0
    for chosen, weight in ((pixels.rate > 0, prior), (pixels.event == 0, 1.0 - prior)):
        if chosen.any():
            rate = torch.from_numpy(np.where(pixels.rate > 0, pixels.rate, np.float32(0.0))[chosen])
            kept = quantiles[torch.from_numpy(chosen).to(quantiles.device)]
            loss = pinball_loss(kept, rate.to(quantiles.device), levels)
            total = total + weight * loss.mean()
    return total


def event_loss(logits: Tensor, event: npt.NDArray[np.float32], shift: float) -> Tensor:
    """Cross-entropy of whether it rained, the odds of rain multiplied by exp(shift)."""
    known = torch.from_numpy(np.isfinite(event)).to(logits.device)
    if not bool(known.any()):
        return logits.sum() * 0.0
    odds = torch.logsumexp(logits[:, 1:], 1) - logits[:, 0]
    truth = torch.from_numpy(event).to(logits.device)[known]
    return nn.functional.binary_cross_entropy_with_logits(odds[known] + shift, truth)
