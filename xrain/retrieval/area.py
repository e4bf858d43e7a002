"""Retrieval of the scans of a swath that see an area, with the same result as of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import LATITUDE, LONGITUDE, SCAN
from xrain.errors import InputError
from xrain.geo.extent import Extent, in_extent
from xrain.models.outliers import STUCK_SCANS
from xrain.models.store import Model, load_model
from xrain.retrieval.block import EDGE
from xrain.retrieval.dataset import default_model, retrieve

__all__ = ["retrieve_area"]


def retrieve_area(
    ds: xr.Dataset, area: Extent, model: str | Model | None = None, **options: Any
) -> xr.Dataset | None:
    """Retrieve the scans of which a pixel lies in an area.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath with positions.
    area : tuple of float
        West, east, south and north in degrees.
    model, **options
        As for :func:`xrain.retrieve`.

    Returns
    -------
    xarray.Dataset or None
        All pixels of these scans, as :func:`xrain.retrieve` gives them for the whole swath; None
        if there are none.

    Raises
    ------
    InputError
        If the swath has no positions by scan and pixel.
    """
    loaded = model if isinstance(model, Model) else load_model(model or default_model(ds))
    wanted = _scans_in(ds, area)
    halo = max(loaded.network.config.halo, STUCK_SCANS - 1, EDGE)
    parts = []
    for first, last in _runs(wanted):
        low, high = max(first - halo, 0), min(last + halo, len(wanted))
        rain = retrieve(ds.isel({SCAN: slice(low, high)}), loaded, **options)
        parts.append(rain.isel({SCAN: slice(first - low, last - low)}))
    if not parts:
        return None
    return xr.concat(parts, SCAN, data_vars="minimal", coords="minimal", compat="override",
                     join="override", combine_attrs="override")  # fmt: skip


def _scans_in(ds: xr.Dataset, area: Extent) -> npt.NDArray[np.bool_]:
    """Whether each scan sees the area."""
    if any(n not in ds.variables or SCAN not in ds[n].dims for n in (LATITUDE, LONGITUDE)):
        raise InputError("an extent needs a swath with latitude and longitude")
    inside = in_extent(ds[LATITUDE].values, ds[LONGITUDE].values, area)
    return np.asarray(inside.reshape(len(inside), -1).any(axis=1))


def _runs(wanted: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First scan of each stretch that is wanted, and one past its last."""
    steps = np.diff(np.concatenate([[0], wanted.astype(np.int8), [0]]))
    yield from zip(np.flatnonzero(steps > 0).tolist(), np.flatnonzero(steps < 0).tolist(),
                   strict=True)  # fmt: skip
