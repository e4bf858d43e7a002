"""Batches for the branch for single pixels: all tables as one radiometer would see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.atomic import replacing
from xrain.sensors import Channel, get_sensor
from xrain.training.observed import Observed, Shown, degrade, draw_natural
from xrain.training.rate_process import Lessons, RateProcess, make_lessons
from xrain.training.translation import (
    NEAREST,
    Library,
    Translator,
    make_library,
    simulate_ice_sheets,
)

__all__ = ["PixelBatch", "PixelBatches", "Sizes", "keep_library", "trust"]

ICE_COLUMNS = 4000
"""Columns of ice sheets that are simulated."""


WINDOWS = 175.0
"""Frequency in GHz below which a channel may see the ground."""

LOST = 0.1
"""What pixels that lost channels count for where they are no sample of nature."""


def trust(seen: NDArray[np.bool_], channels: Sequence[Channel]) -> Tensor:
    """Say how much pixels count, (pixel,), of tables that are no sample of nature.

    The fewer the channels, the more the rain of a pixel hangs on what is usual where it was found,
    and that of a table of events or of ice sheets is not what nature's is. Without a channel that
    sees the ground they do not count at all: ice sheets then look like storms.

    On transects of one part of four kept apart the correlation with GMI's channels nearest to those
    of MHS, SAPHIR and DRAIN was .41, .20 and .49 where all count alike, .45, .43 and .52 where they
    count for a quarter, and .51, .44 and .56 where for nothing; but then detection with DRAIN's
    channels on pixels of the globe loses (Heidke skill score .72, .69 and .58).

    Parameters
    ----------
    seen : ndarray of bool, shape (pixel, channel)
        Whether a channel is there.
    channels : sequence of Channel
        The channels.
    """
    windows = np.array([c.frequency < WINDOWS for c in channels])
    found = np.where(seen.all(axis=1), 1.0, LOST) * seen[:, windows].any(axis=1)
    return torch.as_tensor(found, dtype=torch.float32)


@dataclass(frozen=True)
class Sizes:
    """Pixels in a whole batch.

    Attributes
    ----------
    transects, rain, snow, lessons, ice : int
        Pixels of each kind.
    events : int
        Pixels of each table of events.
    """

    transects: int = 1024
    rain: int = 384
    snow: int = 128
    events: int = 224
    lessons: int = 384
    ice: int = 96

    def of(self, name: str, share: float) -> int:
        """Pixels of a table in a share of a batch, two at least."""
        return max(int(share * getattr(self, name.rstrip("0123456789"))), 2)


@dataclass(frozen=True)
class PixelBatch:
    """Pixels of every table in the channels of one radiometer.

    Attributes
    ----------
    sensor : str
        The radiometer.
    planes : Tensor, (pixel, plane)
        Input of the branch, the pixels of one table after those of the other.
    rows : dict of str to ndarray of int
        Row of each pixel in its table; also of ``lessons`` and ``ice``, in the order of `planes`.
    weight : Tensor, (pixel,)
        How much of nature each pixel of the transects stands for.
    trust : Tensor, (pixel,)
        How much what is no sample of nature counts, see :func:`trust`.
    """

    sensor: str
    planes: Tensor
    rows: dict[str, NDArray[np.int64]]
    weight: Tensor
    trust: Tensor

    def part(self, output: Tensor) -> dict[str, Tensor]:
        """Cut what the branch made of the planes by table."""
        lengths = [len(rows) for rows in self.rows.values()]
        return dict(zip(self.rows, torch.split(output, lengths), strict=True))


class PixelBatches:
    """Draws batches; simulates and searches beforehand what they need, or reads what is kept.

    Parameters
    ----------
    folder : Path
        Where simulated columns and the process's lessons are kept.
    observed : Observed
        The real pixels.
    source : str
        The radiometer of the real pixels.
    sensors : sequence of str
        Other radiometers in whose channels pixels are shown.
    tables : sequence of str
        Files of matched pixels from whose environments columns are simulated.
    edges : sequence of float
        Bounds of the classes of rain that the process tells apart, mm/h.
    lessons : int
        Inputs that the process is asked about.
    seed : int
        Random seed.
    """

    def __init__(
        self,
        folder: Path,
        observed: Observed,
        source: str,
        sensors: Sequence[str],
        *,
        tables: Sequence[str],
        edges: Sequence[float],
        lessons: int,
        seed: int,
    ) -> None:
        self.source = source
        every = (source, *sensors)
        library = keep_library(folder / "columns.npz", lambda: make_library(tables, every, seed))
        self._ice = keep_library(
            folder / "ice.npz", lambda: simulate_ice_sheets(ICE_COLUMNS, every, seed)
        )
        self._translator = Translator(library, source)
        near = {k: self._nearest(t.tb, t.land) for k, t in observed.tables.items()}
        self.observed = replace(observed, columns=near)
        self.lessons = _lessons(folder / "lessons.npz", observed, edges, lessons, seed)
        self._lesson_land = observed.rain.land[self.lessons.source]
        self._lesson_columns = self._nearest(self.lessons.tb, self._lesson_land)

    def _nearest(self, tb: NDArray[np.float32], land: NDArray[np.float32]) -> NDArray[np.int32]:
        return self._translator.nearest(tb, land)

    def draw(
        self, rng: np.random.Generator, sensor: str, sizes: Sizes, share: float = 1.0
    ) -> PixelBatch:
        """Draw a share of a batch as a radiometer would see it."""
        tables = self.observed.tables
        natural, weight = draw_natural(rng, tables["transects"].rate, sizes.of("transects", share))
        rows = {"transects": natural} | {
            k: rng.integers(0, len(t), sizes.of(k, share))
            for k, t in tables.items()
            if k != "transects"
        }
        translator = self._translator
        shown = [self.observed.show(k, r, sensor, translator, rng) for k, r in rows.items()]
        rows["lessons"] = rng.integers(0, len(self.lessons.tb), sizes.of("lessons", share))
        rows["ice"] = rng.integers(0, len(self._ice.land), sizes.of("ice", share))
        shown.append(self._show_lessons(rows["lessons"], sensor, rng))
        shown.append(self._show_ice(rows["ice"], sensor))
        channels = get_sensor(sensor).channels
        planes, seen = degrade(rng, Shown.join(shown), channels, sensor != self.source)
        return PixelBatch(sensor, planes, rows, weight, trust(seen, channels))

    def _show_lessons(
        self, rows: NDArray[np.int64], sensor: str, rng: np.random.Generator
    ) -> Shown:
        near = self._lesson_columns[rows, rng.integers(0, NEAREST, len(rows))]
        tb, angle = self._translator.translate(self.lessons.tb[rows], near, sensor)
        return Shown(tb, angle, self._lesson_land[rows])

    def _show_ice(self, rows: NDArray[np.int64], sensor: str) -> Shown:
        tb = self._ice.tb[rows, self._ice.columns(sensor)]
        return Shown(tb, self._ice.angles(rows, sensor), self._ice.land[rows])

    def shares(self, batch: PixelBatch) -> Tensor:
        """Return what the process says of the lessons of a batch, (pixel, class)."""
        return torch.as_tensor(self.lessons.shares[batch.rows["lessons"]])


def keep_library(path: Path, make: Callable[[], Library]) -> Library:
    """Read what was simulated before, or simulate and keep it."""
    if not path.exists():
        make().save(path)
    return Library.load(path)


def _lessons(
    path: Path, observed: Observed, edges: Sequence[float], count: int, seed: int
) -> Lessons:
    """Read what the process said before, or fit and ask it."""
    if not path.exists():
        rain = observed.rain
        process = RateProcess(rain.tb, rain.rate, seed)
        made = make_lessons(process, rain.tb, edges, count, seed)
        with replacing(path) as draft, open(draft, "wb") as stream:
            np.savez(stream, tb=made.tb, source=made.source, shares=made.shares)
    with np.load(path) as kept:
        return Lessons(kept["tb"], kept["source"], kept["shares"])
