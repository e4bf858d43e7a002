"""Real matched pixels for training: single pixels with the rain that a radar saw in them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xrain.conventions import (
    CHANNEL,
    EVENT_RATE,
    LATITUDE,
    LONGITUDE,
    SAMPLE,
    SURFACE_PRECIP,
    TB,
)
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.io.matchups import PHASE, matched_days, open_matchups
from xrain.io.transects import OVERPASS, open_transects
from xrain.models.rain_classes import classes
from xrain.models.unet import PixelBranch, describe
from xrain.sensors import Channel
from xrain.sensors.describe import describe_channels, find_owner
from xrain.training.batches import pixel_planes
from xrain.training.degrade import add_errors, lose_channels

LOSING = 9
"""Parts of a batch, of :data:`~xrain.training.degrade.GROUPS`, that lose channels. With more of
them instruments with few channels gain and GMI loses: from 6 to 10 ATMS .05, GMI .01."""


_COLUMNS = ("tb", "land", "rate", "event", "day", "t2m")

MILD = np.float32(285.0)
"""Air temperature in K that is taken where none is known."""


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
        The day, or the overpass, by number; pixels of one belong together.
    t2m : ndarray of float32, shape (pixel,)
        Air temperature at 2 m in K, that of the typical pixel where unknown. It is not shown to
        a network.
    """

    tb: npt.NDArray[np.float32]
    land: npt.NDArray[np.float32]
    channels: tuple[Channel, ...]
    rate: npt.NDArray[np.float32]
    event: npt.NDArray[np.float32]
    day: npt.NDArray[np.int64]
    t2m: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.day)

    def select(self, chosen: npt.NDArray[np.bool_]) -> RealPixels:
        """Keep some pixels."""
        return replace(self, **{n: getattr(self, n)[chosen] for n in _COLUMNS})

    def complete(self) -> RealPixels:
        """Keep the pixels of which every channel is known."""
        return self.select(np.asarray(np.isfinite(self.tb).all(axis=1)))

    @classmethod
    def join(cls, tables: Sequence[RealPixels]) -> RealPixels:
        """Put tables of the same channels together."""
        columns: dict[str, Any] = {
            n: np.concatenate([getattr(t, n) for t in tables]) for n in _COLUMNS
        }
        return replace(tables[0], **columns)

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
    t2m = ds["t2m"].values.astype(np.float32) if "t2m" in ds else unknown
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
        t2m=np.where(np.isfinite(t2m), t2m, MILD),
    )


def read_transects(path: str | os.PathLike[str]) -> RealPixels:
    """Read transects as pixels by themselves, those of an overpass as of a day.

    Raises
    ------
    FileFormatError, InputError
        As of :func:`xrain.io.transects.open_transects`.
    """
    ds = open_transects(path)
    rate = ds[SURFACE_PRECIP].values.astype(np.float32)
    names = [str(n) for n in ds[CHANNEL].values]
    return RealPixels(
        tb=ds[TB].values.astype(np.float32),
        land=land_fraction(ds[LATITUDE].values, ds[LONGITUDE].values),
        channels=tuple(describe_channels(names, find_owner(names))),
        rate=rate,
        event=np.where(np.isfinite(rate), rate >= EVENT_RATE, np.nan).astype(np.float32),
        day=ds[OVERPASS].values.astype(np.int64),
        t2m=np.full(len(rate), MILD),
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
    share : float
        Weight of the rates.
    detection : float
        Weight of whether it rained.
    """

    pixels: tuple[RealPixels, ...]
    edges: tuple[float, ...]
    prior: float
    share: float = 1.0
    detection: float = 0.15

    def loss(self, branch: PixelBranch, count: int, seed: Sequence[int]) -> Tensor:
        """Loss of a batch of `count` real pixels of each table, drawn by a seed."""
        rng = np.random.default_rng(tuple(seed))
        device = branch.bias.device
        total = torch.zeros((), device=device)
        for table in self.pixels:
            part = table.select(rng.integers(0, len(table), count))  # type: ignore[arg-type]
            planes, description = _planes(part, rng).to(device), describe(table.channels)
            output = branch(planes, description.to(device)).float()
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


def event_loss(logits: Tensor, event: npt.NDArray[np.float32], shift: float) -> Tensor:
    """Cross-entropy of whether it rained, the odds of rain multiplied by exp(shift)."""
    known = torch.from_numpy(np.isfinite(event)).to(logits.device)
    if not bool(known.any()):
        return logits.sum() * 0.0
    odds = torch.logsumexp(logits[:, 1:], 1) - logits[:, 0]
    truth = torch.from_numpy(event).to(logits.device)[known]
    return nn.functional.binary_cross_entropy_with_logits(odds[known] + shift, truth)
