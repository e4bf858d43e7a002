"""Rows of a database for Bayesian inversion: from simulated patches, from tables of real pixels.

Whatever holds brightness temperatures beside rain can be laid out by :func:`lay_out`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    SAMPLE,
    SURFACE_PRECIP,
    TB,
    match_channels,
)
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.io.matchups import PHASE
from xrain.models.bayes import SURFACES, air_mass, surface_classes
from xrain.models.rain_classes import EDGES
from xrain.sensors import Sensor
from xrain.training.samples import Shard

__all__ = ["Vectors", "is_cross_track", "lay_out", "patch_vectors", "table_vectors"]


@dataclass(frozen=True)
class Vectors:
    """Rows of a database in the making, all of the same length.

    Attributes
    ----------
    vectors : ndarray, shape (row, coordinate)
        Brightness temperatures in K, then the air mass for a cross-track scanner.
    rate : ndarray, shape (row,)
        Rain rate in mm/h, 0 where dry. Rain of unknown rate has the lowest of the classes.
    surface : ndarray of int, shape (row,)
        Index into :data:`xrain.models.bayes.SURFACES`.
    group : ndarray of int, shape (row,)
        Scene or day; rows of one group do not count as independent.
    population : ndarray, shape (row, 2)
        Pixels that the row stands for in detection and in the estimate of the rate.
    kind : ndarray of int, shape (row,)
        Where the row comes from; rows of several kinds are not put into one cluster, and errors
        are not fitted to those of a negative kind.
    """

    vectors: NDArray[np.float32]
    rate: NDArray[np.float32]
    surface: NDArray[np.int8]
    group: NDArray[np.int64]
    population: NDArray[np.float32]
    kind: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.rate)

    def pick(self, rows: Any) -> Vectors:
        """Keep some rows."""
        return Vectors(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def join(cls, parts: Sequence[Vectors]) -> Vectors:
        """Put rows together."""
        names = [f.name for f in fields(cls)]
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    @property
    def wet(self) -> NDArray[np.bool_]:
        """Where it rains, shape (row,)."""
        return np.asarray(self.rate > 0)


def is_cross_track(sensor: Sensor) -> bool:
    """Whether the incidence angle of an instrument changes along a scan."""
    return sensor.scan_type == "cross-track"


def lay_out(
    sensor: Sensor,
    tb: NDArray[np.floating[Any]],
    rate: NDArray[np.floating[Any]],
    land: NDArray[np.floating[Any]],
    incidence: NDArray[np.floating[Any]],
    group: NDArray[np.integer[Any]],
    population: NDArray[np.floating[Any]] | None = None,
) -> Vectors:
    """Lay pixels with known rain out as rows of a database; those with gaps are left out.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    tb : ndarray, shape (pixel, channel)
        Brightness temperature in K, channels in the instrument's order.
    rate, land, incidence : ndarray, shape (pixel,)
        Rain rate in mm/h, land fraction, earth incidence angle in degrees.
    group : ndarray of int, shape (pixel,)
        Scene or day.
    population : ndarray, shape (pixel, 2), optional
        As in :class:`Vectors`; by default every pixel counts in detection and every raining one
        for the rate.
    """
    dry = np.asarray(rate) < np.float32(EDGES[0])
    rate = np.where(dry, 0.0, rate).astype(np.float32)
    columns = [np.asarray(tb, np.float32)]
    if is_cross_track(sensor):
        angle = torch.as_tensor(np.asarray(incidence, np.float32))
        columns.append(air_mass(angle).numpy()[:, None])
    if population is None:
        population = np.stack([np.ones(len(rate)), rate > 0], axis=1)
    surface = surface_classes(torch.as_tensor(np.asarray(land, np.float32))).numpy()
    out = Vectors(
        np.concatenate(columns, axis=1),
        rate,
        surface.astype(np.int8),
        np.asarray(group, np.int64),
        np.asarray(population, np.float32),
        np.zeros(len(rate), np.int8),
    )
    whole = np.isfinite(out.vectors).all(axis=1) & np.isfinite(out.rate)
    return out.pick(whole & (surface < len(SURFACES)))


def patch_vectors(sensor: Sensor, shard: Shard, per_group: int = 1) -> Vectors:
    """Rows of simulated patches; so many in a row, made with one physics, are a group."""
    patches = np.arange(len(shard.rain))[:, None, None] // per_group
    patches = np.broadcast_to(patches, shard.rain.shape)
    tb = shard.tb.reshape(-1, shard.tb.shape[-1])
    rate, land, angle = (x.reshape(-1) for x in (shard.rain, shard.land, shard.incidence))
    return lay_out(sensor, tb, rate, land, angle, patches.reshape(-1))


def table_vectors(sensor: Sensor, ds: xr.Dataset, days: NDArray[np.integer[Any]]) -> Vectors:
    """Rows of a table of real pixels.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    ds : xarray.Dataset
        ``tb(sample, channel)``, ``latitude``, ``longitude``, and ``surface_precip`` in mm/h or
        ``phase`` (0 dry). Where all pixels rain they teach the rate alone; a phase teaches
        detection alone.
    days : ndarray of int, shape (sample,)
        Day of each pixel.

    Raises
    ------
    InputError
        If a channel of the instrument is missing.
    """
    names = [str(n) for n in ds[CHANNEL].values]
    found = match_channels(names, [c.name for c in sensor.channels])
    columns = [i for i in found if i is not None]
    if lost := [c.name for c, i in zip(sensor.channels, found, strict=True) if i is None]:
        raise InputError(
            f"a database for {sensor.name} needs all its channels; the table lacks "
            f"{', '.join(lost)}"
        )
    count = ds.sizes[SAMPLE]
    if SURFACE_PRECIP in ds:
        rate = ds[SURFACE_PRECIP].values.astype(np.float32)
        only_rain = bool((rate[np.isfinite(rate)] > 0).all())
        population = np.stack([np.full(count, not only_rain), rate >= EDGES[0]], axis=1)
    else:
        phase = ds[PHASE].values.astype(np.float32)
        rate = np.where(phase >= 1, np.float32(EDGES[0]) * 1.01, np.where(phase == 0, 0, np.nan))
        population = np.stack([np.ones(count), np.zeros(count)], axis=1)
    angle = np.full(count, sensor.channels[0].incidence_angle)
    if INCIDENCE in ds:
        angle = ds[INCIDENCE].values.reshape(count, -1)[:, 0]
    tb = ds[TB].transpose(SAMPLE, CHANNEL).values[:, columns]
    land = land_fraction(ds[LATITUDE].values, ds[LONGITUDE].values)
    return lay_out(sensor, tb, rate, land, angle, days, population)
