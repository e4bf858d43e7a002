"""Tables of real pixels of one radiometer, shown as any radiometer would see them."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.conventions import EVENT_RATE
from xrain.errors import InputError
from xrain.evaluation.channel_subset import nearest_channels
from xrain.sensors import Channel, packaged_sensors
from xrain.training.batches import pixel_planes
from xrain.training.degrade import keep_channels
from xrain.training.matched_pixels import RealPixels, kept_apart, read_real, read_transects
from xrain.training.translation import NEAREST, Translator

__all__ = [
    "BLOCK_OF_OVERPASSES",
    "Observed",
    "Shown",
    "degrade",
    "draw_kept",
    "find_source",
    "read_observed",
]

Array = NDArray[np.float32]

NOISE = 1.0
"""Standard deviation in K of the noise of every pixel, so that none is learned by heart."""

SHARED = 1.5
"""Standard deviation in K of an error that the pixels of a part of a batch share in a channel,
where temperatures were translated: the simulator is no better than that."""

PARTS, LOSING = 16, 12
"""Parts of a batch that lose channels together, and how many of them lose any."""

ANGLE = 1.0
"""Standard deviation in degrees of the angle's error: what is assumed of a radiometer must not
decide."""

UNKNOWN = 0.1
"""Share of the pixels whose angle, or whose land fraction, is not shown."""

FREEZING = 275.0
"""Median temperature at 2 m in K below which a table of precipitation is one of snow."""

BLOCK_OF_OVERPASSES = 5
"""Overpasses that stay together when some are kept apart."""


DRAIN = ("36.64V", "36.64H", "89.0V", "89.0H")
"""Channels of the published DRAIN (Viltard et al. 2023, arXiv 2303.01220)."""

STAND_IN = 0.9
"""How often, when channels are lost, those that stay are the nearest to another radiometer's."""

FOUR = 0.15
"""How often, when channels are lost for others', these four stay."""

OTHERS = ("AMSR2", "AMSUB", "ATMS", "MHS", "SAPHIR", "SSMI", "SSMIS", "TMI")
"""Radiometers whose channels the source's stand for."""


@dataclass(frozen=True)
class Shown:
    """Pixels in the channels of a radiometer.

    Attributes
    ----------
    tb : ndarray of float32, shape (pixel, channel)
        Brightness temperature in K.
    angle, land : ndarray of float32, shape (pixel,)
        Incidence angle in degrees and land fraction.
    """

    tb: Array
    angle: Array
    land: Array

    @classmethod
    def join(cls, parts: Sequence[Shown]) -> Shown:
        """Put pixels together."""
        return cls(
            *(np.concatenate([getattr(p, n) for p in parts]) for n in ("tb", "angle", "land"))
        )


@dataclass(frozen=True)
class Observed:
    """Real pixels to learn from.

    Attributes
    ----------
    transects : RealPixels
        Pixels as frequent in rain as nature.
    rain : RealPixels
        Pixels in which it rains, with rates.
    snow : RealPixels
        Pixels in which it snows, with rates.
    events : tuple of RealPixels
        Tables of pixels with and without precipitation; the first is taken at its word.
    columns : dict of str to ndarray of int
        Simulated columns most like each pixel, by table.
    """

    transects: RealPixels
    rain: RealPixels
    snow: RealPixels
    events: tuple[RealPixels, ...]
    columns: dict[str, NDArray[np.int32]] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, RealPixels]:
        """Every table by name."""
        named = {"transects": self.transects, "rain": self.rain, "snow": self.snow}
        return named | {f"events{k}": t for k, t in enumerate(self.events)}

    @property
    def prevalence(self) -> float:
        """Frequency of precipitation in nature, as far as the transects tell."""
        return float(np.mean(self.transects.rate >= EVENT_RATE))

    def split(self, fold: int, folds: int) -> tuple[Observed, Observed]:
        """Keep a part apart to judge by: whole days, and blocks of overpasses."""
        blocks = self.transects.day // BLOCK_OF_OVERPASSES
        apart = kept_apart(blocks, fold, folds)
        halves = []
        for k in (0, 1):
            chosen = apart if k else ~apart
            rain, snow, *events = (
                t.split(fold, folds)[k] for t in (self.rain, self.snow, *self.events)
            )
            halves.append(Observed(self.transects.select(chosen), rain, snow, tuple(events)))
        return halves[0], halves[1]

    def show(
        self,
        name: str,
        rows: NDArray[np.integer],
        sensor: str,
        translator: Translator,
        rng: np.random.Generator,
    ) -> Shown:
        """Show pixels of a table as a radiometer would see them.

        Each is translated with one of the simulated columns like it, drawn anew every time.
        """
        table = self.tables[name]
        near = self.columns[name][rows, rng.integers(0, NEAREST, len(rows))]
        tb, angle = translator.translate(table.tb[rows], near, sensor)
        return Shown(tb, angle, table.land[rows])


def read_observed(
    transects: Sequence[str | os.PathLike[str]], tables: Sequence[str | os.PathLike[str]]
) -> Observed:
    """Read the files of real pixels, all of one radiometer.

    Parameters
    ----------
    transects : sequence of path
        Files as of :func:`xrain.io.transects.open_transects`.
    tables : sequence of path
        Files of matched pixels. Those with ``phase`` are tables of events; of those with rates a
        table whose median temperature at 2 m is below 275 K is one of snow.

    Raises
    ------
    InputError
        If a kind of table is missing, or the radiometers differ.
    """
    natural = [read_transects(p) for p in transects]
    matched = [read_real(p) for p in tables]
    events = [t for t in matched if np.isfinite(t.event).any()]
    rates = [t for t in matched if np.isfinite(t.rate).any()]
    cold = [bool(np.nanmedian(t.t2m) < FREEZING) for t in rates]
    rain = [t for t, is_snow in zip(rates, cold, strict=True) if not is_snow]
    snow = [t for t, is_snow in zip(rates, cold, strict=True) if is_snow]
    kinds = {"transects": natural, "rain rates": rain, "snow rates": snow, "phases": events}
    if missing := [k for k, found in kinds.items() if not found]:
        raise InputError(f"to train the single-pixel branch on observations, files with "
                         f"{', '.join(missing)} are missing")  # fmt: skip
    if len({t.channels for t in (*natural, *matched)}) != 1:
        names = ", ".join(Path(p).name for p in (*transects, *tables))
        raise InputError(f"{names}: the files must hold the channels of one radiometer")
    transect, raining, snowing = (RealPixels.join(t).complete() for t in (natural, rain, snow))
    return Observed(transect, raining, snowing, tuple(t.complete() for t in events))


def find_source(observed: Observed) -> str:
    """Find the radiometer that observed the pixels.

    Raises
    ------
    InputError
        If no packaged instrument has exactly their channels.
    """
    names = [c.name for c in observed.transects.channels]
    for sensor in packaged_sensors().values():
        if [c.name for c in sensor.channels] == names:
            return sensor.name
    raise InputError(f"no instrument has exactly the channels {', '.join(names)}")


def degrade(
    rng: np.random.Generator, shown: Shown, channels: Sequence[Channel], translated: bool
) -> tuple[Tensor, NDArray[np.bool_]]:
    """Add noise, and lose channels, angles and land fractions.

    Returns
    -------
    planes : Tensor, (pixel, plane)
        Input of the branch.
    seen : ndarray of bool, shape (pixel, channel)
        Whether a channel is left.
    """
    tb = shown.tb + NOISE * rng.standard_normal(shown.tb.shape, np.float32)
    parts = np.array_split(rng.permutation(len(tb)), PARTS)
    for k, part in enumerate(parts):
        if translated:
            tb[part] += SHARED * rng.standard_normal((1, tb.shape[1]), np.float32)
        if k < LOSING:
            tb[np.ix_(part, ~draw_kept(rng, channels, translated))] = np.nan
    angle = shown.angle + ANGLE * rng.standard_normal(len(tb), np.float32)
    land = shown.land.copy()
    for plane in (angle, land):
        plane[rng.uniform(size=len(plane)) < UNKNOWN] = np.nan
    planes = pixel_planes(tb.astype(np.float32), angle.astype(np.float32), land)
    return planes, np.isfinite(tb)


def draw_kept(
    rng: np.random.Generator, channels: Sequence[Channel], translated: bool
) -> NDArray[np.bool_]:
    """Draw the channels that stay, mostly those that stand for another radiometer's."""
    if translated or rng.uniform() >= STAND_IN:
        return keep_channels(rng, channels)
    sets = _stand_ins(tuple(c.name for c in channels))
    if not sets:
        return keep_channels(rng, channels)
    return sets[0] if rng.uniform() < FOUR else sets[rng.integers(len(sets))]


@functools.cache
def _stand_ins(names: tuple[str, ...]) -> list[NDArray[np.bool_]]:
    """DRAIN's channels, then those nearest to each of the other radiometers'."""
    sets = [list(DRAIN), *(nearest_channels(s, names) for s in OTHERS)]
    masks = [np.isin(names, s) for s in sets]
    return [m for m in masks if m.any() and not m.all()]


def draw_natural(
    rng: np.random.Generator, rate: Array, count: int
) -> tuple[NDArray[np.int64], Tensor]:
    """Draw rows of transects, half of them raining, and their weights, which undo that."""
    wet = np.flatnonzero(rate >= EVENT_RATE)
    dry = np.flatnonzero(rate < EVENT_RATE)
    half = count // 2
    rows = np.concatenate([rng.choice(wet, half), rng.choice(dry, half)])
    share = len(wet) / len(rate)
    weight = np.repeat([share / half, (1.0 - share) / half], half)
    return rows, torch.as_tensor(weight, dtype=torch.float32)
