"""Observed swaths without any rain beside them, on which the law of total expectation can be held.

Whatever the rain was, neighbours may not change, on average, what pixels that look alike say. So a
real swath teaches where the simulator's neighbours speak too loudly, though nobody knows its rain.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from xrain.conventions import CHANNEL, INCIDENCE, LATITUDE, LONGITUDE, PIXEL, SCAN, TB
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.io.open import open_l1c
from xrain.models.unet import stack_planes
from xrain.sensors import Channel
from xrain.sensors.describe import describe_channels, find_owner
from xrain.training.degrade import keep_channels

__all__ = ["Unlabelled", "read_unlabelled"]

SCANS = 150
"""Scans of a piece; so many that every kind of pixel is met in it."""

LOSING = 0.3
"""Share of the pieces of which channels are taken away."""


@dataclass(frozen=True)
class Unlabelled:
    """An observed swath.

    Attributes
    ----------
    tb : ndarray of float32, shape (scan, pixel, channel)
        Brightness temperature in K.
    incidence, land : ndarray of float32, shape (scan, pixel)
        Earth incidence angle in degrees, and land fraction.
    channels : tuple of Channel
        Its channels.
    """

    tb: npt.NDArray[np.float32]
    incidence: npt.NDArray[np.float32]
    land: npt.NDArray[np.float32]
    channels: tuple[Channel, ...]

    def draw(self, seed: Sequence[int]) -> Tensor:
        """Draw the piece that belongs to a seed: planes (1, plane, scan, pixel)."""
        rng = np.random.default_rng(tuple(seed))
        first = int(rng.integers(0, max(len(self.tb) - SCANS, 0) + 1))
        piece = slice(first, first + SCANS)
        fields = [x[None, piece].copy() for x in (self.tb, self.incidence, self.land)]
        if rng.uniform() < 0.5:
            fields = [np.ascontiguousarray(x[:, :, ::-1]) for x in fields]
        if rng.uniform() < LOSING:
            fields[0][..., ~keep_channels(rng, self.channels)] = np.nan
        return stack_planes(*(torch.from_numpy(x) for x in fields))


def read_unlabelled(path: str | os.PathLike[str]) -> Unlabelled:
    """Read a swath: an L1C granule, or netCDF with ``tb(scan, pixel, channel)``.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    InputError
        If it is no swath of brightness temperatures.
    """
    swath = _open(path)
    if TB not in swath or {SCAN, PIXEL, CHANNEL} - {*swath[TB].dims}:
        raise InputError(f"{path} is no swath: it needs {TB}({SCAN}, {PIXEL}, {CHANNEL})")
    names = [str(n) for n in swath[CHANNEL].values]
    channels = tuple(describe_channels(names, find_owner(names)))
    tb = swath[TB].transpose(SCAN, PIXEL, CHANNEL).values.astype(np.float32)
    if INCIDENCE in swath:
        angle = swath[INCIDENCE]
        angle = angle.isel({d: 0 for d in angle.dims if d not in (SCAN, PIXEL)})
        incidence = np.broadcast_to(angle.transpose(SCAN, PIXEL).values, tb.shape[:2])
    else:
        incidence = np.full(tb.shape[:2], channels[0].incidence_angle)
    land = land_fraction(swath[LATITUDE].values, swath[LONGITUDE].values)
    return Unlabelled(tb, incidence.astype(np.float32), land.astype(np.float32), channels)


def _open(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open netCDF with brightness temperatures, or else an L1C granule."""
    try:
        ds = xr.open_dataset(path, engine="h5netcdf", phony_dims="access")
    except (OSError, ValueError):
        return open_l1c(path)
    if TB in ds.variables:
        return ds
    ds.close()
    return open_l1c(path)
