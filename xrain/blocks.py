"""One block of scans: from arrays to rain, with the quality flags.

A block is what a Dask task works on, so all of this travels between processes: it knows arrays
and a :class:`Job`, no dataset.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xrain.conventions import QUALITY_FLAGS, match_channels
from xrain.detector import Detector, choose_detector, is_one_number
from xrain.inference import Engine
from xrain.land import land_fraction
from xrain.models.store import Model, load_model
from xrain.sensors import Channel

FloatArray = npt.NDArray[np.float32]

EDGE = 2
"""Pixels and scans next to the border of a swath that are flagged as its edge."""


@dataclass(frozen=True)
class Job:
    """All that a block of scans needs to know besides its arrays.

    Attributes
    ----------
    model : Model or str
        The model, or the reference by which a worker loads it.
    channels : tuple of Channel
        Description of the channels, in the order of the last axis of tb.
    incomplete : bool
        Whether the dataset as a whole lacks channels of the model.
    flags : int
        Quality bits that hold for every pixel.
    incidence : float
        Nominal earth incidence angle in degrees, where the dataset gives none.
    given_rain : bool
        Whether mean and quantiles hold on the condition that it rains.
    """

    model: Any
    channels: tuple[Channel, ...]
    incomplete: bool
    flags: int
    incidence: float
    quantiles: tuple[float, ...]
    device: str
    precision: str
    given_rain: bool = False


@functools.lru_cache(maxsize=4)
def _engine(job: Job) -> tuple[Engine, Model, Detector | None]:
    """Make an engine once per process."""
    model = load_model(job.model) if isinstance(job.model, str) else job.model
    engine = Engine(
        model.network,
        job.channels,
        job.quantiles,
        job.device,
        job.precision,
        model.card.prior,
        job.given_rain,
    )
    return engine, model, choose_detector(model.card.detector, [c.name for c in job.channels])


def run_block(
    job: Job,
    tb: npt.NDArray[Any],
    incidence: npt.NDArray[Any] | None,
    latitude: npt.NDArray[Any] | None,
    longitude: npt.NDArray[Any] | None,
    quality: npt.NDArray[Any] | None,
    *,
    place: tuple[int, int, int, int],
) -> FloatArray:
    """Retrieve rows of a swath: planes (mean, probability, quantiles, flags; row; pixel).

    `place` says which rows of the block are wanted, where its first row lies in its stretch of
    uninterrupted scans, and how many scans that has.
    """
    engine, model, detector = _engine(job)
    start, stop, offset, total = place
    tb = np.where(np.isfinite(tb), tb, np.nan).astype(np.float32, copy=False)
    grid = tb.shape[:-1]
    angle = _filled(incidence, job.incidence, grid)
    land, lost = _position(latitude, longitude, grid)
    strange = _unlike_training(tb, job.channels, model, detector)
    run = engine.swath if len(grid) == 2 else engine.lone
    values = run(tb, angle, land, strange)
    flags = _flags(job, tb, strange, lost, quality)
    if len(grid) == 2:
        _mark_edges(flags, offset, total)
    blank = lost | (flags & QUALITY_FLAGS["no_usable_channel"] > 0)
    values[:, blank] = np.nan
    return np.concatenate([values, flags[None].astype(np.float32)])[:, start:stop]


def _filled(
    incidence: npt.NDArray[Any] | None, nominal: float, grid: tuple[int, ...]
) -> FloatArray:
    if incidence is None:
        return np.full(grid, nominal, np.float32)
    return np.where(np.isfinite(incidence), incidence, nominal).astype(np.float32)


def _position(
    latitude: npt.NDArray[Any] | None, longitude: npt.NDArray[Any] | None, grid: tuple[int, ...]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Land fraction, NaN where unknown, and where a position is given but missing."""
    if latitude is None or longitude is None:
        return np.full(grid, np.nan, np.float32), np.zeros(grid, bool)
    lost = ~(np.isfinite(latitude) & np.isfinite(longitude) & (np.abs(latitude) <= 90))
    land = land_fraction(np.where(lost, 0, latitude), np.where(lost, 0, longitude))
    return np.where(lost, np.nan, land).astype(np.float32), lost


def _unlike_training(
    tb: FloatArray, channels: Sequence[Channel], model: Model, detector: Detector | None
) -> npt.NDArray[np.bool_]:
    """Tell pixels unlike the training data: a channel out of range, or all together unlikely."""
    ranges = model.card.ranges
    out = is_one_number(tb)
    if detector is not None:
        out |= detector.strange(tb)
    names = list(ranges)
    for k, index in enumerate(match_channels(names, [c.name for c in channels])):
        if index is not None:
            low, high = ranges[names[index]]
            out |= (tb[..., k] < low) | (tb[..., k] > high)
    return out


def _flags(
    job: Job,
    tb: FloatArray,
    strange: npt.NDArray[np.bool_],
    lost: npt.NDArray[np.bool_],
    quality: npt.NDArray[Any] | None,
) -> npt.NDArray[np.uint8]:
    flags = np.full(tb.shape[:-1], job.flags, np.uint8)
    some = np.isnan(tb @ np.ones(tb.shape[-1], np.float32))  # a sum is NaN if one of its terms is
    none = np.zeros_like(some)
    none[some] = np.isnan(tb[some]).all(axis=-1)
    flags[some | job.incomplete] |= QUALITY_FLAGS["missing_channel"]
    flags[none] |= QUALITY_FLAGS["no_usable_channel"]
    flags[strange] |= QUALITY_FLAGS["outside_training_range"]
    flags[lost] |= QUALITY_FLAGS["bad_geolocation"]
    if quality is not None:
        bad = quality != 0
        bad = bad.any(axis=-1) if bad.ndim > flags.ndim else bad
        flags[bad & ~some] |= QUALITY_FLAGS["suspect_radiance"]
    return flags


def _mark_edges(flags: npt.NDArray[np.uint8], offset: int, total: int) -> None:
    row = np.arange(flags.shape[0]) + offset
    edge = QUALITY_FLAGS["swath_edge"]
    flags[(row < EDGE) | (row >= total - EDGE)] |= edge
    flags[:, :EDGE] |= edge
    flags[:, flags.shape[1] - min(EDGE, flags.shape[1]) :] |= edge
