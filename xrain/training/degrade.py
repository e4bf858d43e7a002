"""What a network will lack or find distorted: errors, channels, scans, pixels, ends of swaths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from xrain.sensors import Channel, get_sensor, list_sensors

COMPLETE = 0.6
"""Share of samples with every channel."""

MISFIT, SMOOTH, NOISE = 2.0, 2.0, 0.5
"""Standard deviations in K of errors added to simulated channels: one that a training square
shares, one that changes over some pixels, and one of each pixel. The simulator is no better than
that."""

TOGETHER = 0.3
"""Factor of these errors in squares. What neighbours tell stands in gradients and textures, which
errors as large as those of lone pixels blur."""

SPACING = 4
"""Pixels over which the second of these errors changes."""

BETWEEN = 1.5
"""Makes up for what interpolation between independent errors takes from their variance."""

REAL_NOISE = 1.0
"""Standard deviation in K of the noise added to observations, so that none is learned by heart."""

GROUPS = 16
"""Parts of a batch of lone pixels that lose channels together."""

LOSING = 6
"""How many of these parts lose any."""

BANDS = (8.5, 15.0, 21.0, 28.0, 42.0, 70.0, 100.0, 130.0, 170.0)
"""Frequencies in GHz between the bands that come and go together from instrument to instrument."""


def add_errors(
    rng: np.random.Generator,
    tb: npt.NDArray[np.float32],
    simulated: bool,
    factor: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Add what the simulator gets wrong, times a factor, or the little that blurs observations.

    The errors of brightness temperatures in K, (square, scan, pixel, channel) or (pixel, channel),
    are shared by a square, smooth in it, and independent.
    """
    if not simulated:
        return tb + np.float32(REAL_NOISE) * rng.standard_normal(tb.shape, np.float32)
    shared = rng.normal(0.0, MISFIT, (len(tb), *(1,) * (tb.ndim - 2), tb.shape[-1]))
    smooth = _smooth_errors(rng, tb.shape) if tb.ndim == 4 else rng.normal(0.0, SMOOTH, tb.shape)
    noise = np.float32(NOISE) * rng.standard_normal(tb.shape, np.float32)
    return np.asarray(tb + factor * (shared + smooth + noise), np.float32)


def _smooth_errors(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Errors (square, scan, pixel, channel) between nodes some pixels apart, at a random place."""
    squares, rows, cols, channels = shape
    nodes = rows // SPACING + 3, cols // SPACING + 3
    values = torch.from_numpy(rng.standard_normal((squares, channels, *nodes), np.float32))
    fine = torch.nn.functional.interpolate(values, scale_factor=SPACING, mode="bilinear")
    top, left = SPACING // 2 + rng.integers(0, SPACING, 2)
    cut = fine[:, :, top : top + rows, left : left + cols].permute(0, 2, 3, 1)
    return np.asarray(np.float32(BETWEEN * SMOOTH) * cut.numpy())


def lose_channels(
    rng: np.random.Generator,
    tb: npt.NDArray[np.float32],
    channels: Sequence[Channel],
    losing: int,
) -> None:
    """Take channels from `losing` of `GROUPS` parts of lone pixels (pixel, channel), in place."""
    for part in np.array_split(rng.permutation(len(tb)), GROUPS)[:losing]:
        tb[np.ix_(part, ~keep_channels(rng, channels))] = np.nan


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
        if rng.uniform() < 0.12 and rows > 16:
            first, length = rng.integers(0, rows), rng.integers(1, 12)
            lost = slice(None) if rng.uniform() < 0.6 else rng.integers(0, len(channels))
            tb[k, first : first + length, :, lost] = np.nan
        if rng.uniform() < 0.4 and len(channels) > 1:
            _end_group(rng, tb[k], channels)
        if rng.uniform() < 0.08:
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


def _end_group(
    rng: np.random.Generator, tb: npt.NDArray[np.float32], channels: Sequence[Channel]
) -> None:
    """Let some channels end at a scan or at a pixel, as where one swath group is shorter.

    Most often these are all above some frequency, or all below.
    """
    count = tb.shape[2]
    if rng.uniform() < 0.6:
        above = np.array([c.frequency for c in channels]) > rng.choice(BANDS)
        lost = above if rng.uniform() < 0.75 else ~above
    else:
        first = rng.integers(0, count)
        lost = np.arange(count) >= first
        lost &= np.arange(count) <= rng.integers(first, count)
    axis = int(rng.integers(0, 2))
    at = int(rng.integers(0, tb.shape[axis]))
    beyond = np.arange(tb.shape[axis]) >= at
    if rng.uniform() < 0.5:
        beyond = ~beyond
    if lost.any() and not lost.all() and tb.shape[axis] > 1:
        here = beyond[:, None, None] if axis == 0 else beyond[None, :, None]
        np.copyto(tb, np.float32(np.nan), where=here & lost)
