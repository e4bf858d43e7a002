"""One block of scans: from arrays to rain, with the quality flags.

A block is what a Dask task works on, so all of this travels between processes: it knows arrays
and a :class:`RetrievalConfig`, no dataset.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrain.conventions import (
    PRECIP_FLAG_FILL,
    PRECIP_PHASE_FILL,
    QUALITY_FLAGS,
    SURFACE_PRECIP_QUANTILE,
    match_channels,
)
from xrain.geo.land import land_fraction
from xrain.geo.sphere import valid_positions
from xrain.models.outliers import (
    OutlierTest,
    choose_outlier_test,
    is_one_number,
    stuck_channels,
)
from xrain.models.store import Model, load_model
from xrain.retrieval.engine import Engine
from xrain.retrieval.estimates import Estimate, Pixels
from xrain.retrieval.phase import PhaseEstimate, estimate_phase, phase_flag
from xrain.retrieval.sampling import fill_between_samples
from xrain.sensors import Channel
from xrain.temperature import possible_temperatures

FloatArray = npt.NDArray[np.float32]

EDGE = 2
"""Pixels and scans next to the border of a swath that are flagged as its edge."""


LEAST_KELVIN = 40.0
"""Brightness temperature in K that at least one channel of any pixel on earth reaches."""


@dataclass(frozen=True)
class RetrievalConfig:
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
    quantiles : tuple of float
        Cumulative probabilities of the quantiles to return.
    device, precision : str
        Where and in which arithmetic the network runs.
    prior : float or None
        Frequency of rain of at least 0.1 mm/h to assume; None for the model's own.
    conditions : tuple of bool
        For each result, whether mean and quantiles hold on the condition that it rains.
    """

    model: Any
    channels: tuple[Channel, ...]
    incomplete: bool
    flags: int
    incidence: float
    quantiles: tuple[float, ...]
    device: str
    precision: str
    prior: float | None = None
    conditions: tuple[bool, ...] = (False,)


class BlockArrays(NamedTuple):
    """What a block reads; None where the dataset has no such variable.

    All but ``tb`` and ``quality``, which may have a last axis of their own, have one value for
    each pixel.
    """

    tb: Any
    incidence: Any = None
    latitude: Any = None
    longitude: Any = None
    quality: Any = None
    prior: Any = None
    air_temperature: Any = None
    water_vapor: Any = None
    skin_temperature: Any = None

    @property
    def ancillary(self) -> tuple[Any, ...]:
        """The fields of :data:`xrain.conventions.ANCILLARY`."""
        return self.air_temperature, self.water_vapor, self.skin_temperature

    def rows(self, start: int, stop: int) -> BlockArrays:
        """Choose rows of each array."""
        return BlockArrays(*(None if x is None else x[start:stop] for x in self))


class Planes(NamedTuple):
    """Variables of a result, by their names in the dataset."""

    surface_precip: Any
    surface_precip_quantile: Any
    probability_of_precip: Any
    precip_flag: Any
    precip_phase: Any
    probability_of_snow: Any
    snowfall_rate: Any
    retrieval_quality: Any

    @classmethod
    def shapes(cls, quantiles: int, pixels: tuple[int, ...]) -> Planes:
        """Shape of each plane for a number of quantiles and the shape of the pixels."""
        return cls(
            **{
                n: (quantiles, *pixels) if n == SURFACE_PRECIP_QUANTILE else pixels
                for n in cls._fields
            }
        )


DTYPES = Planes(
    np.float32, np.float32, np.float32, np.int8, np.int8, np.float32, np.float32, np.uint8
)


class Extent(NamedTuple):
    """Rows of a block that are wanted, and where the block lies.

    Attributes
    ----------
    start, stop : int
        First row wanted, and one past the last.
    offset : int
        Number of the block's first row in its stretch of uninterrupted scans.
    total : int
        Scans of that stretch.
    """

    start: int
    stop: int
    offset: int
    total: int


@functools.lru_cache(maxsize=16)  # as many as there are sensors in an archive of a day
def _engine(config: RetrievalConfig) -> tuple[Engine, Model, OutlierTest | None]:
    """Make an engine once per process."""
    model = load_model(config.model) if isinstance(config.model, str) else config.model
    card = model.card
    engine = Engine(
        model.network,
        config.channels,
        config.quantiles,
        config.device,
        config.precision,
        climatology=card.prior,
        prevalence=card.prevalence,
        threshold=card.threshold,
    )
    return engine, model, choose_outlier_test(card.outliers, [c.name for c in config.channels])


def retrieve_block(config: RetrievalConfig, arrays: BlockArrays, extent: Extent) -> list[Planes]:
    """Retrieve rows of a swath, or a table of pixels.

    Parameters
    ----------
    config : RetrievalConfig
        Model, channels and options.
    arrays : BlockArrays
        The block, halo included.
    extent : Extent
        Rows of it that are wanted.

    Returns
    -------
    list of Planes
        One for each of ``config.conditions``.
    """
    engine, model, outlier_test = _engine(config)
    tb = _measured(arrays.tb)
    grid = tb.shape[:-1]
    land, lost = _position(arrays.latitude, arrays.longitude, grid)
    pixels = Pixels(
        tb,
        _filled(arrays.incidence, config.incidence, grid),
        land,
        _outliers(tb, config.channels, model, outlier_test),
        config.prior if arrays.prior is None else np.asarray(arrays.prior, np.float32),
    )
    run = engine.swath if len(grid) == 2 else engine.single_pixels
    estimates = run(pixels, conditions=config.conditions)
    flags = _flags(config, tb, estimates[0].outlier, lost, arrays.quality)
    if len(grid) == 2:
        _mark_edges(flags, extent.offset, extent.total)
    blank = lost | (flags & QUALITY_FLAGS["no_usable_channel"] > 0)
    rows = slice(extent.start, extent.stop)
    phase = _phase(config, arrays, pixels, rows)
    return [_planes(e, phase, flags, blank, rows) for e in estimates]


def _phase(
    config: RetrievalConfig, arrays: BlockArrays, pixels: Pixels, rows: slice
) -> PhaseEstimate:
    """Tell rain from snow in the rows that are wanted."""
    ancillary = tuple(None if x is None else np.asarray(x)[rows] for x in arrays.ancillary)
    prior = pixels.prior[rows] if isinstance(pixels.prior, np.ndarray) else pixels.prior
    return estimate_phase(
        config.channels, pixels.tb[rows], pixels.land[rows], ancillary, prior, config.device
    )


def _planes(
    estimate: Estimate,
    phase: PhaseEstimate,
    flags: npt.NDArray[np.uint8],
    blank: npt.NDArray[np.bool_],
    rows: slice,
) -> Planes:
    """Blank what cannot be known, and choose the rows that are wanted."""
    for values in (estimate.mean, estimate.quantiles, estimate.probability):
        values[..., blank] = np.nan
    blank = blank[rows]
    found = estimate.detected[rows] | phase.snows
    detected, kind = found.astype(np.int8), phase_flag(found, phase)
    detected[blank], kind[blank] = PRECIP_FLAG_FILL, PRECIP_PHASE_FILL
    return Planes(
        estimate.mean[rows],
        estimate.quantiles[:, rows],
        estimate.probability[rows],
        detected,
        kind,
        np.where(blank, np.float32(np.nan), phase.probability_of_snow),
        np.where(blank, np.float32(np.nan), phase.snowfall_rate),
        flags[rows],
    )


def _measured(tb: npt.NDArray[Any]) -> FloatArray:
    """Temperatures as float32, NaN where they are impossible or the pixel is not in kelvin.

    A pixel of which no channel reaches 40 K, as in degrees Celsius, holds no temperature in K.
    """
    out: FloatArray = possible_temperatures(tb)
    cold = ~(out >= LEAST_KELVIN).any(axis=-1)
    out[cold] = np.nan
    return fill_between_samples(out) if out.ndim == 3 else out


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
    lost = ~valid_positions(latitude, longitude)
    land = land_fraction(np.where(lost, 0, latitude), np.where(lost, 0, longitude))
    return np.where(lost, np.nan, land).astype(np.float32), lost


def _outliers(
    tb: FloatArray, channels: Sequence[Channel], model: Model, outlier_test: OutlierTest | None
) -> npt.NDArray[np.bool_]:
    """Tell pixels unlike the training data: a channel out of range, or all together unlikely."""
    ranges = model.card.ranges
    out = is_one_number(tb)
    if tb.ndim == 3:
        out |= stuck_channels(tb).any(axis=-1)
    if outlier_test is not None:
        out |= outlier_test.find(tb)
    names = list(ranges)
    for k, index in enumerate(match_channels(names, [c.name for c in channels])):
        if index is not None:
            low, high = ranges[names[index]]
            out |= (tb[..., k] < low) | (tb[..., k] > high)
    return out


def _flags(
    config: RetrievalConfig,
    tb: FloatArray,
    outlier: npt.NDArray[np.bool_],
    lost: npt.NDArray[np.bool_],
    quality: npt.NDArray[Any] | None,
) -> npt.NDArray[np.uint8]:
    flags = np.full(tb.shape[:-1], config.flags, np.uint8)
    with np.errstate(invalid="ignore"):  # some BLAS kernels raise the flag for values they pad with
        some = np.isnan(tb @ np.ones(tb.shape[-1], np.float32))  # NaN if one of the terms is
    none = np.zeros_like(some)
    none[some] = np.isnan(tb[some]).all(axis=-1)
    flags[some | config.incomplete] |= QUALITY_FLAGS["missing_channel"]
    flags[none] |= QUALITY_FLAGS["no_usable_channel"]
    flags[outlier] |= QUALITY_FLAGS["outside_training_range"]
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
